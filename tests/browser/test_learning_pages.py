"""Forgetting, Adapter blocks and Compare in a real browser: charts, clicks that lead to images, both themes."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.app.learned_run import learned_run
from tests.browser.serving import at_rest

pytestmark = pytest.mark.browser

PLOTS = "[data-testid=stPlotlyChart] .main-svg"


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    runs: Path = tmp_path_factory.mktemp("runs")
    for seed, name in enumerate(("one", "two")):
        learned_run(runs, name, hostile=True, seed=seed)
    return {"PROTEUS_RUNS": str(runs)}


def opened(page, server: str, path: str, charts: int):
    page.goto(f"{server}/{path}")
    page.locator(PLOTS).first.wait_for(timeout=60_000)
    at_rest(page)
    page.wait_for_function(
        "count => document.querySelectorAll('[data-testid=stPlotlyChart] .main-svg').length >= count", arg=charts
    )
    assert page.evaluate("window.hacked") is None
    return page


def query(page) -> dict[str, str]:
    return {key: values[0] for key, values in parse_qs(urlsplit(page.url).query).items()}


def test_a_click_on_a_cell_shows_its_images_and_one_opens_its_explanation(page, server):
    opened(page, server, "forgetting?run=one&of=retrieval&cell=1-1", charts=4)
    first = page.locator("[data-testid=stPlotlyChart] .nsewdrag").first.bounding_box()
    # The cell at the lower left: task 1 after task 2.
    page.mouse.click(first["x"] + first["width"] * 0.25, first["y"] + first["height"] * 0.75)
    page.wait_for_url("**cell=1-0**", timeout=30_000)
    page.get_by_text("of them had been right when the task was new").wait_for(timeout=30_000)
    page.locator(".thumbnails a").first.click()
    page.wait_for_url("**/errors?**", timeout=30_000)
    assert query(page)["run"] == "one" and query(page)["image"] == "0" and query(page)["t"] == "1"


def test_a_click_on_a_row_of_the_blocks_goes_to_that_task(page, server):
    opened(page, server, "blocks?run=one&t=1", charts=4)
    page.get_by_text("Layer by layer: task 2").wait_for()
    page.locator("[data-testid=stPlotlyChart]").nth(2).scroll_into_view_if_needed()
    grid = page.locator("[data-testid=stPlotlyChart] .nsewdrag").nth(2).bounding_box()
    page.mouse.click(grid["x"] + grid["width"] * 0.125, grid["y"] + grid["height"] * 0.25)
    page.get_by_text("Layer by layer: task 1").wait_for(timeout=30_000)
    assert query(page)["t"] == "0"


def test_compare_in_the_dark_shows_who_is_right(open_page, server):
    page = opened(open_page(color_scheme="dark"), server, "compare?run=one&runs=one,two", charts=1)
    page.get_by_role("radio", name="Both are right (8)").or_(page.get_by_text("Both are right (8)")).first.wait_for()
    ink = page.locator("[data-testid=stPlotlyChart] .xtick text").first.evaluate("e => getComputedStyle(e).fill")
    assert ink == "rgb(250, 250, 250)"
