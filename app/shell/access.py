"""Who may come in: requests under this server's own names, with the password where one is set.

In a demo each visitor gets a cookie.

An ASGI middleware around all of Streamlit's routes, its WebSocket and our thumbnails. PROTEUS_PASSWORD is the password;
it is compared in constant time, and a browser that knew it holds a random cookie until the server ends.
"""

from __future__ import annotations

import asyncio
import hmac
import os
import secrets
from typing import Any
from urllib.parse import parse_qs

from starlette.requests import HTTPConnection, Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.shell import demo

PASSWORD_VARIABLE = "PROTEUS_PASSWORD"
COOKIE = "proteus_access"
LOGIN = "/_login"
_OPEN = ("/_stcore/health", "/_stcore/host-config")
"""For health checks; they say nothing about runs."""
_LARGEST_FORM = 4096
_AFTER_A_MISTAKE_S = 1.0
_LOOPBACK = ("127.0.0.1", "localhost", "::1")

_FORM = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Proteus Lab</title>
<meta name="viewport" content="width=device-width"><style>body{{font:1rem sans-serif;max-width:20rem;margin:20vh auto}}
input,button{{font:inherit;padding:.5rem;width:100%;box-sizing:border-box;margin:.3rem 0}}</style>
<h1>Proteus Lab</h1><form method="post" action="{action}"><label>Password<input name="password" type="password"
autocomplete="current-password" autofocus required></label><button>Enter</button></form><p role="alert">{said}</p>"""
_HEADERS = {
    "cache-control": "no-store",
    "x-frame-options": "DENY",
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'",
}


class Access:
    """The middleware. `address` is what the server listens on, `base` and `name` are Streamlit's `server.baseUrlPath`
    and `browser.serverAddress`, the name by which people know a server behind a proxy."""

    def __init__(self, app: ASGIApp, address: str = "", base: str = "", name: str = "") -> None:
        self._app = app
        self._local_only = address in _LOOPBACK
        self._names = (*_LOOPBACK, *filter(None, [name.lower()]))
        self._base = f"/{base.strip('/')}" if base.strip("/") else ""
        self._password = os.environ.get(PASSWORD_VARIABLE, "")
        self._granted = secrets.token_hex(32)
        self._mistakes = asyncio.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        asked = HTTPConnection(scope)
        if self._local_only and _host(asked.headers.get("host", "")) not in self._names:
            await _refuse(scope, receive, send, PlainTextResponse("This server answers to localhost only.", 403))
        elif self._is_stranger(asked):
            await self._ask(scope, receive, send)
        else:
            await self._app(scope, receive, self._naming(asked, send) if demo.enabled() else send)

    def _is_stranger(self, asked: HTTPConnection) -> bool:
        if not self._password or asked.scope["path"].removeprefix(self._base) in _OPEN:
            return False
        return not hmac.compare_digest(asked.cookies.get(COOKIE, "").encode(), self._granted.encode())

    async def _ask(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer with the password form, or check what was typed into it."""
        if scope["type"] == "http" and scope["method"] == "POST" and scope["path"] == self._base + LOGIN:
            answer = await self._typed(Request(scope, receive))
        else:
            answer = self._form(401)
        await _refuse(scope, receive, send, answer)

    async def _typed(self, request: Request) -> Response:
        body = b""
        async for part in request.stream():
            body += part
            if len(body) > _LARGEST_FORM:
                return self._form(413)
        typed = parse_qs(body.decode("utf-8", "replace")).get("password", [""])[0]
        if hmac.compare_digest(typed.encode(), self._password.encode()):
            answer: Response = RedirectResponse(f"{self._base}/", 303)
            _set_cookie(answer, COOKIE, self._granted, request)
            return answer
        async with self._mistakes:  # one guess a second, whoever guesses
            await asyncio.sleep(_AFTER_A_MISTAKE_S)
        return self._form(401, "That is not the password.")

    def _form(self, status: int, said: str = "") -> Response:
        return HTMLResponse(_FORM.format(action=self._base + LOGIN, said=said), status, _HEADERS)

    def _naming(self, asked: HTTPConnection, send: Send) -> Send:
        """`send` that gives a visitor without a token one, with the first page."""
        page = asked.scope["type"] == "http" and "/_stcore/" not in asked.scope["path"]
        if not page or demo.is_token(asked.cookies.get(demo.COOKIE, "")):
            return send
        carrier = Response()
        _set_cookie(carrier, demo.COOKIE, secrets.token_hex(16), asked)
        cookie = [header for header in carrier.raw_headers if header[0] == b"set-cookie"]

        async def naming(message: Message) -> None:
            if message["type"] == "http.response.start" and _is_html(message):
                message = {**message, "headers": [*message.get("headers", []), *cookie]}
            await send(message)

        return naming


def _is_html(message: Message) -> bool:
    kinds = [value for name, value in message.get("headers", []) if name.lower() == b"content-type"]
    return any(kind.startswith(b"text/html") for kind in kinds)


def _host(header: str) -> str:
    """The name in a Host header: one that is not ours but leads here is another site's trick."""
    name = header.rpartition(":")[0] if not header.endswith("]") and ":" in header else header
    return name.strip("[]").lower()


def _set_cookie(answer: Response, name: str, value: str, asked: HTTPConnection) -> None:
    """For this browser's own requests only, out of reach of scripts; encrypted where the page is."""
    secure = "https" in (asked.url.scheme, asked.headers.get("x-forwarded-proto", ""))
    answer.set_cookie(name, value, httponly=True, samesite="lax", secure=secure)


async def _refuse(scope: Scope, receive: Receive, send: Send, answer: Response) -> None:
    if scope["type"] == "http":
        await answer(scope, receive, send)
    else:
        await receive()
        close: dict[str, Any] = {"type": "websocket.close", "code": 1008}
        await send(close)
