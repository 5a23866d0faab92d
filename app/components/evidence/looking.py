"""What a model looks at: each block's evidence and the attention of the class token, as small pictures side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np
import streamlit as st

from app.reading.pictures import overlay
from core.runs.evidence import Evidence

_STYLE = """<style>
.looks { display: flex; flex-wrap: wrap; gap: 10px; margin: 2px 0 10px; }
.looks figure { margin: 0; width: 92px; } .looks .stack { position: relative; width: 92px; height: 92px; }
.looks img { position: absolute; inset: 0; width: 100%; height: 100%; image-rendering: pixelated; border-radius: 4px; }
.looks figcaption { font-size: .75rem; text-align: center; font-variant-numeric: tabular-nums; }
</style>"""
_ROWS = {"frozen": "Frozen backbone", "adapted": "With the task's adapter"}


def details(evidence: Evidence, found: Mapping[str, Any]) -> None:
    """Each block's map, what occlusion says of the rest, and attention, as `app.workers.why` has `found`."""
    if evidence.block_maps is not None and evidence.block_maps.size:
        st.markdown("**The patches of each block**, in nats; blue speaks for the first side, orange for the second")
        _block_maps(evidence.block_maps, evidence.blocks.tolist(), found["picture"])
    if evidence.how == "exact" and evidence.occluded is not None and evidence.adapter:
        st.markdown(f"**The first task's adapter** ({evidence.adapter:+.2f} nats), by painting patches over")
        _block_maps(np.asarray(evidence.occluded)[None], [evidence.blocks[-1]], found["picture"])
    _attention_maps(found["attention"], found["picture"])


def _block_maps(maps: np.ndarray, blocks: Sequence[int], picture: str) -> None:
    """What each patch says in each block, `maps` (blocks, rows, columns), over the `picture` (an address)."""
    most = float(np.abs(maps).max(initial=0))
    words = [
        f"block {block + 1}: {values.sum():+.1f}".replace("-", "−") for block, values in zip(blocks, maps, strict=True)
    ]
    _row([overlay(values, most, negative=True) for values in maps], words, picture)


def _attention_maps(attention: Mapping[str, Any], picture: str) -> None:
    """What the class token reads, by head: of the frozen backbone, of the adapted one, and their difference.

    `attention` is what `core.training.evidence.attention` says; empty where the backbone has no class token.
    """
    if not attention:
        st.caption("This backbone has no class token whose attention could be shown.")
        return
    maps = {name: np.asarray(attention[name]) for name in _ROWS if name in attention}
    most = max(float(values.max(initial=0)) for values in maps.values())
    for name, values in maps.items():
        st.markdown(f"**{_ROWS[name]}**, block {attention['block'] + 1}")
        shown = [*values, values.mean(0)]
        words = [f"head {head + 1}: {read.sum():.0%}" for head, read in enumerate(values)]
        _row([overlay(read, most) for read in shown], [*words, "mean"], picture)
    if len(maps) < 2:
        st.caption(
            "The adapter changes nothing before or in this block: the frozen backbone and the adapted one agree."
        )
        return
    difference = maps["adapted"] - maps["frozen"]
    most = float(np.abs(difference).max(initial=0))
    st.markdown("**What fine-tuning has changed**: blue is read more, orange less")
    words = [f"head {head + 1}" for head in range(len(difference))]
    shown = [*difference, difference.mean(0)]
    _row([overlay(change, most, negative=True) for change in shown], [*words, "mean"], picture)
    st.caption(
        "Shares of what the class token reads in patches; the rest it reads in itself and in register tokens. "
        "Attention shows where a model looks, not what it concludes: the evidence above is the sum of its conclusion."
    )


def _row(layers: Sequence[str], words: Sequence[str], picture: str) -> None:
    figures = "".join(
        f'<figure><div class="stack"><img alt="" src="{escape(picture)}"><img alt="{escape(text)}" src="{layer}"></div>'
        f"<figcaption>{escape(text)}</figcaption></figure>"
        for layer, text in zip(layers, words, strict=True)
    )
    st.html(f'{_STYLE}<div class="looks">{figures}</div>')
