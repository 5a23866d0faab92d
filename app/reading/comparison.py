"""Two or more runs beside each other: settings and numbers that differ, and who is right on which image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from app.reading.accuracy import right
from app.reading.tables import Images, Predictions


class Measure(NamedTuple):
    """A number of metrics.json by the name that people see."""

    key: str
    title: str
    unit: str
    """'share', 'bytes', 'flops', 'seconds', 'milliseconds' or 'count'."""
    better: int
    """1 where more is better, −1 where less is."""


MEASURES = (
    Measure("final_accuracy", "Final accuracy", "share", 1),
    Measure("average_incremental_accuracy", "Average incremental accuracy", "share", 1),
    Measure("forgetting", "Forgetting", "share", -1),
    Measure("retrieval_accuracy", "Right task retrieved", "share", 1),
    Measure("task_aware_accuracy", "Accuracy with the task given", "share", 1),
    Measure("oracle_gap", "Lost to retrieval", "share", -1),
    Measure("mistakes", "Mistakes", "count", -1),
    Measure("train_seconds", "Training time", "seconds", -1),
    Measure("flops_per_image", "Work for an answer", "flops", -1),
    Measure("milliseconds_per_image", "Time for an answer", "milliseconds", -1),
    Measure("bytes_per_task", "Kept for a task", "bytes", -1),
    Measure("shared_bytes", "Kept for all tasks together", "bytes", -1),
)


@dataclass(frozen=True)
class Row:
    """One measure over the runs; None where a run has none."""

    measure: Measure
    values: tuple[float | None, ...]
    best: tuple[bool, ...]
    spread: float
    """How far apart the runs are, as a share of the largest value: what differs most stands first."""


def measures(metrics: Sequence[Mapping[str, Any]]) -> tuple[list[Row], list[Row]]:
    """The measures that differ, those of one unit ordered by how much; and the measures that are equal for all runs."""
    rows = [_row(measure, [found.get(measure.key) for found in metrics]) for measure in MEASURES]
    known = [row for row in rows if any(value is not None for value in row.values)]
    differ = [row for row in known if len(set(row.values)) > 1]
    shares = sorted((row for row in differ if row.measure.unit == "share"), key=lambda row: -row.spread)
    others = [row for row in differ if row.measure.unit != "share"]
    return shares + others, [row for row in known if len(set(row.values)) == 1]


def _row(measure: Measure, values: Sequence[Any]) -> Row:
    kept = [float(v) if isinstance(v, int | float) else None for v in values]
    there = [v for v in kept if v is not None]
    top = (max(there) if measure.better > 0 else min(there)) if len(set(kept)) > 1 and len(there) > 1 else None
    spread = (max(there) - min(there)) if there else 0.0
    return Row(measure, tuple(kept), tuple(v is not None and v == top for v in kept), spread)


def told(value: float | None, unit: str) -> str:
    """A measured value for people."""
    if value is None:
        return "–"
    if unit == "share":
        return f"{value:.1%}"
    if unit == "seconds":
        return f"{value:.0f} s" if value >= 10 else f"{value:.1f} s"
    if unit == "milliseconds":
        return f"{value:.1f} ms"
    if unit == "count":
        return f"{value:,.0f}"
    return _scaled(value, "B" if unit == "bytes" else "FLOP")


def _scaled(value: float, unit: str) -> str:
    for prefix in ("", "k", "M", "G"):
        if abs(value) < 1000:
            return f"{value:.3g} {prefix}{unit}"
        value /= 1000
    return f"{value:,.3g} T{unit}"


PROBES = {
    "readout": "A classifier fitted before",
    "zero_shot": "Answers in words",
    "knn": "Nearest neighbours, anew",
}
"""The ways of asking about held-out classes (core.evaluation.retention), named for people, best for a plot first."""


class Kept(NamedTuple):
    """What a run gained on the classes it learned, and lost on those it never saw."""

    gained: float
    """Mean over tasks of what a task's own test images gained when it was learned, by nearest neighbours."""
    lost: dict[str, float]
    """By probe, of `PROBES`: what the held-out classes lost by the last task; negative where they gained."""


def kept(metrics: Mapping[str, Any]) -> Kept | None:
    """Read from metrics.json; None for a run without held-out classes."""
    told = metrics.get("retention")
    entries = [entry for entry in told if isinstance(entry, Mapping)] if isinstance(told, list) else []
    gains = [gain for gain in (_moved(entry, "own") for entry in entries) if gain is not None]
    changes = {probe: _moved(entries[-1], probe) for probe in PROBES} if entries else {}
    lost = {probe: -change for probe, change in changes.items() if change is not None}
    return Kept(sum(gains) / len(gains), lost) if gains and lost else None


def _moved(entry: Mapping[str, Any], name: str) -> float | None:
    """After minus before, of one accuracy."""
    ends = [entry.get(f"{name}_{when}") for when in ("after", "before")]
    if any(not isinstance(end, int | float) or not 0 <= end <= 1 for end in ends):
        return None
    return float(ends[0] - ends[1])


def settings(configs: Sequence[Mapping[str, Any]]) -> tuple[dict[str, list[str]], int]:
    """The settings that differ, by dotted name with a text for each run; and how many are the same."""
    flat = [_flat(config) for config in configs]
    names = sorted({name for config in flat for name in config})
    rows = {name: [config.get(name, "–") for config in flat] for name in names}
    differ = {name: values for name, values in rows.items() if len(set(values)) > 1}
    return differ, len(rows) - len(differ)


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    found: dict[str, str] = {}
    for key, value in values.items():
        name = f"{prefix}{key}"
        found |= _flat(value, f"{name}.") if isinstance(value, Mapping) else {name: _said(value)}
    return found


def _said(value: Any) -> str:
    if value is None:
        return "default"
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


OUTCOMES = ("both", "first", "second", "neither")
"""Who is right."""


@dataclass(frozen=True, eq=False)
class SameImages:
    """The test images that two runs both answered, (n,) each."""

    first: Predictions
    second: Predictions
    """Row i of both is the same image, under each run's own number."""
    outcome: np.ndarray
    """int, a position in OUTCOMES."""

    def counts(self) -> dict[str, int]:
        return {name: int((self.outcome == code).sum()) for code, name in enumerate(OUTCOMES)}


def same_images(
    first: tuple[Predictions, Images], second: tuple[Predictions, Images], kind: str = "class_incremental"
) -> SameImages:
    """Match two runs' answers by the images' names, and say who is right: the task unknown, given, or its retrieval.

    A name that stands for several images is left out: it cannot be told which is which.
    """
    rows = [_by_name(*run) for run in (first, second)]
    shared = [name for name in rows[0] if name in rows[1]]
    one, two = (
        answers.where(np.array([by[name] for name in shared], np.intp))
        for by, (answers, _) in zip(rows, (first, second), strict=True)
    )
    outcome = 2 * ~right(one, kind) + ~right(two, kind)  # both, first alone, second alone, neither
    return SameImages(one, two, outcome)


def _by_name(answers: Predictions, images: Images) -> dict[str, int]:
    """Name → row, of the names that are only one test image's."""
    tests = images.name[images.split == "test"]
    known, count = np.unique(tests, return_counts=True)
    clear = set(known[count == 1].tolist())
    names = images.name[answers.image].tolist()
    return {name: row for row, name in enumerate(names) if name in clear}
