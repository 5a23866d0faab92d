"""How it works in a real browser: through the whole picture by keyboard, at a desk and on a phone."""

from __future__ import annotations

import re

import pytest

from app.reading.glossary import meaning

pytestmark = pytest.mark.browser

RUN = "proteus-split-digits"
DESK = {"viewport": {"width": 1280, "height": 900}}
PHONE = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}

CURRENT = """() => {
  const all = (root) => [...root.querySelectorAll("*")].flatMap((e) => [e, ...(e.shadowRoot ? all(e.shadowRoot) : [])]);
  const way = all(document).find((e) => e.matches(".way"));
  const [view, stage] = [".window", ".stage.current"].map((s) => way.querySelector(s).getBoundingClientRect());
  return Math.abs((view.left + view.right) / 2 - (stage.left + stage.right) / 2) < 1 && stage.width <= innerWidth;
}"""


@pytest.mark.parametrize("options", [DESK, {**PHONE, "reduced_motion": "reduce"}], ids=["desk", "phone"])
def test_through_the_whole_picture_by_keyboard(open_page, server, options):
    page = open_page(**options)
    page.goto(f"{server}/how?run={RUN}")
    heading = page.locator(".way .words h3")
    heading.wait_for(timeout=60_000)
    seen = [heading.inner_text()]
    for step in range(2, 9):
        page.keyboard.press("ArrowRight")
        heading.filter(has_text=f"{step}. ").wait_for(timeout=60_000)
        page.wait_for_function(CURRENT, timeout=60_000)  # the camera has come to rest on it
        seen.append(heading.inner_text())
    assert len(set(seen)) == 8
    page.wait_for_url(re.compile(r"[?&]step=8(&|$)"), timeout=60_000)
    page.get_by_text("Look inside: all answers").wait_for(timeout=60_000)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.keyboard.press("Home")
    heading.filter(has_text="1. ").wait_for(timeout=60_000)
    page.wait_for_url(re.compile(r"[?&]step=1(&|$)"), timeout=60_000)


def test_play_moves_on_by_itself_and_another_image_keeps_the_stage(page, server):
    page.goto(f"{server}/how?run={RUN}&step=4")
    heading = page.locator(".way .words h3")
    heading.filter(has_text="4. ").wait_for(timeout=60_000)
    page.get_by_role("button", name="Play").click()
    heading.filter(has_text="5. ").wait_for(timeout=60_000)
    page.get_by_role("button", name="Pause").click()
    page.wait_for_url(re.compile(r"[?&]step=5(&|$)"), timeout=60_000)
    page.get_by_text("Send another image along this way").click()
    page.locator(".thumbnails a.item").first.click()
    page.wait_for_url(re.compile(r"[?&]image=\d+"), timeout=60_000)
    heading.filter(has_text="5. ").wait_for(timeout=60_000)


@pytest.mark.parametrize("options", [DESK, PHONE], ids=["desk", "phone"])
def test_an_emphasised_word_says_what_it_means(open_page, server, options):
    page = open_page(**options)
    page.goto(f"{server}/how?run={RUN}&step=3")
    word = page.locator(".way .words .term", has_text="embedding")
    word.wait_for(timeout=60_000)
    shown = "word => getComputedStyle(word, '::after').content"
    assert word.evaluate(shown) == "none"
    word.tap() if options is PHONE else word.hover()
    assert word.evaluate(shown).strip('"') == meaning("embedding")
    edges = """word => {
      const [style, text] = [getComputedStyle(word, "::after"), word.closest("p").getBoundingClientRect()];
      return [text.left, text.left + parseFloat(style.width), innerWidth, style.boxSizing];
    }"""
    left, right, window, box = word.evaluate(edges)
    assert left >= 0 and right <= window and box == "border-box", "it ends where the page does"
    word.focus()
    page.keyboard.press("ArrowRight")  # the keys still go from stage to stage
    page.locator(".way .words h3").filter(has_text="4. ").wait_for(timeout=60_000)


def test_scrolling_sideways_goes_from_stage_to_stage_and_down_scrolls_the_page(page, server):
    page.goto(f"{server}/how?run={RUN}&step=2")
    heading = page.locator(".way .words h3")
    heading.filter(has_text="2. ").wait_for(timeout=60_000)
    page.locator(".way .window").hover()
    for _ in range(6):  # one gesture of many small steps is one stage
        page.mouse.wheel(30, 2)
    heading.filter(has_text="3. ").wait_for(timeout=60_000)
    page.wait_for_timeout(800)
    page.mouse.wheel(-120, 0)
    heading.filter(has_text="2. ").wait_for(timeout=60_000)
    page.mouse.wheel(0, 200)
    page.wait_for_function("document.querySelector('.stMain').scrollTop > 0")
    assert heading.inner_text().startswith("2. ")
