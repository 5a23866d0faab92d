"""Every page on a phone: 390 × 844 pixels, and fingers."""

from __future__ import annotations

import hashlib
import math
import re
import time
from collections.abc import Callable
from urllib.parse import parse_qs, urlsplit

import pytest

from app.shell.navigation import DEFAULT, entries
from app.shell.run_choice import available
from tests.browser.serving import at_rest

pytestmark = pytest.mark.browser

WIDTH, HEIGHT = 390, 844
PHONE = {
    "viewport": {"width": WIDTH, "height": HEIGHT},
    "device_scale_factor": 2,
    "is_mobile": True,
    "has_touch": True,
    "color_scheme": "light",
}
FINGER = 40  # pixels that a finger needs
HOLD_MS = 700  # a finger that rests longer than this asks for a selection

# What each page is for: it must be there, within the width of the screen. A new page says here what that is.
MAIN = {
    "start": "canvas.points",
    "how": ".way .stage.current svg",
    "lessons": ".stButton button:visible",
    "map": "canvas.points",
    "forgetting": ".js-plotly-plot",
    "blocks": ".js-plotly-plot, .stMarkdown",
    "errors": ".confusion td.cell",
    "whatif": ".confusion td.cell",
    "theory": ".js-plotly-plot, .stMarkdown",
    "kept": ".js-plotly-plot",
    "compare": ".stDataFrame",
    "try": ".thumbnails a.item",
    "train": ".stButton button:visible",
    "sweep": ".stFormSubmitButton button, .stButton button",
    "data": ".stFileUploader button",
}

# Buttons and links that act and are lower than a finger needs. A question mark beside a label only explains, a link
# inside a sentence is as high as its line, the link that skips to the content is for keyboards, and Streamlit's slider
# is dragged by its track, behind which it hides the input.
TOO_LOW = """(needed) => {
  const all = (root) => [...root.querySelectorAll("*")].flatMap((e) => [e, ...(e.shadowRoot ? all(e.shadowRoot) : [])]);
  const acts = "a[href], button, summary, [role=button], [role=tab], [role=radio], input[type=range]";
  const spared = "[data-testid=stTooltipIcon] *, [data-testid=stSkipToContent], p a, .stSlider input";
  const found = [];
  for (const element of all(document.body)) {
    if (!element.matches(acts) || element.matches(spared)) continue;
    if (!element.checkVisibility({visibilityProperty: true})) continue;
    const box = element.getBoundingClientRect();
    if (box.width <= 1 || box.right <= 0 || box.left >= innerWidth || box.height >= needed) continue;
    const name = element.getAttribute("aria-label") || element.textContent || element.title;
    found.push(`${element.tagName} “${name.trim().slice(0, 40)}” ${Math.round(box.height)} pixels high`);
  }
  return found;
}"""


@pytest.fixture
def phone(open_page, server):
    """A phone at `?…` of the app, once the page has come to rest."""

    def at(path: str):
        page = open_page(**PHONE)
        page.goto(f"{server}/{path}")
        page.locator("h1").first.wait_for(timeout=60_000)
        at_rest(page)
        return page

    return at


def query(page) -> dict[str, str]:
    return {key: values[0] for key, values in parse_qs(urlsplit(page.url).query).items()}


def sidebar_covers(page) -> bool:
    return page.get_by_test_id("stSidebar").evaluate("e => e.getBoundingClientRect().right > 0")


def address(path: str) -> str:
    """The page with something on it: two runs where it compares."""
    if path == "compare":
        return f"compare?runs={available()[1].name}"
    return "" if path == DEFAULT else path


@pytest.mark.parametrize("path", list(entries()))
def test_every_page_fits_a_phone(phone, path: str):
    page = phone(address(path))
    main = page.get_by_test_id("stMain").locator(MAIN[path]).first
    main.wait_for(timeout=60_000)
    page.wait_for_timeout(500)  # charts take their width after they appear
    box = main.bounding_box()
    assert box["width"] > 10 and box["x"] >= 0 and box["x"] + box["width"] <= WIDTH, box
    widths = page.evaluate("[document.documentElement.scrollWidth, document.querySelector('.stMain').scrollWidth]")
    assert widths == [WIDTH, WIDTH], "the page scrolls sideways"
    assert not sidebar_covers(page)
    assert page.evaluate(TOO_LOW, FINGER) == []


def test_the_sidebar_opens_leads_to_a_page_and_goes_away(phone):
    page = phone("map")
    page.get_by_test_id("stExpandSidebarButton").tap()
    page.wait_for_function("document.querySelector('.stSidebar').getBoundingClientRect().left === 0")
    assert page.evaluate(TOO_LOW, FINGER) == []
    page.get_by_test_id("stSidebar").get_by_role("link", name="Forgetting").tap()
    page.wait_for_url("**/forgetting**")
    page.wait_for_function("document.querySelector('.stSidebar').getBoundingClientRect().right <= 0")
    page.locator("h1", has_text="Forgetting").wait_for(timeout=30_000)


def test_in_a_wide_window_the_sidebar_stays_open_beside_the_page(open_page, server):
    page = open_page()
    page.goto(f"{server}/map")
    page.get_by_test_id("stSidebar").get_by_role("link", name="Forgetting").click()
    page.wait_for_url("**/forgetting**")
    at_rest(page)
    assert sidebar_covers(page)


class Fingers:
    """Fingers on the map's stage, by number; places are shares of its width and height."""

    def __init__(self, page) -> None:
        self.page = page
        self.stage = page.locator(".stage")
        self.stage.scroll_into_view_if_needed()
        self.devtools = page.context.new_cdp_session(page)
        self.down: dict[int, tuple[float, float]] = {}

    def tap(self, x: float, y: float) -> None:
        self.page.touchscreen.tap(*self._place(x, y))

    def pinch(self, x: float, y: float, factor: float) -> None:
        """Two fingers part around a place. The browser itself moves them: on a busy machine ours would seem to rest."""
        self._gesture("Pinch", x, y, scaleFactor=factor)

    def swipe(self, x: float, y: float, across: float) -> None:
        """One finger goes so many pixels to the right."""
        self._gesture("Scroll", x, y, xDistance=across, preventFling=True)

    def _gesture(self, kind: str, x: float, y: float, **options: object) -> None:
        left, top = self._place(x, y)
        self.devtools.send(
            f"Input.synthesize{kind}Gesture", {"x": left, "y": top, "gestureSourceType": "touch", **options}
        )

    def touch(self, number: int, x: float, y: float) -> None:
        kind = "touchMove" if number in self.down else "touchStart"
        self.down[number] = (x, y)
        self._send(kind)

    def lift(self, number: int) -> None:
        del self.down[number]
        self._send("touchEnd")

    def _send(self, kind: str) -> None:
        points = []
        for number, place in self.down.items():
            x, y = self._place(*place)
            points.append({"x": x, "y": y, "id": number})
        self.devtools.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    def _place(self, x: float, y: float) -> tuple[float, float]:
        box = self.stage.bounding_box()
        return box["x"] + x * box["width"], box["y"] + y * box["height"]


# A place on the stage (shares of its size) where a point is drawn: the middle of a run of pixels that differ from the
# ground, in the left half, which is free of tools.
A_POINT = """(canvas) => {
  const {width, height} = canvas, {data} = canvas.getContext("2d").getImageData(0, 0, width, height);
  const ground = [...data.subarray(4 * (2 * width + 2), 4 * (2 * width + 2) + 3)].join();
  for (let y = Math.round(height / 8); y < height; y++)
    for (let x = Math.round(width / 20); x < width / 2; x++) {
      const at = 4 * (y * width + x);
      if ([...data.subarray(at, at + 3)].join() !== ground) return [(x + 1) / width, (y + 3) / height];
    }
}"""


@pytest.fixture
def touched(phone):
    page = phone("map")
    page.locator(".caption").filter(has_text="on the map").wait_for(timeout=60_000)
    page.wait_for_timeout(300)
    return page, Fingers(page), page.locator("canvas.points").evaluate(A_POINT)


def picture(page) -> str:
    data = page.locator("canvas.points").evaluate("c => c.toDataURL()")
    return hashlib.sha256(data.encode()).hexdigest()


def shows(page, wanted: Callable[[str], bool]) -> str:
    """The picture on the map, once it is as wanted and drawn no further."""
    end = time.monotonic() + 15
    before, now = "", picture(page)
    while time.monotonic() < end and not (wanted(now) and now == before):
        page.wait_for_timeout(150)
        before, now = now, picture(page)
    assert wanted(now)
    return now


def test_a_tap_shows_a_point_and_opens_its_image(touched):
    page, fingers, place = touched
    fingers.tap(*place)
    page.locator(".tip").wait_for()
    page.get_by_role("button", name="Close").wait_for(timeout=15_000)
    assert query(page)["image"].isdigit()


def test_two_fingers_zoom_and_one_pans_without_opening_anything(touched):
    page, fingers, _ = touched
    before = shows(page, bool)
    fingers.pinch(0.45, 0.5, 2)
    zoomed = shows(page, lambda now: now != before)
    fingers.swipe(0.3, 0.7, 80)
    shows(page, lambda now: now not in (before, zoomed))
    assert "image" not in query(page) and page.get_by_role("button", name="Clear selection").count() == 0
    page.get_by_role("button", name="Show everything").tap()
    shows(page, lambda now: now == before)
    assert page.evaluate("visualViewport.scale") == 1  # the map was zoomed, not the page


def test_a_long_press_selects_a_point_and_another_takes_it_out(touched):
    page, fingers, (x, y) = touched
    fingers.touch(1, x, y)
    page.wait_for_timeout(HOLD_MS)
    fingers.lift(1)
    page.locator(".caption").filter(has_text="1 selected").wait_for()
    page.locator(".thumbnails a.item, .thumbnails .item").first.wait_for(timeout=15_000)
    assert "image" not in query(page)
    fingers.touch(1, x, y)
    page.wait_for_timeout(HOLD_MS)
    fingers.lift(1)
    page.locator(".thumbnails").wait_for(state="detached", timeout=15_000)
    assert page.get_by_role("button", name="Clear selection").count() == 0  # the same point again takes it out


def test_a_long_press_that_moves_draws_a_lasso(touched):
    page, fingers, _ = touched
    fingers.touch(1, 0.05, 0.05)
    page.wait_for_timeout(HOLD_MS)
    for step in range(1, 33):
        angle = math.pi * (1.25 + 2 * step / 32)
        fingers.touch(1, 0.43 + 0.42 * 1.1 * math.cos(angle), 0.5 + 0.45 * 1.1 * math.sin(angle))
    fingers.lift(1)
    page.locator(".caption").filter(has_text=re.compile(r"\d+ selected")).wait_for()
    page.locator(".thumbnails .item").nth(5).wait_for(timeout=15_000)
    at_rest(page)
    clear = page.get_by_role("button", name="Clear selection")
    clear.scroll_into_view_if_needed()
    page.wait_for_timeout(1_000)  # a touch right after scrolling only ends it, as it does on a phone
    clear.tap()
    page.locator(".thumbnails").wait_for(state="detached", timeout=15_000)
    page.wait_for_timeout(300)
    assert "selected" not in page.locator(".caption").inner_text()
