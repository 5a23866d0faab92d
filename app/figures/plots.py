"""Heat maps, curves and bars in one look, for both themes.

A figure is a plain dict in Plotly's own form: making one needs neither Plotly nor Streamlit, so that the Python API has
the very figures of the pages. Plotly reads labels as HTML, so every text goes through `text`.
"""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from app.figures.palette import ACCENT, GREY, Theme

Figure = dict[str, Any]
Cell = tuple[int, int]
"""(row, column) of a heat map."""

MANY = 12
"""With more tasks than this an axis shows their numbers only."""
DENSE = 40
"""With more rows or steps than this a figure keeps its height, and an axis names only some of them."""
_TALLEST = 640
_LABELS = 20
_INK: dict[Theme, str] = {"light": "#31333f", "dark": "#fafafa"}
_GRID: dict[Theme, str] = {"light": "rgba(49,51,63,0.12)", "dark": "rgba(250,250,250,0.14)"}
_GROUND: dict[Theme, str] = {"light": "#ffffff", "dark": "#262730"}
_SCALE: dict[Theme, list[list[Any]]] = {
    "light": [[0, "#f3f7fb"], [0.5, "#7fb4d8"], [1, "#00558a"]],
    "dark": [[0, "#1b2733"], [0.5, "#2b78ad"], [1, "#b5dcf7"]],
}
_SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "x", "triangle-down", "star")
_CONFIG = {"displaylogo": False, "modeBarButtons": [["toImage"]], "scrollZoom": False}


@dataclass(frozen=True)
class Line:
    """One curve, or one group of bars; NaN leaves a gap."""

    name: str
    values: np.ndarray
    colour: str
    dash: bool = False
    wide: bool = False


@dataclass(frozen=True)
class Point:
    """One mark; `hover` is the text that appears over it, which the figure escapes."""

    name: str
    x: float
    y: float
    colour: str
    hover: str


@dataclass(frozen=True)
class Path:
    """Marks at (x, y), or a thin line between them where it is `plain`."""

    name: str
    x: np.ndarray
    y: np.ndarray
    colour: str
    hollow: bool = False
    plain: bool = False


def theme() -> Theme:
    """The theme that the browser shows."""
    import streamlit as st

    return "dark" if st.context.theme.type == "dark" else "light"


def text(words: object, longest: int = 28) -> str:
    """`words` on one line, shortened, and escaped for Plotly's HTML."""
    line = " ".join(str(words).split())
    return html.escape(line if len(line) <= longest else line[: longest - 1].rstrip() + "…", quote=False)


def task_ticks(names: Sequence[str], longest: int = 12) -> list[str]:
    """Labels of an axis of tasks, counted from 1; with more tasks than MANY only numbers. No two are the same."""
    return [str(t + 1) if len(names) > MANY else f"{t + 1}: {text(name, longest)}" for t, name in enumerate(names)]


def percent(value: float, digits: int = 0) -> str:
    """'97%', or '–' where nothing was measured."""
    return "–" if math.isnan(value) else f"{value:.{digits}%}"


def heat_map(
    values: np.ndarray,
    rows: Sequence[str],
    columns: Sequence[str],
    ground: Theme,
    *,
    hover: Sequence[Sequence[str]],
    cells: Sequence[Sequence[str]] | None = None,
    ends: tuple[float, float] = (0.0, 1.0),
    titles: tuple[str, str] = ("", ""),
    bar: str = "",
    bar_format: str = ".0%",
    chosen: Cell | None = None,
    row_height: int = 46,
    pickable: bool = False,
) -> Figure:
    """`values` (rows, columns) as coloured cells, NaN as none; labels come escaped (`text`, `task_ticks`).

    `hover` and `cells` are texts per cell, `titles` those of the axes (across, down), `ends` where the colours begin
    and end.
    """
    count, width = values.shape
    high = ends[1] if ends[1] > ends[0] else ends[0] + 1.0
    row_height = max(5, min(row_height, _TALLEST // count)) if count > DENSE else row_height
    gap = 0 if max(count, width) > DENSE else 2
    shown = [[None if math.isnan(v) else float(v) for v in row] for row in values.tolist()]
    trace = {
        "type": "heatmap", "z": shown, "zmin": ends[0], "zmax": high, "colorscale": _SCALE[ground],
        "xgap": gap, "ygap": gap, "customdata": [list(row) for row in hover],
        "hovertemplate": "%{customdata}<extra></extra>", "hoverongaps": False, "showscale": bool(bar),
        "colorbar": {"title": {"text": bar, "side": "right"}, "tickformat": bar_format, "thickness": 12, "len": 1,
                     "outlinewidth": 0},
    }  # fmt: skip
    if cells is not None:
        trace |= {"text": [list(row) for row in cells], "texttemplate": "%{text}", "textfont": {"size": 13}}
    height = max(count * row_height, 60) + 80
    layout = _layout(ground, height) | {
        "xaxis": _axis(ground, titles[0]) | _labels(columns) | {"range": [-0.5, width - 0.5], "showgrid": False},
        "yaxis": _axis(ground, titles[1]) | _labels(rows) | {"range": [count - 0.5, -0.5], "showgrid": False},
    }  # fmt: skip
    if chosen is not None:
        layout["shapes"] = [_outline(chosen, ground)]
    traces = [trace] + ([_targets(values, hover, row_height)] if pickable else [])
    return {"data": traces, "layout": layout}


def curves(
    lines: Sequence[Line], ticks: Sequence[str], ground: Theme, *, titles: tuple[str, str], at: int | None = None
) -> Figure:
    """Shares over an axis of steps, one curve per line, told apart by marks as well as colours; `at` marks one step."""
    steps = list(range(len(ticks)))
    traces = [
        {
            "type": "scatter", "mode": "lines" if len(ticks) > DENSE else "lines+markers", "name": text(line.name, 40),
            "x": steps, "y": _plain(line.values),
            "line": {"color": line.colour, "width": 3.5 if line.wide else 2, "dash": "dot" if line.dash else "solid"},
            "marker": {"symbol": _SYMBOLS[place % len(_SYMBOLS)], "size": 9 if line.wide else 7},
            "customdata": list(ticks), "connectgaps": False,
            "hovertemplate": f"{text(line.name, 60)}<br>after %{{customdata}}: %{{y:.1%}}<extra></extra>",
        }
        for place, line in enumerate(lines)
    ]  # fmt: skip
    layout = _layout(ground, 380) | {
        "xaxis": _axis(ground, titles[0]) | _labels(ticks) | {"showgrid": False, "range": [-0.2, len(ticks) - 0.8]},
        "yaxis": _axis(ground, titles[1]) | {"tickformat": ".0%", "range": _range([line.values for line in lines])},
        "showlegend": len(lines) <= DENSE,
    }  # fmt: skip
    if at is not None and len(ticks) > 1:
        layout["shapes"] = [
            {"type": "line", "x0": at, "x1": at, "y0": 0, "y1": 1, "yref": "paper", "layer": "below",
             "line": {"color": GREY[ground], "width": 1, "dash": "dash"}}
        ]  # fmt: skip
    return {"data": traces, "layout": layout}


def trails(
    lines: Sequence[Line], steps: np.ndarray, ground: Theme, *, titles: tuple[str, str], form: str = ".3f"
) -> Figure:
    """Values over `steps` (m,), one thin line each."""
    traces = [
        {
            "type": "scatter", "mode": "lines", "name": text(line.name, 40), "x": steps.tolist(),
            "y": _plain(line.values), "connectgaps": False,
            "line": {"color": line.colour, "width": 2, "dash": "dot" if line.dash else "solid"},
            "hovertemplate": f"{text(line.name, 60)}<br>step %{{x}}: %{{y:{form}}}<extra></extra>",
        }
        for line in lines
    ]  # fmt: skip
    layout = _layout(ground, 300) | {
        "xaxis": _axis(ground, titles[0]) | {"showgrid": False},
        "yaxis": _axis(ground, titles[1]) | {"tickformat": form},
        "showlegend": len(lines) <= MANY,
    }  # fmt: skip
    return {"data": traces, "layout": layout}


def paths(shown: Sequence[Path], ground: Theme, *, titles: tuple[str, str]) -> Figure:
    """Numbers against numbers; both axes begin at zero."""
    traces = [
        {
            "type": "scatter", "mode": "lines" if path.plain else "markers", "name": text(path.name, 40),
            "x": _plain(path.x), "y": _plain(path.y), "line": {"color": path.colour, "width": 2, "dash": "dash"},
            "marker": {"color": path.colour, "size": 7, "symbol": "circle-open" if path.hollow else "circle"},
            "hovertemplate": f"{text(path.name, 60)}<br>%{{x:.1f}} expected, %{{y:.1f}} found<extra></extra>",
        }
        for path in shown
    ]  # fmt: skip
    layout = _layout(ground, 380) | {
        axis: _axis(ground, title) | {"rangemode": "tozero"}
        for axis, title in zip(("xaxis", "yaxis"), titles, strict=True)
    }
    return {"data": traces, "layout": layout | {"showlegend": True}}


def bars(
    groups: Sequence[Line], ticks: Sequence[str], ground: Theme, *, titles: tuple[str, str], form: str = ".1%"
) -> Figure:
    """Grouped bars that start at zero."""
    few = len(groups) * len(ticks) <= 24
    traces = [
        {
            "type": "bar", "name": text(group.name, 40), "x": list(range(len(ticks))), "y": _plain(group.values),
            "marker": {"color": group.colour}, "cliponaxis": False, "textposition": "outside",
            "texttemplate": f"%{{y:{form.replace('.1%', '.0%')}}}" if few else "",
            "customdata": [[text(group.name, 60), tick] for tick in ticks],
            "hovertemplate": f"%{{customdata[0]}}<br>%{{customdata[1]}}: %{{y:{form}}}<extra></extra>",
        }
        for group in groups
    ]  # fmt: skip
    layout = _layout(ground, 340) | {
        "xaxis": _axis(ground, titles[0]) | _labels(ticks) | {"showgrid": False},
        "yaxis": _axis(ground, titles[1]) | {"tickformat": form.replace(".1%", ".0%"), "rangemode": "tozero"},
        "barmode": "group", "bargap": 0.25, "bargroupgap": 0.06, "showlegend": len(groups) > 1,
    }  # fmt: skip
    return {"data": traces, "layout": layout}


def points(shown: Sequence[Point], ground: Theme, *, titles: tuple[str, str]) -> Figure:
    """Differences of shares as points on two axes, both with zero; a few points are named beside their marks."""
    few = len(shown) <= MANY
    trace = {
        "type": "scatter", "mode": "markers+text" if few else "markers", "cliponaxis": False,
        "x": [point.x for point in shown], "y": [point.y for point in shown],
        "text": [text(point.name, 24) for point in shown] if few else None, "textposition": "top center",
        "marker": {"color": [point.colour for point in shown], "size": 12, "line": {"width": 1, "color": _INK[ground]}},
        "customdata": [text(point.hover, 160) for point in shown],
        "hovertemplate": "%{customdata}<extra></extra>",
    }  # fmt: skip
    layout = _layout(ground, 400) | {
        axis: _axis(ground, title) | {"tickformat": "+.0%", "rangemode": "tozero", "zeroline": True,
                                      "zerolinecolor": GREY[ground]}
        for axis, title in zip(("xaxis", "yaxis"), titles, strict=True)
    }  # fmt: skip
    return {"data": [trace], "layout": layout}


def gaps(low: Line, high: Line, rows: Sequence[str], ground: Theme, *, title: str) -> Figure:
    """Two marks per row, joined by a line: how far `high` is ahead of `low`."""
    places = list(range(len(rows)))
    joins: dict[str, list[Any]] = {"x": [], "y": []}
    for place, ends in enumerate(zip(_plain(low.values), _plain(high.values), strict=True)):
        joins["x"] += [*ends, None]
        joins["y"] += [place, place, None]
    traces: list[dict[str, Any]] = [
        {"type": "scatter", "mode": "lines", **joins, "line": {"color": GREY[ground], "width": 4}, "hoverinfo": "skip",
         "showlegend": False}
    ]  # fmt: skip
    for line, symbol, size in ((high, "circle-open", 15), (low, "circle", 9)):
        traces.append(
            {
                "type": "scatter", "mode": "markers", "name": text(line.name, 40),
                "x": _plain(line.values), "y": places,
                "marker": {"color": line.colour, "symbol": symbol, "size": size, "line": {"width": 2.5}},
                "customdata": [[text(line.name, 60), row] for row in rows], "cliponaxis": False,
                "hovertemplate": "%{customdata[0]}<br>%{customdata[1]}: %{x:.1%}<extra></extra>",
            }
        )  # fmt: skip
    layout = _layout(ground, len(rows) * 38 + 110) | {
        "xaxis": _axis(ground, title) | {"tickformat": ".0%", "range": _from_before(_range([low.values, high.values]))},
        "yaxis": _axis(ground, "") | {"tickvals": places, "ticktext": list(rows), "showgrid": False,
                                      "range": [len(rows) - 0.5, -0.5]},
        "showlegend": True,
    }  # fmt: skip
    return {"data": traces, "layout": layout}


def with_threshold(figure: Figure, value: float, name: str, ground: Theme) -> Figure:
    """`figure` with a named line across it at height `value`."""
    line = {"type": "line", "x0": 0, "x1": 1, "xref": "paper", "y0": value, "y1": value,
            "line": {"color": ACCENT[ground], "width": 2, "dash": "dash"}}  # fmt: skip
    note = {"x": 1, "xref": "paper", "y": value, "text": text(name), "showarrow": False, "xanchor": "right",
            "yanchor": "bottom", "font": {"color": ACCENT[ground]}}  # fmt: skip
    return figure | {"layout": figure["layout"] | {"shapes": [line], "annotations": [note]}}


def draw(
    figure: Figure,
    *,
    key: str,
    alt: str,
    on_pick: Callable[[Cell], None] | None = None,
    on_mark: Callable[[str], None] | None = None,
) -> None:
    """Show a figure; `alt` is its description for screen readers.

    `on_pick` is given the cell that was clicked, or `on_mark` what the clicked mark carries first in its customdata.
    """
    import streamlit as st

    if on_pick is None and on_mark is None:
        st.plotly_chart(figure, theme=None, key=key, config=_CONFIG, alt=alt)
        return

    def picked() -> None:
        event = st.session_state[key]
        if on_mark is not None:
            mark = picked_mark(event)
            if mark is not None:
                on_mark(mark)
        elif on_pick is not None:
            cell = picked_cell(event)
            if cell is not None:
                on_pick(cell)

    st.plotly_chart(
        figure, theme=None, key=key, config=_CONFIG, alt=alt, on_select=picked, selection_mode="points"
    )  # fmt: skip


def picked_cell(event: Any) -> Cell | None:
    """The cell in Streamlit's report of a click, if the click was on one."""
    points = event["selection"]["points"]
    return (int(points[0]["y"]), int(points[0]["x"])) if points else None


def picked_mark(event: Any) -> str | None:
    """What a clicked mark carries first in its customdata, if the click was on one that carries anything."""
    points = event["selection"]["points"]
    carried = points[0].get("customdata") if points else None
    return str(carried[0]) if carried else None


def _targets(values: np.ndarray, hover: Sequence[Sequence[str]], size: int) -> dict[str, Any]:
    """Unseen marks over the cells that have a value: Plotly reports clicks on marks, not on cells."""
    cells = np.argwhere(~np.isnan(values)).tolist()
    unseen = {"marker": {"opacity": 0}}
    return {
        "type": "scatter", "mode": "markers", "x": [c for _, c in cells], "y": [r for r, _ in cells],
        "marker": {"symbol": "square", "size": size, "opacity": 0}, "selected": unseen, "unselected": unseen,
        "customdata": [hover[r][c] for r, c in cells], "hovertemplate": "%{customdata}<extra></extra>",
        "showlegend": False,
    }  # fmt: skip


def _outline(cell: Cell, ground: Theme) -> dict[str, Any]:
    row, column = cell
    return {
        "type": "rect", "x0": column - 0.48, "x1": column + 0.48, "y0": row - 0.46, "y1": row + 0.46,
        "line": {"color": ACCENT[ground], "width": 3},
    }  # fmt: skip


def _layout(ground: Theme, height: int) -> dict[str, Any]:
    return {
        "height": height,
        "margin": {"l": 8, "r": 8, "t": 16, "b": 8, "pad": 2},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": '"Source Sans", "Source Sans Pro", sans-serif', "size": 14, "color": _INK[ground]},
        "hoverlabel": {"bgcolor": _GROUND[ground], "font": {"color": _INK[ground]}, "align": "left"},
        "legend": {"orientation": "h", "yanchor": "bottom", "y": 1.02, "x": 0, "xanchor": "left"},
        "hovermode": "closest",
        "dragmode": False,
        "showlegend": False,
    }


def _axis(ground: Theme, title: str) -> dict[str, Any]:
    return {
        "title": {"text": title, "standoff": 10},
        "gridcolor": _GRID[ground],
        "zeroline": False,
        "fixedrange": True,
        "automargin": True,
        "ticks": "",
    }


def _labels(names: Sequence[str]) -> dict[str, Any]:
    """The names on an axis: all of them, or of many the first and every few from there."""
    every = -(-len(names) // _LABELS) if len(names) > DENSE else 1
    shown = list(range(0, len(names), every))
    return {"tickvals": shown, "ticktext": [names[place] for place in shown]}


def _range(values: Sequence[np.ndarray]) -> list[float]:
    """The range of an axis of shares: from a round share below the lowest value (or from 0) to just above 1."""
    known = np.concatenate([np.asarray(v, float)[~np.isnan(np.asarray(v, float))] for v in values] or [np.zeros(0)])
    least = float(known.min()) if len(known) else 0.0
    start = 0.0 if least < 0.4 else math.floor((least - 0.03) * 10) / 10
    return [start, 1 + 0.04 * (1 - start)]


def _from_before(ends: list[float]) -> list[float]:
    """Room for a mark that stands at the beginning of an axis."""
    return [ends[0] - 0.04 * (ends[1] - ends[0]), ends[1]]


def _plain(values: np.ndarray) -> list[float | None]:
    return [None if math.isnan(value) else float(value) for value in np.asarray(values, float)]
