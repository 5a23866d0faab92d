"""Curves from what a run has told."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from app.reading import progress
from app.reading.progress import AccuracyPoint, LossPoint, accuracy_curves, headline, loss_curve
from core.runs.schema import Status


def loss(task: int, step: int, value: float = 1.0, steps: int = 10) -> dict:
    return {"kind": "loss", "task": task, "step": step, "steps": steps, "loss": value}


def test_steps_count_on_over_tasks_and_the_last_word_counts():
    told = [loss(0, 0), loss(0, 5, 0.5), {"kind": "phase"}, loss(1, 0, 3.0), loss(1, 5, 2.0), loss(1, 0, 2.5)]
    assert loss_curve(told) == [LossPoint(0, 0, 1), LossPoint(5, 0, 0.5), LossPoint(10, 1, 2.5), LossPoint(15, 1, 2)]


def test_nothing_told_is_no_curve():
    assert loss_curve([]) == []
    assert loss_curve([loss(0, 0)]) == [LossPoint(0, 0, 1)]
    assert loss_curve([{"kind": "loss", "task": 0, "step": 0, "steps": 5, "loss": None}]) == []
    assert accuracy_curves([]) == []


@given(st.integers(1, 5000))
def test_long_curves_are_thinned_and_keep_their_end(count):
    points = loss_curve([loss(0, step, steps=count) for step in range(count)])
    assert len(points) <= progress.MOST_POINTS + 1
    assert points[0].step == 0
    assert points[-1].step == count - 1
    steps = [point.step for point in points]
    assert steps == sorted(set(steps))


def test_accuracy_is_of_each_task_after_each():
    told = [
        {"kind": "task", "task": 0, "accuracy": [0.9], "task_aware": [1.0]},
        {"kind": "task", "task": 1, "accuracy": [0.5, None], "task_aware": [1.0, 1.0]},
    ]
    assert accuracy_curves(told) == [AccuracyPoint(1, 0, 0.9), AccuracyPoint(2, 0, 0.5)]
    assert len(accuracy_curves(told, "task_aware")) == 3


def test_the_headline_says_where_it_is():
    assert headline(Status(state="queued")).startswith("Starting")
    training = Status(state="running", phase="train", task=1, tasks=5, step=30, steps=45, message="loss 0.123")
    assert headline(training) == "Task 2 of 5 · training · step 30 of 45 · loss 0.123"
    assert headline(Status(state="running", phase="project", task=4, tasks=5)) == "Task 5 of 5 · drawing the map"


def test_events_are_read_again_when_there_are_more(tmp_path):
    assert progress.events(tmp_path) == []
    file = tmp_path / "events.jsonl"
    file.write_text('{"kind": "start"}\n')
    assert len(progress.events(tmp_path)) == 1
    with file.open("a") as more:
        more.write('{"kind": "end"}\n{"kin')
    assert [event["kind"] for event in progress.events(tmp_path)] == ["start", "end"]


def test_the_end_of_a_log(tmp_path):
    (tmp_path / "log.txt").write_text("\n".join(map(str, range(100))))
    assert progress.last_lines(tmp_path / "log.txt", 3) == "97\n98\n99"
    assert progress.last_lines(tmp_path / "none.txt") == ""
