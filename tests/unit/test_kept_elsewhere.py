"""A small sweep is trained, kept and read again: what the page tells is what the runs measured."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.reading import kept_elsewhere as reading
from app.reading.cards import run_card
from core.config import RunConfig, validate
from core.kept_elsewhere import read_rows, read_sweep, summarise, train
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


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, list[Run]]:
    folder, runs = tmp_path_factory.mktemp("kept"), tmp_path_factory.mktemp("runs")
    (folder / "small.toml").write_text(SWEEP)
    sweep, encodings = read_sweep("small", folder), {}
    done = [(planned, train(sweep, runs, encodings, planned)) for planned in sweep.runs]
    summarise(sweep, done, folder / "small")
    return folder, runs, [run for _, run in done]


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


def test_a_finished_run_is_not_trained_again(trained):
    folder, runs, done = trained
    before = (done[0].folder / "metrics.json").stat().st_mtime_ns
    sweep = read_sweep("small", folder)
    assert train(sweep, runs, {}, sweep.runs[0]).folder == done[0].folder
    assert (done[0].folder / "metrics.json").stat().st_mtime_ns == before


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


def test_every_shipped_sweep_asks_for_valid_runs():
    for planned in read_sweep("fashion").runs:
        config = validate(RunConfig, planned.config, planned.name)
        assert 0.8 in {step / config.retention.dial for step in range(config.retention.dial + 1)}
