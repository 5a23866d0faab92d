"""Retrieval errors in a real browser, and names from a run that would do harm."""

from __future__ import annotations

import json
import re
from urllib.parse import parse_qs, urlsplit
from xml.etree import ElementTree

import numpy as np
import pytest

from app.reading.cards import RECORDED_RUNS, RunCard
from app.reading.tables import images, predictions
from tests.app.evidence_run import evidence_run
from tests.app.held_out_run import HELD_OUT, held_out_run
from tests.unit.run_folder import write_run

pytestmark = pytest.mark.browser

DEMO = "lda-split-digits"
CARD = RunCard(DEMO, "", "lda", "split-digits", 5, "done", True, RECORDED_RUNS / DEMO, None)
HOSTILE = '<img src=x onerror="window.hacked=1"> **b** $x$ :red[r]'


@pytest.fixture(scope="module")
def environment(tmp_path_factory) -> dict[str, str]:
    runs = tmp_path_factory.mktemp("runs")
    manifest = write_run(runs, "hostile", title=HOSTILE, class_names=[HOSTILE, *"bcd"]) / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"task 0"', json.dumps(HOSTILE)))
    evidence_run(runs)
    held_out_run(runs)
    return {"PROTEUS_RUNS": str(runs)}


def opened(page, server: str, path: str, wait: str = ".why"):
    page.goto(f"{server}/{path}")
    page.locator(wait).first.wait_for(timeout=60_000)
    return page


def query(page) -> dict[str, str]:
    return {key: values[0] for key, values in parse_qs(urlsplit(page.url).query).items()}


def shows_image(page, image: int) -> None:
    page.wait_for_url(re.compile(rf"[?&]image={image}(&|$)"), timeout=15_000)
    page.locator(f'tr[data-image="{image}"].chosen').wait_for(timeout=15_000)


def lists(page, rows: int) -> None:
    """Wait until the table has so many rows."""
    from playwright.sync_api import expect

    expect(page.locator(".answers tbody tr")).to_have_count(rows, timeout=15_000)


def test_from_the_matrix_to_a_row_to_an_image_and_on_by_keyboard(page, server):
    answers = predictions(CARD).after(4)
    wrong = (answers.predicted != answers.label) | (answers.retrieved_task != answers.task)
    opened(page, server, f"errors?run={DEMO}&order=stream")
    page.locator(".answers tbody tr").first.wait_for()
    assert page.locator(".answers tbody tr").count() == wrong.sum()
    page.get_by_role("button", name=re.compile("sent to “0, 1”")).first.click()
    page.wait_for_url("**cell=0-0&show=all**")  # no mistake in it: all its images are listed
    inside = answers.image[(answers.task == 0) & (answers.retrieved_task == 0)]
    second = page.locator(f'tr[data-image="{inside[1]}"]')
    second.wait_for()
    second.get_by_role("button").focus()
    page.keyboard.press("Enter")
    shows_image(page, inside[1])
    page.keyboard.press("n")
    shows_image(page, inside[2])
    page.keyboard.press("p")
    shows_image(page, inside[1])


def test_pinned_image_stays_beside_the_next_and_after_a_reload(page, server):
    opened(page, server, f"errors?run={DEMO}&show=all&order=stream&image=3")
    page.get_by_role("button", name="Pin to compare").click()
    page.wait_for_url("**pin=3**")
    page.keyboard.press("n")
    page.get_by_text("Compared with").wait_for()
    assert page.locator(".why").count() == 2
    page.reload()
    page.locator(".why").nth(1).wait_for(timeout=60_000)
    page.get_by_role("button", name="Unpin").click()
    page.get_by_text("Compared with").wait_for(state="detached")
    assert "pin" not in query(page)


def test_image_is_explained_by_its_own_numbers(page, server):
    answers = predictions(CARD).after(4)
    row = int(np.flatnonzero(answers.predicted != answers.label)[0])
    opened(page, server, f"errors?run={DEMO}&image={answers.image[row]}")
    values = page.locator(".gaps .value").all_inner_texts()
    gaps = np.sort(answers.scores(row).max() - answers.scores(row))
    assert values[0] == "best"
    assert float(values[-1].replace("−", "")) == pytest.approx(float(gaps[-1]), rel=0.05)
    assert page.locator(".why").inner_text().endswith(".")
    page.locator(".thumbnails .picture").nth(20).wait_for(timeout=15_000)
    assert page.locator(".thumbnails .picture").count() == 21  # itself, five of each component, and ten neighbours


@pytest.mark.parametrize(
    ("query", "said"),
    [("image=99999", "There is no image 99999"), ("image=x&cell=9-9&pin=x&show=?&order=1", "no image x")],
)
def test_a_link_that_is_wrong_still_shows_something(page, server, query, said):
    opened(page, server, f"errors?run={DEMO}&{query}")
    assert said in page.get_by_test_id("stAlertContentError").inner_text()


def test_training_image_is_said_to_be_one(page, server):
    image = int(np.flatnonzero(images(CARD).split == "train")[0])
    opened(page, server, f"errors?run={DEMO}&image={image}")
    assert "was trained on" in page.get_by_test_id("stAlertContentError").inner_text()


@pytest.mark.parametrize(
    ("path", "shown"), [("errors?run=hostile&image=0", ".why"), ("how?run=hostile&image=1&step=8", ".way .words")]
)
def test_names_from_a_run_are_shown_as_text(page, server, path, shown):
    opened(page, server, path, shown)
    page.locator(shown).filter(has_text=HOSTILE[:20]).wait_for()
    page.wait_for_timeout(1000)
    assert page.evaluate("window.hacked") is None
    assert page.locator('img[src$="/x"], .katex').count() == 0


def test_classes_by_mouse_keyboard_and_search(page, server):
    run = "sequential-split-digits"
    opened(page, server, f"errors?run={run}&view=classes", ".class-matrix canvas")
    canvas = page.locator(".class-matrix canvas")
    page.wait_for_timeout(500)
    canvas.focus()
    for key in ("ArrowDown", "ArrowRight", "ArrowDown", "ArrowRight"):
        page.keyboard.press(key)
    said = page.locator(".class-matrix .said").inner_text()
    count, total, true = re.match(r"(\d+) of (\d+) “(\d)”", said).groups()
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(rf"pair={true}-"), timeout=15_000)
    page.get_by_role("button", name="answered", exact=False).first.wait_for()
    lists(page, int(count))
    assert int(count) <= int(total)
    page.get_by_label("Find a class").fill("7")
    page.locator(".class-matrix .said").filter(has_text="7").wait_for(state="attached")
    before = query(page)["pair"]
    box = canvas.bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.6, box["y"] + box["height"] * 0.6)
    page.locator(".class-matrix .tip").wait_for()
    assert query(page)["pair"] == before, "looking opens nothing"


def test_a_group_and_what_can_be_taken_away(page, server):
    run = "sequential-split-digits"
    opened(page, server, f"errors?run={run}&view=groups", ".thumbnails")
    page.get_by_role("button", name=re.compile(r"^1 · ")).first.click()
    page.wait_for_url("**group=1**", timeout=15_000)
    page.get_by_role("button", name="group 1").wait_for()
    shown = int(
        re.search(r"\d+ images", page.get_by_role("button", name=re.compile(r"^1 · ")).first.inner_text())[0][:-7]
    )
    lists(page, shown)
    with page.expect_download() as download:
        page.get_by_role("button", name=re.compile(r"^These \d+ \(CSV\)")).click()
    assert len(download.value.path().read_text().splitlines()) == shown + 1
    with page.expect_download() as download:
        page.get_by_role("button", name="Report of the mistakes (HTML)").click()
    page.set_content(download.value.path().read_text())
    assert page.get_by_role("heading", level=1).inner_text().startswith("Mistakes of")
    assert page.evaluate("[...document.images].every((image) => image.naturalWidth > 0)")


def test_evidence_by_keyboard_and_as_a_table(page, server):
    opened(page, server, "errors?run=with-evidence", ".heat .patch")
    heat = page.locator(".heat").first
    cells = heat.locator(".patch")
    cells.first.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    said = heat.locator(".said").inner_text()
    assert said.startswith("row 2, column 2: speaks for ")
    heat.get_by_text("As a table").click()
    side = round(cells.count() ** 0.5)
    table = heat.locator("tbody td")
    assert table.count() == cells.count()
    shown = table.nth(side + 1).inner_text().replace("−", "")
    assert said.endswith(f", {shown} nats")
    total = page.locator(".shares .value.total").first.inner_text()
    parts = page.locator(".shares").first.locator(".value:not(.total)").all_inner_texts()
    assert sum(float(part.replace("−", "-")) for part in parts) == pytest.approx(
        float(total.replace("−", "-")), abs=0.02 * len(parts)
    )


def test_a_neighbour_is_compared_by_keyboard_and_found_on_the_map(page, server):
    opened(page, server, "errors?run=with-evidence", ".heat .patch")
    before = page.locator(".heat").count()
    neighbours = page.locator(".thumbnails", has=page.locator(".entry")).first
    neighbours.locator("a.item").nth(1).focus()
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile("near="), timeout=60_000)
    page.get_by_text("What sets it apart from this").wait_for(timeout=60_000)
    maps = page.locator(".heat")
    maps.nth(before + 1).wait_for(timeout=60_000)  # the model is loaded first
    assert maps.count() == before + 2
    assert maps.nth(before).locator(".legend").inner_text().split("\n") == ["sets them apart", "brings them together"]
    page.locator(".thumbnails a.aside").first.click()
    page.wait_for_url("**/map?*image=*", timeout=60_000)


@pytest.mark.parametrize(
    ("path", "ready", "file"),
    [
        ("errors?run=with-evidence", ".confusion td", "confusion-of-tasks"),
        ("errors?run=with-evidence&view=classes", ".class-matrix canvas", "confusion-of-classes"),
        ("errors?run=with-evidence", ".heat .patch", "evidence"),
    ],
)
def test_figures_are_saved_as_svg_and_png(page, server, path, ready, file):
    opened(page, server, path, ready)
    root = page.locator(ready).first.locator("xpath=ancestor::*[.//*[@class='saving']][1]")
    for kind, begins in (("SVG", b"<svg xmlns="), ("PNG", b"\x89PNG")):
        with page.expect_download() as download:
            root.get_by_role("button", name=f"Save the figure as {kind}").first.click()
        assert download.value.suggested_filename == f"{file}.{kind.lower()}"
        saved = download.value.path().read_bytes()
        assert saved.startswith(begins) and len(saved) > 500
        if kind == "SVG":
            ElementTree.fromstring(saved)


def test_images_of_held_out_classes_are_shown_and_a_click_on_a_cell_chooses_among_them(page, server):
    opened(page, server, f"errors?run={HELD_OUT}", "[data-testid=stButtonGroup]")
    page.get_by_role("radio", name="Held-out classes").or_(page.get_by_role("button", name="Held-out classes")).click()
    pictures = page.locator(".thumbnails .picture")
    pictures.nth(23).wait_for(timeout=60_000)
    assert pictures.count() == 24
    with page.expect_response(re.compile(r"/thumbnails/[^/]+/held_out/000\.webp"), timeout=60_000) as asked:
        page.reload()
    assert asked.value.ok, "the sheet of held-out images is served"
    page.goto(f"{server}/errors?run={HELD_OUT}&view=held-out&held=0-0")
    page.get_by_role("button", name=re.compile("sent to")).click(timeout=60_000)
    page.wait_for_url(re.compile(r"^(?!.*held=)"), timeout=60_000)
