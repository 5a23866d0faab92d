from __future__ import annotations

from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from app.reading import cards
from app.shell import sprites


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    runs = tmp_path / "runs"
    folder = runs / "2026-11-21-0430-proteus-split-digits-3f" / "sprites"
    folder.mkdir(parents=True)
    (folder / "000.webp").write_bytes(b"RIFF-first")
    (folder.parent / "held_out").mkdir()
    (folder.parent / "held_out" / "000.webp").write_bytes(b"RIFF-never-learned")
    (folder / "notes.txt").write_text("private")
    (folder.parent / "manifest.json").write_text("{}")
    (tmp_path / "secret.webp").write_bytes(b"secret")
    monkeypatch.setenv("PROTEUS_RUNS", str(runs))
    return runs


RUN = "2026-11-21-0430-proteus-split-digits-3f"


@pytest.fixture
def client(runs: Path) -> TestClient:
    return TestClient(Starlette(routes=sprites.thumbnail_routes()))


def test_a_sheet_is_served_with_its_headers(client: TestClient):
    answer = client.get(sprites.sheet_template(RUN).replace("{sheet}", "000"))
    assert (answer.status_code, answer.content) == (200, b"RIFF-first")
    assert answer.headers["content-type"] == "image/webp"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "immutable" in answer.headers["cache-control"]


def test_images_of_held_out_classes_have_sheets_of_their_own(client: TestClient):
    answer = client.get(sprites.sheet_template(RUN, kind="held_out").replace("{sheet}", "000"))
    assert (answer.status_code, answer.content) == (200, b"RIFF-never-learned")


@pytest.mark.parametrize(
    "path",
    [
        f"{RUN}/001.webp",  # not there
        f"{RUN}/notes.txt",
        f"{RUN}/held_out/001.webp",
        f"{RUN}/sprites/000.webp",
        f"{RUN}/tasks/000.webp",
        f"{RUN}/held_out/..%2fmanifest.json",
        f"{RUN}/0.webp",
        f"{RUN}/000.webp%0a",
        f"{RUN}/000.webp%00",
        f"{RUN}/٠٠٠.webp",  # digits, but not ours
        f"{RUN}/..%2fmanifest.json",
        f"{RUN}/%2e%2e%2fmanifest.json",
        "..%2f..%2fsecret.webp/000.webp",
        "%2e%2e/000.webp",
        "../secret.webp",
        ".hidden/000.webp",
        f"{RUN}%0a/000.webp",
        f"{'x' * 200}/000.webp",
        "C:%5cruns/000.webp",
    ],
)
def test_everything_else_is_not_found(client: TestClient, path: str):
    answer = client.get(f"/thumbnails/{path}")
    assert answer.status_code == 404
    assert b"secret" not in answer.content


def test_links_out_of_the_folder_are_not_followed(client: TestClient, runs: Path):
    (runs / RUN / "sprites" / "001.webp").symlink_to(runs.parent / "secret.webp")
    (runs / "linked").symlink_to(runs / RUN)
    assert client.get(f"/thumbnails/{RUN}/001.webp").status_code == 404
    assert client.get("/thumbnails/linked/000.webp").status_code == 404


def test_only_reading(client: TestClient):
    assert client.post(f"/thumbnails/{RUN}/000.webp").status_code == 405


def test_recorded_runs_come_second(runs: Path, tmp_path: Path):
    recorded = tmp_path / "recorded"
    for run, content in ((RUN, b"other"), ("demo", b"demo")):
        (recorded / run / "sprites").mkdir(parents=True)
        (recorded / run / "sprites" / "000.webp").write_bytes(content)
    folders = (runs, recorded)
    assert sprites.find_sheet(RUN, "000.webp", folders).read_bytes() == b"RIFF-first"
    assert sprites.find_sheet("demo", "000.webp", folders).read_bytes() == b"demo"
    assert sprites.runs_folders() == (runs, cards.RECORDED_RUNS)


def test_a_base_path_is_part_of_route_and_address(runs: Path):
    client = TestClient(Starlette(routes=sprites.thumbnail_routes("/lab/")))
    assert sprites.sheet_template(RUN, "lab") == f"/lab/thumbnails/{RUN}/{{sheet}}.webp"
    assert client.get(f"/lab/thumbnails/{RUN}/000.webp").status_code == 200


@pytest.mark.parametrize("run", ["", "..", "a/b", "a\n", "ä", '"onload="x'])
def test_no_address_for_what_is_not_a_name(run: str):
    with pytest.raises(ValueError, match="not a run's name"):
        sprites.sheet_template(run)
