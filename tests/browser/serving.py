"""Start the app and a browser for tests and benchmarks."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Page

ROOT = Path(__file__).resolve().parents[2]
CHROMIUM = (
    os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome") or "/usr/bin/chromium"
)
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-device-for-media-stream",  # a camera that films a moving test card, and is allowed to
    "--use-fake-ui-for-media-stream",
)
_DRAWN = """() => !document.querySelector("[data-testid=stSkeleton]")
  && [...document.querySelectorAll("style")].some((style) => style.textContent.includes(".stMainBlockContainer {"))"""
_OPTIONS = {
    "server.headless": "true",
    "server.fileWatcherType": "none",
    "browser.gatherUsageStats": "false",
}


def free_port() -> int:
    """A port of this machine that nobody listens on now."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@contextmanager
def served(
    entry: Path,
    log: Path,
    environment: Mapping[str, str] | None = None,
    python: str = sys.executable,
    base: str = "",
    address: str | None = "127.0.0.1",
) -> Iterator[str]:
    """`streamlit run entry` on a free port of this machine until the block ends; gives its address.

    `base` is the path below which it answers, `address` what it listens on; None is what its own settings say.
    """
    port = free_port()
    of_this = {"server.port": port, "server.baseUrlPath": base, **({"server.address": address} if address else {})}
    options = [f"--{name}={value}" for name, value in {**_OPTIONS, **of_this}.items()]
    command = [python, "-m", "streamlit", "run", str(entry), *options]
    with log.open("wb") as out:
        process = subprocess.Popen(command, cwd=ROOT, stdout=out, stderr=out, env={**os.environ, **(environment or {})})
        try:
            url = "/".join([f"http://127.0.0.1:{port}", *filter(None, [base])])
            _wait(url, process, log)
            yield url
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()


def at_rest(page: Page, timeout: float = 60_000) -> None:
    """Wait until the script has ended and everything it sent is drawn as it stays, `timeout` milliseconds at most.

    Streamlit loads the code of each kind of element when it meets the first of it, our own style among them: on a busy
    machine that takes seconds in which the page is there and looks like none of ours.
    """
    page.locator('[data-testid="stApp"][data-test-script-state="notRunning"]').wait_for(timeout=timeout)
    page.wait_for_function(_DRAWN, timeout=timeout)


def _wait(url: str, process: subprocess.Popen[bytes], log: Path, seconds: float = 180) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if process.poll() is not None:
            break
        try:
            with urllib.request.urlopen(f"{url}/_stcore/health", timeout=1) as answer:
                if answer.read() == b"ok":
                    return
        except OSError:
            time.sleep(0.1)
    raise RuntimeError(f"the server did not come up:\n{log.read_text(errors='replace')[-3000:]}")
