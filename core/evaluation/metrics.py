"""Accuracy, forgetting and retrieval as pure functions of accuracy matrices or of a predictions table.

A matrix is float (T, T): a[t, i] is the accuracy on task i after task t was learned, NaN where it was not measured.
A metric is NaN when something it needs was not measured, never a mean over whatever happens to be there. Tasks that
were measured nowhere, because they have no test images, are left out of the means.

Sources: forgetting is Chaudhry et al. 2018, backward and forward transfer are GEM (Lopez-Paz and Ranzato 2017).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

RECALL_RANKS = (1, 2, 3, 5)


def final_accuracy(a: np.ndarray) -> float:
    """Mean over tasks of the accuracy after the last task; each task weighs the same, whatever its size."""
    return _strict_mean(a[-1, _with_images(a)])


def average_incremental_accuracy(a: np.ndarray) -> float:
    """Mean over t of the mean accuracy on the tasks 0..t seen after task t."""
    seen = [np.flatnonzero(_with_images(a)[: t + 1]) for t in range(len(a))]
    return _strict_mean(np.array([_strict_mean(a[t, tasks]) for t, tasks in enumerate(seen) if len(tasks)]))


def best_earlier(a: np.ndarray) -> np.ndarray:
    """(T,) the best accuracy on each task after any task but the last; NaN for the last task or if not measured."""
    earlier = np.where(np.isnan(a[:-1]), -np.inf, a[:-1])
    best = earlier.max(axis=0, initial=-np.inf)
    best[-1] = -np.inf
    return np.where(np.isfinite(best), best, np.nan)


def forgetting_by_task(a: np.ndarray) -> np.ndarray:
    """(T,) `best_earlier` minus the final accuracy; negative where the last task helped; NaN for the last task."""
    return best_earlier(a) - a[-1]


def forgetting(a: np.ndarray) -> float:
    """Mean over all tasks but the last of `forgetting_by_task`; negative where the last task helped more."""
    return _strict_mean(forgetting_by_task(a)[_with_images(a)][: _earlier(a)])


def backward_transfer(a: np.ndarray) -> float:
    """Mean over all tasks but the last of the final accuracy minus the accuracy just after learning the task."""
    return _strict_mean((a[-1] - np.diagonal(a))[_with_images(a)][: _earlier(a)])


def forward_transfer(a: np.ndarray, b: np.ndarray) -> float:
    """Mean over all tasks but the first of the accuracy just before learning the task, minus the untrained model's.

    `b` is (T,), the accuracies before anything was learned: measure them then, not on a trained model.
    """
    before = np.append(np.nan, np.diagonal(a, offset=1))
    return _strict_mean((before - b)[1:][_with_images(a)[1:]])


def oracle_gap(class_incremental: np.ndarray, task_aware: np.ndarray) -> float:
    """Task-aware minus class-incremental final accuracy: what having to find the task costs."""
    return final_accuracy(task_aware) - final_accuracy(class_incremental)


def task_ranks(scores: np.ndarray, tasks: np.ndarray) -> np.ndarray:
    """(n,) how many tasks were ranked before the true one; equal scores go to the lower task, as in argmax.

    scores: (n, T), higher is better, -inf or NaN for a task not considered. tasks: (n,) true tasks. A true task that
    was not considered ranks T.
    """
    own = np.take_along_axis(scores, tasks[:, None], axis=1)
    lower = np.arange(scores.shape[1]) < tasks[:, None]
    ranks = ((scores > own) | ((scores == own) & lower)).sum(axis=1)
    considered = ~np.isnan(own[:, 0]) & (own[:, 0] != -np.inf)
    return np.where(considered, ranks, scores.shape[1])


def batch_retrieval(scores: np.ndarray, tasks: np.ndarray, size: int) -> float:
    """Share of images sent to the right task when `size` images known to be of one task are judged together.

    scores: (n, T), log-likelihoods. tasks: (n,) true tasks. A batch is made of consecutive images of one task, and the
    sum of their scores picks the task for all of them: transductive, and not comparable with one image at a time.
    """
    found = 0
    for task in np.unique(tasks):
        rows = np.flatnonzero(tasks == task)
        for batch in np.split(rows, range(size, len(rows), size)):
            found += len(batch) * int(scores[batch].sum(axis=0).argmax() == task)
    return found / len(tasks) if len(tasks) else float("nan")


def recall_at_k(scores: np.ndarray, tasks: np.ndarray, k: int) -> float:
    """Share of images whose true task is among the k best scores; see `task_ranks`. NaN without images."""
    return _strict_mean(task_ranks(scores, tasks) < min(k, scores.shape[1]))


def retention(before: float, after: float) -> float:
    """Share of `before` that is left: after / before, for accuracy on data the model was not trained on."""
    return after / before if before > 0 else float("nan")


def matrices(predictions: pa.Table, tasks: int) -> dict[str, np.ndarray]:
    """The accuracy matrices 'class_incremental', 'task_aware' and 'retrieval', each float (tasks, tasks).

    Counts test images without a shift. Raises ValueError for a task number outside 0..tasks-1, or tasks < 1.
    """
    rows = _Rows(predictions, tasks)
    return {name: _shares(rows, right, tasks) for name, right in rows.outcomes().items()}


def confusion(true: np.ndarray, retrieved: np.ndarray, tasks: int) -> np.ndarray:
    """int (tasks, tasks): images of each true task (row) sent to each task (column); a negative task is none."""
    sent = retrieved >= 0
    return np.bincount(true[sent] * tasks + retrieved[sent], minlength=tasks * tasks).reshape(tasks, tasks)


def summary(predictions: pa.Table, tasks: int, shortlist: int = 1) -> dict[str, Any]:
    """Every metric of a run's predictions as JSON: None stands for what was not measured.

    Recall is given at RECALL_RANKS and at `shortlist`, the number of tasks whose adapters run for an image.

    Plain keys are means over tasks; keys that end in `_pooled` are shares of images. They differ when tasks differ in
    size. Counts test images without a shift. Raises ValueError for a task number outside 0..tasks-1, or tasks < 1.
    """
    rows = _Rows(predictions, tasks)
    outcomes = rows.outcomes()
    measured = {name: _shares(rows, right, tasks) for name, right in outcomes.items()}
    a, aware, retrieval = measured["class_incremental"], measured["task_aware"], measured["retrieval"]
    last = rows.after == tasks - 1
    values = {
        "tasks": tasks,
        "images": int(last.sum()),
        "predictions": len(last),
        "final_accuracy": final_accuracy(a),
        "final_accuracy_pooled": _strict_mean(outcomes["class_incremental"][last]),
        "task_aware_accuracy": final_accuracy(aware),
        "task_aware_accuracy_pooled": _strict_mean(outcomes["task_aware"][last]),
        "retrieval_accuracy": final_accuracy(retrieval),
        "retrieval_accuracy_pooled": _strict_mean(outcomes["retrieval"][last]),
        "average_incremental_accuracy": average_incremental_accuracy(a),
        "forgetting": forgetting(a),
        "backward_transfer": backward_transfer(a),
        "oracle_gap": oracle_gap(a, aware),
        **_recalls(rows, last, tasks, sorted({*RECALL_RANKS, min(shortlist, tasks)})),
        **_mistakes(rows, last),
        "matrices": measured,
        "per_task": _per_task(rows, last, measured),
        "confusion": confusion(rows.task[last], rows.retrieved[last], tasks),
    }
    return {key: _plain(value) for key, value in values.items()}


class _Rows:
    """The columns of the rows that count, as arrays."""

    def __init__(self, predictions: pa.Table, tasks: int) -> None:
        if tasks < 1:
            raise ValueError(f"a run has at least one task, not {tasks}")
        counted = pc.and_(_is(predictions, "split", "test"), _is(predictions, "shift", "none"))
        table = predictions.filter(counted)
        self.after = _integers(table, "after_task")
        self.task = _integers(table, "task")
        self.label = _integers(table, "label")
        self.retrieved = _integers(table, "retrieved_task")
        self.predicted = _integers(table, "predicted")
        self.given_task = _integers(table, "predicted_given_task")
        self.scores = table["scores"]
        for column, least in ((self.after, 0), (self.task, 0), (self.retrieved, -1)):
            if len(column) and not (least <= column.min() and column.max() < tasks):
                raise ValueError(f"predictions name tasks {column.min()} to {column.max()}, but there are {tasks}")

    def outcomes(self) -> dict[str, np.ndarray]:
        """(n,) 1 for right, 0 for wrong; all NaN where the method never answers (every value is negative)."""
        return {
            "class_incremental": (self.predicted == self.label).astype(float),
            "task_aware": _right(self.given_task, self.label),
            "retrieval": _right(self.retrieved, self.task),
        }


def _right(answer: np.ndarray, truth: np.ndarray) -> np.ndarray:
    return (answer == truth).astype(float) if (answer >= 0).any() else np.full(len(answer), np.nan)


def _shares(rows: _Rows, right: np.ndarray, tasks: int) -> np.ndarray:
    cell = rows.after * tasks + rows.task
    images = np.bincount(cell, minlength=tasks * tasks)
    hits = np.bincount(cell, weights=right, minlength=tasks * tasks)
    shares = np.divide(hits, images, out=np.full(tasks * tasks, np.nan), where=images > 0)
    return shares.reshape(tasks, tasks)


def _recalls(rows: _Rows, last: np.ndarray, tasks: int, ranks: Sequence[int]) -> dict[str, float]:
    """Recall at each of `ranks`, as a mean over tasks and pooled; NaN where there is no score for every task."""
    scores, true = _score_matrix(rows.scores.filter(pa.array(last)), tasks), rows.task[last]
    values: dict[str, float] = {}
    for k in ranks:
        parts, whole = [float("nan")], float("nan")
        if scores is not None and k <= tasks:
            parts = [recall_at_k(scores[true == task], true[true == task], k) for task in np.unique(true)]
            whole = recall_at_k(scores, true, k)
        values |= {f"recall_at_{k}": _strict_mean(np.array(parts)), f"recall_at_{k}_pooled": whole}
    return values


def _score_matrix(column: pa.ChunkedArray, tasks: int) -> np.ndarray | None:
    lengths = pc.fill_null(pc.list_value_length(column), 0)
    if not len(column) or not pc.all(pc.equal(lengths, tasks)).as_py():
        return None
    flat = pc.list_flatten(column).to_numpy(zero_copy_only=False)
    return flat.astype(float).reshape(len(column), tasks)


def _mistakes(rows: _Rows, last: np.ndarray) -> dict[str, float | int]:
    """How many final answers are wrong; the share of them with the wrong task, and the share that would have been right
    had the task been given."""
    wrong = last & (rows.predicted != rows.label)
    outcomes = rows.outcomes()
    return {
        "mistakes": int(wrong.sum()),
        "mistakes_from_wrong_task": _strict_mean(1 - outcomes["retrieval"][wrong]),
        "mistakes_right_given_task": _strict_mean(outcomes["task_aware"][wrong]),
    }


def _per_task(rows: _Rows, last: np.ndarray, measured: dict[str, np.ndarray]) -> list[dict[str, Any]]:
    a = measured["class_incremental"]
    columns = {
        "task": np.arange(len(a)),
        "images": np.bincount(rows.task[last], minlength=len(a)),
        "learned_accuracy": np.diagonal(a),
        "final_accuracy": a[-1],
        "task_aware_accuracy": measured["task_aware"][-1],
        "retrieval_accuracy": measured["retrieval"][-1],
        "best_earlier": best_earlier(a),
        "forgetting": forgetting_by_task(a),
    }
    return [{name: values[task].item() for name, values in columns.items()} for task in range(len(a))]


def _with_images(a: np.ndarray) -> np.ndarray:
    """(T,) whether the task was measured at all; if none was, every task counts (and every mean is NaN)."""
    measured: np.ndarray = ~np.isnan(a).all(axis=0)
    return measured if measured.any() else np.ones(len(a), dtype=bool)


def _earlier(a: np.ndarray) -> int:
    """How many tasks with images come before the last task."""
    return int(_with_images(a)[:-1].sum())


def _strict_mean(values: np.ndarray) -> float:
    """The mean; NaN when a value is missing or there is none."""
    return float(np.mean(values)) if len(values) else float("nan")


def _is(table: pa.Table, column: str, value: str) -> pa.ChunkedArray:
    return pc.equal(table[column].cast(pa.string()), value)


def _integers(table: pa.Table, column: str) -> np.ndarray:
    return np.asarray(table[column].to_numpy(zero_copy_only=False), dtype=np.int64)


def _plain(value: Any) -> Any:
    """`value` with arrays as lists and NaN as None."""
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and np.isnan(value) else value
