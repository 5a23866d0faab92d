"""How quickly the app answers in headless Chromium, with the recorded demos: `python -m tests.benchmarks.app_speed`.

First screen: from opening the address to the map's first picture, each time in a new browser profile (nothing cached),
beside a bare Streamlit page that shows one line of a component: what is left of the difference is ours to lose.
Pages: from the click in the sidebar to the page's title, and until nothing runs any more. Server: memory with five open
sessions. Frame times of the map at 10k, 50k and 100k points: `python -m tests.benchmarks.map_frames`.
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

import psutil
from playwright.sync_api import Browser, Page, sync_playwright

from app.shell.navigation import entries
from tests.browser.serving import CHROMIUM, FLAGS, ROOT, served

SESSIONS = 5
_BARE = """import streamlit as st
show = 'export default function({ parentElement }) { parentElement.querySelector("p").textContent = "1 on the map" }'
st.components.v2.component("bare.line", html='<p class="caption"></p>', js=show)()
"""
_RESTING = '[data-testid="stApp"][data-test-script-state="notRunning"]'


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        bare_page(browser, Path(folder))
        with served(ROOT / "app/server.py", Path(folder) / "log.txt", {"PROTEUS_RUNS": folder}) as url:
            print(f"load of the machine while measuring: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
            for note in ("first visitor ever", "new browser", "new browser"):
                seconds, sent = first_screen(browser, url)
                print(f"first screen, {note:<20} {seconds:5.2f} s  {sent / 1e6:5.2f} MB sent")
            switch_pages(browser, url)
            pages = [opened(browser, url) for _ in range(SESSIONS)]
            print(f"server memory with {len(pages)} sessions: {server_bytes() / 1e6:.0f} MB")
        browser.close()


def bare_page(browser: Browser, folder: Path) -> None:
    """Print the least time that Streamlit takes on this machine at this moment."""
    (folder / "bare.py").write_text(_BARE)
    (folder / "server.py").write_text(f"import streamlit as st\n\napp = st.App({str(folder / 'bare.py')!r})\n")
    with served(folder / "server.py", folder / "bare.txt") as url:
        for _ in range(3):
            seconds, sent = first_screen(browser, url)
            print(f"a bare Streamlit page              {seconds:5.2f} s  {sent / 1e6:5.2f} MB sent")


def first_screen(browser: Browser, url: str) -> tuple[float, int]:
    """Seconds until the map is drawn, and bytes received until then and a second later."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    sent = [0]
    page.on("requestfinished", lambda request: sent.append(request.sizes()["responseBodySize"]))
    page.on("websocket", lambda socket: socket.on("framereceived", lambda data: sent.append(len(data))))
    began = time.perf_counter()
    page.goto(url)
    drawn(page)
    seconds = time.perf_counter() - began
    page.wait_for_timeout(1000)
    context.close()
    return seconds, sum(sent)


def drawn(page: Page) -> None:
    page.locator(".caption").filter(has_text="on the map").wait_for(timeout=60_000)


def opened(browser: Browser, url: str) -> Page:
    page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
    page.goto(url)
    drawn(page)
    return page


def switch_pages(browser: Browser, url: str) -> None:
    """Open every page twice from the sidebar; the second visit is what a warm server takes."""
    page = opened(browser, url)
    print(f"{'page':<20} {'first: title':>12} {'all':>6} {'again: title':>14} {'all':>6}   seconds")
    times: dict[str, list[float]] = {entry.title: [] for entry in entries().values()}
    go(page, list(times)[-1])  # so that each page is reached from another one
    for _ in range(2):
        for title, found in times.items():
            found.extend(go(page, title))
    for title, (first, whole, again, rest) in times.items():
        print(f"{title:<20} {first:12.2f} {whole:6.2f} {again:14.2f} {rest:6.2f}")


def go(page: Page, title: str) -> tuple[float, float]:
    """Seconds from the click on `title` in the sidebar to another page's heading, and until nothing runs any more."""
    link = page.get_by_test_id("stSidebar").get_by_role("link", name=title, exact=True)
    before = page.locator("h1").first.inner_text()
    began = time.perf_counter()
    link.click()
    page.wait_for_function("old => document.querySelector('h1')?.innerText !== old", arg=before, timeout=60_000)
    shown = time.perf_counter() - began
    page.locator(_RESTING).wait_for(timeout=60_000)
    return shown, time.perf_counter() - began


def servers() -> list[psutil.Process]:
    """The servers that this process started."""
    living = [child for child in psutil.Process().children() if child.status() != psutil.STATUS_ZOMBIE]
    return [child for child in living if "streamlit" in child.cmdline()]


def server_bytes() -> int:
    """Resident memory of the server that this process started."""
    return sum(server.memory_info().rss for server in servers())


if __name__ == "__main__":
    main()
