"""Every figure with the menu “Save this figure” is saved whole: pages of a run are gone through, menu after menu."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest

from app.reading.cards import RECORDED_RUNS, run_card
from app.reading.run_settings import settings
from tests.browser.serving import at_rest

pytestmark = pytest.mark.browser

RUN = "proteus-3-blocks-split-fashion"


@pytest.mark.parametrize(("name", "count"), [("forgetting", 4), ("blocks", 6), ("theory", 3), ("compare", 1)])
def test_every_figure_of_a_page_is_saved(open_page, server, tmp_path: Path, name: str, count: int):
    page = open_page(color_scheme="dark", accept_downloads=True)
    page.goto(f"{server}/{name}?run={RUN}")
    menus = page.get_by_role("button", name="Save this figure")
    menus.nth(count - 1).wait_for(timeout=60_000)
    at_rest(page)
    assert menus.count() == count
    files = set()
    for at in range(count):
        menus.nth(at).click()
        button = page.get_by_role("button", name="Save the figure as SVG")
        button.wait_for(timeout=60_000)
        with page.expect_download(timeout=60_000) as download:
            button.click()
        files.add(download.value.suggested_filename)
        download.value.save_as(tmp_path / "figure.svg")
        root = ElementTree.parse(tmp_path / "figure.svg").getroot()
        text = " ".join(" ".join(root.itertext()).split())
        assert settings(run_card(RECORDED_RUNS / RUN, True)) in text
        assert "#fafafa" not in ElementTree.tostring(root, "unicode"), "ink of the dark page on white paper"
        page.keyboard.press("Escape")
        button.wait_for(state="detached", timeout=60_000)
    assert len(files) == count
