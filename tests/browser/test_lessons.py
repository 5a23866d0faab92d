"""Lessons in a real browser: each is taken to its end, a class predicts together, and the keys turn the pages."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from app.reading.cards import RECORDED_RUNS, run_card
from app.reading.lessons import Check, Predict, Reveal, lesson, lesson_names
from app.reading.run_settings import settings

pytestmark = pytest.mark.browser

PATIENCE = 60_000


def settled(page) -> None:
    page.locator('[data-testid="stApp"][data-test-script-state="notRunning"]').wait_for(timeout=PATIENCE)


def at_step(page, title: str) -> None:
    page.get_by_role("heading", name=title, exact=True).wait_for(timeout=PATIENCE)
    settled(page)


@pytest.mark.parametrize("name", lesson_names())
def test_each_lesson_is_taken_to_its_end(page, server, name: str):
    found = lesson(name)
    page.goto(f"{server}/lessons?lesson={name}")
    for at, step in enumerate(found.steps):
        at_step(page, step.title)
        if isinstance(step, Check):
            right = next(place for place, choice in enumerate(step.choices) if choice.right)
            page.locator(".stRadio label[data-baseweb], .stRadio [role=radiogroup] label").nth(right).click()
            page.get_by_text("Right.", exact=True).wait_for(timeout=PATIENCE)
        if isinstance(step, Predict) and step.form == "choice":
            page.locator(".stRadio [role=radiogroup] label").first.click()
            page.wait_for_url(re.compile(f"[?&]a{at + 1}=1"), timeout=PATIENCE)
        if isinstance(step, Reveal) or step.figure:
            page.locator(".js-plotly-plot").first.wait_for(timeout=PATIENCE)
        if at + 1 < len(found.steps):
            page.get_by_role("button", name="Next", exact=False).first.click()
    page.get_by_role("button", name="All lessons").click()
    page.get_by_role("button", name="Begin").first.wait_for(timeout=PATIENCE)
    assert "a2=" not in page.url


def test_the_arrow_keys_turn_the_presenters_pages_and_a_phone_sends_its_prediction(open_page, server):
    presenter = open_page(viewport={"width": 1920, "height": 1080})
    presenter.goto(f"{server}/lessons?lesson=retrieval&step=1&present=1")
    at_step(presenter, "The price of not overwriting")
    presenter.get_by_test_id("stSidebar").wait_for(state="hidden", timeout=PATIENCE)
    assert presenter.locator("img.qr").evaluate("e => e.decode().then(() => e.naturalWidth)") > 100
    size = presenter.locator("[class*=st-key-lesson-step] .stMarkdown p").first.evaluate(
        "e => parseFloat(getComputedStyle(e).fontSize)"
    )
    assert size >= 22
    presenter.keyboard.press("ArrowRight")
    at_step(presenter, "How often is the task found?")
    joined = presenter.get_by_text("/lessons?room=").inner_text()
    phone = open_page(viewport={"width": 390, "height": 844}, is_mobile=True, has_touch=True)
    phone.goto(f"{server}/lessons?room={joined.rpartition('room=')[2].strip()}")
    at_step(phone, "How often is the task found?")
    phone.get_by_role("button", name="Send to the room").tap()
    phone.get_by_text("Sent, without your name").wait_for(timeout=PATIENCE)
    presenter.get_by_text("1 prediction so far").wait_for(timeout=PATIENCE)
    presenter.keyboard.press("ArrowRight")
    at_step(presenter, "Mostly, and not evenly")
    presenter.get_by_text("The room predicted").wait_for(timeout=PATIENCE)
    presenter.keyboard.press("ArrowLeft")
    at_step(presenter, "How often is the task found?")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_figure_is_saved_with_its_caption_and_the_runs_settings(open_page, server, tmp_path: Path, scheme: str):
    page = open_page(color_scheme=scheme, accept_downloads=True)
    page.goto(f"{server}/lessons?lesson=retrieval&step=3&a2=50")
    page.get_by_role("button", name="Save this figure").click(timeout=PATIENCE)
    saved = {}
    for kind in ("SVG", "PNG"):
        with page.expect_download(timeout=PATIENCE) as download:
            page.get_by_role("button", name=f"Save the figure as {kind}").click()
        saved[kind] = tmp_path / download.value.suggested_filename
        download.value.save_as(saved[kind])
    assert [file.name for file in saved.values()] == ["retrieval-confusion.svg", "retrieval-confusion.png"]
    root = ElementTree.parse(saved["SVG"]).getroot()
    text = " ".join(" ".join(root.itertext()).split())
    assert "Off the diagonal: wrong task." in text
    assert settings(run_card(RECORDED_RUNS / "proteus-split-fashion", True)) in text
    with Image.open(saved["PNG"]) as image:
        assert image.size == (2 * int(root.attrib["width"]), 2 * int(root.attrib["height"]))
        grey = np.asarray(image.convert("L"))
    assert image.width >= 1200 and image.height >= 700
    below = grey[-160:]  # the caption and the settings, dark on white in either theme
    assert np.median(below) == 255 and (below < 128).mean() > 0.01
