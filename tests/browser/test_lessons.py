"""Lessons in a real browser: each is taken to its end, a class predicts together, and the keys turn the pages."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from app.figures.handout import handout
from app.reading.cards import RECORDED_RUNS, run_card
from app.reading.lessons import Check, Draw, Predict, Reveal, lesson, lesson_names
from app.reading.run_settings import settings
from tests.browser.serving import at_rest

pytestmark = pytest.mark.browser

PATIENCE = 60_000


def at_step(page, title: str) -> None:
    page.get_by_role("heading", name=title, exact=True).wait_for(timeout=PATIENCE)
    at_rest(page)


def centre(element) -> tuple[float, float]:
    box = element.locator(".grip").bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def drag(page, places: list[tuple[float, float]]) -> None:
    """The mouse goes from place to place, pressed."""
    page.mouse.move(*places[0])
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(*place, steps=4)
    page.mouse.up()


def values(page) -> list[int]:
    """The points of the curve that is being drawn, in percent."""
    points = page.locator(".drawing .handle").all()
    return [int(point.get_attribute("aria-valuenow")) for point in points]


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
        if isinstance(step, Draw):
            points = page.locator(".drawing .handle")
            points.last.wait_for(timeout=PATIENCE)
            drag(
                page, [(centre(points.nth(place))[0], centre(points.first)[1] + 20) for place in range(points.count())]
            )
            page.wait_for_url(re.compile(f"[?&]a{at + 1}="), timeout=PATIENCE)
        drawn_over = isinstance(step, Reveal) and isinstance(found.steps[found.before(at) or 0], Draw)
        if drawn_over:
            page.get_by_role("img", name="The run:").wait_for(timeout=PATIENCE)
        elif isinstance(step, Reveal) or step.figure:
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


DRAWING = "lessons?lesson=forgetting&step=2"
PHONE = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}


def test_a_curve_is_drawn_with_the_mouse_and_the_runs_own_comes_over_it(page, server):
    page.goto(f"{server}/{DRAWING}")
    points = page.locator(".drawing .handle")
    points.last.wait_for(timeout=PATIENCE)
    following = page.get_by_role("button", name="Next")
    assert following.is_disabled()
    page.get_by_text("Lessons choose their runs themselves.").wait_for(timeout=PATIENCE)
    assert not page.get_by_role("button", name="Choose another run").count()
    x, y = centre(points.nth(1))
    drag(page, [(x, y), (x, y - 60)])
    page.wait_for_url(re.compile("[?&]a2="), timeout=PATIENCE)
    assert values(page)[1] > 60 and [values(page)[at] for at in (0, 2, 3, 4)] == [50] * 4
    ends = [(centre(points.first)[0], y - 100), (centre(points.last)[0], y + 100)]
    drag(page, ends)  # one stroke puts every point that it passes
    assert values(page) == sorted(values(page), reverse=True) and len(set(values(page))) == 5
    drawn = values(page)
    page.wait_for_url(re.compile("[?&]a2=" + "_".join(map(str, drawn))), timeout=PATIENCE)
    following.click()
    at_step(page, "What happened")
    over = page.get_by_role("img", name="The run:")
    over.wait_for(timeout=PATIENCE)
    said = over.get_attribute("aria-label")
    assert f"Your prediction: {', '.join(f'{value}%' for value in drawn)}." in said and said.count("%") == 10
    assert over.locator("path.line").count() == 2
    page.get_by_role("button", name="Back").click()
    points.last.wait_for(timeout=PATIENCE)
    assert values(page) == drawn


def test_a_curve_is_drawn_with_the_keys(page, server):
    page.goto(f"{server}/{DRAWING}")
    points = page.locator(".drawing .handle")
    points.last.wait_for(timeout=PATIENCE)
    points.first.focus()
    for at, key in enumerate(("End", "ArrowDown", "PageUp", "ArrowRight", "Home")):
        page.keyboard.press(key)
        if at < 4:
            page.keyboard.press("Tab")
    assert values(page) == [100, 49, 60, 51, 0]
    assert points.last.get_attribute("aria-valuetext") == "0%"
    page.wait_for_url(re.compile("[?&]a2=100_49_60_51_0"), timeout=PATIENCE)
    page.keyboard.press("ArrowUp")
    page.wait_for_url(re.compile("[?&]a2=100_49_60_51_1"), timeout=PATIENCE)
    assert points.last.evaluate("point => point.matches(':focus')"), "a rerun takes the focus from no point"


def test_a_curve_is_drawn_with_a_finger_on_a_phone_and_the_page_still_scrolls(open_page, server):
    page = open_page(**PHONE)
    page.goto(f"{server}/{DRAWING}")
    points = page.locator(".drawing .handle")
    points.last.wait_for(timeout=PATIENCE)
    at_rest(page)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    fingers = page.context.new_cdp_session(page)

    def swipe(*places: tuple[float, float]) -> None:
        for kind, place in zip(["touchStart", *["touchMove"] * (len(places) - 1)], places, strict=True):
            fingers.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": place[0], "y": place[1]}]})
        fingers.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})

    reach = points.first.locator(".reach").bounding_box()
    assert min(reach["width"], reach["height"]) >= 40
    places = [centre(points.nth(at)) for at in range(5)]
    top = page.locator(".stMain").evaluate("e => e.scrollTop")
    swipe(places[0], *[(x, y - 60 + 30 * at) for at, (x, y) in enumerate(places)])
    page.wait_for_url(re.compile("[?&]a2="), timeout=PATIENCE)
    assert values(page) == sorted(values(page), reverse=True) and len(set(values(page))) == 5
    assert page.locator(".stMain").evaluate("e => e.scrollTop") == top, "the page stays while a curve is drawn"
    low = values(page)
    page.touchscreen.tap(places[2][0], places[2][1] - 70)
    page.wait_for_function("before => !location.search.includes(before)", arg="_".join(map(str, low)), timeout=PATIENCE)
    after = values(page)
    assert after[2] > low[2] and after[:2] + after[3:] == low[:2] + low[3:]
    page.get_by_role("button", name="Next").tap()
    at_step(page, "What happened")
    page.get_by_role("img", name="The run:").wait_for(timeout=PATIENCE)


@pytest.mark.parametrize("name", lesson_names())
def test_a_handout_prints_on_two_pages_with_its_figures_as_large_as_their_column(browser, name: str):
    found = lesson(name)
    page = browser.new_page(viewport={"width": 900, "height": 1200})
    page.set_content(handout(found, {key: run_card(RECORDED_RUNS / run, True) for key, run in found.runs.items()}))
    boxes = [figure.bounding_box() for figure in page.locator("figure svg").all()]
    assert boxes and all(1.5 < box["width"] / box["height"] < 2 for box in boxes), "no figure has empty space around it"
    assert len(re.findall(rb"/Type\s*/Page\b", page.pdf(prefer_css_page_size=True))) <= 2
    page.close()
