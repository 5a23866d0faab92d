"""The app around the pages, with the recorded demos: first screen, links, choices, themes."""

from __future__ import annotations

import json
from urllib.parse import parse_qs, urlsplit

import pytest

from app.reading.cards import RECORDED_RUNS
from app.shell.navigation import entries
from app.shell.run_choice import available
from tests.browser.serving import at_rest
from tests.unit.run_folder import write_run

pytestmark = pytest.mark.browser
DEMO = next(card.name for card in available() if card.recorded and card.ready)
"""The run that the app opens with."""

HOSTILE = '<img src=x onerror="window.hacked=1"> **b** $x$ :red[r] [a](http://example.com)'


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    runs = tmp_path_factory.mktemp("runs")
    manifest = write_run(runs, "hostile", title=HOSTILE, class_names=[HOSTILE, *"bcd"]) / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"task 0"', json.dumps(HOSTILE)))
    return {"PROTEUS_RUNS": str(runs)}


def opened(page, server: str, path: str = "", wait: str = "h1"):
    page.goto(f"{server}/{path}")
    page.locator(wait).first.wait_for(timeout=30_000)
    return page


def query(page) -> dict[str, str]:
    return {key: values[0] for key, values in parse_qs(urlsplit(page.url).query).items()}


def test_first_screen_teaches_measured_numbers(page, server):
    opened(page, server, wait="canvas.points")
    at_rest(page)
    found = json.loads((RECORDED_RUNS / DEMO / "metrics.json").read_text())
    text = page.locator(".story").inner_text()  # a component is not part of the text around it
    for key in ("final_accuracy", "retrieval_accuracy"):
        assert f"{found[key]:.1%}" in text, key
    assert f"{100 * found['forgetting']:.1f} points" in text
    assert "came from picking the wrong task" in text or not found["mistakes"]
    assert page.get_by_role("button", name="Play").count() == 1
    assert page.locator(".caption").filter(has_text="on the map after task 5").count() == 1


@pytest.mark.parametrize("path", list(entries()))
def test_every_page_opens_by_its_link_with_a_demo(page, server, path):
    opened(page, server, f"{'' if path == 'start' else path}?run={DEMO}&t=3")
    at_rest(page)
    assert page.get_by_test_id("stAlertContentError").count() == 0
    assert query(page)["run"] == DEMO and query(page)["t"] == "3"


def test_a_mistake_is_two_clicks_from_the_start(page, server):
    opened(page, server, f"?run={DEMO}")
    page.get_by_role("link", name="See why").click()
    page.wait_for_url("**/errors?*")
    assert int(query(page)["image"]) >= 0


def test_numbers_of_the_story_lead_to_images_without_a_new_page(page, server):
    opened(page, server, wait=".story .number")
    page.evaluate("window.stayed = true")
    page.locator(".story .number").filter(has_text="mistakes").click()
    page.wait_for_url("**/errors*")
    page.locator(".thumbnails, .answers, table").first.wait_for(timeout=30_000)
    assert page.evaluate("window.stayed")


def test_another_story_is_one_click_away(page, server):
    opened(page, server, wait=".story .tile")
    page.locator(".story .tile:not([aria-current])").first.click()
    page.wait_for_url("**/?run=*")
    page.locator(".story .tile[aria-current]").wait_for(timeout=30_000)


def test_pages_keep_run_and_task(page, server):
    opened(page, server, "map?run=lda-split-digits&t=2", wait="canvas.points")
    page.get_by_test_id("stSidebar").get_by_role("link", name="Retrieval errors").click()
    page.wait_for_url("**/errors?*")
    assert query(page) == {"run": "lda-split-digits", "t": "2"}


def test_task_slider_and_link_agree(page, server):
    opened(page, server, f"map?run={DEMO}", wait="canvas.points")
    page.get_by_test_id("stSidebar").get_by_role("slider").press("ArrowLeft")
    page.locator(".caption").filter(has_text="after task 4").wait_for()
    assert query(page)["t"] == "3"
    page.get_by_role("button", name="Link").click()
    assert f"map?run={DEMO}&t=3" in page.get_by_test_id("stCode").inner_text()


def test_choosing_a_run_forgets_what_belonged_to_the_old_one(page, server):
    opened(page, server, f"map?run={DEMO}&t=1&image=5", wait="canvas.points")
    page.get_by_role("button", name="Choose another run").click()
    page.locator(".gallery .run[title=lda-split-digits]").click()
    page.wait_for_url("**/map?run=lda-split-digits")


def test_map_choices_survive_a_reload(page, server):
    opened(page, server, f"map?run={DEMO}", wait="canvas.points")
    page.get_by_test_id("stButtonGroup").get_by_text("correct").click()
    page.locator(".legend").get_by_text("right task, wrong class").wait_for()
    assert query(page)["colour"] == "correct"
    page.reload()
    page.locator(".legend").get_by_text("right task, wrong class").wait_for(timeout=30_000)


def test_lasso_to_grid_to_one_image_explained(page, server):
    opened(page, server, f"map?run={DEMO}", wait="canvas.points")
    page.locator(".caption").filter(has_text="on the map").wait_for()
    page.wait_for_timeout(300)
    box = page.locator(".stage").bounding_box()
    corners = [(0.02, 0.02), (0.85, 0.02), (0.85, 0.98), (0.02, 0.98), (0.02, 0.03)]
    page.keyboard.down("Shift")
    for step, (x, y) in enumerate(corners):
        page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"], steps=4)
        if step == 0:
            page.mouse.down()
    page.mouse.up()
    page.keyboard.up("Shift")
    grid = page.locator(".thumbnails")
    grid.locator("a.item").first.wait_for(timeout=15_000)
    assert grid.locator(".item").count() > 10
    picture = grid.locator("a.item .picture").first
    assert "/thumbnails/" in picture.evaluate("e => e.style.backgroundImage")
    link = grid.locator("a.item").first
    target = link.get_attribute("href")
    link.focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**/errors?*")
    assert query(page)["image"] == parse_qs(urlsplit(target).query)["image"][0]


def test_clicked_image_is_in_the_link(page, server):
    opened(page, server, f"map?run={DEMO}", wait="canvas.points")
    page.locator(".caption").filter(has_text="on the map").wait_for()
    page.locator(".stage").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Close").wait_for(timeout=15_000)
    assert query(page)["image"].isdigit()
    page.get_by_role("button", name="Close").click()
    page.get_by_role("button", name="Close").wait_for(state="detached")
    assert "image" not in query(page)


def test_an_unknown_run_is_said_on_every_kind_of_page(page, server):
    opened(page, server, "map?run=nope", wait='[data-testid="stAlertContentError"]')
    assert "nope" in page.get_by_test_id("stAlertContentError").inner_text()
    assert page.locator("canvas.points").count() == 0


@pytest.mark.parametrize("path", ["", "map"])
def test_names_from_a_run_are_shown_as_text(page, server, path):
    opened(page, server, f"{path}?run=hostile", wait="canvas.points")
    at_rest(page)
    assert page.evaluate("window.hacked") is None
    assert page.locator('img[src$="/x"], a[href*="example.com"], .katex').count() == 0
    assert page.get_by_text("**b** $x$").count() > 0


def test_dark_theme_follows_the_system(open_page, server):
    page = opened(open_page(color_scheme="dark"), server, wait="canvas.points")
    grounds = [
        page.locator(selector).first.evaluate("e => getComputedStyle(e).backgroundColor")
        for selector in ("[data-testid=stApp]", ".point-map")
    ]
    for ground in grounds:
        red, green, blue = (int(value) for value in ground[4:-1].split(",")[:3])
        assert max(red, green, blue) < 60, grounds


def test_icon_is_served_from_here(page, server):
    opened(page, server)
    assert page.locator("link[rel~=icon]").first.evaluate("e => e.href").startswith(server)
