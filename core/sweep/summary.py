"""What a sweep found: means over seeds with 95% intervals, paired tests of groups on the same seeds, CSV and a figure.

The interval of a mean is Student's t on n - 1 degrees of freedom; two groups are compared by the paired t test on the
seeds that both have (Student 1908). p values are for one comparison each, not corrected for looking at many.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from core.errors import UserError
from core.files import replacing
from core.runs.files import read_json
from core.runs.liveness import true_status
from core.sweep.plan import Plan, axis_title, said

MEASURES = (
    "final_accuracy",
    "average_incremental_accuracy",
    "task_aware_accuracy",
    "retrieval_accuracy",
    "forgetting",
    "train_seconds",
    "bytes_per_task",
)
_CONFIDENCE = 0.95


@dataclass(frozen=True)
class Interval:
    """A mean over seeds; `half` is half the width of its 95% interval, NaN for a single seed."""

    mean: float
    half: float
    n: int

    def __str__(self) -> str:
        if self.n == 0:
            return "–"
        digits = 3 if abs(self.mean) < 10 else 0
        spread = "" if math.isnan(self.half) else f" ± {self.half:.{digits}f}"
        return f"{self.mean:,.{digits}f}{spread}"

    def points(self, sign: str = "") -> str:
        """A share in points, '1.7 ± 1.1', or '+1.7 ± 1.1' with the sign "+"; '–' where nothing was measured."""
        if self.n == 0:
            return "–"
        spread = "" if math.isnan(self.half) else f" ± {100 * self.half:.1f}"
        return f"{100 * self.mean:{sign}.1f}{spread}"


@dataclass(frozen=True)
class Paired:
    """How the second group differs from the first on the seeds that both have."""

    first: str
    second: str
    difference: Interval
    """Mean of first minus second."""
    p: float
    """The two-sided p value; NaN for fewer than two seeds, or when every difference is the same."""


@dataclass(frozen=True)
class Group:
    """The finished runs that differ by seed alone."""

    name: str
    metrics: dict[int, Mapping[str, Any]]
    """Seed → metrics.json."""

    def values(self, measure: str) -> dict[int, float]:
        """Seed → value, of the seeds that measured it."""
        found = {seed: metrics.get(measure) for seed, metrics in self.metrics.items()}
        return {seed: float(value) for seed, value in found.items() if isinstance(value, int | float)}

    def curves(self) -> np.ndarray:
        """(seeds, tasks) mean class-incremental accuracy over the tasks seen, after each task; NaN: not measured."""
        rows = [_curve(metrics) for metrics in self.metrics.values() if metrics.get("matrices")]
        width = max((len(row) for row in rows), default=0)
        return np.array([np.pad(row, (0, width - len(row)), constant_values=np.nan) for row in rows]).reshape(-1, width)


def interval(values: Sequence[float]) -> Interval:
    """Mean and 95% interval of `values`; NaN where there are too few."""
    from scipy.special import stdtrit  # scipy.stats has the same, and takes a second to import

    n = len(values)
    if n == 0:
        return Interval(math.nan, math.nan, 0)
    mean = float(np.mean(values))
    if n == 1:
        return Interval(mean, math.nan, 1)
    error = float(np.std(values, ddof=1)) / math.sqrt(n)
    return Interval(mean, float(stdtrit(n - 1, (1 + _CONFIDENCE) / 2)) * error, n)


def paired(first: Group, second: Group, measure: str = "final_accuracy") -> Paired:
    """The paired t test of two groups on the seeds that both have."""
    from scipy import stats

    one, two = first.values(measure), second.values(measure)
    differences = np.array([one[seed] - two[seed] for seed in sorted(set(one) & set(two))])
    p = math.nan
    if len(differences) > 1 and np.ptp(differences) > 0:
        p = float(stats.ttest_1samp(differences, 0.0).pvalue)
    return Paired(first.name, second.name, interval(differences.tolist()), p)


def groups(plan: Plan, runs: Path) -> list[Group]:
    """The finished runs of the plan in groups, in the plan's order; groups without a finished run are there too."""
    found: dict[str, dict[int, Mapping[str, Any]]] = {}
    for run in plan.runs:
        members = found.setdefault(run.group, {})
        folder = runs / run.name
        if (folder / "metrics.json").is_file() and true_status(folder).get("state") == "done":
            members[run.seed] = read_json(folder / "metrics.json")
    return [Group(name, metrics) for name, metrics in found.items()]


def against_best(found: Sequence[Group], measure: str = "final_accuracy") -> list[Paired]:
    """The paired tests of the group with the best mean against each other group."""
    measured = [group for group in found if group.values(measure)]
    if len(measured) < 2:
        return []
    best = max(measured, key=lambda group: float(np.mean(list(group.values(measure).values()))))
    return [paired(best, group, measure) for group in measured if group is not best]


def mean_curve(group: Group) -> tuple[np.ndarray, np.ndarray]:
    """(tasks,) mean over seeds after each task, and half the width of its interval; NaN where nothing was measured."""
    each = [interval(column[~np.isnan(column)].tolist()) for column in group.curves().T]
    return np.array([one.mean for one in each]), np.array([one.half for one in each])


def write_summary(plan: Plan, runs: Path, folder: Path) -> list[Group]:
    """Write runs.csv, summary.csv and figure.html into `folder`; returns the groups. Raises UserError when no run is
    done."""
    found = groups(plan, runs)
    if not any(group.metrics for group in found):
        raise UserError(f"Sweep {plan.name}: no run is done yet, so there is nothing to sum up.")
    _write(folder / "runs.csv", _run_rows(plan, runs))
    _write(folder / "summary.csv", summary_rows(found))
    with replacing(folder / "figure.html") as file:
        file.write(figure_html(plan.name, found).encode())
    return found


def summary_rows(found: Sequence[Group]) -> list[list[str]]:
    """The head, then one row per group: its seeds, and the mean, low end and high end of every measure."""
    head = ["group", "seeds", *(f"{measure}{end}" for measure in MEASURES for end in ("", "_low", "_high"))]
    rows = [head]
    for group in found:
        row = [group.name, str(len(group.metrics))]
        for measure in MEASURES:
            one = interval(list(group.values(measure).values()))
            row += [_cell(value) for value in (one.mean, one.mean - one.half, one.mean + one.half)]
        rows.append(row)
    return rows


def _run_rows(plan: Plan, runs: Path) -> list[list[str]]:
    rows = [["run", *(axis_title(axis) for axis in plan.axes), "state", *MEASURES]]
    for run in plan.runs:
        folder = runs / run.name
        state = str(true_status(folder).get("state")) if folder.is_dir() else "waiting"
        metrics = read_json(folder / "metrics.json") if state == "done" else {}
        values = [said(value) for value in run.point.values()]
        rows.append([run.name, *values, state, *(_cell(metrics.get(measure)) for measure in MEASURES)])
    return rows


def _cell(value: Any) -> str:
    return "" if value is None or (isinstance(value, float) and math.isnan(value)) else repr(value)


def _write(path: Path, rows: Sequence[Sequence[str]]) -> None:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    with replacing(path) as file:
        file.write(text.getvalue().encode())


def _curve(metrics: Mapping[str, Any]) -> np.ndarray:
    matrix = np.array(metrics["matrices"]["class_incremental"], dtype=float)
    seen = np.tril(np.ones_like(matrix, dtype=bool)) & ~np.isnan(matrix)
    counts = seen.sum(axis=1)
    return np.where(counts > 0, np.where(seen, matrix, 0).sum(axis=1) / np.maximum(counts, 1), np.nan)


_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c8c00", "#595959")


def figure(found: Sequence[Group]) -> dict[str, Any]:
    """Accuracy after each task, one line per group with its interval, as a figure in Plotly's own form."""
    traces: list[dict[str, Any]] = []
    for place, group in enumerate(found):
        mean, half = mean_curve(group)
        known = ~np.isnan(mean)
        if not known.any():
            continue
        at, mean, half = (np.flatnonzero(known) + 1), mean[known], np.nan_to_num(half[known])
        colour = _COLOURS[place % len(_COLOURS)]
        band = {"x": [*at.tolist(), *at[::-1].tolist()], "y": [*(mean + half).tolist(), *(mean - half)[::-1].tolist()]}
        look = {"fill": "toself", "fillcolor": colour, "opacity": 0.18, "line": {"width": 0}, "hoverinfo": "skip"}
        traces.append(
            {"type": "scatter", **band, **look, "mode": "lines", "showlegend": False, "legendgroup": str(place)}
        )
        line = {"x": at.tolist(), "y": mean.tolist(), "error_y": None, "name": group.name, "legendgroup": str(place)}
        marks = "lines+markers" if len(at) <= 20 else "lines"
        traces.append({"type": "scatter", **line, "mode": marks, "line": {"color": colour, "width": 2}})
    layout = {
        "xaxis": {"title": {"text": "tasks learned"}, "rangemode": "tozero"},
        "yaxis": {"title": {"text": "mean accuracy on the tasks seen"}, "range": [0, 1], "tickformat": ".0%"},
        "legend": {"orientation": "h"},
        "template": None,
    }
    return {"data": traces, "layout": layout}


def figure_html(title: str, found: Sequence[Group]) -> str:
    """An HTML page with the figure; plotly's script is in it, so it opens without a network."""
    import plotly.graph_objects as go

    figure_ = go.Figure(figure(found), layout={"title": {"text": f"{title}: mean ± 95% interval over seeds"}})
    return str(figure_.to_html(include_plotlyjs=True))
