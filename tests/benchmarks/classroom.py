"""A class of phones in one lesson: `python -m tests.benchmarks.classroom --sessions 60 --minutes 2`.

Sessions speak Streamlit's own websocket protocol, as in `load`. All of them go through the lessons step by step, each
in its own time. Printed: seconds from asking for a step to the end of its script, and exceptions shown. Where other
work keeps the machine busy, seconds say little.
"""

from __future__ import annotations

import asyncio
import os
import random
import tempfile
import time
from pathlib import Path
from typing import Annotated

import psutil
import typer
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

from app.reading.lessons import lesson, lesson_names
from tests.benchmarks.load import Session, Tally, server_seconds
from tests.browser.serving import ROOT, served

LOOKED_AT_S = (5.0, 15.0)
"""So long people look at a step, at least and at most: a lesson of ten steps then takes under two minutes, which is
several times faster than people read."""


class Pupil(Session):
    """One phone, which goes through lesson after lesson."""

    async def learn(self, end: float) -> None:
        """Step after step until `end`."""
        names = lesson_names()
        while True:
            name = self._rng.choice(names)
            for step in range(len(lesson(name).steps)):
                if time.monotonic() >= end:
                    return
                began = time.monotonic()
                await self._open(f"lesson={name}&step={step + 1}&show={step + 1}&a{step + 1}=1")
                await self._until_done(ForwardMsg.FINISHED_SUCCESSFULLY, name)
                self._tally.seconds.setdefault(name, []).append(time.monotonic() - began)
                if lesson(name).steps[step].title not in self._tally.titles:
                    self._tally.faults.append(f"{name}: step {step + 1} did not appear")
                await self._look("lessons", min(end, time.monotonic() + self._rng.uniform(*LOOKED_AT_S)))

    async def _open(self, query: str) -> None:
        message = BackMsg()
        message.rerun_script.page_name = "lessons"
        message.rerun_script.query_string = query
        await self._socket.send(message.SerializeToString())


async def a_class(url: str, sessions: int, end: float, tally: Tally) -> None:
    """All phones; they join over the first ten seconds, as people do."""
    address = url.replace("http", "ws", 1) + "/_stcore/stream"

    async def one(number: int) -> None:
        await asyncio.sleep(random.Random(number).uniform(0, 10))
        try:
            async with connect(address, subprotocols=["streamlit"], max_size=None, ping_interval=None) as socket:
                await Pupil(socket, tally, number).learn(end)
        except (OSError, TimeoutError, WebSocketException) as error:
            tally.faults.append(f"session {number}: {type(error).__name__} {error}")

    await asyncio.gather(*(one(number) for number in range(sessions)))


def measure(folder: Path, sessions: int, seconds: float) -> Tally:
    """What a class of `sessions` saw in `seconds`."""
    tally = Tally()
    with served(ROOT / "app/server.py", folder / "server.log", {"PROTEUS_RUNS": str(folder)}) as url:
        asyncio.run(a_class(url, sessions, time.monotonic() + seconds, tally))
        tally.server_seconds = server_seconds()
    if "Traceback" in (folder / "server.log").read_text(errors="replace"):
        tally.faults.append("the server's log holds a traceback")
    return tally


def main(
    sessions: Annotated[int, typer.Option(help="how many phones")] = 60,
    minutes: Annotated[float, typer.Option(help="how long")] = 2.0,
) -> None:
    """Print seconds per step and faults."""
    before = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        tally = measure(Path(folder), sessions, 60 * minutes)
    print(f"load of the machine before: {before:.1f}, after: {os.getloadavg()[0]:.1f}, on {psutil.cpu_count()} cores")
    print(
        f"{sessions} sessions, {len(tally.switches)} steps, {tally.in_words()}; "
        f"{tally.server_seconds / (60 * minutes):.2f} of a core"
    )
    tally.print_faults()


if __name__ == "__main__":
    typer.run(main)
