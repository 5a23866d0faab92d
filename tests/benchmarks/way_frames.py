"""How fast How it works moves in headless Chromium without a GPU: `python -m tests.benchmarks.way_frames`.

The reader goes from stage to stage by key. Printed for each stage that is entered: time between frames while it comes
in (median, 90%, worst), and what the browser did meanwhile: milliseconds of style, layout, painting and script. Where
other work keeps the machine busy, time between frames says less than what the browser did.
"""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from playwright.sync_api import Browser, CDPSession, Page, sync_playwright

from tests.browser.serving import CHROMIUM, FLAGS, ROOT, served

LASTS_MS = 1300
"""So long a stage takes until all its parts are there."""
_PARTS = {
    "UpdateLayoutTree": "style", "Layout": "layout", "PrePaint": "paint", "Paint": "paint", "Layerize": "paint",
    "Commit": "paint", "FunctionCall": "script", "EvaluateScript": "script", "RasterTask": "raster",
}  # fmt: skip

# Note when each frame begins, until so many milliseconds have passed.
WATCH = """ms => new Promise((done) => {
  const times = [];
  const tick = (now) => {
    times.push(now);
    if (now - times[0] < ms) requestAnimationFrame(tick);
    else done(times);
  };
  requestAnimationFrame(tick);
})"""


def main(
    run: Annotated[str, typer.Option(help="the recorded run")] = "proteus-split-fashion",
    width: Annotated[int, typer.Option(help="of the window")] = 1280,
    rounds: Annotated[int, typer.Option(help="how often to go through each")] = 2,
) -> None:
    """Print frames and work for each stage."""
    print(f"load of the machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    with (
        tempfile.TemporaryDirectory() as folder,
        sync_playwright() as playwright,
        served(ROOT / "app/server.py", Path(folder) / "log.txt", {"PROTEUS_RUNS": folder}) as url,
    ):
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        measure(browser, f"{url}/how?run={run}", run, width, rounds)
        browser.close()


def measure(browser: Browser, address: str, name: str, width: int, rounds: int) -> None:
    """Go through all stages of one run, forwards."""
    page = browser.new_page(viewport={"width": width, "height": 900 if width > 600 else 844})
    every: list[np.ndarray] = []
    print(f"\n{name}, {width} px wide\n{'stage':>12}  between frames, ms: median  90%  worst   work, ms")
    for turn in range(rounds):
        page.goto(f"{address}&step=1")
        heading = page.locator(".way .words h3")
        heading.wait_for(timeout=120_000)
        page.wait_for_timeout(2500)
        devtools = page.context.new_cdp_session(page)
        for _ in range(7):
            between, work = step(page, devtools)
            every.append(between)
            if turn == rounds - 1:
                said = ", ".join(f"{part} {spent:.0f}" for part, spent in work.most_common())
                stage = page.locator(".way [aria-current]").inner_text().replace("\n", " ")
                numbers = f"{np.median(between):.0f} {np.quantile(between, 0.9):6.0f} {between.max():6.0f}"
                print(f"{stage:>12}  {numbers:>34}   {said}", flush=True)
            page.wait_for_timeout(600)
    told = np.concatenate(every)
    print(
        f"{'all':>12}  {1000 / told.mean():.1f} frames a second; between two {np.median(told):.1f} ms (median), "
        f"{np.quantile(told, 0.9):.1f} (90%), {np.quantile(told, 0.99):.0f} (99%), {told.max():.0f} (worst)"
    )
    page.close()


def step(page: Page, devtools: CDPSession) -> tuple[np.ndarray, Counter[str]]:
    """Milliseconds between frames while the next stage comes in, and of work by part."""
    found: list[dict] = []
    devtools.on("Tracing.dataCollected", lambda said: found.extend(said["value"]))
    ended: list[bool] = []
    devtools.on("Tracing.tracingComplete", lambda _: ended.append(True))
    devtools.send("Tracing.start", {"transferMode": "ReportEvents", "categories": "devtools.timeline,cc"})
    page.keyboard.press("ArrowRight")
    times = page.evaluate(WATCH, LASTS_MS)
    devtools.send("Tracing.end")
    while not ended:
        page.wait_for_timeout(20)
    work: Counter[str] = Counter()
    for event in found:
        part = _PARTS.get(event["name"])
        if part and event.get("ph") == "X":
            work[part] += event.get("dur", 0) / 1000
    return np.diff(times), work


if __name__ == "__main__":
    typer.run(main)
