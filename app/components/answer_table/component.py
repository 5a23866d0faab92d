"""The Streamlit component around `answers.css` and `answers.js`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import streamlit as st

from app.components.browser import joined, number, sheets
from app.reading.cards import RunCard
from app.reading.tables import Predictions, class_names, images, task_names

ROWS = 500
"""At most so many rows are sent."""

_FOLDER = Path(__file__).parent
_component = st.components.v2.component(
    "proteus_answers",
    css=(_FOLDER / "answers.css").read_text(encoding="utf-8"),
    js=joined(_FOLDER / "answers.js"),
)


def answer_table(
    card: RunCard,
    answers: Predictions,
    chosen: int | None,
    on_pick: Callable[[int], None],
    *,
    key: str,
    height: int = 400,
) -> None:
    """Show the first ROWS of `answers`, `height` pixels high. `on_pick` gets the image whose row was clicked."""
    shown = answers.where(np.arange(min(ROWS, len(answers))))

    def picked() -> None:
        image = st.session_state[key].get("pick")
        if isinstance(image, int) and image in shown.image:
            on_pick(image)

    _component(
        data={
            "sheets": sheets(card),
            "tasks": task_names(card),
            "classes": class_names(card),
            "rows": _rows(card, shown),
            "chosen": chosen,
            "height": height,
        },
        key=key,
        on_pick_change=picked,
    )


def _rows(card: RunCard, answers: Predictions) -> dict[str, list[int]]:
    """Columns by name, as numbers; the browser looks the names up."""
    known = images(card)
    columns = {
        "image": answers.image,
        "number": number(known.sheet[answers.image], known.cell[answers.image]),
        "task": answers.task,
        "retrieved": answers.retrieved_task,
        "label": answers.label,
        "predicted": answers.predicted,
        "given": answers.predicted_given_task,
    }
    return {name: values.tolist() for name, values in columns.items()}
