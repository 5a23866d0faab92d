"""A figure as SVG, drawn without a browser: for paper and for slides. It knows what figures of lessons are made of:
lines and marks, bars, and heat maps."""

from __future__ import annotations

import html
import math
import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

from app.figures.plots import Figure

WIDTH, HEIGHT = 640, 340
_LEFT, _RIGHT, _TOP, _BOTTOM = 92, 16, 44, 52
_INK, _GRID = "#222222", "#dddddd"


def svg(figure: Figure, alt: str = "") -> str:
    """The figure in its own colours on white, WIDTH × HEIGHT units; made for figures in the light theme."""
    traces, layout = figure["data"], figure["layout"]
    heat = next((trace for trace in traces if trace["type"] == "heatmap"), None)
    parts = list(_heat(heat, layout) if heat is not None else _plot(traces, layout))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" font-size="12" '
        f'font-family="system-ui, sans-serif" fill="{_INK}"><title>{html.escape(alt)}</title>'
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>{"".join(parts)}</svg>'
    )


class _Axes:
    """Where numbers of a figure lie on paper."""

    def __init__(self, x: Sequence[float], y: Sequence[float]) -> None:
        self.x, self.y = (x[0], x[1]), (y[0], y[1])

    def at(self, x: float, y: float) -> tuple[float, float]:
        across = (x - self.x[0]) / (self.x[1] - self.x[0] or 1)
        up = (y - self.y[0]) / (self.y[1] - self.y[0] or 1)
        return _LEFT + across * (WIDTH - _LEFT - _RIGHT), HEIGHT - _BOTTOM - up * (HEIGHT - _TOP - _BOTTOM)


def _plot(traces: Sequence[dict[str, Any]], layout: dict[str, Any]) -> Iterator[str]:
    axes = _Axes(_ends(traces, layout["xaxis"], "x"), _ends(traces, layout["yaxis"], "y"))
    yield from _frame(axes, layout)
    bars = [trace for trace in traces if trace["type"] == "bar"]
    for trace in traces:
        if trace["type"] == "bar":
            yield from _bars(axes, trace, bars.index(trace), len(bars), layout["yaxis"])
        elif trace["type"] == "scatter":
            yield from _line(axes, trace)
    if layout.get("showlegend"):
        yield from _legend([trace for trace in traces if trace.get("showlegend", True) and trace.get("name")])


def _ends(traces: Sequence[dict[str, Any]], axis: dict[str, Any], which: str) -> tuple[float, float]:
    if axis.get("range"):
        low, high = axis["range"]
        return float(low), float(high)
    values = [float(v) for trace in traces for v in trace[which] if v is not None and math.isfinite(float(v))]
    low, high = min(values, default=0.0), max(values, default=1.0)
    if any(trace["type"] == "bar" for trace in traces) and which == "x":
        return low - 0.6, high + 0.6
    low = min(0.0, low) if axis.get("rangemode") == "tozero" else low
    return low, high + 0.12 * (high - low or 1)


def _frame(axes: _Axes, layout: dict[str, Any]) -> Iterator[str]:
    yaxis, xaxis = layout["yaxis"], layout["xaxis"]
    for value, label in _ticks(yaxis, axes.y):
        left, y = axes.at(axes.x[0], value)
        yield f'<line x1="{left:.1f}" y1="{y:.1f}" x2="{WIDTH - _RIGHT}" y2="{y:.1f}" stroke="{_GRID}"/>'
        yield _words(left - 6, y + 4, label, "end")
    for value, label in _ticks(xaxis, axes.x):
        x, y = axes.at(value, axes.y[0])
        yield _words(x, y + 16, label, "middle")
    yield _words((WIDTH + _LEFT) / 2, HEIGHT - 8, xaxis["title"]["text"], "middle")
    middle = (HEIGHT - _BOTTOM + _TOP) / 2
    title = _words(14, middle, yaxis["title"]["text"], "middle")
    yield title.replace("<text ", f'<text transform="rotate(-90 14 {middle:.0f})" ', 1)


def _ticks(axis: dict[str, Any], ends: tuple[float, float]) -> list[tuple[float, str]]:
    low, high = sorted(ends)
    if "tickvals" in axis:
        named = zip(axis["tickvals"], axis["ticktext"], strict=True)
        return [(float(value), str(label)) for value, label in named if low <= value <= high]
    step = 10 ** math.floor(math.log10((high - low) / 4 or 1))
    step = next(step * times for times in (1, 2, 5, 10) if (high - low) / (step * times) <= 6)
    first = math.ceil(low / step)
    values = [step * at for at in range(first, math.floor(high / step) + 1)]
    return [(value, _number(value, str(axis.get("tickformat", "")))) for value in values]


def _number(value: float, form: str) -> str:
    return format(value, form if form == ".1%" else ".0%") if form.endswith("%") else f"{value:.4g}"


def _line(axes: _Axes, trace: dict[str, Any]) -> Iterator[str]:
    colour = (trace.get("line") or {}).get("color") or trace["marker"]["color"]
    pieces: list[list[tuple[float, float]]] = [[]]
    for x, y in zip(trace["x"], trace["y"], strict=True):
        if x is None or y is None:
            pieces.append([])
        else:
            pieces[-1].append(axes.at(float(x), float(y)))
    if "lines" in trace["mode"]:
        dash = ' stroke-dasharray="5 4"' if trace["line"].get("dash", "solid") != "solid" else ""
        for piece in pieces:
            path = " ".join(f"{x:.1f},{y:.1f}" for x, y in piece)
            wide = trace["line"].get("width", 2)
            yield f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="{wide}"{dash}/>'
    if "markers" in trace["mode"]:
        symbol = str(trace["marker"].get("symbol", ""))
        fill = "white" if symbol.endswith("open") else colour
        for x, y in (point for piece in pieces for point in piece):
            yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{fill}" stroke="{colour}" stroke-width="2"/>'


def _bars(axes: _Axes, trace: dict[str, Any], place: int, groups: int, yaxis: dict[str, Any]) -> Iterator[str]:
    width = 0.74 / groups
    paint = trace["marker"]["color"]
    written = re.search(r":(.+)}", trace.get("texttemplate", ""))
    form = written[1] if written else yaxis["tickformat"]
    for at, (x, y) in enumerate(zip(trace["x"], trace["y"], strict=True)):
        if y is None:
            continue
        start = x - 0.37 + place * width
        left, top = axes.at(start, y)
        right, bottom = axes.at(start + width, 0)
        colour = paint if isinstance(paint, str) else paint[at]
        yield f'<rect x="{left:.1f}" y="{top:.1f}" width="{right - left - 2:.1f}" height="{bottom - top:.1f}" '
        yield f'fill="{colour}"/>' + _words((left + right) / 2, top - 4, _number(y, form), "middle")


def _heat(trace: dict[str, Any], layout: dict[str, Any]) -> Iterator[str]:
    rows, columns = len(trace["z"]), len(trace["z"][0])
    axes = _Axes((-0.5, columns - 0.5), (rows - 0.5, -0.5))
    yield from _frame(axes, layout)
    for row, values in enumerate(trace["z"]):
        for column, value in enumerate(values):
            if value is None:
                continue
            left, top = axes.at(column - 0.5, row - 0.5)
            right, bottom = axes.at(column + 0.5, row + 0.5)
            share = (value - trace["zmin"]) / (trace["zmax"] - trace["zmin"] or 1)
            colour = _mixed(trace["colorscale"], share)
            yield f'<rect x="{left:.1f}" y="{top:.1f}" width="{right - left - 2:.1f}" '
            yield f'height="{bottom - top - 2:.1f}" fill="{colour}"/>'
            if "text" in trace:
                said = _words((left + right) / 2, (top + bottom) / 2 + 4, trace["text"][row][column], "middle")
                yield said.replace("<text ", '<text fill="white" ', 1) if share > 0.6 else said


def _mixed(scale: Sequence[Sequence[Any]], share: float) -> str:
    """The colour at a share (0 to 1) of a scale of three colours."""
    share = min(1.0, max(0.0, share))
    for (low, first), (high, second) in pairwise(scale):
        if share <= high:
            part = (share - low) / (high - low)
            pairs = ((int(first[k : k + 2], 16), int(second[k : k + 2], 16)) for k in (1, 3, 5))
            return "#" + "".join(f"{round(a + part * (b - a)):02x}" for a, b in pairs)
    return str(scale[-1][1])


def _legend(traces: Sequence[dict[str, Any]]) -> Iterator[str]:
    x, y = float(_LEFT), 14.0
    for trace in traces:
        colour = (trace.get("line") or {}).get("color") or trace["marker"]["color"]
        wide = 30 + 6.6 * len(html.unescape(str(trace["name"])))
        if x + wide > WIDTH and x > _LEFT:
            x, y = float(_LEFT), y + 16
        yield f'<rect x="{x:.0f}" y="{y - 8:.0f}" width="14" height="6" fill="{colour}"/>'
        yield _words(x + 20, y, str(trace["name"]), "start")
        x += wide


def _words(x: float, y: float, text: str, anchor: str) -> str:
    # Labels come escaped for Plotly, whose only tag of ours is the line break.
    lines = re.split(r"<br>", text)
    spans = "".join(f'<tspan x="{x:.1f}" dy="{0 if at == 0 else 14}">{line}</tspan>' for at, line in enumerate(lines))
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{spans}</text>'
