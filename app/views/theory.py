"""Theory and measurement: the bound, what is expected and what was measured, and which assumption of theory fails."""

from __future__ import annotations

import numpy as np
import streamlit as st

from app.components.captions import caption, explained
from app.components.save_figure import save_figure
from app.figures import plots
from app.figures import theory as figures
from app.reading import theory
from app.reading.cards import RunCard
from app.reading.tables import metrics, task_names
from app.shell import layout
from app.shell.address import current_task, parameter, set_parameters
from app.shell.run_choice import available

_TASK = "task"
"""Key of the address: the task whose images are looked at, from 1."""


def render() -> None:
    """The page."""
    layout.heading("Theory and measurement")
    card = layout.run_to_explore()
    if card is None:
        return
    found, tested = theory.errors(metrics(card), card.tasks), theory.assumptions(card)
    if found is None and tested is None:
        _none(card)
        return
    explained(_MIXTURES if found is None or found.by_mixtures else _BEST_CLASS)
    if found is not None:
        _over_time(card, found)
    if tested is not None:
        measured = float("nan") if found is None else float(found.measured[-1])
        _which_fails(card, tested, measured)


_MIXTURES = (
    "A run tells tasks apart by how [[likely|likelihood]] an image is under each task's [[mixture]] of "
    "[[Gaussians|Gaussian]]. Theory says how often that fails *if tasks were these mixtures*. Here is what it says, "
    "beside what happens, and why they differ."
)
_BEST_CLASS = (
    "This run picks the task of the class that fits an image best, and theory, which compares mixtures of "
    "whole tasks, has no bound for that. What is expected of new images comes from training "
    "images that were left out one by one, and can be had all the same."
)


_CURVES = (
    "the share of images that are sent to a wrong task, after each task: as measured on test images, as "
    "[[expected|expected error]] from training images that were left out one by one, and as theory has it. A "
    "[[bound]] that is no better than guessing is left out.",
    "how far the dotted lines lie below the others, and whether *expected* follows *measured*.",
    "a proof about the mixtures is no promise about images; images that were left out are.",
)
_CURVES_OF_CLASSES = (
    "the share of images that are sent to a wrong task, after each task: as measured on test images, and as "
    "expected from training images that were left out one by one.",
    "whether *expected* follows *measured*, and where it falls behind.",
    "it was known before any test image was seen, and costs no image that could be learned from.",
)


def _none(card: RunCard) -> None:
    other = next((each for each in available()[:20] if each.ready and theory.errors(metrics(each), each.tasks)), None)
    message = f"“{layout.plain(card.title)}” keeps no mixtures of its tasks, so there is no theory to compare with."
    if other is None:
        layout.empty(message, "Train one that does", "train")
    else:
        layout.empty(message, f"Look at “{layout.plain(other.title)}”", "theory", run=other.name, t=None)


def _over_time(card: RunCard, found: theory.Errors) -> None:
    after = current_task(card.tasks)
    st.subheader("Over task time", anchor=False)
    said = theory.in_words(found, after)
    st.markdown(said or "After the first task there is none to pick, and nothing to get wrong.")
    figure = figures.error_curves(found, plots.theme(), at=after)
    plots.draw(figure, key=f"theory-{card.name}", alt="Images sent to a wrong task after each task: " + _alt(found))
    if not any(np.isfinite(each[1:]).any() for each in (found.expected, found.bound, found.sampled)):
        st.markdown("This run was trained before an error was expected for its kind of retrieval: train it anew.")
    caption(*(_CURVES if found.by_mixtures else _CURVES_OF_CLASSES))
    save_figure(
        lambda ground: figures.error_curves(found, ground, at=after),
        "The share of images sent to a wrong task: measured, expected of new images, and as theory has it.",
        [card], file=f"{card.name}-theory", key="theory",
    )  # fmt: skip


def _alt(found: theory.Errors) -> str:
    curves = {name: getattr(found, name) for name in figures.NAMES}
    return "; ".join(
        f"{name} {', '.join(plots.percent(value, 1) for value in values)}"
        for name, values in curves.items()
        if not np.isnan(values).all()
    )


def _which_fails(card: RunCard, tested: theory.Assumptions, measured: float) -> None:
    st.subheader("Which assumption fails", anchor=False)
    st.markdown(theory.failing(tested, measured) or "Too few test images were kept to say how they lie.")
    ground, names = plots.theme(), task_names(card)
    known = [task for task, each in enumerate(tested.fits) if each is not None]
    if not known:
        return
    left, right = st.columns(2, gap="large")
    with right:
        if tested.as_fitted == tested.as_fitted and measured == measured:  # neither is NaN
            figure = figures.ladder(tested.as_fitted, tested.with_spread, measured, ground)
            plots.draw(figure, key=f"ladder-{card.name}", alt="The error as assumptions are given up one by one.")
            caption(
                "the error of picking the task if images were drawn from the mixtures; if they were Gaussian but "
                "spread as widely about their components as test images are; and as measured.",
                "which of the two steps is the taller.",
                "a wider spread could be put right by better covariances; another shape needs another model.",
            )
            save_figure(
                lambda ground: figures.ladder(tested.as_fitted, tested.with_spread, measured, ground),
                "The error of picking the task as assumptions of theory are given up one after another.",
                [card], file=f"{card.name}-assumptions", key="ladder",
            )  # fmt: skip
    with left:
        _one_task(card, tested, known, names)
    _table(tested, names)


def _one_task(card: RunCard, tested: theory.Assumptions, known: list[int], names: list[str]) -> None:
    """The chosen task's squared distances against the chi-square."""
    wanted = parameter(_TASK, "", [str(task + 1) for task in known])
    worst = max(known, key=lambda task: tested.fits[task].new.distance)  # type: ignore[union-attr]
    task = int(wanted) - 1 if wanted else worst
    st.session_state["theory-task"] = task
    st.selectbox(
        "Images of task",
        known,
        key="theory-task",
        format_func=lambda t: f"{t + 1}: {names[t]}",
        on_change=lambda: set_parameters(**{_TASK: st.session_state["theory-task"] + 1}),
    )
    shown = tested.fits[task]
    assert shown is not None
    figure = figures.distances(shown.quantiles, plots.theme())
    plots.draw(figure, key=f"distances-{card.name}", alt=_distances_alt(shown))
    caption(
        "images of one task, in order of their squared distance to the [[component]] they lie nearest to, in "
        f"{shown.new.dimensions} dimensions; across, what the chi-square distribution says of as many.",
        "test images (filled) above the dashed line: they are further away than the mixture says. A straight line that "
        "is steeper is a wider spread; one that bends upwards is another shape, with images far off.",
        "images far from all components are those that are sent to a wrong task. Training images lie below the line, "
        "because the mixture was fitted to them.",
    )
    save_figure(
        lambda ground: figures.distances(shown.quantiles, ground),
        f"How far images of task {task + 1} lie from their component, against what the mixture says (dashed).",
        [card], file=f"{card.name}-distances", key="distances",
    )  # fmt: skip


def _distances_alt(shown: theory.TaskFit) -> str:
    return (
        f"Squared distances against the chi-square: mean {shown.new.spread:.2f} times as large as expected, "
        f"Kolmogorov–Smirnov distance {shown.new.distance:.2f}."
    )


def _table(tested: theory.Assumptions, names: list[str]) -> None:
    """Every task's numbers."""
    rows = [
        {
            "task": f"{task + 1}: {names[task]}",
            "images": each.new.images,
            "spread, new": each.new.spread,
            "spread, trained": None if each.trained is None else each.trained.spread,
            "K–S": each.new.distance,
            "K–S, shape": each.new.shape,
            "by chance": each.new.chance,
            "kurtosis": each.new.kurtosis,
        }
        for task, each in enumerate(tested.fits)
        if each is not None
    ]
    columns = {name: st.column_config.NumberColumn(format="%.2f", help=meaning) for name, meaning in _MEANINGS.items()}
    st.dataframe(rows, hide_index=True, column_config=columns)


_MEANINGS = {
    "spread, new": "Mean squared distance of test images over the dimensions: 1 if the task were its mixture.",
    "spread, trained": "The same of the training images that were kept.",
    "K–S": "Kolmogorov–Smirnov distance of the squared distances of test images from the chi-square, 0 to 1.",
    "K–S, shape": "The same once the spread is allowed for: what is wrong with the shape.",
    "by chance": "A distance is above this once in twenty times by chance, where nothing is wrong.",
    "kurtosis": "Mardia's, about their own mean and covariance, over a Gaussian's: above 1, more images are far off.",
}
"""Column of the table → what it means."""
