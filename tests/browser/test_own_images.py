"""People's own images and runs: zips good and bad, a report before training, an answer for one picture."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect

from tests.unit.run_folder import write_run

pytestmark = pytest.mark.browser
WAIT_MS = 120_000
HOSTILE = '<img src=x onerror="window.hacked=1"> **b** $x$'


@pytest.fixture(scope="module")
def environment(tmp_path_factory) -> dict[str, str]:
    runs = tmp_path_factory.mktemp("runs")
    write_run(runs, "a-run")
    return {"PROTEUS_RUNS": str(runs)}


def picture(value: int) -> bytes:
    packed = io.BytesIO()
    Image.fromarray(np.full((12, 12, 3), value % 256, np.uint8)).save(packed, "PNG")
    return packed.getvalue()


def zipped(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def upload(page, file: Path) -> None:
    page.locator("input[type=file]").first.set_input_files(file, timeout=WAIT_MS)


def test_a_zip_is_reported_before_training_and_can_be_trained_on(page, server, tmp_path):
    files = {f"A--{c}/{i}.png": picture(9 * c + i) for c in range(2) for i in range(8)}
    files |= {f"{HOSTILE}--{c}/{i}.png": picture(100 + 9 * c + i) for c in range(2) for i in range(8)}
    files |= {"A--0/broken.png": b"not an image", "A--1/copy.png": picture(0)}
    page.goto(f"{server}/data")
    page.get_by_text("appears here").wait_for(timeout=WAIT_MS)
    upload(page, zipped(tmp_path / "two alphabets.zip", files))
    page.get_by_role("heading", name="two-alphabets").wait_for(timeout=WAIT_MS)
    page.get_by_role("button", name="make a task of each prefix").click(timeout=WAIT_MS)
    page.wait_for_url("**by=prefix**")
    expect(page.get_by_text("Files left out: 1")).to_be_visible(timeout=WAIT_MS)
    expect(page.get_by_text("1 images are in two classes")).to_be_visible()
    page.get_by_role("button", name="Train on these images").click()
    page.get_by_role("heading", name="Choose what to watch on two-alphabets").wait_for(timeout=WAIT_MS)
    assert "data=" in page.url
    assert "by=prefix" in page.url
    assert page.evaluate("window.hacked") is None


@pytest.mark.parametrize(
    ("content", "said"),
    [({"readme.txt": b"hello"}, "No images found in bad.zip"), ({"../1.png": picture(1)}, "points outside")],
)
def test_a_bad_zip_is_refused_in_one_line(page, server, tmp_path, content, said):
    page.goto(f"{server}/data")
    page.get_by_text("appears here").wait_for(timeout=WAIT_MS)
    upload(page, zipped(tmp_path / "bad.zip", content))
    expect(page.get_by_test_id("stAlertContentError")).to_contain_text(said, timeout=WAIT_MS)
    assert "data=" not in page.url


def test_a_link_to_images_that_are_gone_says_so(page, server):
    page.goto(f"{server}/data?data=0123456789ab")
    expect(page.get_by_test_id("stAlertContentError")).to_contain_text("upload them again", timeout=WAIT_MS)


def test_a_run_leaves_and_comes_back_as_a_zip(page, server, tmp_path):
    page.goto(f"{server}/train")
    row = page.get_by_test_id("stDownloadButton").first
    row.wait_for(timeout=WAIT_MS)
    with page.expect_download(timeout=WAIT_MS) as waiting:
        row.get_by_role("button").click()
    assert waiting.value.suggested_filename == "a-run.zip"
    waiting.value.save_as(tmp_path / "a-run.zip")
    upload(page, tmp_path / "a-run.zip")
    error = page.get_by_test_id("stAlertContentError")
    expect(error).to_contain_text("A run named a-run is already", timeout=WAIT_MS)
    with zipfile.ZipFile(tmp_path / "a-run.zip") as archive:
        files = {name.removeprefix("a-run/"): archive.read(name) for name in archive.namelist()}
    manifest = json.loads(files["manifest.json"])
    renamed = files | {"manifest.json": json.dumps(manifest | {"run": "b-run"}).encode()}
    upload(page, zipped(tmp_path / "b.zip", {f"b-run/{name}": content for name, content in renamed.items()}))
    page.wait_for_url("**/map?*run=b-run*", timeout=WAIT_MS)


def test_a_zip_that_is_no_run_is_refused(page, server, tmp_path):
    page.goto(f"{server}/train")
    page.locator("input[type=file]").first.wait_for(state="attached", timeout=WAIT_MS)
    upload(page, zipped(tmp_path / "evil.zip", {"a/manifest.json": b"{}", "a/evil.py": b"print()"}))
    expect(page.get_by_test_id("stAlertContentError")).to_contain_text("evil.zip is not a run", timeout=WAIT_MS)


@pytest.mark.weights
def test_a_picture_is_answered_and_explained(page, server, tmp_path):
    page.goto(f"{server}/try?run=lda-split-digits&from=upload")
    page.locator("input[type=file]").wait_for(state="attached", timeout=WAIT_MS)
    (tmp_path / "text.png").write_bytes(b"no picture at all")
    upload(page, tmp_path / "text.png")
    expect(page.get_by_test_id("stAlertContentError")).to_contain_text("The picture cannot be read", timeout=WAIT_MS)
    (tmp_path / "grey.png").write_bytes(picture(128))
    page.goto(f"{server}/try?run=lda-split-digits&from=upload")
    page.locator("input[type=file]").wait_for(state="attached", timeout=WAIT_MS)
    upload(page, tmp_path / "grey.png")
    page.locator(".why").wait_for(timeout=WAIT_MS)
    expect(page.locator(".gaps .value").first).to_have_text("best")


@pytest.mark.weights
def test_a_picture_from_the_camera_is_answered(open_page, server):
    page = open_page(permissions=["camera"])
    page.goto(f"{server}/try?run=lda-split-digits&from=camera")
    filming = "() => document.querySelector('video')?.videoWidth > 0 && document.querySelector('video').readyState >= 2"
    page.wait_for_function(filming, timeout=WAIT_MS)
    page.get_by_role("button", name="Take Photo").click(timeout=WAIT_MS)
    page.get_by_role("button", name="Clear photo").wait_for(timeout=WAIT_MS)
    page.locator(".why").wait_for(timeout=WAIT_MS)
    expect(page.locator(".gaps .value").first).to_have_text("best")


@pytest.mark.weights
def test_a_test_image_is_answered_as_in_the_tables(page, server):
    page.goto(f"{server}/try?run=lda-split-digits&image=3")
    page.locator(".why").wait_for(timeout=WAIT_MS)
    page.get_by_role("link", name="Its measured answer").click()
    page.wait_for_url("**/errors?*image=3*")
