"""Gained against lost, and which blocks each task of a stream chose, as figures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from app.figures import plots
from app.figures.palette import ACCENT, GREY, Theme, colours
from app.reading.kept_elsewhere import KINDS, Place, Spread

_SYMBOLS = ("x", "star", "circle", "square", "diamond", "triangle-up", "cross", "triangle-down")


def trade_off(
    shown: Sequence[Place],
    front: Sequence[Place],
    path: Sequence[tuple[float, float]],
    ground: Theme,
    *,
    chosen: str,
    titles: tuple[str, str],
) -> plots.Figure:
    """A mark for every setting with its range over seeds, the Pareto front, and the dial's `path` of the chosen one.

    `path` holds (lost, gained) from the frozen model on; `titles` are those of the axes (across, upwards). Every mark
    carries the key of its setting.
    """
    traces: list[dict[str, Any]] = [
        _line("Pareto front", [(place.lost.mean, place.gained.mean) for place in front], GREY[ground], "solid", 2.5),
        _line("the dial of the chosen point", path, ACCENT[ground], "dot", 1.5),
    ]
    paint = dict(zip(KINDS, colours(len(KINDS), ground), strict=True))
    for (kind, title), symbol in zip(KINDS.items(), _SYMBOLS, strict=True):
        for hollow in (False, True):
            members = [place for place in shown if place.setting.kind == kind and _from_zero(place) == hollow]
            if members:
                name = f"{title}, head at zero" if hollow else title
                traces.append(_marks(name, members, paint[kind], symbol + ("-open" if hollow else ""), chosen, ground))
    layout = plots.points([], ground, titles=titles)["layout"]
    return {"data": traces, "layout": layout | {"height": 560, "showlegend": True}}


def _from_zero(place: Place) -> bool:
    return place.setting.head_start == "zero" and place.setting.kind != "frozen"


def _line(name: str, points: Sequence[tuple[float, float]], colour: str, dash: str, width: float) -> dict[str, Any]:
    return {
        "type": "scatter", "mode": "lines", "name": name, "hoverinfo": "skip",
        "x": [x for x, _ in points], "y": [y for _, y in points],
        "line": {"color": colour, "width": width, "dash": dash},
    }  # fmt: skip


def _marks(name: str, members: Sequence[Place], colour: str, symbol: str, chosen: str, ground: Theme) -> dict[str, Any]:
    def bars(spreads: Sequence[Spread]) -> dict[str, Any]:
        return {
            "type": "data", "symmetric": False, "thickness": 1, "width": 0, "color": GREY[ground],
            "array": [each.high - each.mean for each in spreads],
            "arrayminus": [each.mean - each.low for each in spreads],
        }  # fmt: skip

    return {
        "type": "scatter", "mode": "markers", "name": plots.text(name, 40), "cliponaxis": False,
        "x": [place.lost.mean for place in members], "y": [place.gained.mean for place in members],
        "error_x": bars([place.lost for place in members]),
        "error_y": bars([place.gained for place in members]),
        "marker": {"symbol": symbol, "color": colour,
                   "size": [17 if place.setting.key == chosen else 10 for place in members],
                   "line": {"width": 2 if symbol.endswith("open") else 1, "color": colour}},
        "customdata": [[place.setting.key, hover(place)] for place in members],
        "hovertemplate": "%{customdata[1]}<extra></extra>",
        "selected": {"marker": {"opacity": 1}}, "unselected": {"marker": {"opacity": 1}},
    }  # fmt: skip


def hover(place: Place) -> str:
    """The text that appears when the mouse is over a mark."""
    setting = place.setting
    active, total = setting.open_gates()
    gates = f"<br>{active:g} of {total} gates open" if total else ""
    return (
        f"{plots.text(setting.title, 60)}<br>gained {100 * place.gained.mean:.1f}, lost {100 * place.lost.mean:.1f} "
        f"points{gates}<br>{len(setting.runs)} seed{'s' * (len(setting.runs) != 1)}"
    )


def choices(active: np.ndarray, ticks: Sequence[str], ground: Theme) -> plots.Figure:
    """Which blocks (columns) each task (row) changes, from bool (tasks, blocks)."""
    hover = [
        [f"{tick}, block {block}: {'changed' if on else 'as it was'}" for block, on in enumerate(row)]
        for tick, row in zip(ticks, active.tolist(), strict=True)
    ]
    return plots.heat_map(
        active.astype(float), ticks, [str(block) for block in range(active.shape[1])], ground,
        hover=hover, cells=[["●" if on else "" for on in row] for row in active.tolist()],
        titles=("block", ""), row_height=34,
    )  # fmt: skip
