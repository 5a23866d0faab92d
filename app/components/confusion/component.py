"""The Streamlit component around `confusion.css` and `confusion.js`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import streamlit as st

from app.components.browser import joined
from app.shell.address import parameter

_FOLDER = Path(__file__).parent
_component = st.components.v2.component(
    "proteus_confusion",
    css=(_FOLDER / "confusion.css").read_text(encoding="utf-8"),
    js=joined(_FOLDER / "confusion.js"),
)

Cell = tuple[int, int]
"""(true task, retrieved task)"""


def counts(true: np.ndarray, retrieved: np.ndarray, tasks: int) -> np.ndarray:
    """int (tasks, tasks): images of each true task (row) sent to each task (column)."""
    inside = (true >= 0) & (true < tasks) & (retrieved >= 0) & (retrieved < tasks)
    cells = true[inside].astype(np.int64) * tasks + retrieved[inside]
    return np.bincount(cells, minlength=tasks * tasks).reshape(tasks, tasks)


def chosen_cell(tasks: int) -> Cell | None:
    """The cell that `?cell=true-retrieved` names, both counted from 0; None where there is no such cell."""
    true, _, sent = parameter("cell", "").partition("-")
    if not (true.isdecimal() and sent.isdecimal()):
        return None
    return (int(true), int(sent)) if max(int(true), int(sent)) < tasks else None


def address(cell: Cell | None) -> str | None:
    """What `chosen_cell` reads."""
    return f"{cell[0]}-{cell[1]}" if cell else None


def confusion(
    matrix: np.ndarray, names: Sequence[str], chosen: Cell | None, on_pick: Callable[[Cell | None], None], *, key: str
) -> None:
    """Show `matrix` (tasks, tasks). `on_pick` gets the cell that was clicked, or None when the chosen one was."""

    def picked() -> None:
        cell = st.session_state[key].get("pick")
        if cell is not None:
            on_pick(_checked(cell, len(matrix), chosen))

    _component(
        data={"matrix": matrix.tolist(), "names": list(names), "chosen": list(chosen) if chosen else None},
        key=key,
        on_pick_change=picked,
    )


def _checked(cell: object, tasks: int, chosen: Cell | None) -> Cell | None:
    """The cell that the browser named, unless it is none or the one that was chosen already."""
    if not isinstance(cell, list) or len(cell) != 2:
        return None
    true, retrieved = cell
    known = all(isinstance(task, int) and 0 <= task < tasks for task in cell)
    return (true, retrieved) if known and (true, retrieved) != chosen else None
