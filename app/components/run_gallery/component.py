"""The Streamlit component around `gallery.css` and `gallery.js`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import streamlit as st

from app.components.browser import Sheets, joined, sheets
from app.reading.cards import RunCard
from app.reading.class_pictures import one_a_class
from app.reading.run_words import Group, figures, groups, mark, when

PICTURES = 10
"""Thumbnails beside the name of a stream."""

_FOLDER = Path(__file__).parent
_component = st.components.v2.component(
    "proteus_run_gallery",
    css=(_FOLDER / "gallery.css").read_text(encoding="utf-8"),
    js=joined(_FOLDER / "gallery.js"),
)


def run_gallery(cards: Sequence[RunCard], shown: RunCard | None, *, key: str) -> str | None:
    """All `cards` by stream, the stream of the run on screen first; the name of the run that was just chosen."""
    grouped = groups(cards, shown.stream if shown is not None else "")
    result = _component(
        data={"groups": [_group(group) for group in grouped], "shown": shown.name if shown is not None else ""},
        key=key,
        on_choose_change=_rerun,
    )
    chosen = result.get("choose")
    return chosen if chosen in {card.name for card in cards} else None


def _rerun() -> None:
    """Streamlit reports an event only where a callback is given."""


def _group(group: Group) -> dict[str, Any]:
    pictured: Sheets | None = None
    pictures: tuple[int, ...] = ()
    for card in group.cards:
        if card.ready and (pictures := one_a_class(card, PICTURES)):
            pictured = sheets(card)
            break
    return {
        "title": group.title,
        "summary": group.summary,
        "sheets": pictured,
        "pictures": list(pictures),
        "runs": [_run(card) for card in group.cards],
    }


def _run(card: RunCard) -> dict[str, Any]:
    return {
        "name": card.name,
        "title": card.title,
        "when": when(card),
        "mark": mark(card),
        "recorded": card.recorded,
        "method": card.method,
        "figures": [{"label": figure.label, "text": figure.text} for figure in figures(card)],
        "accuracy": card.accuracy,
    }
