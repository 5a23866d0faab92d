"""What a run answers for images of classes that it never learned: to which task it sends them, and how surely."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from app.reading.cards import RunCard, stamp
from core.runs.schema import LATER_COLUMNS
from core.runs.store import Run


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Images of held-out classes, (n,) each; no answer to them is right."""

    classes: tuple[str, ...]
    label: np.ndarray
    """int, position in `classes`."""
    name: np.ndarray
    sheet: np.ndarray
    cell: np.ndarray
    retrieved_task: np.ndarray
    predicted: np.ndarray
    """int, a learned class."""
    margin: np.ndarray
    """Lead of the best task over the second best."""

    def __len__(self) -> int:
        return len(self.label)

    def counts(self, tasks: int) -> np.ndarray:
        """int (held-out classes, tasks): how many images of each class are sent to each task."""
        cells = self.label.astype(np.int64) * tasks + self.retrieved_task
        return np.bincount(cells, minlength=len(self.classes) * tasks).reshape(len(self.classes), tasks)

    def rows(self, label: int | None, task: int | None) -> np.ndarray:
        """The images of a class that are sent to a task, the surest first; None is any."""
        inside = np.ones(len(self), bool)
        if label is not None:
            inside &= self.label == label
        if task is not None:
            inside &= self.retrieved_task == task
        rows = np.flatnonzero(inside)
        return rows[np.argsort(-self.margin[rows], kind="stable")]


def held_out(card: RunCard) -> HeldOut | None:
    """None where no class was held out, and for a run made before such answers were recorded.

    Raises UserError when the table is damaged.
    """
    return _read(card.folder, stamp(card.folder))


@lru_cache(maxsize=8)
def _read(folder: Path, changed: int) -> HeldOut | None:
    run = Run(folder)
    table = run.held_out()
    if not len(table) or any(table[name].null_count for name in LATER_COLUMNS["held_out"]):
        return None
    numbers = ("label", "sheet", "cell", *LATER_COLUMNS["held_out"])
    columns = {name: table[name].to_numpy() for name in numbers}
    return HeldOut(tuple(run.metrics["dial"]["classes"]), name=np.array(table["name"].to_pylist()), **columns)
