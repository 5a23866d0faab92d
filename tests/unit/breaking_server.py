"""A server on this machine whose answers break off half-way so many times, and that goes on where it is asked to."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self


class Breaking:
    """Serves `files` by name; the first `breaks[name]` answers for a file end after half of what was asked for."""

    def __init__(self, files: Mapping[str, bytes], breaks: Mapping[str, int], ranges: bool = True) -> None:
        self.files, self.left, self.ranges = dict(files), dict(breaks), ranges
        self.asked: list[tuple[str, str | None]] = []
        """File and Range of each request, in order."""

    def __enter__(self) -> Self:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer._answer(self)

            def log_message(self, *words: object) -> None:
                """Nothing is printed."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self.server.shutdown()
        self.server.server_close()

    def _answer(self, request: BaseHTTPRequestHandler) -> None:
        name, asked = request.path.lstrip("/"), request.headers.get("Range")
        self.asked.append((name, asked))
        if name not in self.files:
            request.send_error(404)
            return
        body, start = self.files[name], 0
        if asked and self.ranges:
            start = int(asked.removeprefix("bytes=").rstrip("-"))
            if start >= len(body):
                request.send_error(416)
                return
        request.send_response(206 if start else 200)
        request.send_header("Content-Length", str(len(body) - start))
        request.end_headers()
        rest = body[start:]
        if self.left.get(name, 0):
            self.left[name] -= 1
            rest = rest[: len(rest) // 2]
        request.wfile.write(rest)
        request.close_connection = True
