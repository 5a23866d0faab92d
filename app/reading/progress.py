"""What a run has recorded so far, as curves: its loss by step, and its accuracy by task learned."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from core.runs.schema import Status
from core.runs.store import Run
from core.runs.turns import WAITING

MOST_POINTS = 600
"""Points of the loss curve at most; more cannot be seen."""

Event = Mapping[str, Any]

_PHASES = {
    "prepare": "reading images",
    "train": "training",
    "evaluate": "answering the test images",
    "project": "drawing the map",
    "finish": "writing the tables",
}

_STARTING = "Starting: loading the libraries, the model and the images"
_WAITING = "Waiting for another training to end"


@dataclass(frozen=True)
class LossPoint:
    """The loss at a step, counted over all tasks."""

    step: int
    task: int
    loss: float


@dataclass(frozen=True)
class AccuracyPoint:
    """The share of a task's test images answered right once `after` tasks were learned; tasks count from 0."""

    after: int
    task: int
    accuracy: float


def loss_curve(events: Iterable[Event]) -> list[LossPoint]:
    """The loss over the whole run, thinned to at most MOST_POINTS with the last kept.

    A step that is told twice, as after a resume, counts as told last.
    """
    told: dict[tuple[int, int], float] = {}
    lengths: dict[int, int] = {}
    for event in events:
        if event.get("kind") == "loss" and event.get("loss") is not None:
            task, step = int(event["task"]), int(event["step"])
            told[task, step] = float(event["loss"])
            lengths[task] = int(event.get("steps", 0))
    before = dict(
        zip(sorted(lengths), itertools.accumulate((lengths[t] for t in sorted(lengths)), initial=0), strict=False)
    )
    points = [LossPoint(before[task] + step, task, loss) for (task, step), loss in sorted(told.items())]
    return points[:: -(-len(points) // MOST_POINTS) or 1][:-1] + points[-1:]


def accuracy_curves(events: Iterable[Event], row: str = "accuracy") -> list[AccuracyPoint]:
    """Each learned task's accuracy after every task so far; with `row` 'accuracy' the task is unknown."""
    rows: dict[int, list[float | None]] = {}
    for event in events:
        if event.get("kind") == "task":
            rows[int(event["task"])] = list(event.get(row) or [])
    return [
        AccuracyPoint(after + 1, task, accuracy)
        for after, measured in sorted(rows.items())
        for task, accuracy in enumerate(measured)
        if accuracy is not None
    ]


def headline(status: Status) -> str:
    """Where an active run is, in words."""
    if status.state == "queued":
        return _WAITING if status.message == WAITING else _STARTING
    parts = [f"Task {status.task + 1} of {status.tasks}"] if status.tasks else []
    parts.append(_PHASES[status.phase])
    if status.steps:
        parts.append(f"step {min(status.step, status.steps):,} of {status.steps:,}" if status.phase == "train" else "")
    if status.phase == "train" and status.message.startswith("loss"):
        parts.append(status.message)
    return " · ".join(part for part in parts if part)


def events(folder: Path) -> list[dict[str, Any]]:
    """The events so far of the run in `folder`; read again only when there are more. Callers must not change them."""
    try:
        known = (folder / "events.jsonl").stat()
    except OSError:
        return []
    return _events(folder, known.st_mtime_ns, known.st_size)


@lru_cache(maxsize=8)
def _events(folder: Path, changed: int, size: int) -> list[dict[str, Any]]:
    return Run(folder).events()


def last_lines(path: Path, count: int = 40) -> str:
    """The end of a log; '' where there is none."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 20_000))
            return "\n".join(file.read().decode("utf-8", "replace").splitlines()[-count:])
    except OSError:
        return ""
