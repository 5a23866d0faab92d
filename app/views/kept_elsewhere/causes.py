"""Few gates, the start of the head, the strength: which of them keeps what."""

from __future__ import annotations

import streamlit as st

from app.components.captions import caption
from app.reading import kept_causes
from app.reading.kept_causes import CAUSES, CELLS
from app.reading.kept_elsewhere import Comparison
from app.views.kept_elsewhere.front import Asked

STRENGTH = 0.8


def taken_apart(found: Comparison, wanted: Asked) -> None:
    """The full factorial, at the dial's share of the update where that is below all; nothing where cells miss."""
    strength = wanted.strength if 0 < wanted.strength < 1 else STRENGTH
    design = kept_causes.factorial(found, wanted.probe, strength)
    if design is None:
        return
    st.header("Which cause does what", anchor=False)
    st.markdown(kept_causes.in_words(design))
    st.dataframe(
        [
            {
                "cause": cause,
                "accuracy, points": design.accuracy[cause].points(),
                "lost elsewhere, points": design.lost[cause].points(),
            }
            for cause in CAUSES
        ],
        hide_index=True,
    )
    st.dataframe(
        [
            {
                "setting": kept_causes.cell_title(cell, design),
                "accuracy, %": outcome.accuracy.points(),
                "lost, points": outcome.lost.points(),
                "of LoRA as published": f"{design.ratio(cell, CELLS[0]):.2f}",
                "of LoRA under the same": f"{design.ratio(cell, (False, cell[1], cell[2])):.2f}",
            }
            for cell, outcome in design.cells.items()
        ],
        hide_index=True,
    )
    caption(
        f"every combination of three causes: {design.gates:g} learned gates instead of all {design.total}, a head that "
        f"is fitted before anything moves, and {strength:.0%} of the update instead of all. Above, what each does "
        f"by itself, in the mean over the settings of the other two; in brackets the lowest and the highest of "
        f"{len(design.seeds)} seeds.",
        "the cause with the largest effect on what is lost, and whether its seeds agree.",
        "a method that brings all three at once is easily praised for the wrong one.",
    )
