"""What can be taken away from a lesson: figures with captions and settings, and the lesson as a handout."""

from __future__ import annotations

import streamlit as st

from app.figures.handout import handout
from app.reading.cards import RunCard
from app.reading.lessons import Lesson
from app.reading.run_settings import about
from app.shell import layout


def caption_of(words: str, card: RunCard) -> None:
    """What a figure shows, and the settings of its run."""
    st.caption(f"{words}  \n{layout.plain(about(card))}")


def handout_button(found: Lesson, runs: dict[str, RunCard]) -> None:
    """The lesson as one page of HTML; made when it is asked for."""
    st.download_button(
        "Handout",
        lambda: handout(found, runs).encode(),
        f"lesson-{found.name}.html",
        "text/html",
        key="lesson-handout",
        icon=":material/print:",
        type="tertiary",
        on_click="ignore",
        help="The whole lesson on paper: one HTML file with its figures, which prints",
    )
