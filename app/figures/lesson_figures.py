"""The figures of the lessons by name, each one of the app's own, and a reader's prediction drawn into them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from app.figures import accuracy, plots
from app.figures import theory as theory_figures
from app.figures.palette import ACCENT, Theme, colours
from app.reading import block_maps, lesson_numbers, theory
from app.reading.accuracy import seen_accuracy
from app.reading.cards import RunCard
from app.reading.tables import component_counts, gates, manifest, metrics, task_names


@dataclass(frozen=True)
class Drawn:
    """A figure, what it shows in words, and the numbers that it holds as a sentence for those who cannot see it."""

    figure: plots.Figure
    caption: str


Runs = Mapping[str, RunCard]


def draw(name: str, runs: Runs, of: str, ground: Theme) -> Drawn | None:
    """The figure `name` of run `of` among the lesson's `runs`; None where the run does not hold what it shows."""
    return _FIGURES[name](runs, runs[of], ground)


def runs_in(name: str, runs: Runs, of: str) -> list[RunCard]:
    """The runs whose numbers the figure `name` of run `of` shows."""
    return list(runs.values()) if name in _OF_ALL else [runs[of]]


def with_curve(drawn: Drawn, guess: np.ndarray, ground: Theme) -> Drawn:
    """The same curves with a reader's own, (T,) shares, drawn in."""
    mine = plots.curves(
        [plots.Line("your prediction", guess, ACCENT[ground], dash=True, wide=True)],
        [str(step + 1) for step in range(len(guess))], ground, titles=("", ""),
    )["data"]  # fmt: skip
    layout = drawn.figure["layout"]
    axis = layout["yaxis"] | {"range": [-0.04, 1.04]}
    figure = {"data": [*drawn.figure["data"], *mine], "layout": layout | {"yaxis": axis, "showlegend": True}}
    return Drawn(figure, drawn.caption)


def guessed(guess: float, answer: float, unit: str, ground: Theme, most: float) -> Drawn:
    """A number that was guessed beside the number that was measured."""
    blue = colours(1, ground)[0]
    line = plots.Line("value", np.array([guess, answer]), blue)
    figure = plots.bars([line], ["your prediction", "the run"], ground, titles=("", unit), form=".3~g")
    figure["data"][0]["marker"]["color"] = [ACCENT[ground], blue]
    figure["layout"] |= {"height": 260}
    figure["layout"]["yaxis"]["range"] = [0, 1.15 * max(guess, answer, most / 20)]
    return Drawn(figure, "What you said, and what was measured.")


def histogram(counts: np.ndarray, labels: list[str], ground: Theme, mark: int | None = None) -> plots.Figure:
    """How many people of a room gave each answer; bar `mark` stands out."""
    figure = plots.bars(
        [plots.Line("answers", counts, colours(1, ground)[0])],
        [plots.text(label, 30) for label in labels], ground, titles=("", "people"), form=".0f",
    )  # fmt: skip
    figure["layout"]["height"] = 300
    if mark is not None:
        paint = [colours(1, ground)[0]] * len(labels)
        paint[mark] = ACCENT[ground]
        figure["data"][0]["marker"]["color"] = paint
    return figure


def _ticks(card: RunCard) -> list[str]:
    return [str(task + 1) for task in range(card.tasks)]


def _matrix(runs: Runs, card: RunCard, ground: Theme) -> Drawn:
    figure = accuracy.matrix(lesson_numbers.accuracies(card), task_names(card), ground)
    return Drawn(figure, "A row per moment, a column per task: the share of right answers. The diagonal is new tasks.")


def _curves(runs: Runs, card: RunCard, ground: Theme) -> Drawn:
    figure = accuracy.task_curves(lesson_numbers.accuracies(card), task_names(card), ground, lit=0)
    return Drawn(figure, "One curve per task, from the moment it was learned; nobody says which task an image is of.")


def _first_task(runs: Runs, card: RunCard, ground: Theme) -> Drawn:
    lines = [plots.Line(card.title, lesson_numbers.accuracies(card)[:, 0], colours(1, ground)[0], wide=True)]
    figure = plots.curves(lines, _ticks(card), ground, titles=("after task", "accuracy on the first task"))
    figure["layout"]["yaxis"]["range"] = [-0.04, 1.04]
    figure["layout"]["showlegend"] = True
    return Drawn(figure, "The share of right answers on the first task, after each task that was learned.")


def _runs(runs: Runs, card: RunCard, ground: Theme) -> Drawn:
    figure = _every_run(runs, card, ground, "class_incremental")
    return Drawn(figure, "The mean accuracy on all tasks learned so far, one curve per run of the same images.")


def _found(runs: Runs, card: RunCard, ground: Theme) -> Drawn:
    figure = _every_run(runs, card, ground, "retrieval")
    figure["layout"]["yaxis"]["title"]["text"] = "images whose task is found"
    return Drawn(figure, "The share of images that are sent to their own task, of all tasks learned so far.")


def _every_run(runs: Runs, card: RunCard, ground: Theme, kind: str) -> plots.Figure:
    """A curve per run: the mean of an accuracy over the tasks learned so far. That of `card` stands out."""
    seen = [seen_accuracy(lesson_numbers.accuracies(each, kind)) for each in runs.values()]
    place = [each.name for each in runs.values()].index(card.name)
    lines = accuracy.run_lines([each.title for each in runs.values()], seen, place, ground)
    return accuracy.run_curves(lines, card.tasks, ground)


def _told(runs: Runs, card: RunCard, ground: Theme) -> Drawn | None:
    unknown, given = (lesson_numbers.accuracies(card, kind)[-1] for kind in ("class_incremental", "task_aware"))
    if np.isnan(given).all():
        return None
    figure = accuracy.told_and_untold(unknown, given, task_names(card), ground)
    return Drawn(figure, "For each task: right answers when the model must find the task (dot), and when it is told.")


def _confusion(runs: Runs, card: RunCard, ground: Theme) -> Drawn | None:
    counts = np.array(metrics(card).get("confusion") or [], float)
    if counts.shape != (card.tasks, card.tasks):
        return None
    names = plots.task_ticks(task_names(card))
    shares = counts / np.maximum(1, counts.sum(axis=1, keepdims=True))
    hover = [[f"{int(n)} images" for n in row] for row in counts]
    cells = [[str(int(n)) for n in row] for row in counts]
    figure = plots.heat_map(shares, names, names, ground, hover=hover, cells=cells, titles=("retrieved task", ""))
    return Drawn(figure, "True task (rows) and retrieved task (columns), in test images. Off the diagonal: wrong task.")


def _errors(runs: Runs, card: RunCard, ground: Theme) -> Drawn | None:
    found = theory.errors(metrics(card), card.tasks)
    if found is None:
        return None
    figure = theory_figures.error_curves(found, ground, at=card.tasks - 1)
    return Drawn(figure, "The share of images sent to a wrong task: measured, expected, and as theory has it.")


def _ladder(runs: Runs, card: RunCard, ground: Theme) -> Drawn | None:
    tested, found = theory.assumptions(card), theory.errors(metrics(card), card.tasks)
    if tested is None or found is None or np.isnan(tested.as_fitted):
        return None
    figure = theory_figures.ladder(tested.as_fitted, tested.with_spread, float(found.measured[-1]), ground)
    return Drawn(figure, "The error of picking the task as assumptions of theory are given up one after another.")


def _distances(runs: Runs, card: RunCard, ground: Theme) -> Drawn | None:
    tested = theory.assumptions(card)
    known = [fit for fit in tested.fits if fit is not None] if tested else []
    if not known:
        return None
    worst = max(known, key=lambda fit: fit.new.distance)
    return Drawn(
        theory_figures.distances(worst.quantiles, ground),
        "How far images lie from their component, against what the mixture says (dashed). Higher is further away.",
    )


def _components(runs: Runs, card: RunCard, ground: Theme) -> Drawn | None:
    paint = colours(len(runs), ground)
    shown = [plots.Line(each.title, component_counts(each), paint[at]) for at, each in enumerate(runs.values())]
    shown = [line for line in shown if line.values.any()]
    if not shown:
        return None
    figure = plots.bars(shown, _ticks(card), ground, titles=("task", "components with images"), form=".0f")
    return Drawn(figure, "How many components of each task have images in them.")


def _blocks(runs: Runs, card: RunCard, ground: Theme) -> Drawn | None:
    found = block_maps.block_maps(gates(card), manifest(card).backbone.depth)
    if not found:
        return None
    norms = np.array([np.sqrt(np.nansum(each.norm**2, axis=0)) for each in found])
    depth = norms.shape[1]
    rows = [f"task {t + 1}" for t in range(len(norms))]
    hover = [[f"task {t + 1}, block {b}: {norms[t, b]:.2f}" for b in range(depth)] for t in range(len(norms))]
    figure = plots.heat_map(
        norms, rows, [str(block) for block in range(depth)], ground, hover=hover,
        ends=(0.0, float(norms.max())), titles=("block", ""), bar="size of ΔW", bar_format=".2g",
    )  # fmt: skip
    figure["layout"]["xaxis"] |= {"tickangle": 0, "tickfont": {"size": 12}}  # twelve of them fit on a phone so
    return Drawn(figure, "Which blocks each task changed, and how much. Empty cells are frozen, or their gate is off.")


def _pairs(values: np.ndarray, ground: Theme, bar: str) -> plots.Figure:
    part = values[1:, :-1]
    rows, columns = [f"task {t + 2}" for t in range(len(part))], [str(t + 1) for t in range(len(part))]
    said = [["" if np.isnan(v) else "< 0.001" if v < 0.001 else f"{v:.2g}" for v in row] for row in part]
    cells = [[plots.text(cell) for cell in row] for row in said]
    ends = (0.0, max(1.0, float(np.nanmax(part))))  # 1 is a task's own unit, or all directions
    return plots.heat_map(
        part, rows, columns, ground, hover=cells, cells=cells, ends=ends, titles=("earlier task", ""), bar=bar,
        bar_format=".2g",
    )  # fmt: skip


def _reuse(runs: Runs, card: RunCard, ground: Theme) -> Drawn | None:
    values = block_maps.reuse(gates(card))
    if np.isnan(values).all():
        return None
    figure = _pairs(values, ground, "mean coefficient")
    return Drawn(figure, "How strongly each task (rows) uses earlier tasks' units (columns); its own units count 1.")


def _overlap(runs: Runs, card: RunCard, ground: Theme) -> Drawn | None:
    values = block_maps.overlap(gates(card))
    if np.isnan(values).all():
        return None
    figure = _pairs(values, ground, "overlap")
    chance = block_maps.chance_overlap(manifest(card).backbone.width)
    return Drawn(figure, f"How much two tasks read the same directions: 1 is all, about {chance:.2f} is chance.")


_FIGURES: Mapping[str, Callable[[Runs, RunCard, Theme], Drawn | None]] = {
    "matrix": _matrix,
    "curves": _curves,
    "first-task": _first_task,
    "runs": _runs,
    "found": _found,
    "told": _told,
    "confusion": _confusion,
    "errors": _errors,
    "ladder": _ladder,
    "distances": _distances,
    "components": _components,
    "blocks": _blocks,
    "reuse": _reuse,
    "overlap": _overlap,
}

_OF_ALL = ("runs", "found", "components")
"""Figures that show every run of the lesson."""
