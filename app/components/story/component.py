"""The Streamlit component around `story.css` and `story.js`: one element, so that the first screen is there at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import streamlit as st

from app.components.browser import Sheets, joined
from app.shell.layout import open_link

_FOLDER = Path(__file__).parent
_component = st.components.v2.component(
    "proteus_story",
    css=(_FOLDER / "story.css").read_text(encoding="utf-8"),
    js=joined(_FOLDER / "story.js"),
)


class Part(NamedTuple):
    """A part of a sentence, plain text; with a link it is a number that leads to its images."""

    text: str
    link: str = ""


class Tile(NamedTuple):
    """A story to choose; plain text."""

    title: str
    text: str
    link: str
    chosen: bool = False
    sheets: Sheets | None = None
    pictures: Sequence[int] = ()
    """Numbers of thumbnails."""


class Figure(NamedTuple):
    """A headline number that leads to what it is made of."""

    text: str
    label: str
    more: str
    """Where the link leads, in words."""
    meaning: str
    link: str


def story(tiles: Sequence[Tile], paragraphs: Sequence[Sequence[Part]], figures: Sequence[Figure], *, key: str) -> None:
    """Show the stories, the sentences and the figures; a click on a link of `address.link` opens it."""
    result = _component(data=_data(tiles, paragraphs, figures), key=key, on_follow_change=_rerun)
    followed = result.get("follow")
    if followed in set(_links(tiles, paragraphs, figures)):
        open_link(followed)


def _data(tiles: Sequence[Tile], paragraphs: Sequence[Sequence[Part]], figures: Sequence[Figure]) -> dict[str, Any]:
    return {
        "tiles": [tile._asdict() for tile in tiles],
        "paragraphs": [[part._asdict() for part in parts] for parts in paragraphs],
        "figures": [figure._asdict() for figure in figures],
    }


def _links(tiles: Sequence[Tile], paragraphs: Sequence[Sequence[Part]], figures: Sequence[Figure]) -> Iterator[str]:
    for linked in (*tiles, *(part for parts in paragraphs for part in parts), *figures):
        if linked.link:
            yield linked.link


def _rerun() -> None:
    """Streamlit reports an event only where a callback is given."""
