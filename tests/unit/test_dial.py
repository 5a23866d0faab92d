"""The dial: strength 0 is the frozen model, the run's own strength gives the run's own figures, and all is kept."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as some

from core.errors import UserError
from core.evaluation.dial import strengths
from core.runs.schema import LATER_COLUMNS
from core.runs.share import export_run, import_run
from core.runs.sprites import read_thumbnail
from core.runs.store import Run
from core.training.run import resume_run, start_run
from tests.unit.test_retention import settings, trained
from tests.unit.test_training import folder  # noqa: F401  the fixture

MOVES = ("sequential", "selective-lora", "proteus", "taps", "lwf", "o-lora", "sd-lora", "joint")


@given(some.integers(0, 100), some.floats(0, 1))
def test_the_ends_the_steps_and_the_runs_own_strength_are_all_asked_at_once(steps: int, configured: float) -> None:
    found = strengths(steps, configured)
    assert list(found) == sorted(set(found)) and {0.0, configured} <= set(found)
    assert len(found) <= steps + 2 and (not steps or {step / steps for step in range(steps + 1)} <= set(found))


@pytest.mark.slow
@pytest.mark.parametrize("name", MOVES)
def test_no_strength_is_the_frozen_model_and_the_runs_own_gives_its_own_figures(folder, tmp_path, name):  # noqa: F811
    far = {"learning_rate": 0.2}  # the update is large: one that is left at strength 0 would be seen
    run = trained(folder, tmp_path, name, adapters={"strength": 0.7}, retention={"dial": 2}, training=far)
    dial, metrics, last = run.metrics["dial"], run.metrics, run.metrics["retention"][-1]
    assert dial["strengths"] == [0, 0.5, 0.7, 1] and dial["configured"] == 0.7
    for probe in ("readout", "knn"):
        assert dial[probe][0] == last[f"{probe}_before"], "nothing of the update is left at 0"
        assert dial[probe][2] == last[f"{probe}_after"]
    assert dial["class_incremental"][2] == pytest.approx(metrics["final_accuracy"])
    assert dial["task_aware"][2] == pytest.approx(metrics["task_aware_accuracy"])
    before = np.mean([task["own_before"] for task in metrics["retention"] if task])
    if name != "joint":  # which measures the gain of its last task alone
        assert dial["own"][0] == pytest.approx(before)
    if name == "sequential":
        assert dial["readout"][0] > dial["readout"][3], "the update moves what the dial turns"


def test_the_answers_of_every_held_out_image_are_kept_and_add_up(folder, tmp_path):  # noqa: F811
    run = trained(folder, tmp_path, retention={"dial": 4})
    table, dial = run.held_out(), run.metrics["dial"]
    label = table["label"].to_numpy()
    assert len(table) == len(set(table["image"].to_pylist())) and set(label) == {0, 1} == set(
        range(len(dial["classes"]))
    )
    for probe in ("readout", "knn"):
        answers = np.array(table[probe].to_pylist())
        assert answers.shape == (len(table), 5)
        assert (answers == label[:, None]).mean(axis=0).tolist() == pytest.approx(dial[probe])
    assert table["zero_shot"].to_pylist() == [[]] * len(table), "the backbone has no text tower"
    for name, count in (("retrieved_task", len(run.manifest.tasks)), ("predicted", len(run.manifest.class_names))):
        found = table[name].to_numpy()
        assert found.min() >= 0 and found.max() < count
    picture = read_thumbnail(run.folder / "held_out", table["sheet"][0].as_py(), table["cell"][0].as_py())
    assert np.asarray(picture).std() > 0


@pytest.mark.slow
def test_the_dial_changes_nothing_else_and_is_measured_by_a_resumed_run_too(folder, tmp_path):  # noqa: F811
    plain = trained(folder, tmp_path / "plain")
    turned = settings(folder, retention={"dial": 3})

    def stop(status):
        if status.phase == "train" and status.task == 1:
            raise KeyboardInterrupt

    whole = Run(start_run(turned, tmp_path / "whole", lambda status: None))
    with pytest.raises(KeyboardInterrupt):
        start_run(turned, tmp_path, stop, name="stopped")
    resumed = Run(resume_run(tmp_path / "stopped", lambda status: None))
    assert resumed.metrics["dial"] == whole.metrics["dial"] and resumed.held_out() == whole.held_out()
    assert whole.predictions() == plain.predictions() and plain.metrics["dial"]["strengths"] == [0, 1]
    assert whole.metrics["flops_per_image"] == plain.metrics["flops_per_image"]


def test_without_held_out_classes_there_is_no_dial(folder, tmp_path):  # noqa: F811
    run = trained(folder, tmp_path, stream={"held_out": 0}, retention={"dial": 4})
    assert run.metrics["dial"] is None and not len(run.held_out()) and not (run.folder / "held_out").exists()


def test_it_is_handed_on_and_a_strangers_is_checked(folder, tmp_path):  # noqa: F811
    run = trained(folder, tmp_path / "runs", retention={"dial": 2})
    there = import_run(export_run(run, tmp_path / "run.zip"), tmp_path / "theirs")
    assert there.held_out() == run.held_out() and (there.folder / "held_out" / "000.webp").exists()
    for name, change in (("short", {"strengths": [0, 1]}), ("unnamed", {"classes": ["one"]}), ("odd", None)):
        odd = tmp_path / "odd" / name
        shutil.copytree(run.folder, odd)
        metrics = json.loads((odd / "metrics.json").read_text())
        metrics["dial"] = change and {**metrics["dial"], **change}
        (odd / "metrics.json").write_text(json.dumps(metrics))
        with pytest.raises(UserError, match=r"held_out\.parquet"):
            import_run(export_run(Run(odd), tmp_path / f"{name}.zip"), tmp_path / "theirs", name)


def test_a_run_made_before_it_recorded_where_images_are_sent_still_opens_and_is_handed_on(folder, tmp_path):  # noqa: F811
    run = trained(folder, tmp_path / "runs")
    table = pq.read_table(run.folder / "held_out.parquet")
    pq.write_table(table.drop_columns(list(LATER_COLUMNS["held_out"])), run.folder / "held_out.parquet")
    there = import_run(export_run(run, tmp_path / "run.zip"), tmp_path / "theirs")
    assert there.held_out()["margin"].null_count == len(table) == len(there.held_out())
    pq.write_table(table.drop_columns(["label"]), run.folder / "held_out.parquet")
    with pytest.raises(UserError, match=r"held_out\.parquet"):
        run.held_out()


def test_a_class_of_the_task_that_an_image_is_sent_to_is_answered(folder, tmp_path):  # noqa: F811
    run = trained(folder, tmp_path, "proteus")
    table = run.held_out()
    task_of = {label: task for task, info in enumerate(run.manifest.tasks) for label in info.classes}
    assert [task_of[label] for label in table["predicted"].to_pylist()] == table["retrieved_task"].to_pylist()
