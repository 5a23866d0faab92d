"""What is gained or lost when a part of a method is taken away, with intervals over seeds."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from app.figures import plots, svg
from app.figures.palette import Theme, colours
from core.sweep.ablations import MEASURES, Row, Study, rows
from core.sweep.summary import Interval

DRAWN = {key: MEASURES[key] for key in ("task_aware_accuracy", "final_accuracy", "retrieval_accuracy")}
"""The measures that are drawn."""
_APART = 0.22
"""Between the marks of a row, of its height."""
_LETTERS = 24
"""Of a line of a label."""


def differences(shown: Sequence[Row], measures: Mapping[str, str], ground: Theme) -> plots.Figure:
    """A row for each variant: its difference to the full method in points, a mark for each of `measures` (key → name).

    A line through a mark is the 95% interval; the line across is no difference.
    """
    paint = colours(len(measures), ground)
    traces: list[dict[str, Any]] = []
    for place, (key, name) in enumerate(measures.items()):
        offset = _APART * (place - (len(measures) - 1) / 2)
        found = [row.differences[key] for row in shown]
        heights = [row + offset for row in range(len(shown))]
        traces.append(_intervals(found, heights, paint[place]))
        traces.append(_marks(found, heights, paint[place], name, [row.variant for row in shown]))
    layout = plots.points([], ground, titles=("points", ""))["layout"]
    rows = {
        "tickvals": list(range(len(shown))), "ticktext": [_in_lines(row.variant) for row in shown],
        "tickformat": "", "showgrid": False, "zeroline": False, "range": [len(shown) - 0.5, -0.5],
    }  # fmt: skip
    layout |= {
        "height": len(shown) * 46 + 120, "showlegend": True,
        "xaxis": layout["xaxis"] | {"tickformat": "+.2~f"},
        "yaxis": layout["yaxis"] | rows,
    }  # fmt: skip
    return {"data": traces, "layout": layout}


def sheet(study: Study) -> str:
    """The study's parts as an SVG of its own, for the documentation."""
    caption = f"What each part of Proteus is worth: {study.title}."
    notes = (
        f"{study.about} Points more than the full method on the same seed; lines are 95% intervals over seeds.",
        study.command,
    )
    return svg.sheet(differences([row for row in rows(study) if row.is_part], DRAWN, "light"), caption, notes)


def _intervals(found: Sequence[Interval], heights: Sequence[float], colour: str) -> dict[str, Any]:
    x: list[float | None] = []
    y: list[float | None] = []
    for one, height in zip(found, heights, strict=True):
        if not math.isnan(one.half):
            x += [100 * (one.mean - one.half), 100 * (one.mean + one.half), None]
            y += [height, height, None]
    return {"type": "scatter", "mode": "lines", "x": x, "y": y, "line": {"color": colour, "width": 2},
            "hoverinfo": "skip", "showlegend": False}  # fmt: skip


def _marks(
    found: Sequence[Interval], heights: Sequence[float], colour: str, name: str, variants: Sequence[str]
) -> dict[str, Any]:
    told = [[plots.text(variant, 60), one.points("+")] for variant, one in zip(variants, found, strict=True)]
    return {
        "type": "scatter", "mode": "markers", "name": name, "cliponaxis": False, "y": list(heights),
        "x": [None if math.isnan(one.mean) else 100 * one.mean for one in found],
        "marker": {"color": colour, "size": 9},
        "customdata": told,
        "hovertemplate": f"%{{customdata[0]}}<br>{name}: %{{customdata[1]}} points<extra></extra>",
    }  # fmt: skip


def _in_lines(variant: str) -> str:
    """Short lines, so that labels leave room for the figure on a phone."""
    return "<br>".join(plots.text(line, _LETTERS) for line in textwrap.wrap(variant, _LETTERS))
