"""The papers' protocols: each is a valid configuration, and its small version runs."""

from __future__ import annotations

import json

import pytest

from core.cli import main
from core.config import RunConfig, validate
from core.data.catalog import known_streams
from core.errors import UserError
from core.presets import PRESETS, configuration, preset
from core.runs.store import Run, list_runs
from core.training.run import start_run

NAMES = [each.name for each in PRESETS]


@pytest.mark.parametrize("name", NAMES)
def test_a_preset_is_a_configuration_of_known_images(name):
    config = validate(RunConfig, configuration(name, smoke=False))
    known = {stream.name: stream for stream in known_streams()}
    parts = config.stream.name.split("+")
    assert preset(name).needs or all(part in known for part in parts)
    assert preset(name).tasks == (len(parts) if len(parts) > 1 else config.stream.tasks)
    if parts == ["cifar100"] and not config.stream.held_out:
        assert sum(preset(name).images) == known["cifar100"].images


@pytest.mark.parametrize("name", NAMES)
def test_the_small_version_keeps_the_method_and_differs_in_size_alone(name):
    whole, small = (validate(RunConfig, configuration(name, smoke)) for smoke in (False, True))
    assert small.method.name == whole.method.name and small.adapters == whole.adapters
    assert small.retrieval.mode == whole.retrieval.mode and small.retention == whole.retention
    assert small.training.learning_rate == whole.training.learning_rate
    assert bool(small.stream.held_out) == bool(whole.stream.held_out)
    assert small.stream.tasks == min(preset(name).tasks, 5)


def test_the_small_version_measures_what_the_whole_one_would_and_show_tells_it(tmp_path, capsys):
    config = validate(RunConfig, configuration("selective-clip", smoke=True))
    run = Run(start_run(config, tmp_path, lambda status: None))
    gates = run.task(0).gates["blocks"]
    assert len(gates["active"]) == gates["budget"] == round(0.0625 * len(gates["scores"]))
    (kept,), shifts = run.metrics["retention"], run.metrics["shifts"]
    assert main(["show", run.name, "--runs", str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    assert f"{kept['knn_before']:.3f} → {kept['knn_after']:.3f}" in shown and "its own, neighbours" in shown
    assert all(f"{value:.3f}" in shown for name in ("none", "jpeg") for value in shifts[name])


def test_a_preset_runs_from_the_command_line_and_flags_go_before_it(tmp_path, capsys):
    words = ["train", "--preset", "imagenet-r-5", "--smoke", "--epochs", "1", "--runs", str(tmp_path), "--json"]
    assert main(words) == 0
    capsys.readouterr()
    (run,) = list_runs(tmp_path)
    assert run.manifest.title == "imagenet-r-5" and len(run.manifest.tasks) == 5
    assert run.manifest.config["training"]["epochs"] == 1 and run.manifest.config["training"]["batch_size"] == 8
    assert run.manifest.config["retrieval"]["mode"] == "likelihood"


def test_presets_are_listed_with_cost_and_sources(capsys):
    assert main(["presets", "--json"]) == 0
    listed = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert list(listed) == NAMES
    assert all(0 < row["gpu_minutes"] < 60 for row in listed.values())
    assert listed["split-cifar100-20"]["gpu_minutes"] > listed["split-cifar100-10"]["gpu_minutes"]
    for row in listed.values():
        assert row["reported"].startswith(("reported", "not at hand")) and "arXiv" in row["reported"]
    assert main(["presets"]) == 0
    assert "imagenet-r-20" in capsys.readouterr().out


def test_mistakes_are_answered_in_a_line(tmp_path, capsys):
    with pytest.raises(UserError, match="split-cifar100-10"):
        preset("split-cifar-10")
    for words, told in (
        (["--preset", "imagenet-r-10"], "--stream PATH"),
        (["--smoke"], "--preset"),
        (["--resume", "x", "--preset", "vtab-5"], "leave the other flags out"),
    ):
        assert main(["train", *words, "--runs", str(tmp_path)]) == 2
        assert told in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
