"""The Streamlit component around `matrix.css` and `matrix.js`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import streamlit as st

from app.components.browser import joined
from app.reading.class_confusion import Confusion

_FOLDER = Path(__file__).parent
_component = st.components.v2.component(
    "proteus_class_matrix",
    css=(_FOLDER / "matrix.css").read_text(encoding="utf-8"),
    js=joined(_FOLDER / "matrix.js"),
)

ClassCell = tuple[int, int]
"""(true class, answered class)"""


def class_matrix(
    table: Confusion,
    order: np.ndarray,
    names: Sequence[str],
    chosen: ClassCell | None,
    on_pick: Callable[[ClassCell | None], None],
    *,
    key: str,
    height: int = 440,
) -> None:
    """Show `table` with its classes in `order` (classes,), at most `height` pixels high.

    `on_pick` gets the cell that was clicked, or None when it was the chosen one.
    """

    def picked() -> None:
        cell = st.session_state[key].get("pick")
        if _known(cell, table.classes):
            on_pick(None if tuple(cell) == chosen else (cell[0], cell[1]))

    _component(
        data={
            "names": list(names),
            "order": order.tolist(),
            "cells": np.stack([table.label, table.predicted, table.count], axis=1).tolist(),
            "chosen": list(chosen) if chosen else None,
            "height": height,
        },
        key=key,
        on_pick_change=picked,
    )


def _known(cell: object, classes: int) -> bool:
    """Whether the browser named a cell of the matrix."""
    if not isinstance(cell, list) or len(cell) != 2:
        return False
    return all(type(label) is int and 0 <= label < classes for label in cell)
