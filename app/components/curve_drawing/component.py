"""The Streamlit component around `drawing.css` and `drawing.js`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import streamlit as st

from app.components.browser import joined
from app.figures.palette import ACCENT, GREY, Theme, colours

_FOLDER = Path(__file__).parent
_component = st.components.v2.component(
    "proteus_curve_drawing",
    css=(_FOLDER / "drawing.css").read_text(encoding="utf-8"),
    js=joined(_FOLDER / "drawing.js"),
)
_THEMES: tuple[Theme, ...] = ("light", "dark")


def curve_drawing(
    drawn: np.ndarray | None,
    count: int,
    on_draw: Callable[[list[int]], None] | None,
    *,
    across: str,
    upwards: str,
    told: np.ndarray | None = None,
    large: bool = False,
    key: str,
) -> None:
    """Show `count` points of a curve of shares, (count,) in `drawn` or None before anything was drawn.

    `on_draw` is given all points in percent as soon as the reader has moved one, before the page is drawn again;
    without it nothing can be moved. `told`, (count,), is the run's own curve, which draws itself over the reader's.
    `across` and `upwards` name the axes; a `large` one can be read from the back of a room.
    """

    def moved() -> None:
        found = points(st.session_state[key].get("drawn"), count)
        if found is not None and on_draw is not None:
            on_draw(found)

    _component(
        data={
            "drawn": None if drawn is None else _percent(drawn),
            "count": count,
            "fixed": on_draw is None,
            "large": large,
            "told": None if told is None else _percent(told),
            "across": across,
            "upwards": upwards,
            "palettes": {ground: _palette(ground) for ground in _THEMES},
        },
        key=key,
        on_drawn_change=moved,
    )


def points(said: object, count: int) -> list[int] | None:
    """What the browser says was drawn, if these are `count` numbers from 0 to 100."""
    if not isinstance(said, list) or len(said) != count:
        return None
    return said if all(type(value) is int and 0 <= value <= 100 for value in said) else None


def _percent(shares: np.ndarray) -> list[float | None]:
    return [None if np.isnan(share) else round(100 * float(share), 1) for share in shares]


def _palette(ground: Theme) -> dict[str, Any]:
    return {"colours": colours(1, ground), "grey": GREY[ground], "accent": ACCENT[ground]}
