"""Which run, and after which task: the two choices that every page shares."""

from __future__ import annotations

import streamlit as st

from app.reading.cards import RunCard
from app.reading.run_words import UNKNOWN, figures, mark, stream_title, when
from app.reading.tables import manifest
from app.shell import layout
from app.shell.address import RUN, TASK, current_task, set_parameters
from app.shell.run_choice import available


def run_picker(card: RunCard | None) -> None:
    """The run on screen in words and figures, and the way to all others."""
    with st.container(border=True, key="run-card", gap="small"):
        st.markdown(_words(card) if card is not None else "No run is on screen.")
        _choose_another(card.name if card is not None else None)


def _words(card: RunCard) -> str:
    """The compact card: title; stream, and what sets the run apart; date; headline figures."""
    notes = [stream_title(card.stream), mark(card)]
    lines = [f"**{layout.plain(card.title)}**", *(_small(" · ".join(filter(None, notes))), _small(when(card)))]
    if card.accuracy is not None:
        known = [figure for figure in figures(card) if figure.text != UNKNOWN]
        lines.append(_small(" · ".join(f"{figure.text} {figure.label}" for figure in known)))
    return "  \n".join(filter(None, lines))


def _small(text: str) -> str:
    return f":small[:gray[{layout.plain(text)}]]" if text else ""


@st.fragment
def _choose_another(shown: str | None) -> None:
    """Only this reruns when the list opens: the page behind it stays as it is."""
    if st.button("Choose another run", icon=":material/photo_library:", key="run-gallery", width="stretch"):
        _gallery(shown)


@st.dialog("Choose a run", width="medium")
def _gallery(shown: str | None) -> None:
    from app.components.run_gallery import run_gallery  # nothing on a first screen needs it

    cards = available()
    chosen = run_gallery(cards, next((card for card in cards if card.name == shown), None), key="run-gallery-list")
    if chosen is not None:
        # What a page had chosen belongs to the run that it was chosen for.
        st.query_params.from_dict({RUN: chosen})
        st.rerun()


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
