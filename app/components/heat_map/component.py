"""The Streamlit component around `heat.css` and `heat.js`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import streamlit as st

from app.components.browser import joined
from app.reading.cards import RunCard
from app.reading.tables import images
from app.shell.sprites import sheet_template

_FOLDER = Path(__file__).parent
_component = st.components.v2.component(
    "proteus_heat_map",
    css=(_FOLDER / "heat.css").read_text(encoding="utf-8"),
    js=joined(_FOLDER / "heat.js"),
)


@dataclass(frozen=True)
class Picture:
    """Where the browser finds the square picture: an address, and the cell of a sprite sheet (−1: the whole of it)."""

    address: str
    cell: int = -1


def of_run(card: RunCard, image: int) -> Picture:
    """The thumbnail of a run's image."""
    known = images(card)
    sheets = sheet_template(card.name, str(st.get_option("server.baseUrlPath") or ""))
    return Picture(sheets.replace("{sheet}", f"{int(known.sheet[image]):03d}"), int(known.cell[image]))


def heat_map(
    picture: Picture,
    values: np.ndarray,
    says: tuple[str, str],
    *,
    key: str,
    size: int = 260,
    unit: str = "nats",
    file: str = "evidence",
) -> None:
    """Show `values` (rows, columns) over the picture, `size` pixels wide: blue above 0, orange below.

    `says` is what a patch of either colour does, such as “speaks for A”; it reaches the page as text. `file` is the
    name under which the figure is saved.
    """
    _component(
        data={
            "address": picture.address,
            "cell": picture.cell,
            "values": np.asarray(values, np.float64).round(4).tolist(),
            "says": list(says),
            "file": file,
            "unit": unit,
            "size": size,
        },
        key=key,
    )
