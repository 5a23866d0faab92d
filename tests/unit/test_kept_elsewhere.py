"""A small sweep is trained, kept and read again: what the page tells is what the runs measured."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from app.reading import kept_elsewhere as reading
from app.reading.cards import run_card
from core.config import RunConfig, validate
from core.errors import UserError
from core.kept_elsewhere import known, read_answers, read_rows, read_sweep, record
from core.runs.sprites import read_sheet
from core.runs.store import Run

pytestmark = pytest.mark.slow

SWEEP = """
title = "Small"
[base]
stream.name = "split-digits"
stream.tasks = 1
stream.train_per_class = 4
stream.test_per_class = 3
stream.held_out = 3
stream.held_out_per_class = 4
backbone.name = "tiny"
adapters.blocks = "all"
training.epochs = 1
retention.dial = 2
record.projection = false
[[parts]]
method.name = ["selective-lora"]
method.active_blocks = [1]
seeds = 2
[[parts]]
method.name = ["sequential"]
"""


LAMBDA = """
[[parts]]
method.name = ["selective-lora"]
method.sparsity = [3.0]
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, list[Run]]:
    folder, runs = tmp_path_factory.mktemp("kept"), tmp_path_factory.mktemp("runs")
    (folder / "small.toml").write_text(SWEEP)
    return folder, runs, list(record("small", runs, folder))


@pytest.fixture
def copied(trained, tmp_path) -> Path:
    """The recorded sweep as others get it: without the folders of its runs."""
    return shutil.copytree(trained[0], tmp_path / "kept")


def test_what_is_kept_is_what_the_runs_measured(trained):
    folder, _, runs = trained
    found = reading.recorded("small", folder)
    assert [(setting.kind, setting.seeds) for setting in found.settings] == [("learned", [0, 1]), ("lora", [0])]
    told = [run for setting in found.settings for run in setting.runs]
    for run, kept in zip(runs, told, strict=True):
        assert kept.dial == run.metrics["dial"] and len(kept.answers.label) == len(run.held_out())
        assert kept.answers.given["readout"].shape == (len(run.held_out()), 3)
    assert read_rows("small", folder)["planned"] == 3 and found.strengths == [0, 0.5, 1]
    assert found.settings[0].open_gates() == (1, len(runs[0].task(0).gates["blocks"]["scores"]))


def test_every_run_shows_the_pictures_of_its_own_held_out_images(trained):
    """The seed draws which digits are asked about, so that the seeds' thumbnails differ."""
    folder, _, runs = trained
    kept = [run for setting in reading.recorded("small", folder).settings for run in setting.runs]
    for run, told in zip(runs, kept, strict=True):
        assert list(told.answers.names) == run.held_out()["name"].to_pylist()
        assert np.array_equal(read_sheet(told.pictures, 0), read_sheet(run.folder / "held_out", 0))
    assert kept[0].pictures == kept[2].pictures != kept[1].pictures, "equal pictures are kept once"


def test_a_finished_run_is_not_trained_again(trained, copied):
    _, runs, done = trained
    before = [(run.folder / "metrics.json").stat().st_mtime_ns for run in done]
    again = list(record("small", runs, copied, again=True))
    assert [run.folder for run in again] == [run.folder for run in done]
    assert before == [(run.folder / "metrics.json").stat().st_mtime_ns for run in again]


def test_only_what_a_summary_lacks_is_trained(trained, copied, tmp_path):
    before, answers = read_rows("small", copied)["rows"], read_answers("small", copied)
    assert list(record("small", tmp_path / "none", copied)) == [], "nothing is missing"
    assert read_rows("small", copied) == read_rows("small", trained[0]) and read_answers("small", copied) == answers
    (copied / "small.toml").write_text(SWEEP.replace("Small", "Longer") + LAMBDA)
    [added] = record("small", tmp_path / "runs", copied)
    found = read_rows("small", copied)
    assert found["title"] == "Longer" and found["planned"] == 4
    assert found["rows"][:3] == before and found["rows"][3]["name"] == added.folder.name
    assert read_answers("small", copied).slice(0, len(answers)) == answers
    assert [setting.title for setting in reading.recorded("small", copied).settings][2:] == [
        "λ = 3 from a head at zero"
    ]


def test_rows_that_are_no_longer_asked_for_go(trained, copied, tmp_path):
    (copied / "small.toml").write_text(SWEEP.replace("seeds = 2", "seeds = 1"))
    assert list(record("small", tmp_path / "none", copied)) == []
    rows = read_rows("small", trained[0])["rows"]
    assert read_rows("small", copied)["rows"] == [rows[0], rows[2]]
    (copied / "small.toml").write_text(SWEEP.partition("[[parts]]")[0] + LAMBDA)
    [added] = record("small", tmp_path / "runs", copied)
    assert [row["name"] for row in read_rows("small", copied)["rows"]] == [added.folder.name]


def test_runs_of_two_precisions_are_not_mixed(copied, tmp_path, monkeypatch):
    found = read_rows("small", copied)
    other = "float32" if found["precision"] == "bfloat16" else "bfloat16"
    monkeypatch.setenv("PROTEUS_PRECISION", other)
    (copied / "small.toml").write_text(SWEEP + LAMBDA)
    with pytest.raises(UserError, match=f"computed in {other}.*PROTEUS_PRECISION={found['precision']}"):
        list(record("small", tmp_path / "runs", copied))
    assert read_rows("small", copied)["rows"] == found["rows"]


def test_run_folders_are_read_as_a_recorded_sweep_is(trained):
    folder, _, runs = trained
    [own] = reading.own(run_card(run.folder, False) for run in runs).values()
    assert [(setting.kind, setting.seeds) for setting in own.settings] == [("learned", [0, 1]), ("lora", [0])]
    kept = reading.recorded("small", folder)
    for strength in kept.strengths:
        numbers = [
            [(p.gained, p.lost) for p in reading.places(each, "own", "readout", strength)] for each in (own, kept)
        ]
        assert numbers[0] == numbers[1]


@pytest.mark.parametrize("name", known())
def test_every_shipped_sweep_asks_for_valid_runs(name):
    for planned in read_sweep(name).runs:
        config = validate(RunConfig, planned.config, planned.name)
        assert 0.8 in {step / config.retention.dial for step in range(config.retention.dial + 1)}
