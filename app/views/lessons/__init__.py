"""Lessons: a list, and the player that goes through one step by step. All that a reader did is in the address."""

from __future__ import annotations

import streamlit as st

from app.reading.lessons import Lesson, lesson, lesson_names
from app.shell import layout
from app.shell.address import parameter, set_parameters
from app.views.lessons import player, presenting
from core.errors import UserError

LESSON, STEP = "lesson", "step"


def render() -> None:
    """The page."""
    room = presenting.room()
    place = presenting.rooms().place(room) if room else None
    if place and LESSON not in st.query_params:
        set_parameters(**{LESSON: place[0], STEP: place[1] + 1})
    name = parameter(LESSON, "", lesson_names())
    if not name:
        _list(room)
        return
    found = lesson(name)
    steps = len(found.steps)
    wanted = parameter(STEP, "1")
    at = min(int(wanted) if wanted.isdecimal() and len(wanted) < 6 else 1, steps)
    player.play(found, max(at, 1) - 1)


def _list(room: str) -> None:
    layout.heading("Lessons")
    if room:
        st.warning("This room is closed: ask for its new address, or choose a lesson.")
    st.markdown(
        "Each lesson asks a question. You predict, a recorded run answers, and then you try it yourself. They build on "
        "each other, and each stands alone. All you need is to know what a neural network is."
    )
    for number, name in enumerate(lesson_names(), 1):
        try:
            _offer(number, lesson(name))
        except UserError as error:
            layout.problem_line(str(error))


def _offer(number: int, found: Lesson) -> None:
    with st.container(border=True):
        st.markdown(f"**{number}. {layout.plain(found.title)}** · {found.minutes} minutes  \n{found.question}")
        st.button(
            "Begin",
            key=f"begin-{found.name}",
            icon=":material/play_arrow:",
            on_click=set_parameters,
            kwargs={LESSON: found.name, STEP: 1},
            help=f"Begin “{found.title}”",
        )
