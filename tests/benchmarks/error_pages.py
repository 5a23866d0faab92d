"""Retrieval errors of a large run in a real browser: seconds until a view is drawn, and the server's memory.

python -m tests.benchmarks.error_pages --images 100000 --classes 1000

The run folder is synthetic (tests.benchmarks.big_run): ten tasks, five in six images are test images, about one answer
in five is wrong. Each view is opened in a new browser page, twice: the second time the server has read the tables.
"""

from __future__ import annotations

import multiprocessing
import os
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import psutil
import typer
from playwright.sync_api import Browser, sync_playwright
from rich.console import Console
from rich.table import Table

from tests.benchmarks import big_run
from tests.browser.serving import CHROMIUM, FLAGS, ROOT, served

VIEWS = {
    "by task": ("errors?run=big", ".confusion td.cell"),
    "by class": ("errors?run=big&view=classes", ".class-matrix canvas[height]"),
    "one pair of classes": ("errors?run=big&view=classes&pair=1-0", ".class-matrix canvas[height]"),
    "in groups": ("errors?run=big&view=groups", ".thumbnails"),
}
"""View → address, and what is there once it is drawn."""
_RESTING = '[data-testid="stApp"][data-test-script-state="notRunning"]'


def main(
    images: Annotated[int, typer.Option()] = 100_000,
    classes: Annotated[int, typer.Option(help="A multiple of ten.")] = 1000,
) -> None:
    """Print one row per view."""
    table = Table("view", "first time, s", "again, s", "server MB")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        runs = Path(folder) / "runs"
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
            pool.submit(big_run.write, runs, images, classes // big_run.TASKS).result()
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        environment = {"PROTEUS_RUNS": str(runs)}
        with served(ROOT / "app/server.py", Path(folder) / "log.txt", environment) as url:
            _opened(browser, f"{url}/?run=big", "h1")  # what every first visitor waits for is not this page's doing
            for view, (address, drawn) in VIEWS.items():
                first, again = (_opened(browser, f"{url}/{address}", drawn) for _ in range(2))
                table.add_row(view, f"{first:.1f}", f"{again:.1f}", f"{_server_memory() / 1e6:,.0f}")
        browser.close()
    console = Console(width=100)
    console.print(f"{images:,} images, {classes:,} classes")
    console.print(table)


def _opened(browser: Browser, address: str, drawn: str) -> float:
    """Seconds from asking for the page until it is drawn and the server rests."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    began = time.perf_counter()
    page.goto(address)
    page.locator(drawn).first.wait_for(timeout=120_000)
    page.wait_for_selector(_RESTING, timeout=120_000)
    seconds = time.perf_counter() - began
    page.close()
    return seconds


def _server_memory() -> int:
    """Bytes of the processes that serve the app."""
    total = 0
    for process in psutil.Process(os.getpid()).children(recursive=True):
        with suppress(psutil.Error):  # a browser's process that has just ended
            total += process.memory_info().rss if "streamlit" in " ".join(process.cmdline()) else 0
    return total


if __name__ == "__main__":
    typer.run(main)
