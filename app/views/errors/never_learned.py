"""Held-out classes: to which task the images of classes that were never learned are sent, and how surely."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import streamlit as st

from app.components import explanation, thumbnails
from app.components.captions import caption
from app.figures import plots
from app.reading.cards import RunCard
from app.reading.held_out import HeldOut, held_out
from app.reading.tables import Predictions
from app.shell import layout
from app.shell.address import parameter, set_parameters

_SHOWN = 60
"""At most so many images are shown at once …"""
_ROW = 6
"""… and more than so many scroll beside the matrix."""


def render(card: RunCard, answers: Predictions) -> None:
    """The view; `answers` are those for the run's own test images, for comparison."""
    found = held_out(card)
    if found is None:
        layout.empty(
            "This run held no classes out, so there are no images of classes that it never learned.",
            "Train with some",
            "train",
        )
        return
    tasks = explanation.names_of(card).tasks
    cell = _chosen(len(found.classes), len(tasks))
    _summary(found, answers)
    left, right = st.columns([9, 11], gap="medium")
    with left:
        _matrix(found, tasks, cell)
    with right:
        _images(card, found, tasks, cell)
    caption(
        f"images of the {len(found.classes)} classes that no task learned (rows), and the task that each was sent to, "
        "after the last task. A click on a cell lists its images.",
        "rows that are dark in one cell alone: the run takes this class for a relative of that task.",
        "no answer is right here. Retrieval must choose a task, so only a small lead can say “I do not know it”.",
    )


def _summary(found: HeldOut, answers: Predictions) -> None:
    known = answers.margin[answers.predicted == answers.label]
    text = f"**{len(found):,}** images of classes that were never learned, each sent to one of the learned tasks."
    if len(known) and np.isfinite(known).all():
        usual = float(np.median(known))
        below = float((found.margin < usual).mean())
        text += (
            f" The median lead of the best task is **{np.median(found.margin):.3g}** for them and **{usual:.3g}** for "
            f"test images that are answered rightly; **{below:.0%}** of the former lie below the latter."
        )
    st.markdown(text)


def _chosen(classes: int, tasks: int) -> tuple[int, int] | None:
    """The cell that `?held=class-task` names, both counted from 0."""
    label, _, task = parameter("held", "").partition("-")
    known = label.isdecimal() and task.isdecimal() and int(label) < classes and int(task) < tasks
    return (int(label), int(task)) if known else None


def _pick(present: plots.Cell | None, cell: plots.Cell) -> None:
    set_parameters(held=None if cell == present else f"{cell[0]}-{cell[1]}")


def _matrix(found: HeldOut, tasks: Sequence[str], cell: plots.Cell | None) -> None:
    counts = found.counts(len(tasks))
    share = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    hover = [
        [
            f"{plots.text(name, 60)}<br>to task {task + 1}: {plots.text(title, 60)}<br>{counts[row, task]:,} images"
            for task, title in enumerate(tasks)
        ]
        for row, name in enumerate(found.classes)
    ]
    figure = plots.heat_map(
        share,
        [plots.text(name) for name in found.classes],
        plots.task_ticks(tasks),
        plots.theme(),
        hover=hover,
        cells=[[plots.percent(value) if value else "" for value in row] for row in share]
        if len(tasks) <= plots.MANY
        else None,
        titles=("sent to task", ""),
        bar="share of the class",
        chosen=cell,
        row_height=max(14, min(52, 420 // len(found.classes))),
        pickable=True,
    )
    plots.draw(figure, key="held-out", alt=_alt(found, tasks, counts), on_pick=partial(_pick, cell))


def _alt(found: HeldOut, tasks: Sequence[str], counts: np.ndarray) -> str:
    most = counts.argmax(1)
    said = (f"{name} mostly to {tasks[task]}" for name, task in zip(found.classes, most, strict=True))
    return "Held-out classes by the task that their images are sent to: " + ", ".join(said)


def _images(card: RunCard, found: HeldOut, tasks: Sequence[str], cell: plots.Cell | None) -> None:
    rows = found.rows(*(cell or (None, None)))
    names = explanation.names_of(card).classes
    if cell is None:
        st.markdown("**The surest of all**")
    else:
        said = f"{layout.plain(found.classes[cell[0]])} sent to {layout.plain(tasks[cell[1]])}"
        st.button(
            f"{said} · {len(rows):,} image{'' if len(rows) == 1 else 's'}",
            key="held-out-chosen",
            icon=":material/close:",
            help="Take this away",
            on_click=set_parameters,
            kwargs={"held": None},
        )
    if not len(rows):
        st.markdown("No image of this class is sent there.")
        return
    shown = rows[:_SHOWN]
    with st.container(height=430 if len(shown) > _ROW else "content", border=False):
        thumbnails.of_held_out(
            card,
            found,
            shown.tolist(),
            [f"{names[found.predicted[row]]} · lead {found.margin[row]:.3g}" for row in shown],
            key="held-out-images",
        )
    more = f" The first {_SHOWN} of {len(rows):,}." if len(rows) > _SHOWN else ""
    st.caption(f"Below each: the learned class that was answered, and the lead of its task.{more}")
