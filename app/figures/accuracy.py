"""Accuracy over task time as figures: the matrix, one curve per task, the gain from knowing the task, several runs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from app.figures import plots
from app.figures.palette import ACCENT, DISTINCT, GREY, Theme, colours


def matrix(
    a: np.ndarray, names: Sequence[str], ground: Theme, *, chosen: plots.Cell | None = None, pickable: bool = False
) -> plots.Figure:
    """`a` (T, T) has one row per moment and one column per task, NaN where nothing was measured; `names` are the T
    tasks'."""
    tasks = len(names)
    return plots.heat_map(
        a,
        [f"after {t + 1}" for t in range(tasks)],
        plots.task_ticks(names),
        ground,
        hover=[[_hover(names, a, t, i) for i in range(tasks)] for t in range(tasks)],
        cells=[[plots.percent(v) if not np.isnan(v) else "" for v in row] for row in a]
        if tasks <= plots.MANY
        else None,
        titles=("images of task", ""),
        bar="share right",
        chosen=chosen,
        row_height=max(14, min(52, 420 // tasks)),
        pickable=pickable,
    )


def _hover(names: Sequence[str], a: np.ndarray, t: int, i: int) -> str:
    change = a[t, i] - a[i, i]
    since = f"<br>{change:+.1%} since it was learned" if t > i and not np.isnan(change) else ""
    return f"task {i + 1}: {plots.text(names[i], 60)}<br>after task {t + 1}: {plots.percent(a[t, i], 1)}{since}"


def task_curves(a: np.ndarray, names: Sequence[str], ground: Theme, *, lit: int, at: int | None = None) -> plots.Figure:
    """The columns of `a` (T, T) over task time. With more tasks than colours only task `lit` stands out."""
    tasks = len(names)
    many = tasks > DISTINCT
    paint = colours(tasks, ground, lit if many else None)
    lines = [plots.Line(f"{i + 1}: {name}", a[:, i], paint[i], wide=i == lit and many) for i, name in enumerate(names)]
    ticks = [str(t + 1) for t in range(tasks)]
    figure = plots.curves(
        sorted(lines, key=lambda line: line.wide), ticks, ground, titles=("after task", "accuracy"), at=at
    )
    if many:
        figure["layout"]["showlegend"] = False
    return figure


def told_and_untold(unknown: np.ndarray, given: np.ndarray, names: Sequence[str], ground: Theme) -> plots.Figure:
    """Accuracy (tasks,) with the task unknown and with it given, after the last of these tasks."""
    tasks = len(unknown)
    blue, orange = colours(2, ground)
    return plots.gaps(
        plots.Line("task unknown", unknown, blue),
        plots.Line("task given", given, orange),
        plots.task_ticks(names)[:tasks],
        ground,
        title=f"accuracy after task {tasks}",
    )


def run_lines(titles: Sequence[str], seen: Sequence[np.ndarray], place: int, ground: Theme) -> list[plots.Line]:
    """One line per run: its accuracy on all tasks so far, (T,) each; the one at `place` stands out."""
    few = len(seen) <= DISTINCT
    paint = colours(len(seen), ground, None if few else place)
    return [
        plots.Line(title, values, paint[at] if few else (ACCENT if at == place else GREY)[ground], wide=at == place)
        for at, (title, values) in enumerate(zip(titles, seen, strict=True))
    ]


def run_curves(lines: Sequence[plots.Line], tasks: int, ground: Theme, *, at: int | None = None) -> plots.Figure:
    """Several runs of the same tasks on one axis."""
    ticks = [str(t + 1) for t in range(tasks)]
    return plots.curves(lines, ticks, ground, titles=("after task", "accuracy on all tasks so far"), at=at)
