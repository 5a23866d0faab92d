"""Accuracy over task time, from a run's metrics and answers. Matrices are float (T, T): a[t, i] is the accuracy on
task i after task t, NaN where it was not measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from app.reading.tables import Predictions

KINDS = {
    "class_incremental": "Task unknown",
    "task_aware": "Task given",
    "retrieval": "Right task retrieved",
}
"""The matrices of metrics.json, by the name that people see."""


def matrices(metrics: Mapping[str, Any], tasks: int) -> dict[str, np.ndarray]:
    """The matrices of KINDS that the run has, (tasks, tasks) each; a matrix of another shape is left out."""
    kept = metrics.get("matrices")
    found: dict[str, np.ndarray] = {}
    if not isinstance(kept, Mapping):
        return found
    for kind in KINDS:
        try:
            matrix = np.array(kept.get(kind), dtype=np.float64)  # None becomes NaN
        except (TypeError, ValueError):
            continue
        if matrix.shape == (tasks, tasks) and not np.isnan(matrix).all():
            found[kind] = matrix
    return found


def measured_after(a: np.ndarray, task: int) -> int:
    """The row to show for `task`: itself if measured, else the nearest later one, else the last (as in
    `Predictions.after`)."""
    rows = np.flatnonzero(~np.isnan(a).all(axis=1))
    if not len(rows):
        return len(a) - 1
    later = rows[rows >= task]
    return int(later[0] if len(later) else rows[-1])


def seen_accuracy(a: np.ndarray) -> np.ndarray:
    """(T,) mean accuracy on the tasks seen by then, after each task; tasks without test images are left out."""
    seen = [row[: t + 1][~np.isnan(row[: t + 1])] for t, row in enumerate(a)]
    return np.array([values.mean() if len(values) else np.nan for values in seen])


def right(rows: Predictions, kind: str) -> np.ndarray:
    """(n,) bool: which answers count as right in the matrix `kind`."""
    if kind == "retrieval":
        return rows.retrieved_task == rows.task
    return (rows.predicted_given_task if kind == "task_aware" else rows.predicted) == rows.label


def answers(names: Sequence[str], rows: Predictions, kind: str) -> list[str]:
    """The answer of each row: the retrieved task, or the class with the task given or unknown."""
    columns = {"retrieval": rows.retrieved_task, "task_aware": rows.predicted_given_task}
    numbers = columns.get(kind, rows.predicted)
    return [names[number] if 0 <= number < len(names) else "none" for number in numbers.tolist()]


@dataclass(frozen=True, eq=False)
class CellImages:
    """The images behind one cell of a matrix: those that are wrong there."""

    images: int
    """All test images of the task."""
    wrong: Predictions
    """The wrong ones, as answered then; images that were right just after their task was learned come first."""
    forgotten: int
    """How many of `wrong` were right just after their task was learned."""
    astray: int
    """How many of `wrong` were sent to a wrong task."""


def cell_images(rows: Predictions, kind: str, after: int, task: int) -> CellImages:
    """The mistakes on task `task` after task `after`, and which of them had been right when the task was learned."""
    then = rows.where((rows.after_task == after) & (rows.task == task))
    learned = rows.where((rows.after_task == task) & (rows.task == task))
    was_right = np.isin(then.image, learned.image[right(learned, kind)])
    wrong = ~right(then, kind)
    forgotten = wrong & was_right & (after > task)
    order = np.concatenate([np.flatnonzero(forgotten), np.flatnonzero(wrong & ~forgotten)])
    listed = then.where(order)
    astray = int((listed.retrieved_task != listed.task).sum())
    return CellImages(len(then), listed, int(forgotten.sum()), astray)
