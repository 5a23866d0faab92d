"""What one task's adapter changed in the backbone, layer by layer, as a figure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from app.figures import plots
from app.figures.palette import Theme
from app.reading.block_maps import BlockMap


def block_figure(found: BlockMap, names: Sequence[str], shown: Sequence[BlockMap], ground: Theme) -> plots.Figure:
    """Projections `names` are rows and blocks are columns; the maps `shown` share one scale of colours."""
    depth = found.norm.shape[1]
    figure = plots.heat_map(
        np.where(found.off, 0.0, found.norm),
        [plots.text(name) for name in names],
        [str(block) for block in range(depth)],
        ground,
        hover=[[hover_text(found, names, r, b) for b in range(depth)] for r in range(len(names))],
        cells=[[mark_text(found, r, b) for b in range(depth)] for r in range(len(names))],
        ends=(0.0, max((float(np.nanmax(m.norm, initial=0.0)) for m in shown), default=1.0)),
        titles=("block, from the image (left)<br>to the answer (right)", ""),
        bar="size of ΔW",
        bar_format=".2g",
        row_height=44,
    )
    _mark_frozen(figure, found)
    return figure


def _mark_frozen(figure: plots.Figure, found: BlockMap) -> None:
    """Shade what no task may change, and name the blocks before the first adapter."""
    figure["layout"] |= {"plot_bgcolor": "rgba(128,128,128,0.10)", "height": max(200, figure["layout"]["height"])}
    first = min(found.adapted_blocks, default=found.norm.shape[1])
    if first:
        middle = {"x": (first - 1) / 2, "y": (len(found.norm) - 1) / 2, "showarrow": False}
        figure["layout"]["annotations"] = [
            middle | {"text": "frozen" if first < 4 else "frozen,<br>the same for all tasks"}
        ]


def mark_text(found: BlockMap, row: int, block: int) -> str:
    """The text in a cell."""
    if found.off[row, block]:
        return "off"
    value = found.norm[row, block]
    return "" if np.isnan(value) else f"{value:#.2g}"


def hover_text(found: BlockMap, names: Sequence[str], row: int, block: int) -> str:
    """The text that appears when the mouse is over a cell."""
    where = f"block {block}, {plots.text(names[row])}"
    if found.off[row, block]:
        return f"{where}<br>gate is off: nothing is added here"
    value = found.norm[row, block]
    return where if np.isnan(value) else f"{where}<br>size of ΔW {value:.3g}"
