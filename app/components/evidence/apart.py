"""What sets two images apart: a heat map over each, and a bar for each block, from a `core.runs.evidence.Apart`."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from app.components.evidence.bars import bars
from app.components.heat_map import Picture, heat_map
from app.shell import layout
from core.runs.evidence import Apart
from core.runs.saying import TERM_NAMES, apart_sentence

_SAYS = "sets them apart", "brings them together"
_NAMES = "this image", "the neighbour"


def apart_view(found: Apart, pictures: Sequence[Picture], *, key: str, narrow: bool = False) -> None:
    """Everything that is known of the distance of the two images in `pictures`."""
    st.markdown(layout.plain(apart_sentence(found, _NAMES)))
    exact = found.how == "exact"
    columns = st.columns(2) if narrow or not exact else st.columns([4, 4, 5], gap="medium")
    unit = "units of squared distance"
    for number, (column, name) in enumerate(zip(columns[:2], _NAMES, strict=True)):
        with column:
            st.markdown(name[0].upper() + name[1:])
            place, values = f"apart-{key}-{number}", found.patches[number]
            heat_map(pictures[number], values, _SAYS, key=place, size=220, unit=unit, file="distance")
    if exact:
        with st.container() if narrow else columns[2]:
            rows = [(f"block {block + 1}", value) for block, value in zip(found.blocks, found.by_block, strict=True)]
            terms = [(TERM_NAMES["adapter"], found.adapter)] if abs(found.adapter) >= 0.005 else []
            bars(rows, terms, found.squared, unit)
    st.caption(_EXACT if exact else _OCCLUSION)


_EXACT = (
    "Exact: the squared distance is a sum over blocks and patches, half of it over those of either image. A patch "
    "counts by how far it lies on its own image's side of the middle between the two; a patch on the other side brings "
    "them together. The direction is that from one image to the other, so patches mean something for this pair alone."
)
_OCCLUSION = (
    "Measured by occlusion, as this space is not linear in the patches: each patch is painted over, and its number is "
    "what the squared distance then loses. Patches work together, so these numbers do not sum to it."
)
