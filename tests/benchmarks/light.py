"""What the light app costs: `python -m tests.benchmarks.light` installs it anew and opens it in headless Chromium.

Megabytes (10⁶ bytes) of what `pip install --no-compile '.[explore]'` puts into an empty environment, the seconds that
takes, and the server's resident memory after its start, with one session on every page, and with all sessions open.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path

import psutil
import typer
from playwright.sync_api import Browser, sync_playwright

from app.shell.navigation import entries
from tests.benchmarks.app_speed import drawn, opened, servers
from tests.browser.serving import CHROMIUM, FLAGS, ROOT, served


def main(sessions: int = 20) -> None:
    with tempfile.TemporaryDirectory() as place:
        python = install(Path(place))
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
            entry = next(Path(place).glob("venv/lib/*/site-packages/app/server.py"))
            with served(entry, Path(place) / "log.txt", {"PROTEUS_RUNS": place, "PYTHONPATH": ""}, python) as url:
                print(f"server after its start: {server_bytes() / 1e6:.0f} MB")
                every_page(browser, url)
                print(f"one session on every page: {server_bytes() / 1e6:.0f} MB")
                pages = [opened(browser, url) for _ in range(sessions)]
                print(f"{len(pages)} sessions: {server_bytes() / 1e6:.0f} MB")
            browser.close()


def install(place: Path) -> str:
    """The Python of an empty environment with the light app in it; prints what it took."""
    venv.create(place / "venv", with_pip=True)
    python = str(place / "venv" / "bin" / "python")
    before = size(place)
    began = time.monotonic()
    command = [python, "-m", "pip", "install", "-qq", "--no-compile", "-c", "constraints.txt", ".[explore]"]
    subprocess.run(command, cwd=ROOT, check=True)
    print(f"installed: {(size(place) - before) / 1e6:.0f} MB in {time.monotonic() - began:.0f} s")
    code = "from importlib.util import find_spec; print([n for n in ('torch', 'timm', 'umap') if find_spec(n)])"
    print(
        "model libraries in it:", subprocess.run([python, "-c", code], check=True, stdout=-1, text=True).stdout.strip()
    )
    return python


def size(folder: Path) -> int:
    return sum(file.lstat().st_size for file in folder.rglob("*") if not file.is_dir())


def every_page(browser: Browser, url: str) -> None:
    page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
    page.goto(url)
    drawn(page)
    for path in entries():
        page.goto(f"{url}/{path}")
        page.locator('[data-testid="stApp"][data-test-script-state="notRunning"]').wait_for(timeout=60_000)
    page.context.close()


def server_bytes() -> int:
    """Of the servers and of the processes beside them."""
    every = {process for server in servers() for process in [server, *server.children(recursive=True)]}
    return sum(process.memory_info().rss for process in every if psutil.pid_exists(process.pid))


if __name__ == "__main__":
    sys.exit(typer.run(main))
