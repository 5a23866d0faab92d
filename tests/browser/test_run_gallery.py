"""The list of all runs: opened from the sidebar, filtered by typing, walked through by keys; with 300 runs."""

from __future__ import annotations

import os
import shutil
import time

import pytest

from tests.unit.run_folder import write_run

pytestmark = pytest.mark.browser
RUNS = 300


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """300 runs of four streams, all but the first linked to it."""
    runs = tmp_path_factory.mktemp("runs")
    first = write_run(runs, "run-000", title="Mine")
    manifest = (first / "manifest.json").read_text()
    for number in range(1, RUNS):
        folder = shutil.copytree(first, runs / f"run-{number:03d}", copy_function=os.link)
        (folder / "manifest.json").unlink()
        told = manifest.replace('"run-000"', f'"run-{number:03d}"').replace('"Mine"', f'"Run number {number}"')
        (folder / "manifest.json").write_text(told.replace('"split-digits"', f'"stream-{number % 4}"'))
    return {"PROTEUS_RUNS": str(runs)}


def open_list(page, server: str, path: str = "") -> float:
    """Open the list; seconds until its first run is seen."""
    page.goto(f"{server}/{path}")
    page.locator("h1").first.wait_for(timeout=60_000)
    began = time.monotonic()
    page.get_by_role("button", name="Choose another run").click()
    page.locator(".gallery .run").first.wait_for(timeout=20_000)
    return time.monotonic() - began


def test_the_sidebar_shows_the_run_in_words(page, server: str) -> None:
    page.goto(f"{server}/?run=run-000")
    card = page.locator(".st-key-run-card")
    card.get_by_text("Mine").wait_for(timeout=60_000)
    assert "62.5% accuracy" in card.inner_text() and "1 Jan 2026" in card.inner_text()


def test_typing_leaves_the_runs_that_hold_every_word(page, server: str) -> None:
    open_list(page, server)
    page.keyboard.type("stream-3 number 123")  # the field has the focus
    page.get_by_text(f"1 of {RUNS + recorded(page)} runs").wait_for()
    assert page.locator(".gallery .run:visible").count() == 1
    page.keyboard.type(" nothing-like-it")
    page.get_by_text("No run holds all these words").wait_for()


def recorded(page) -> int:
    return page.locator(".gallery .mark.recorded").count()


def test_the_keyboard_chooses_and_the_page_stays(page, server: str) -> None:
    open_list(page, server, "forgetting")
    page.keyboard.type("run number 299")
    page.keyboard.press("ArrowDown")
    assert page.evaluate("document.activeElement.shadowRoot?.activeElement?.className") in ("run", None)
    page.keyboard.press("Enter")
    page.locator(".st-key-run-card").get_by_text("Run number 299").wait_for(timeout=20_000)
    assert page.url.endswith("/forgetting?run=run-299") and page.get_by_role("dialog").count() == 0


def test_a_click_opens_a_run_and_escape_leaves_all_as_it_was(page, server: str) -> None:
    open_list(page, server, "map?run=run-004")
    page.keyboard.press("Escape")
    page.get_by_role("dialog").wait_for(state="detached")
    assert page.url.endswith("/map?run=run-004")
    open_list(page, server, "map?run=run-004")
    assert page.locator(".gallery .run[aria-current]").get_attribute("title") == "run-004"
    page.locator(".gallery .run[title='run-008']").click()
    page.locator(".st-key-run-card").get_by_text("Run number 8").wait_for(timeout=20_000)


def test_the_list_of_300_opens_quickly_and_fits_a_phone(open_page, server: str) -> None:
    page = open_page(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    page.goto(f"{server}/")
    page.locator("h1").first.wait_for(timeout=60_000)
    button = page.get_by_role("button", name="Choose another run")
    button.wait_for(state="attached", timeout=60_000)
    sidebar = page.get_by_test_id("stExpandSidebarButton")
    if sidebar.is_visible():  # on a phone it starts closed
        sidebar.click()
    began = time.monotonic()
    button.click()
    page.locator(".gallery .run").first.wait_for(timeout=20_000)
    assert time.monotonic() - began < 10  # 0.5 s on a quiet machine
    box = page.locator(".gallery").bounding_box()
    assert box["x"] >= 0 and box["x"] + box["width"] <= 390
    assert page.locator(".gallery .run").first.bounding_box()["height"] >= 40
