"""What can be taken away: every image with all that is known of it, and a report of the mistakes."""

from __future__ import annotations

from functools import partial

import streamlit as st

from app.reading.answer_csv import answer_csv
from app.reading.cards import RunCard
from app.reading.error_report import error_report
from app.reading.slices import History
from app.reading.tables import Predictions, class_names, images, task_names


def offer(card: RunCard, answers: Predictions, past: History, listed: Predictions) -> None:
    """Three downloads; each is made when it is asked for."""
    names = (images(card), task_names(card), class_names(card))
    with st.container(horizontal=True, key="take-away"):
        for label, file, made, kind in (
            ("All images", "answers", partial(answer_csv, answers, past, *names), "csv"),
            (f"These {len(listed):,}", "listed", partial(answer_csv, listed, past, *names), "csv"),
            ("Report of the mistakes", "mistakes", partial(error_report, card, answers, past), "html"),
        ):
            st.download_button(
                f"{label} ({kind.upper()})",
                lambda made=made: made().encode(),
                f"{card.name}-{file}.{kind}",
                f"text/{kind}",
                key=f"errors-take-{file}",
                icon=":material/download:",
                on_click="ignore",
            )
