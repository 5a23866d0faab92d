"""The Streamlit component around `grid.css` and `grid.js`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import streamlit as st

from app.components.browser import joined, number, sheets
from app.reading.cards import RunCard
from app.reading.held_out import HeldOut
from app.reading.tables import class_names, images
from app.shell import layout

_FOLDER = Path(__file__).parent
_component = st.components.v2.component(
    "proteus_thumbnails",
    css=(_FOLDER / "grid.css").read_text(encoding="utf-8"),
    js=joined(_FOLDER / "grid.js"),
)


def grid(
    card: RunCard,
    image_ids: Sequence[int],
    *,
    columns: int = 10,
    captions: Sequence[str] | None = None,
    links: Sequence[str] | None = None,
    asides: Sequence[str] | None = None,
    aside: str = "",
    size: int | None = None,
    key: str | None = None,
) -> None:
    """Show images, at most `columns` side by side and about `size` pixels wide (by default 72).

    Images that are magnified more than twice are drawn as sharp squares, so they are as wide as the nearest multiple.
    captions: plain text below each. links: from `address.link`; a click opens them, and so does Enter. asides: a second
    link of each image, which says `aside`, below it. Grids with the same images on one page need a `key` each.
    """
    ids = [int(image) for image in image_ids]
    known = images(card)
    names = class_names(card)
    items = [
        {
            "number": int(number(known.sheet[image], known.cell[image])),
            "title": f"{names[known.label[image]]} ({known.name[image]})",
            "caption": captions[place] if captions is not None else "",
            "link": links[place] if links is not None else "",
            "aside": asides[place] if asides is not None else "",
        }
        for place, image in enumerate(ids)
    ]
    result = _component(
        data={"sheets": sheets(card), "items": items, "columns": columns, "size": size or 72, "aside": aside},
        key=key or f"thumbnails-{card.name}-{columns}-{size}-{hash(tuple(ids))}",
        on_follow_change=_rerun,
        on_aside_change=_rerun,
    )
    for name, offered in (("follow", links), ("aside", asides)):
        followed = result.get(name)
        if isinstance(followed, int) and offered is not None and 0 <= followed < len(offered):
            layout.open_link(offered[followed])


def _rerun() -> None:
    """Streamlit reports an event only where a callback is given."""


def one(card: RunCard, image_id: int, size: int = 128, key: str | None = None) -> None:
    """Show one image, about `size` pixels wide."""
    grid(card, [image_id], columns=1, size=size, key=key)


def of_held_out(card: RunCard, found: HeldOut, rows: Sequence[int], captions: Sequence[str], *, key: str) -> None:
    """Show images of held-out classes, `rows` of `found`, with plain text below each."""
    items = [
        {
            "number": int(number(found.sheet[row], found.cell[row])),
            "title": f"{found.classes[found.label[row]]} ({found.name[row]})",
            "caption": caption,
            "link": "",
            "aside": "",
        }
        for row, caption in zip(rows, captions, strict=True)
    ]
    _component(
        data={"sheets": sheets(card, "held_out"), "items": items, "columns": 10, "size": 72, "aside": ""},
        key=key,
        on_follow_change=_rerun,
        on_aside_change=_rerun,
    )
