"""Which run, and after which task: the two choices that every page shares."""

from __future__ import annotations

import re
from collections import Counter

import streamlit as st

from app.reading.cards import RunCard
from app.reading.tables import manifest
from app.shell import layout
from app.shell.address import RUN, TASK, current_task, set_parameters
from app.shell.run_choice import available

_MARKS = {"queued": "waiting", "running": "training", "failed": "failed", "cancelled": "cancelled"}


_DATED = re.compile(r"(\d{4}-\d\d-\d\d)-(\d\d)(\d\d)-")


def run_picker(card: RunCard | None) -> None:
    """A list of all runs that can be opened; choosing one puts it into the URL."""
    cards = {known.name: known for known in available()}
    if not cards:
        return
    labels = _labels(list(cards.values()))
    st.session_state["run-picker"] = card.name if card is not None and card.name in cards else None
    st.selectbox(
        "Run",
        list(cards),
        key="run-picker",
        format_func=lambda name: labels.get(name, name),
        placeholder="Choose a run",
        on_change=_choose_run,
    )


def _labels(cards: list[RunCard]) -> dict[str, str]:
    """Name to label; no two are the same."""
    labels = {card.name: _label(card) for card in cards}
    seen = Counter(labels.values())
    return {name: f"{label} · {name[-4:]}" if seen[label] > 1 else label for name, label in labels.items()}


def _label(card: RunCard) -> str:
    mark = "demo" if card.recorded else "cannot be opened" if card.problem else _MARKS.get(card.state)
    begun = _DATED.match(card.name)
    notes = [f"{begun[1]} {begun[2]}:{begun[3]} UTC" if begun else "", mark or ""]
    return " · ".join([card.title, *filter(None, notes)])


def _choose_run() -> None:
    # What a page had chosen belongs to the run that it was chosen for.
    st.query_params.from_dict({RUN: st.session_state["run-picker"]})


def task_slider(card: RunCard | None) -> None:
    """Task time: everything is shown as it was after this task."""
    if card is None or card.tasks < 2 or card.problem:
        return
    task = current_task(card.tasks)
    name = layout.plain(manifest(card).tasks[task].name)
    st.session_state["task-slider"] = task
    st.select_slider(
        f"After task {task + 1}: {name}",
        range(card.tasks),
        key="task-slider",
        format_func=lambda task: str(task + 1),
        help="Everything is shown as it was after this task had been learned.",
        on_change=_choose_task,
    )


def _choose_task() -> None:
    set_parameters(**{TASK: st.session_state["task-slider"]})
