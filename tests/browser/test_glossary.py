"""Words of the glossary in a real browser: what they mean appears on hover, on focus and on tap, and goes again."""

from __future__ import annotations

import pytest

from app.reading.glossary import meaning
from tests.browser.serving import at_rest

pytestmark = pytest.mark.browser

RUN = "proteus-split-fashion"
SHOWN = """word => {
  const { content } = getComputedStyle(word, "::after");
  return content === "none" ? "" : content.slice(1, -1);
}"""
PHONE = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}


def term(page, server: str, words: str, path: str = "forgetting"):
    page.goto(f"{server}/{path}?run={RUN}")
    found = page.locator(".term").filter(has_text=words).first
    found.wait_for(timeout=60_000)
    at_rest(page)
    found.scroll_into_view_if_needed()
    return found


def test_a_word_says_what_it_means_when_pointed_at_and_when_reached_by_key(page, server):
    word = term(page, server, "accuracy")
    assert word.evaluate(SHOWN) == ""
    word.hover()
    assert word.evaluate(SHOWN) == meaning("accuracy")
    page.mouse.move(5, 5)
    assert word.evaluate(SHOWN) == ""
    word.focus()
    assert word.evaluate(SHOWN) == meaning("accuracy")
    page.keyboard.press("Tab")
    assert word.evaluate(SHOWN) == ""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_on_a_phone_a_tap_shows_it_within_the_page(open_page, server, scheme: str):
    page = open_page(**PHONE, color_scheme=scheme)
    word = term(page, server, "gate", "blocks")
    word.tap()
    assert word.evaluate(SHOWN) == meaning("gate")
    box = word.evaluate(
        """word => {
          const [style, lines] = [getComputedStyle(word, "::after"), word.closest("p").getBoundingClientRect()];
          return [lines.left, lines.left + parseFloat(style.width), innerWidth, style.backgroundColor, style.color];
        }"""
    )
    assert box[0] >= 0 and box[1] <= box[2] and page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert box[3] != box[4] and "rgba(0, 0, 0, 0)" not in box[3], "what it means can be read over what lies below"
    page.get_by_role("heading").first.tap()
    assert word.evaluate(SHOWN) == ""
