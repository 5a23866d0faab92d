"""People's own images: kept once, refused whole, read in another process."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from app.training import datasets
from core.errors import UserError


def zipped(files: dict[str, bytes]) -> io.BytesIO:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return packed


def picture(value: int) -> bytes:
    packed = io.BytesIO()
    Image.fromarray(np.full((9, 9, 3), value % 256, np.uint8)).save(packed, "PNG")
    return packed.getvalue()


def classes(count: int = 4, images: int = 6) -> dict[str, bytes]:
    return {f"class{c}/{i}.png": picture(40 * c + i) for c in range(count) for i in range(images)}


@pytest.fixture(autouse=True)
def _runs(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("PROTEUS_RUNS", str(tmp_path / "runs"))


def test_an_upload_is_kept_once_and_found_again():
    first = datasets.keep("My Beans!.zip", zipped(classes()))
    assert first.name == "My-Beans"
    assert datasets.keep("other name.zip", zipped(classes())).identity == first.identity
    assert datasets.kept() == [first]
    assert datasets.find(first.identity) == first
    assert not list(datasets.uploads_folder().glob(".part-*"))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"no zip at all", "not a zip file"),
        (zipped({"readme.txt": b"hello"}).getvalue(), "No images found"),
        (zipped({"../up/1.png": picture(1)}).getvalue(), "points outside"),
        (zipped({"1.png": picture(1), "2.png": picture(2)}).getvalue(), "class folders"),
    ],
)
def test_a_bad_zip_is_refused_by_its_own_name_and_leaves_nothing(content, said):
    with pytest.raises(UserError, match=said) as raised:
        datasets.keep("bad.zip", io.BytesIO(content))
    assert "bad.zip" in str(raised.value)
    assert str(datasets.uploads_folder()) not in str(raised.value)
    assert datasets.kept() == []
    assert list(datasets.uploads_folder().iterdir()) == []


@pytest.mark.parametrize("identity", ["", "../../etc", "0123456789ab", "0123456789AB", "x" * 12])
def test_only_identities_of_uploads_are_found(identity):
    assert datasets.find(identity) is None


@pytest.mark.parametrize(
    ("name", "stem"),
    [("../../a b.zip", "a-b"), ("C:\\x\\cats.zip", "cats"), ("日本.zip", "images"), ("x" * 90 + ".zip", "x" * 40)],
)
def test_names_of_files_become_plain(name, stem):
    assert datasets.safe_stem(name) == stem


def test_reading_reports_what_is_used_and_what_is_not():
    files = classes() | {"class0/broken.png": b"nothing", "class1/copy.png": picture(41), "notes.txt": b""}
    kept = datasets.keep("beans.zip", zipped(files))
    ticks: list[float] = []
    found = datasets.inspect({"name": str(kept.path), "tasks": 2}, ticks.append)
    assert [len(task["classes"]) for task in found["tasks"]] == [2, 2]
    assert found["report"]["skipped_count"] == 2
    assert found["report"]["duplicate_count"] == 1
    assert set(found["samples"]) == {f"class{c}" for c in range(4)}
    assert all(url.startswith("data:image/webp;base64,") for url in found["samples"].values())
    assert ticks == sorted(ticks)


def test_what_cannot_be_divided_is_said_in_one_line():
    kept = datasets.keep("beans.zip", zipped(classes()))
    with pytest.raises(UserError, match="too few for 9 tasks"):
        datasets.inspect({"name": str(kept.path), "tasks": 9}, lambda seconds: None)


def test_reading_stops_when_the_page_is_left():
    kept = datasets.keep("beans.zip", zipped(classes(images=300)))

    class Left(Exception):
        pass

    def leave(seconds: float) -> None:
        raise Left

    with pytest.raises(Left):
        datasets.inspect({"name": str(kept.path)}, leave)
