"""How fast the point map draws in headless Chromium without a GPU: `python -m tests.benchmarks.map_frames`.

For each size: bytes sent, time from opening the page to the first picture, and the time between pictures while the map
plays through five frames, is dragged, and is zoomed.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from playwright.sync_api import Page, sync_playwright

from tests.browser.serving import CHROMIUM, FLAGS, ROOT, served

FRAMES = 5

# Note when each picture is put on the map, and how long the script that made it took.
WATCH = """
  window.times = []; window.work = [];
  const put = CanvasRenderingContext2D.prototype.putImageData;
  CanvasRenderingContext2D.prototype.putImageData = function (...a) {
    put.apply(this, a); window.times.push(performance.now());
  };
  const next = window.requestAnimationFrame;
  window.requestAnimationFrame = (act) => next((now) => {
    const before = window.times.length, start = performance.now();
    act(now);
    if (window.times.length > before) window.work.push(performance.now() - start);
  });
"""


def main(sizes: list[int]) -> None:
    print(f"{'points':>8} {'bytes sent':>11} {'B/pt/frame':>10} {'open s':>7}   between pictures, ms: median (95%)")
    with (
        tempfile.TemporaryDirectory() as folder,
        sync_playwright() as playwright,
        served(ROOT / "tests/browser/map_server.py", Path(folder) / "log.txt") as url,
    ):
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        for points in sizes:
            measure(browser.new_page(viewport={"width": 1280, "height": 900}), url, points)
        browser.close()


def measure(page: Page, url: str, points: int) -> None:
    largest = [0]
    page.on(
        "websocket",
        lambda socket: socket.on("framereceived", lambda data: largest.append(max(largest.pop(), len(data)))),
    )
    page.add_init_script(WATCH)
    start = time.perf_counter()
    page.goto(f"{url}/?points={points}&frames={FRAMES}")
    page.wait_for_function("window.times.length > 0", timeout=120_000)
    opened = time.perf_counter() - start
    page.wait_for_timeout(1000)
    results = {name: gaps(page, act) for name, act in (("play", play), ("drag", drag), ("zoom", zoom))}
    text = "  ".join(
        f"{name} {np.median(gap):.0f} ({np.quantile(gap, 0.95):.0f}), script {np.median(work):.0f}"
        for name, (gap, work) in results.items()
    )
    print(f"{points:>8,} {largest[0]:>11,} {largest[0] / points / FRAMES:>10.1f} {opened:>7.1f}   {text}", flush=True)
    page.close()


def gaps(page: Page, act) -> tuple[np.ndarray, np.ndarray]:
    """Milliseconds between pictures (pauses left out) and of script for each, while `act` goes on."""
    page.evaluate("window.times.length = window.work.length = 0")
    act(page)
    between = np.diff(page.evaluate("window.times"))
    return between[between < 400], np.array(page.evaluate("window.work"))


def play(page: Page) -> None:
    page.get_by_role("button", name="Play").click()
    page.wait_for_timeout(1500)
    page.get_by_role("button", name="Play").wait_for(timeout=60_000)


def drag(page: Page) -> None:
    """The browser itself moves the pointer at every picture, so that nothing waits for this process."""
    page.locator(".stage").evaluate(ON_STAGE + "go(90, (k) => pointer('pointermove', 500 + 150 * Math.sin(k / 9))) }")


def zoom(page: Page) -> None:
    page.locator(".stage").evaluate(ON_STAGE + "go(90, (k) => wheel(k < 45 ? -40 : 40)) }")


ON_STAGE = """async (stage) => {
  const box = stage.getBoundingClientRect();
  const at = (x) => ({clientX: box.x + x, clientY: box.y + 280, pointerId: 1, bubbles: true, cancelable: true});
  const pointer = (type, x) => stage.dispatchEvent(new PointerEvent(type, at(x)));
  const wheel = (deltaY) => stage.dispatchEvent(new WheelEvent('wheel', {...at(460), deltaY}));
  stage.setPointerCapture = () => {};
  const go = async (count, act) => {
    pointer('pointerdown', 500);
    for (let k = 0; k < count; k++) { act(k); await new Promise((done) => requestAnimationFrame(done)); }
    pointer('pointercancel', 500);
  };
  await """

if __name__ == "__main__":
    main([int(size) for size in sys.argv[1:]] or [10_000, 50_000, 100_000])
