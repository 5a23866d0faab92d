"""Where the browser finds a run's thumbnails, as `thumbnail.js` takes it."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TypedDict

import numpy as np
import streamlit as st

from app.reading.cards import RunCard, stamp
from app.shell.sprites import Kind, sheet_template
from core.errors import UserError
from core.runs.schema import SPRITES_PER_SHEET
from core.runs.sprites import kept_side

_USUAL = 64


class Sheets(TypedDict):
    """A run's thumbnails."""

    address: str
    """Of a sheet, with `{sheet}` in place of its number."""
    side: int
    """Pixels that a thumbnail is wide as it is kept."""


def sheets(card: RunCard, kind: Kind = "sprites") -> Sheets:
    """The thumbnails of a run. Where its sheets cannot be read, the browser shows empty squares."""
    address = sheet_template(card.name, str(st.get_option("server.baseUrlPath") or ""), kind)
    return {"address": address, "side": _side(card.folder / kind, stamp(card.folder))}


def number(sheet: np.ndarray, cell: np.ndarray) -> np.ndarray:
    """Which thumbnail, counted through all sheets; as the browser asks for it."""
    return np.asarray(sheet).astype(int) * SPRITES_PER_SHEET + cell


@lru_cache(maxsize=64)
def _side(folder: Path, changed: int) -> int:
    try:
        return kept_side(folder)
    except UserError:
        return _USUAL
