"""Accuracy matrices and the images behind their cells."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from app.reading import accuracy
from app.reading.tables import Predictions

NAN = float("nan")
JOINT = np.array([[NAN, NAN, NAN], [NAN, NAN, NAN], [0.5, 0.75, 1.0]])
WHOLE = np.array([[1.0, NAN, NAN], [0.5, 0.9, NAN], [0.25, 0.6, 0.95]])


def answers(rows: list[tuple[int, int, int, int, int, int, int]]) -> Predictions:
    """Rows of (after_task, image, task, label, retrieved_task, predicted, predicted_given_task)."""
    columns = np.array(rows, np.int64).reshape(-1, 7).T
    zero = np.zeros(len(rows))
    return Predictions(*columns, margin=zero, nearest_component=zero, offsets=np.arange(len(rows) + 1), values=zero)


def test_matrices_of_metrics_have_nan_for_none() -> None:
    kept = {"class_incremental": [[1.0, None], [0.5, 0.25]], "task_aware": [[None, None], [None, None]]}
    found = accuracy.matrices({"matrices": kept}, 2)
    assert list(found) == ["class_incremental"]
    assert np.array_equal(found["class_incremental"], [[1, NAN], [0.5, 0.25]], equal_nan=True)


@pytest.mark.parametrize("kept", [None, 3, {}, {"class_incremental": [[1], [1, 2]]}, {"class_incremental": "x"}])
def test_metrics_of_another_kind_have_no_matrices(kept: object) -> None:
    assert accuracy.matrices({"matrices": kept}, 2) == {}
    assert accuracy.matrices({}, 2) == {}


def test_the_row_shown_is_the_one_that_the_answers_are_of() -> None:
    assert [accuracy.measured_after(WHOLE, task) for task in range(3)] == [0, 1, 2]
    assert [accuracy.measured_after(JOINT, task) for task in range(3)] == [2, 2, 2]
    stopped = np.where(np.arange(3)[:, None] < 2, WHOLE, NAN)
    assert accuracy.measured_after(stopped, 2) == 1


def test_accuracy_on_what_was_seen() -> None:
    assert accuracy.seen_accuracy(WHOLE) == pytest.approx([1.0, 0.7, 0.6])
    assert accuracy.seen_accuracy(JOINT) == pytest.approx([NAN, NAN, 0.75], nan_ok=True)


def test_behind_a_cell_the_forgotten_images_come_first() -> None:
    rows = answers(
        [
            (0, 0, 0, 0, 0, 1, 1),  # wrong from the start
            (0, 1, 0, 0, 0, 0, 0),
            (0, 2, 0, 1, 0, 1, 1),
            (1, 0, 0, 0, 0, 1, 1),  # still wrong
            (1, 1, 0, 0, 1, 2, 0),  # forgotten: sent to the wrong task
            (1, 2, 0, 1, 0, 1, 1),
            (1, 3, 1, 2, 1, 2, 2),
        ]
    )
    found = accuracy.cell_images(rows, "class_incremental", after=1, task=0)
    assert (found.images, found.wrong.image.tolist(), found.forgotten, found.astray) == (3, [1, 0], 1, 1)
    aware = accuracy.cell_images(rows, "task_aware", after=1, task=0)
    assert (aware.wrong.image.tolist(), aware.forgotten) == ([0], 0)
    sent = accuracy.cell_images(rows, "retrieval", after=1, task=0)
    assert (sent.wrong.image.tolist(), sent.forgotten) == ([1], 1)
    new = accuracy.cell_images(rows, "class_incremental", after=0, task=0)
    assert (new.wrong.image.tolist(), new.forgotten) == ([0], 0)
    assert accuracy.cell_images(rows, "class_incremental", after=0, task=1).images == 0


def test_cells_agree_with_the_matrices_of_metrics(tmp_path: Path) -> None:
    from app.reading.cards import run_card
    from app.reading.tables import metrics, predictions
    from tests.app.learned_run import learned_run

    card = run_card(learned_run(tmp_path), recorded=False)
    for kind, a in accuracy.matrices(metrics(card), 2).items():
        for t, i in np.argwhere(~np.isnan(a)):
            found = accuracy.cell_images(predictions(card), kind, int(t), int(i))
            assert 1 - len(found.wrong) / found.images == pytest.approx(a[t, i]), (kind, t, i)


def test_answers_by_name() -> None:
    rows = answers([(1, 0, 0, 0, 1, 2, -1)])
    assert accuracy.answers(["a", "b", "c"], rows, "class_incremental") == ["c"]
    assert accuracy.answers(["a", "b", "c"], rows, "task_aware") == ["none"]
    assert accuracy.answers(["one", "two"], rows, "retrieval") == ["two"]
