"""Recorded runs: what is kept of a run can be read like the run, and is no more than it takes."""

from __future__ import annotations

from pathlib import Path

from core import demos
from core.runs.store import Run
from tests.unit.run_folder import write_run


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
