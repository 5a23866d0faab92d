"""Who may come in: own host names, a shared password before everything, and a visitor's own cookie in a demo."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocket, WebSocketDisconnect

from app.shell import access, demo
from app.shell.access import Access

PASSWORD = "correct horse ☂"


async def _page(request: Request) -> HTMLResponse:
    return HTMLResponse("the app")


async def _health(request: Request) -> PlainTextResponse:
    return PlainTextResponse("ok")


async def _echo(socket: WebSocket) -> None:
    await socket.accept()
    await socket.send_text("hello")
    await socket.close()


def client(address: str = "0.0.0.0", base: str = "", host: str = "demo.example", name: str = "") -> TestClient:
    routes = [Route("/_stcore/health", _health), WebSocketRoute("/_stcore/stream", _echo), Route("/{rest:path}", _page)]
    app = Access(Starlette(routes=routes), address=address, base=base, name=name)
    return TestClient(app, base_url=f"http://{host}", follow_redirects=False)


@pytest.fixture(autouse=True)
def _plain(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in (access.PASSWORD_VARIABLE, "PROTEUS_DEMO"):
        monkeypatch.delenv(variable, raising=False)


@pytest.fixture
def locked(monkeypatch: pytest.MonkeyPatch) -> TestClient:
    monkeypatch.setenv(access.PASSWORD_VARIABLE, PASSWORD)
    monkeypatch.setattr(access, "_AFTER_A_MISTAKE_S", 0.01)
    return client()


@pytest.mark.parametrize("host", ["127.0.0.1:8501", "localhost:8501", "LOCALHOST", "[::1]:8501", "lab.example"])
def test_a_server_on_this_machine_answers_to_its_own_names(host: str) -> None:
    assert client("127.0.0.1", host=host, name="Lab.Example").get("/").text == "the app"


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:8501", ":80"])
def test_a_foreign_name_that_leads_here_is_refused(host: str) -> None:
    here = client("127.0.0.1", host="127.0.0.1")
    assert here.get("/", headers={"host": host}).status_code == 403
    with pytest.raises(WebSocketDisconnect), here.websocket_connect("/_stcore/stream", headers={"host": host}):
        pass


def test_a_server_for_everybody_answers_to_every_name() -> None:
    assert client("0.0.0.0", host="lab.example").get("/").text == "the app"


@pytest.mark.parametrize(
    "path", ["/", "/map?run=x", "/thumbnails/a-run/000.webp", "/_stcore/upload_file/a/b", "/_login"]
)
def test_without_the_password_there_is_a_form_and_nothing_else(locked: TestClient, path: str) -> None:
    answer = locked.get(path)
    assert answer.status_code == 401 and "the app" not in answer.text and 'type="password"' in answer.text
    assert (
        answer.headers["x-frame-options"] == "DENY"
        and "default-src 'none'" in answer.headers["content-security-policy"]
    )
    assert not answer.cookies


def test_without_the_password_no_socket_is_opened(locked: TestClient) -> None:
    with pytest.raises(WebSocketDisconnect), locked.websocket_connect("/_stcore/stream"):
        pass


def test_a_health_check_needs_no_password(locked: TestClient) -> None:
    assert locked.get("/_stcore/health").text == "ok"


def test_who_knows_the_password_comes_in_and_stays(locked: TestClient) -> None:
    answer = locked.post("/_login", data={"password": PASSWORD})
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie and "samesite=lax" in cookie and PASSWORD not in cookie
    assert locked.get("/").text == "the app"
    with locked.websocket_connect("ws://demo.example/_stcore/stream") as socket:
        assert socket.receive_text() == "hello"


@pytest.mark.parametrize("typed", ["", "wrong", PASSWORD[:-1], PASSWORD + " ", PASSWORD.upper(), "\0", "ö" * 300])
def test_who_does_not_stays_out(locked: TestClient, typed: str) -> None:
    answer = locked.post("/_login", data={"password": typed})
    assert answer.status_code == 401 and "not the password" in answer.text and not answer.cookies
    assert locked.get("/").status_code == 401


@pytest.mark.parametrize("cookie", ["", "x", "ö", "0" * 64])
def test_a_made_up_cookie_opens_nothing(locked: TestClient, cookie: str) -> None:
    raw = f"{access.COOKIE}={cookie}".encode("latin-1")
    assert locked.get("/", headers={b"cookie": raw}).status_code == 401  # type: ignore[dict-item]


def test_a_form_of_any_size_is_cut_off(locked: TestClient) -> None:
    assert locked.post("/_login", content=b"password=" + b"x" * 10_000_000).status_code == 413


def test_one_guess_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(access.PASSWORD_VARIABLE, PASSWORD)
    asleep = most = 0

    async def sleep(seconds: float) -> None:
        nonlocal asleep, most
        asleep += 1
        most = max(most, asleep)
        await yielded()
        asleep -= 1

    async def yielded() -> None:
        for _ in range(20):
            await plain_sleep(0)

    plain_sleep = asyncio.sleep
    monkeypatch.setattr(access.asyncio, "sleep", sleep)

    async def guess(app: Access) -> None:
        async def receive() -> dict[str, object]:
            return {"type": "http.request", "body": b"password=guess", "more_body": False}

        async def send(message: object) -> None:
            pass

        scope = {"type": "http", "method": "POST", "path": "/_login", "headers": [], "query_string": b""}
        await app(scope, receive, send)  # type: ignore[arg-type]

    async def crowd() -> None:
        app = Access(Starlette())
        await asyncio.gather(*(guess(app) for _ in range(10)))

    with ThreadPoolExecutor(1) as own_thread:  # a browser of other tests may keep a loop in this one
        own_thread.submit(asyncio.run, crowd()).result()
    assert most == 1


def test_behind_a_prefix_the_form_leads_back_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(access.PASSWORD_VARIABLE, PASSWORD)
    here = client(base="/lab/")
    assert 'action="/lab/_login"' in here.get("/lab/").text
    assert here.post("/lab/_login", data={"password": PASSWORD}).headers["location"] == "/lab/"


def test_each_visitor_of_a_demo_gets_a_token_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROTEUS_DEMO", "1")
    one, two = client(), client()
    tokens = [each.get("/").cookies[demo.COOKIE] for each in (one, two)]
    assert all(demo.is_token(token) for token in tokens) and tokens[0] != tokens[1]
    assert demo.COOKIE not in one.get("/map").cookies, "a known visitor keeps the token"
    assert "set-cookie" not in client().get("/_stcore/health").headers
    wrong = client().get("/", headers={"cookie": f"{demo.COOKIE}=../../etc"})
    assert demo.is_token(wrong.cookies[demo.COOKIE])


def test_outside_a_demo_nobody_gets_a_cookie() -> None:
    assert not client().get("/").cookies


def test_the_real_server_has_the_access_check_outermost() -> None:
    from app import server

    assert [each.cls for each in server.app._user_middleware] == [Access]
