"""Helper processes (`app.workers`), shared by all sessions: they answer what needs a model library."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import tempfile
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import streamlit as st

from core.errors import UserError

_ROOT = Path(__file__).resolve().parents[2]
_UNREAD = 32
"""Answers kept for sessions that may have left."""


class Helper:
    """A process that starts with the first question, starts again if it has ended, and ends by itself when unused."""

    def __init__(self, command: list[str]) -> None:
        self._command = command
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._log: Any = None
        self._asked = 0
        self._received = b""
        self._answers: OrderedDict[int, dict[str, Any]] = OrderedDict()

    def ask(self, question: Mapping[str, Any], tick: Callable[[], None], timeout: float = 180.0) -> dict[str, Any]:
        """The answer to `question`, as the worker module describes both; calls `tick` while waiting.

        `tick` may raise: the answer is then dropped when it comes. Raises UserError when there is no answer, the
        helper ends, or nothing came for `timeout` seconds.
        """
        number, process = self._send(question)
        end = time.monotonic() + timeout
        while True:
            reply = self._receive(number, process)
            if reply is not None:
                break
            if time.monotonic() > end:
                self.stop()
                raise UserError(f"There was no answer within {timeout:.0f} seconds: try again.")
            tick()
        if "error" in reply:
            raise UserError(str(reply["error"]))
        return dict(reply["answer"])

    def stop(self) -> None:
        """End the helper now; the next question starts another."""
        with self._lock:
            self._drop()

    def _send(self, question: Mapping[str, Any]) -> tuple[int, subprocess.Popen[bytes]]:
        with self._lock:
            self._asked += 1
            line = json.dumps({"id": self._asked, **question}).encode() + b"\n"
            for _ in range(2):  # the helper may be ending just now, because nobody asked for a while
                process = self._running()
                try:
                    assert process.stdin is not None
                    process.stdin.write(line)
                    process.stdin.flush()
                except BrokenPipeError:
                    self._drop()
                else:
                    return self._asked, process
        raise UserError("The helper process does not start: is there memory left?")

    def _drop(self) -> str:
        """Forget the helper, and end it if it has not; its last words."""
        process, self._process, words = self._process, None, ""
        if process is not None:
            process.kill()
            for pipe in (process.stdin, process.stdout):
                with suppress(OSError):  # what is left in the pipe is never read
                    pipe.close()  # type: ignore[union-attr]
            process.wait()
            self._log.seek(0)
            lines = self._log.read().decode("utf-8", "replace").strip().splitlines()
            words = lines[-1][:300] if lines else ""
            self._log.close()
        return words or "it left no message (it may have run out of memory)."

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is not None and self._process.poll() is not None:
            self._drop()
        if self._process is None:
            self._received = b""
            self._log = tempfile.TemporaryFile()  # noqa: SIM115  as long as the process
            paths = [str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._log,
                start_new_session=True,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
            )
        return self._process

    def _receive(self, number: int, process: subprocess.Popen[bytes]) -> dict[str, Any] | None:
        """The reply to question `number` once it is there; reads for everybody."""
        with self._lock:
            if number in self._answers:
                return self._answers.pop(number)
            if process is not self._process:
                raise UserError("The helper was stopped before it answered: try again.")
            assert process.stdout is not None
            if select.select([process.stdout], [], [], 0.1)[0]:
                read = os.read(process.stdout.fileno(), 1 << 16)
                if not read:
                    raise UserError(f"The helper process has ended: {self._drop()}")
                self._take(read)
            return self._answers.pop(number, None)

    def _take(self, read: bytes) -> None:
        *lines, self._received = (self._received + read).split(b"\n")
        for line in lines:
            reply = json.loads(line)
            self._answers[int(reply["id"])] = reply
        while len(self._answers) > _UNREAD:
            self._answers.popitem(last=False)


@st.cache_resource(max_entries=4)
def helper(worker: str) -> Helper:
    """The server's own process of `app.workers.<worker>`, shared by all sessions."""
    return Helper([sys.executable, "-m", f"app.workers.{worker}"])
