"""Slices of a run's test images: by task, class, component, margin, and by what became of an answer over task time.

A slice is what the address of the page says: `parse` reads it, `address` writes it, `rows` chooses the images.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, Self, cast

import numpy as np

from app.reading.tables import Predictions

Fate = Literal["right", "wrong", "forgotten", "recovered"]

FATES: dict[Fate, str] = {
    "right": "Never wrong",
    "wrong": "Always wrong",
    "forgotten": "Forgotten: right once, wrong now",
    "recovered": "Recovered: wrong once, right now",
}


@dataclass(frozen=True, eq=False)
class History:
    """What became of the answer for each image, (n,) each; image numbers ascend."""

    image: np.ndarray
    fate: np.ndarray
    """str, one of FATES."""
    since: np.ndarray
    """int: the task after which the present spell of wrong answers began; −1 for an image that is answered rightly."""
    first_wrong: np.ndarray
    """int: the task after which it was first answered wrongly; −1 for one that never was."""

    def of(self, images: np.ndarray) -> History:
        """The history of `images`, in their order; each must be known."""
        rows = np.searchsorted(self.image, images)
        return History(self.image[rows], self.fate[rows], self.since[rows], self.first_wrong[rows])


def history(answers: Predictions, task: int) -> History:
    """The history of every test image up to what was measured after `task`."""
    seen = answers.where(answers.after_task <= task)
    order = np.lexsort((seen.after_task, seen.image))
    image, after = seen.image[order], seen.after_task[order].astype(np.int64)
    wrong = (seen.predicted != seen.label)[order]
    known, start, count = np.unique(image, return_index=True, return_counts=True)
    last = start + count - 1
    ever_wrong = np.logical_or.reduceat(wrong, start) if len(start) else np.empty(0, bool)
    ever_right = np.logical_or.reduceat(~wrong, start) if len(start) else np.empty(0, bool)
    now_wrong = wrong[last]
    fate = np.where(now_wrong, np.where(ever_right, "forgotten", "wrong"), np.where(ever_wrong, "recovered", "right"))
    places = np.arange(len(image))
    # The row after the last right answer of each image: from there on it has been wrong.
    last_right = _reduced(np.maximum, np.where(wrong, -1, places), start)
    since = np.where(now_wrong, after[np.minimum(np.maximum(last_right + 1, start), last)], -1)
    first = _reduced(np.minimum, np.where(wrong, places, len(image)), start)
    first_wrong = np.where(ever_wrong, after[np.minimum(first, last)], -1)
    return History(known, fate, since, first_wrong)


def _reduced(reduce: np.ufunc, values: np.ndarray, start: np.ndarray) -> np.ndarray:
    return reduce.reduceat(values, start) if len(start) else np.empty(0, np.int64)


@dataclass(frozen=True)
class Slice:
    """Which test images are meant; None leaves a property open. All numbers count from 0."""

    task: int | None = None
    """True task."""
    retrieved: int | None = None
    label: int | None = None
    """True class."""
    predicted: int | None = None
    """Answered class."""
    component: int | None = None
    """Of the retrieved task."""
    least: float | None = None
    """Margin of the best task over the second best, from here …"""
    most: float | None = None
    """… to here."""
    fate: Fate | None = None
    since: int | None = None
    """The task after which the present spell of wrong answers began."""

    @classmethod
    def parse(cls, parameters: Mapping[str, str]) -> Self:
        """From an address; what is not understood is left open.

        `cell` is true task and retrieved task, `pair` true class and answered class, `margin` least and most; in each
        of them one side may be missing ("3-" is all of task 3).
        """
        task, retrieved = _two(parameters.get("cell", ""))
        label, predicted = _two(parameters.get("pair", ""))
        least, _, most = str(parameters.get("margin", "")).partition("-")
        fate = parameters.get("fate", "")
        return cls(
            task,
            retrieved,
            label,
            predicted,
            _whole(parameters.get("component", "")),
            _number(least),
            _number(most),
            cast(Fate, fate) if fate in FATES else None,
            _whole(parameters.get("since", "")),
        )

    def address(self) -> dict[str, str | None]:
        """What `parse` reads; None takes a key out of an address."""
        return {
            "cell": _joined(self.task, self.retrieved),
            "pair": _joined(self.label, self.predicted),
            "component": _joined(self.component),
            "margin": _joined(self.least, self.most),
            "fate": self.fate,
            "since": _joined(self.since),
        }

    def within(self, tasks: int, classes: int) -> Self:
        """The same slice, open in what a run of so many tasks and classes does not have."""
        limits = {"task": tasks, "retrieved": tasks, "since": tasks, "label": classes, "predicted": classes}
        return self.without(*(name for name, limit in limits.items() if (getattr(self, name) or 0) >= limit))

    def without(self, *names: str) -> Self:
        """The same slice with some properties left open."""
        return replace(self, **dict.fromkeys(names))

    @property
    def chosen(self) -> tuple[str, ...]:
        """The names of the properties that are not open."""
        return tuple(name for name, value in vars(self).items() if value is not None)

    def rows(self, answers: Predictions, past: History) -> np.ndarray:
        """bool (n,): which of `answers`, one row per image, are in the slice. `past` knows each of their images."""
        inside = np.ones(len(answers), bool)
        exact = {
            "task": answers.task,
            "retrieved": answers.retrieved_task,
            "label": answers.label,
            "predicted": answers.predicted,
            "component": answers.nearest_component,
        }
        if self.fate is not None or self.since is not None:
            own = past.of(answers.image)
            exact |= {"fate": own.fate, "since": own.since}
        for name, values in exact.items():
            wanted = getattr(self, name)
            if wanted is not None:
                inside &= values == wanted
        if self.least is not None:
            inside &= answers.margin >= self.least
        if self.most is not None:
            inside &= answers.margin <= self.most
        return inside


def _two(text: str) -> tuple[int | None, int | None]:
    first, _, second = str(text).partition("-")
    return _whole(first), _whole(second)


def _whole(text: str) -> int | None:
    return int(text) if str(text).isdecimal() and len(text) < 9 else None


def _joined(*values: float | None) -> str | None:
    if all(value is None for value in values):
        return None
    return "-".join("" if value is None else f"{value:g}" for value in values)


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if np.isfinite(value) and value >= 0 else None
