"""The point map in a real browser."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytestmark = pytest.mark.browser

ENTRY = "tests/browser/map_server.py"
LAST = 2999  # the point in the corner, alone in its category
VERMILLION = {"light": (0xD5, 0x5E, 0x00), "dark": (0xE8, 0x69, 0x1A)}  # its colour

# Mean position, in CSS pixels on the page, and number of the canvas pixels that points of one colour cover.
FIND = """(canvas, colour) => {
  const {width, height} = canvas, {data} = canvas.getContext('2d').getImageData(0, 0, width, height);
  const [r, g, b] = colour.map((c, k) => c * .88 + data[4 * (2 * width + 2) + k] * .12);  // over the ground
  const box = canvas.getBoundingClientRect(), scale = box.width / width;
  let n = 0, x = 0, y = 0;
  for (let i = 0; i < width * height; i++) {
    if (Math.abs(data[4*i] - r) + Math.abs(data[4*i+1] - g) + Math.abs(data[4*i+2] - b) > 24) continue;
    n++; x += i % width; y += Math.floor(i / width);
  }
  return {n, x: box.x + (x / n + .5) * scale, y: box.y + (y / n + .5) * scale};
}"""

# Counts pictures drawn on the map, from outside.
COUNT_DRAWS = """
  window.draws = 0;
  const put = CanvasRenderingContext2D.prototype.putImageData;
  CanvasRenderingContext2D.prototype.putImageData = function (...a) { window.draws++; return put.apply(this, a); };
"""


@pytest.fixture(scope="module")
def environment(tmp_path_factory) -> dict[str, str]:
    runs = tmp_path_factory.mktemp("runs")
    sprites = runs / "made-up" / "sprites"
    sprites.mkdir(parents=True)
    random = np.random.default_rng(0)
    for sheet in range(3):
        tiles = random.integers(0, 255, (32, 32, 3), dtype=np.uint8)
        Image.fromarray(np.kron(tiles, np.ones((64, 64, 1), np.uint8))).save(sprites / f"{sheet:03d}.webp")
    return {"PROTEUS_RUNS": str(runs)}


def opened(page, server: str, query: str = ""):
    page.add_init_script(COUNT_DRAWS)
    page.goto(f"{server}/?{query}")
    page.locator(".caption").filter(has_text="on the map").wait_for(timeout=60_000)
    page.wait_for_timeout(200)
    return page


def find(page, theme: str = "light") -> dict:
    return page.locator("canvas.points").evaluate(FIND, list(VERMILLION[theme]))


def says(page, text: str) -> None:
    page.get_by_text(text, exact=True).wait_for(timeout=15_000)


def test_draws_all_categories_and_rests_when_idle(page, server):
    opened(page, server)
    for colour in ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9"):
        rgb = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
        assert page.locator("canvas.points").evaluate(FIND, rgb)["n"] > 500, colour
    assert "3,000 of 3,000 images on the map after task 5" in page.locator(".caption").inner_text()
    before = page.evaluate("window.draws")
    page.wait_for_timeout(700)
    assert page.evaluate("window.draws") == before > 0


def test_hover_fetches_one_sheet_and_shows_text_as_text(page, server):
    sheets = []
    page.on("response", lambda answer: sheets.append(answer) if "thumbnails" in answer.url else None)
    opened(page, server)
    assert not sheets
    place = find(page)
    page.mouse.move(place["x"] + 2, place["y"] + 1)
    page.locator(".tip").wait_for()
    assert "far away" in page.locator(".lines").inner_text()
    page.wait_for_timeout(500)
    assert [(answer.status, answer.url.rsplit("/", 1)[1]) for answer in sheets] == [(200, "002.webp")]
    position = page.locator(".thumbnail").evaluate("e => e.style.backgroundPosition")
    cell = LAST % 1024
    assert position == f"-{cell % 32 * 112}px -{cell // 32 * 112}px"


def test_hostile_names_stay_text(page, server):
    opened(page, server)
    page.locator(".stage").focus()
    for _ in range(40):
        page.keyboard.press("ArrowLeft")
        page.wait_for_timeout(30)
        if "<img" in page.locator(".lines").inner_text():
            break
    else:
        for key in ["ArrowDown", "ArrowRight"] * 40:
            page.keyboard.press(key)
            if "<img" in page.locator(".lines").inner_text():
                break
    assert "<img src=x" in page.locator(".lines").inner_text()
    assert page.locator(".point-map img").count() == 0
    assert page.evaluate("window.hacked") is None


def test_click_returns_the_index_and_keeps_the_view(page, server):
    opened(page, server)
    page.get_by_role("button", name="Zoom in").click()
    page.wait_for_timeout(100)
    place = find(page)
    if not place["n"]:
        page.get_by_role("button", name="Zoom out").click()
        page.wait_for_timeout(100)
        place = find(page)
    page.mouse.click(place["x"], place["y"])
    says(page, f"clicked: [{LAST}]")
    after = find(page)
    assert abs(after["x"] - place["x"]) < 2
    assert abs(after["y"] - place["y"]) < 2
    page.get_by_role("button", name="Run again").click()
    page.wait_for_timeout(500)
    says(page, f"clicked: [{LAST}]")  # once, not again at a rerun


def test_drag_pans_and_wheel_zooms_about_the_pointer(page, server):
    opened(page, server)
    place = find(page)
    page.mouse.move(place["x"] - 300, place["y"] - 300)
    page.mouse.down()
    page.mouse.move(place["x"] - 400, place["y"] - 350, steps=5)
    page.mouse.up()
    page.wait_for_timeout(100)
    panned = find(page)
    assert panned["x"] == pytest.approx(place["x"] - 100, abs=2)
    assert panned["y"] == pytest.approx(place["y"] - 50, abs=2)
    says(page, "clicked: []")
    page.mouse.move(panned["x"], panned["y"])
    page.mouse.wheel(0, -400)
    page.wait_for_timeout(100)
    zoomed = find(page)
    assert zoomed["n"] > panned["n"]
    assert zoomed["x"] == pytest.approx(panned["x"], abs=2)
    page.locator(".stage").focus()
    page.keyboard.press("0")
    page.wait_for_timeout(100)
    assert find(page)["x"] == pytest.approx(place["x"], abs=2)


def lasso(page, place: dict, half: int = 30) -> None:
    page.mouse.move(place["x"] - half, place["y"] - half)
    page.mouse.down()
    for dx, dy in ((half, -half), (half, half), (-half, half), (-half, -half + 4)):
        page.mouse.move(place["x"] + dx, place["y"] + dy, steps=4)
    page.mouse.up()


def test_lasso_returns_indices_survives_reruns_and_escape_clears(page, server):
    opened(page, server)
    page.get_by_role("button", name="Lasso").click()
    lasso(page, find(page))
    says(page, "selected: 1 of tasks [5]")
    page.get_by_role("button", name="Run again").click()
    page.wait_for_timeout(500)
    says(page, "selected: 1 of tasks [5]")
    assert "1 selected" in page.locator(".caption").inner_text()
    page.locator(".stage").focus()
    page.keyboard.press("Escape")
    says(page, "selected: 0 of tasks []")
    page.keyboard.down("Shift")
    box = page.locator(".stage").bounding_box()
    lasso(page, {"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] / 2}, 270)
    page.keyboard.up("Shift")
    page.get_by_text(re.compile(r"selected: \d{3,} of tasks \[0, ")).wait_for(timeout=15_000)


def test_keyboard_reaches_points_speaks_and_opens(page, server):
    opened(page, server)
    page.get_by_role("button", name="Run again").focus()
    page.keyboard.press("Tab")
    stage = page.locator(".stage")
    assert stage.evaluate("e => e.matches(':focus-visible')")
    assert stage.evaluate("e => getComputedStyle(e).outlineStyle") == "solid"
    spoken = page.locator(".spoken")
    first = spoken.inner_text()
    assert "task" in first
    heard = {first}
    for key in ("ArrowLeft", "ArrowUp", "ArrowRight", "ArrowDown", "ArrowLeft", "ArrowUp"):
        page.keyboard.press(key)
        page.wait_for_timeout(40)
        heard.add(spoken.inner_text())
    assert len(heard) > 1
    page.keyboard.press("Enter")
    page.get_by_text(re.compile(r"clicked: \[\d+\]")).wait_for(timeout=15_000)
    assert stage.evaluate("e => e.matches(':focus')")  # a rerun does not take the focus away


def test_play_moves_through_frames_and_reports_where_it_stopped(page, server):
    opened(page, server, "report=1")
    slider = page.locator(".slider")
    slider.fill("0")
    says(page, "frame: 0")
    assert (
        "600 of 3,000" in page.locator(".caption").inner_text()
        or "601 of 3,000" in page.locator(".caption").inner_text()
    )
    before = page.evaluate("window.draws")
    page.get_by_role("button", name="Play").click()
    page.get_by_role("button", name="Pause").wait_for()
    page.locator(".frame").filter(has_text="after task 5").wait_for(timeout=20_000)
    page.get_by_role("button", name="Play").wait_for(timeout=10_000)
    assert page.evaluate("window.draws") - before > 60  # in between, not only at the frames
    says(page, "frame: 4")
    assert "3,000 of 3,000" in page.locator(".caption").inner_text()


def test_reruns_do_not_stop_play(page, server):
    opened(page, server)
    page.get_by_role("button", name="Play").click()
    page.wait_for_timeout(300)
    page.get_by_role("button", name="Run again").click()
    page.wait_for_timeout(400)
    assert page.get_by_role("button", name="Pause").count() == 1
    page.locator(".frame").filter(has_text="after task 5").wait_for(timeout=20_000)


def test_reduced_motion_jumps(open_page, server):
    page = opened(open_page(reduced_motion="reduce"), server)
    before = page.evaluate("window.draws")
    page.locator(".slider").fill("1")
    page.wait_for_timeout(800)
    assert page.evaluate("window.draws") - before <= 3
    assert page.locator(".frame").inner_text() == "after task 2"


def test_legend_highlights_one_category_against_grey(page, server):
    opened(page, server)
    item = page.locator(".legend button").nth(5)
    item.click()
    page.wait_for_timeout(100)
    assert item.get_attribute("aria-pressed") == "true"
    assert find(page)["n"] > 0
    blue = page.locator("canvas.points").evaluate(FIND, [0x00, 0x72, 0xB2])
    assert blue["n"] == 0
    item.click()
    page.wait_for_timeout(100)
    assert page.locator("canvas.points").evaluate(FIND, [0x00, 0x72, 0xB2])["n"] > 500


def test_many_categories_are_grey_until_one_is_chosen(page, server):
    opened(page, server, "frames=9")
    assert find(page)["n"] == 0
    assert "choose a name in the legend" in page.locator(".caption").inner_text()
    page.locator(".legend button").nth(3).click()
    page.wait_for_timeout(100)
    assert find(page)["n"] > 300
    assert "choose a name" not in page.locator(".caption").inner_text()


def test_dark_theme_has_its_own_colours(open_page, server):
    page = opened(open_page(color_scheme="dark"), server)
    assert find(page, "dark")["n"] > 5
    corner = page.locator("canvas.points").evaluate("c => [...c.getContext('2d').getImageData(2, 2, 1, 1).data]")
    assert sum(corner[:3]) < 150


def test_picture_is_downloaded(page, server, tmp_path: Path):
    opened(page, server)
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Save as PNG").click()
    assert waiting.value.suggested_filename == "made-up-clusters.png"
    waiting.value.save_as(tmp_path / "map.png")
    stage = page.locator(".stage").bounding_box()
    with Image.open(tmp_path / "map.png") as image:
        assert image.width > stage["width"] + 100  # map and legend
        assert len(image.convert("RGB").getcolors(1 << 22)) > 50


def test_sharp_screens_and_narrow_windows(open_page, server):
    page = opened(open_page(viewport={"width": 480, "height": 900}, device_scale_factor=2), server)
    canvas, stage = page.locator("canvas.points"), page.locator(".stage")
    width = stage.evaluate("e => e.clientWidth")
    assert canvas.evaluate("c => c.width") == pytest.approx(2 * width, abs=1)
    assert page.locator(".legend").bounding_box()["y"] > stage.bounding_box()["y"] + 300  # below, not beside
    page.set_viewport_size({"width": 700, "height": 900})
    page.wait_for_timeout(300)
    assert stage.evaluate("e => e.clientWidth") > width
    assert find(page)["n"] > 5
