"""The Streamlit component around `map.html`, `map.css` and the modules in `js`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import streamlit as st

from app.components.browser import joined
from app.components.point_map.data import MapData, pack

_FOLDER = Path(__file__).parent
_component = st.components.v2.component(
    "proteus_point_map",
    html=(_FOLDER / "map.html").read_text(encoding="utf-8"),
    css=(_FOLDER / "map.css").read_text(encoding="utf-8"),
    js=joined(_FOLDER / "js" / "map.js"),
)


@dataclass(frozen=True, eq=False)
class MapEvent:
    """What the person did on the map; numbers are rows of the `MapData` that is shown."""

    clicked: int | None
    """The point that was clicked since the last run of the script, once."""
    selected: np.ndarray
    """The lassoed points, as long as they stay selected."""
    frame: int | None
    """The frame on screen, where `report_frame` asked for it and the person has moved it."""


def point_map(
    points: MapData, *, key: str, height: int = 560, selectable: bool = True, report_frame: bool = False
) -> MapEvent:
    """Show the map, `height` pixels high without its controls.

    The browser keeps view, selection, highlight and frame over reruns with the same `key`; `points.frame` and
    `points.highlight` act when they change. `selectable` allows click and lasso, each of which reruns the script;
    `report_frame` reruns it also when the person has moved to another frame.
    """
    payload = pack(points, key=key, height=height, selectable=selectable, report_frame=report_frame)
    result = _component(
        data=payload,
        key=key,
        on_click_change=_rerun,
        on_selection_change=_rerun,
        on_frame_change=_rerun,
    )
    clicked = _rows(points, [] if result.get("click") is None else [result["click"]])
    frame = result.get("frame")
    return MapEvent(
        clicked=int(clicked[0]) if len(clicked) else None,
        selected=_rows(points, result.get("selection") or []) if selectable else np.empty(0, np.intp),
        frame=frame if isinstance(frame, int) and 0 <= frame < points.frames else None,
    )


def _rerun() -> None:
    """Streamlit reports an event only where a callback is given."""


def _rows(points: MapData, ids: list[int]) -> np.ndarray:
    return np.flatnonzero(np.isin(points.numbers, np.asarray(ids, dtype=np.int64)))
