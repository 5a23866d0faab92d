"""Many people exploring while one run trains: `python -m tests.benchmarks.load --minutes 30`.

Sessions speak Streamlit's own websocket protocol, as a browser does: each opens a page of a recorded run, takes in all
of it, looks at it for some seconds (and asks for what refreshes itself meanwhile, as the browser would), then goes on
to another page. A run of the digits trains in the same folder of runs, one after another until the time is up. Printed:
seconds from asking for a page to the end of its script, exceptions shown, the server's memory each minute and how much
of a core it used. Where other work keeps the machine busy, seconds say little.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import statistics
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import psutil
import typer
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from app.shell.navigation import entries
from core.errors import UserError
from core.runs import jobs
from tests.benchmarks.app_speed import server_bytes, servers
from tests.browser.serving import ROOT, served

PAGES = tuple(path for path, entry in entries().items() if entry.group in ("Learn", "Explore"))
LOOKED_AT_S = (4.0, 12.0)
"""So long people look at a page, at least and at most."""
_PATIENCE_S = 60.0


@dataclass
class Tally:
    """What all sessions saw."""

    seconds: dict[str, list[float]] = field(default_factory=dict)
    server_seconds: float = 0.0
    """Of processor time that the server took."""
    titles: set[str] = field(default_factory=set)
    faults: list[str] = field(default_factory=list)
    refreshed: int = 0

    @property
    def switches(self) -> list[float]:
        return sorted(each for found in self.seconds.values() for each in found)

    def in_words(self) -> str:
        """Faults, and how long switches took."""
        took = self.switches
        return (
            f"{len(self.faults)} faults; median {statistics.median(took):.2f} s, "
            f"95th percentile {took[int(0.95 * (len(took) - 1))]:.2f} s, most {took[-1]:.2f} s"
        )

    def print_faults(self) -> None:
        """Each kind once, the first twenty."""
        for fault in sorted(set(self.faults))[:20]:
            print(f"FAULT {fault}")


class Session:
    """One person's tab."""

    def __init__(self, socket: ClientConnection, tally: Tally, seed: int) -> None:
        self._socket, self._tally, self._rng = socket, tally, random.Random(seed)
        self._refreshed_every: dict[str, float] = {}

    async def explore(self, end: float) -> None:
        """Page after page until `end`."""
        page = ""
        while time.monotonic() < end:
            page = self._rng.choice([other for other in PAGES if other != page])
            began = time.monotonic()
            await self._ask(page)
            await self._until_done(ForwardMsg.FINISHED_SUCCESSFULLY, page)
            self._tally.seconds.setdefault(page, []).append(time.monotonic() - began)
            await self._look(page, min(end, time.monotonic() + self._rng.uniform(*LOOKED_AT_S)))

    async def _ask(self, page: str, fragment: str = "") -> None:
        message = BackMsg()
        message.rerun_script.page_name = "" if page == "start" else page
        message.rerun_script.query_string = ""
        if fragment:
            message.rerun_script.fragment_id = fragment
            message.rerun_script.is_auto_rerun = True
        else:
            self._refreshed_every.clear()
        await self._socket.send(message.SerializeToString())

    async def _until_done(self, status: int, page: str) -> None:
        async with asyncio.timeout(_PATIENCE_S):
            while True:
                message = await self._receive()
                if message.WhichOneof("type") == "script_finished":
                    if message.script_finished == ForwardMsg.FINISHED_WITH_COMPILE_ERROR:
                        self._tally.faults.append(f"{page}: the script does not run")
                    if message.script_finished in (status, ForwardMsg.FINISHED_WITH_COMPILE_ERROR):
                        return

    async def _receive(self) -> ForwardMsg:
        message = ForwardMsg.FromString(await self._socket.recv())  # type: ignore[arg-type]
        kind = message.WhichOneof("type")
        if kind == "auto_rerun":
            self._refreshed_every[message.auto_rerun.fragment_id] = message.auto_rerun.interval
        elif kind == "stop_auto_rerun":
            self._refreshed_every.clear()
        elif kind == "delta":
            element = message.delta.new_element
            if element.WhichOneof("type") == "exception":
                self._tally.faults.append(f"{element.exception.type}: {element.exception.message[:200]}")
            elif element.WhichOneof("type") == "heading":
                self._tally.titles.add(element.heading.body)
        return message

    async def _look(self, page: str, end: float) -> None:
        """Wait until `end`; parts of a page that refresh themselves are asked for when it is time."""
        while (left := end - time.monotonic()) > 0:
            wait = min([left, *self._refreshed_every.values()])
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    while True:
                        await self._receive()
            if time.monotonic() < end and self._refreshed_every:
                await self._ask(page, next(iter(self._refreshed_every)))
                self._tally.refreshed += 1


async def crowd(url: str, sessions: int, end: float, tally: Tally, memory: list[int], every: float = 60.0) -> None:
    """All sessions at once, begun over the first seconds, and a look at the server's memory every `every` seconds."""

    address = url.replace("http", "ws", 1) + "/_stcore/stream"

    async def one(number: int) -> None:
        await asyncio.sleep(0.5 * number)
        try:
            # As a browser does: any size of message, and no pings of its own.
            async with connect(address, subprotocols=["streamlit"], max_size=None, ping_interval=None) as socket:
                await Session(socket, tally, number).explore(end)
        except (OSError, TimeoutError, WebSocketException) as error:
            tally.faults.append(f"session {number}: {type(error).__name__} {error}")

    async def watch() -> None:
        while time.monotonic() < end:
            memory.append(server_bytes())
            print(f"  {(time.monotonic() - end) / 60:6.1f} min, server {memory[-1] / 1e6:.0f} MB", flush=True)
            await asyncio.sleep(min(every, max(0.1, end - time.monotonic())))

    await asyncio.gather(watch(), *(one(number) for number in range(sessions)))
    memory.append(server_bytes())


async def training(runs: Path, end: float, finished: list[str]) -> None:
    """One run after another in `runs` until `end`."""
    config: dict[str, Any] = {"stream": {"name": "split-digits"}, "method": {"name": "proteus"}}
    name = None
    while time.monotonic() < end:
        if jobs.running(runs) is None:
            with contextlib.suppress(UserError):  # the last one needs a moment more
                name = await asyncio.to_thread(jobs.start, config, runs)
                finished.append(name)
        await asyncio.sleep(1)
    if name is not None:
        await asyncio.to_thread(jobs.cancel, name, runs, 5.0)


def server_seconds() -> float:
    """Processor time that the server has taken since its start."""
    return sum(each.cpu_times().user + each.cpu_times().system for each in servers())


def measure(folder: Path, sessions: int, seconds: float, train: bool = True) -> tuple[Tally, list[int], int]:
    """What `sessions` saw in `seconds`, the server's memory, and how many trainings were begun meanwhile."""
    tally, memory, begun = Tally(), list[int](), list[str]()

    async def all_of_it(url: str) -> None:
        end = time.monotonic() + seconds
        await asyncio.gather(
            crowd(url, sessions, end, tally, memory), *([training(folder, end, begun)] if train else [])
        )

    with served(ROOT / "app/server.py", folder / "server.log", {"PROTEUS_RUNS": str(folder)}) as url:
        asyncio.run(all_of_it(url))
        tally.server_seconds = server_seconds()
    if "Traceback" in (folder / "server.log").read_text(errors="replace"):
        tally.faults.append("the server's log holds a traceback")
    return tally, memory, len(begun)


def main(
    minutes: Annotated[float, typer.Option(help="how long")] = 3.0,
    sessions: Annotated[int, typer.Option(help="how many people")] = 20,
    train: Annotated[bool, typer.Option(help="whether a run trains meanwhile")] = True,
) -> None:
    """Print seconds per page, faults and memory."""
    with tempfile.TemporaryDirectory() as folder:
        before = os.getloadavg()[0]
        tally, memory, begun = measure(Path(folder), sessions, 60 * minutes, train)
    print(f"load of the machine before: {before:.1f}, after: {os.getloadavg()[0]:.1f}, on {psutil.cpu_count()} cores")
    for page, found in sorted(tally.seconds.items()):
        print(f"{page:<12} {len(found):5} times, median {statistics.median(found):5.2f} s, most {max(found):5.2f} s")
    print(
        f"{sessions} sessions, {begun} trainings, {len(tally.switches)} page switches, {tally.refreshed} refreshes, "
        f"{tally.in_words()}; "
        f"server {memory[0] / 1e6:.0f} MB, at most {max(memory) / 1e6:.0f}, at the end {memory[-1] / 1e6:.0f} MB, "
        f"{tally.server_seconds / (60 * minutes):.2f} of a core"
    )
    tally.print_faults()


if __name__ == "__main__":
    typer.run(main)
