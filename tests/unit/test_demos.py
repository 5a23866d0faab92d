"""Recorded runs: what is kept of a run can be read like the run, and is no more than it takes."""

from __future__ import annotations

from pathlib import Path

import pytest

from core import demos
from core.config import merge, read_config
from core.data.catalog import SPLIT_FASHION
from core.errors import UserError
from core.runs.store import Run
from tests.unit.run_folder import write_run

RECORDED = demos.ASSETS / "runs"


def test_a_trimmed_run_reads_like_the_run(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "runs")
    (folder / "log.txt").write_text("a path of this machine")
    (folder / "shared" / "001.safetensors").write_bytes(b"x" * 1000)
    copy = demos.trim(folder, tmp_path / "demos" / "a-run")
    before, after = Run(folder), Run(copy)
    assert after.manifest == before.manifest and after.metrics == before.metrics
    assert after.predictions().equals(before.predictions()) and after.images().equals(before.images())
    assert after.finished_tasks() == 2 and after.status.state == "done"
    assert (copy / "sprites" / "000.webp").exists()
    assert not (copy / "log.txt").exists() and not any(copy.glob("shared/*"))
    assert not any(copy.glob("tasks/*/embeddings.npz")), "they are in the run's own tables"


def test_trimming_again_leaves_nothing_of_the_old_copy(tmp_path: Path) -> None:
    copy = tmp_path / "demos" / "a-run"
    copy.mkdir(parents=True)
    (copy / "old").write_text("x")
    demos.trim(write_run(tmp_path / "runs"), copy)
    assert not (copy / "old").exists()


def test_folder_bytes_counts_all_files(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "a").write_bytes(b"123")
    (tmp_path / "b").write_bytes(b"4567")
    assert demos.folder_bytes(tmp_path) == 7


def test_there_is_a_file_for_every_recorded_run_and_it_says_what_the_run_was() -> None:
    recorded = {folder.name for folder in RECORDED.iterdir()}
    assert recorded == set(demos.known())
    for name in recorded:
        manifest, said = Run(RECORDED / name).manifest, read_config(demos.ASSETS / "demos" / f"{name}.toml")
        assert manifest.title == said["title"] == demos.read_demo(name).title
        assert merge(manifest.config, said["config"]) == manifest.config, "defaults of the time, and what the file says"


def test_clothes_are_recorded_with_patches_enough_to_see_where_a_decision_comes_from() -> None:
    for name in (folder.name for folder in RECORDED.iterdir()):
        manifest = Run(RECORDED / name).manifest
        if manifest.stream == SPLIT_FASHION:
            assert manifest.backbone.image_size >= 98, name


def test_recorded_runs_fit_the_repository() -> None:
    assert 0 < demos.folder_bytes(RECORDED) <= demos.MAX_BYTES == 30_000_000


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[config]\nseed = 1", "must hold a title"),
        ('title = "A"\nname = "b"', "must hold a title"),
        ('title = "A"\n[config]\nsed = 1', "Did you mean “seed”"),
        ('title = "A', "cannot be read as TOML"),
    ],
)
def test_a_file_that_is_not_as_it_must_be_is_said_in_one_line(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "a-run.toml").write_text(text)
    with pytest.raises(UserError, match=said) as raised:
        demos.read_demo("a-run", tmp_path)
    assert "a-run.toml" in str(raised.value) and "\n" not in str(raised.value)


def test_an_unknown_name_is_said_with_the_nearest() -> None:
    with pytest.raises(UserError, match="Did you mean “lda-split-fashion”"):
        demos.read_demo("lda-split-fashon")
