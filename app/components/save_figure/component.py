"""The Streamlit component around `save.js` and `save.css`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import streamlit as st

from app.components.browser import joined
from app.figures.palette import Theme
from app.figures.plots import Figure
from app.figures.svg import sheet
from app.reading.cards import RunCard
from app.reading.run_settings import settings

_FOLDER = Path(__file__).parent
_component = st.components.v2.component(
    "proteus_save_figure",
    css=(_FOLDER / "save.css").read_text(encoding="utf-8"),
    js=joined(_FOLDER / "save.js"),
)


@st.fragment
def save_figure(
    figure: Callable[[Theme], Figure], caption: str, cards: Sequence[RunCard], *, file: str, key: str
) -> None:
    """The menu below a figure; `file` is the name of the saved file without its ending.

    The file is light whatever the page's theme, and made only when the menu is opened.
    """
    menu = st.popover(
        "Save this figure", type="tertiary", icon=":material/download:", on_change="rerun", key=f"save-{key}"
    )
    if not menu.open:
        return
    with menu:
        st.caption("With its caption and the settings of its run below it. SVG can be scaled and edited.")
        _component(data={"svg": sheet(figure("light"), caption, notes(cards)), "file": file}, key=f"saving-{key}")


def notes(cards: Sequence[RunCard]) -> list[str]:
    """The lines below a caption: where the numbers of a figure are from."""
    return [*map(settings, cards), "Drawn by Proteus Lab."]
