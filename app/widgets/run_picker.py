"""Which run, and after which task: the two choices that every page shares."""

from __future__ import annotations

import streamlit as st

from app.loading import manifest
from app.state import RUN, TASK, RunCard, available, current_task, set_parameters

_MARKS = {"queued": "waiting", "running": "training", "failed": "failed", "cancelled": "cancelled"}


def run_picker(card: RunCard | None) -> None:
    """A list of all runs that can be opened; choosing one puts it into the URL."""
    cards = {known.name: known for known in available()}
    if not cards:
        return
    st.session_state["run-picker"] = card.name if card is not None and card.name in cards else None
    st.selectbox(
        "Run",
        list(cards),
        key="run-picker",
        format_func=lambda name: _label(cards[name]) if name in cards else name,
        placeholder="Choose a run",
        on_change=_choose_run,
    )


def _label(card: RunCard) -> str:
    mark = "demo" if card.recorded else "cannot be opened" if card.problem else _MARKS.get(card.state)
    return f"{card.title} ({mark})" if mark else f"{card.title} · {card.name}"


def _choose_run() -> None:
    # What a page had chosen belongs to the run that it was chosen for.
    st.query_params.from_dict({RUN: st.session_state["run-picker"]})


def task_slider(card: RunCard | None) -> None:
    """Task time: everything is shown as it was after this task."""
    if card is None or card.tasks < 2 or card.problem:
        return
    names = [task.name for task in manifest(card).tasks]
    st.session_state["task-slider"] = current_task(card.tasks)
    st.select_slider(
        "After task",
        range(card.tasks),
        key="task-slider",
        format_func=lambda task: str(task + 1),
        help="Everything is shown as it was after this task had been learned.",
        on_change=_choose_task,
    )
    st.caption(_text(names[current_task(card.tasks)]))


def _text(name: str) -> str:
    from app.widgets.layout import plain

    return plain(name)


def _choose_task() -> None:
    set_parameters(**{TASK: st.session_state["task-slider"]})
