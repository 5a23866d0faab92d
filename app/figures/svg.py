"""A figure as SVG, drawn without a browser: for paper, for slides, and for a file that says what it shows.

It knows what the app's figures are made of: lines and marks, bars, heat maps, lines across, and notes.
"""

from __future__ import annotations

import html
import math
import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

from app.figures.plots import Figure

WIDTH, HEIGHT = 640, 340
_TALLEST = 1200
_ROW = 22
"""Least height of a row that has a label."""
_LETTER, _LINE = 6.4, 17
"""About how wide a letter of 12 units is, and how far lines of text lie apart."""
_INK, _QUIET, _GRID = "#222222", "#555555", "#dddddd"
_PADDING = 16
_BETWEEN = 14
"""Between the lines of a label."""


def svg(figure: Figure, alt: str = "") -> str:
    """The figure in its own colours on white, WIDTH units wide; made for figures in the light theme."""
    elements, height = _drawn(figure)
    return _document(height, elements, alt, "")


def sheet(figure: Figure, caption: str, notes: Sequence[str]) -> str:
    """The figure as a file of its own: below it stand its caption and, smaller, `notes` on where its numbers are from.

    All of them are text, which can be searched, copied and edited.
    """
    elements, height = _drawn(figure)
    y = height + 8.0
    parts = [elements]
    for text, ink, size in ((caption, _INK, 13), *((note, _QUIET, 11) for note in notes)):
        for line in _wrapped(text, int((WIDTH - 2 * _PADDING) / (_LETTER * size / 12))):
            y += _LINE * size / 12
            parts.append(f'<text x="{_PADDING}" y="{y:.0f}" font-size="{size}" fill="{ink}">{html.escape(line)}</text>')
        y += 3
    return _document(math.ceil(y + _PADDING), "".join(parts), caption, "\n".join(notes))


def _document(height: int, elements: str, title: str, about: str) -> str:
    said = f"<desc>{html.escape(about)}</desc>" if about else ""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" '
        f'role="img" font-size="12" font-family="system-ui, sans-serif" fill="{_INK}">'
        f"<title>{html.escape(title)}</title>{said}"
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>{elements}</svg>'
    )


def _wrapped(text: str, letters: int) -> list[str]:
    import textwrap

    return textwrap.wrap(" ".join(text.split()), max(20, letters), break_long_words=True)


def _drawn(figure: Figure) -> tuple[str, int]:
    """The elements of the figure, and how high they are."""
    traces, layout = figure["data"], figure["layout"]
    heat = next((trace for trace in traces if trace["type"] == "heatmap"), None)
    if heat is not None:
        ends = (-0.5, len(heat["z"][0]) - 0.5), (len(heat["z"]) - 0.5, -0.5)
    else:
        ends = _ends(traces, layout["xaxis"], "x"), _ends(traces, layout["yaxis"], "y")
    axes = _Axes(*ends, layout, bar=heat is not None and bool(heat.get("showscale")))
    drawn = _heat(axes, heat, layout) if heat is not None else _plot(axes, traces, layout)
    return "".join([*drawn, *_shapes(axes, layout)]), axes.height


class _Axes:
    """Where numbers of a figure lie on paper, with room for the labels around it."""

    def __init__(self, x: Sequence[float], y: Sequence[float], layout: dict[str, Any], *, bar: bool) -> None:
        self.x, self.y = (x[0], x[1]), (y[0], y[1])
        across, up = _ticks(layout["xaxis"], self.x), _ticks(layout["yaxis"], self.y)
        self.left = min(240.0, max(92.0, 36 + _LETTER * max((_width(label) for _, label in up), default=0)))
        self.right = WIDTH - (66.0 if bar else 16.0)
        widest = max((_width(label) for _, label in across), default=0) * _LETTER
        self.turned = len(across) > 1 and widest > (self.right - self.left) / len(across) + _LETTER
        titled = _BETWEEN * str(layout["xaxis"]["title"]["text"]).count("<br>")
        self.bottom = titled + (40 + min(110.0, 0.7 * widest) if self.turned else 52.0)
        labels = layout["yaxis"].get("ticktext", ())
        lines = max((label.count("<br>") for label in labels), default=0)
        self.top = 44.0
        rows = len(labels) * (_ROW + _BETWEEN * lines)
        self.height = min(_TALLEST, max(HEIGHT, round(self.top + self.bottom + rows)))

    def at(self, x: float, y: float) -> tuple[float, float]:
        across = (x - self.x[0]) / (self.x[1] - self.x[0] or 1)
        up = (y - self.y[0]) / (self.y[1] - self.y[0] or 1)
        return self.left + across * (self.right - self.left), self.low - up * (self.low - self.top)

    @property
    def low(self) -> float:
        """Where the plot ends below."""
        return self.height - self.bottom


def _width(label: str) -> int:
    """Letters of the longest line of a label."""
    return max(len(html.unescape(line)) for line in label.split("<br>"))


def _plot(axes: _Axes, traces: Sequence[dict[str, Any]], layout: dict[str, Any]) -> Iterator[str]:
    yield from _frame(axes, layout)
    bars = [trace for trace in traces if trace["type"] == "bar"]
    for trace in traces:
        if trace["type"] == "bar":
            yield from _bars(axes, trace, bars.index(trace), len(bars), layout)
        elif trace["type"] == "scatter":
            yield from _line(axes, trace)
    if layout.get("showlegend"):
        yield from _legend(axes, [trace for trace in traces if trace.get("showlegend", True) and trace.get("name")])


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
        yield f'<line x1="{left:.1f}" y1="{y:.1f}" x2="{axes.right:.0f}" y2="{y:.1f}" stroke="{_GRID}"/>'
        yield _words(left - 6, y + 4 - _BETWEEN / 2 * label.count("<br>"), label, "end")
    for value, label in _ticks(xaxis, axes.x):
        x, y = axes.at(value, axes.y[0])[0], axes.low + 16
        said = _words(x, y, label, "end" if axes.turned else "middle")
        yield said.replace("<text ", f'<text transform="rotate(-40 {x:.1f} {y:.1f})" ', 1) if axes.turned else said
    if xaxis.get("zeroline") and min(axes.x) < 0 < max(axes.x):
        x = axes.at(0, axes.y[0])[0]
        yield f'<line x1="{x:.1f}" y1="{axes.top:.1f}" x2="{x:.1f}" y2="{axes.low:.1f}" stroke="{_QUIET}"/>'
    under = str(xaxis["title"]["text"])
    yield _words((axes.left + axes.right) / 2, axes.height - 8 - _BETWEEN * under.count("<br>"), under, "middle")
    middle = (axes.low + axes.top) / 2
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
    if form.endswith("%"):
        return format(value, form if form == ".1%" else ".0%")
    return format(value, form if re.fullmatch(r"\.\dg", form) else ".4g")


def _line(axes: _Axes, trace: dict[str, Any]) -> Iterator[str]:
    colour = _colour(trace)
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
        yield from _marks(trace, [point for piece in pieces for point in piece])


def _marks(trace: dict[str, Any], points: Sequence[tuple[float, float]]) -> Iterator[str]:
    paint, symbol = trace["marker"].get("color") or _colour(trace), str(trace["marker"].get("symbol", ""))
    names = trace.get("text") if "text" in trace["mode"] else None
    for at, (x, y) in enumerate(points):
        colour = paint if isinstance(paint, str) else paint[at]
        fill = "white" if symbol.endswith("open") else colour
        yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{fill}" stroke="{colour}" stroke-width="2"/>'
        if names:
            yield _words(x, y - 9, str(names[at]), "middle")


def _colour(trace: dict[str, Any]) -> str:
    found = (trace.get("line") or {}).get("color") or trace["marker"]["color"]
    return str(found if isinstance(found, str) else found[0])


def _bars(axes: _Axes, trace: dict[str, Any], place: int, groups: int, layout: dict[str, Any]) -> Iterator[str]:
    width = 0.74 / groups
    paint = trace["marker"]["color"]
    written = re.search(r":(.+)}", trace.get("texttemplate", ""))
    form = written[1] if written else layout["yaxis"]["tickformat"]
    for at, (x, y) in enumerate(zip(trace["x"], trace["y"], strict=True)):
        if y is None:
            continue
        start = x - 0.37 + place * width
        left, top = axes.at(start, y)
        right, bottom = axes.at(start + width, 0)
        colour = paint if isinstance(paint, str) else paint[at]
        yield f'<rect x="{left:.1f}" y="{top:.1f}" width="{right - left - 2:.1f}" height="{bottom - top:.1f}" '
        yield f'fill="{colour}"/>'
        if written:
            yield _words((left + right) / 2, top - 4, _number(y, form), "middle")


def _heat(axes: _Axes, trace: dict[str, Any], layout: dict[str, Any]) -> Iterator[str]:
    yield from _frame(axes, layout)
    gap = trace["xgap"]
    for row, values in enumerate(trace["z"]):
        for column, value in enumerate(values):
            if value is None:
                continue
            left, top = axes.at(column - 0.5, row - 0.5)
            right, bottom = axes.at(column + 0.5, row + 0.5)
            share = (value - trace["zmin"]) / (trace["zmax"] - trace["zmin"] or 1)
            colour = _mixed(trace["colorscale"], share)
            yield f'<rect x="{left:.1f}" y="{top:.1f}" width="{right - left - gap:.1f}" '
            yield f'height="{bottom - top - gap:.1f}" fill="{colour}"/>'
            if "text" in trace:
                said = _words((left + right) / 2, (top + bottom) / 2 + 4, trace["text"][row][column], "middle")
                yield said.replace("<text ", '<text fill="white" ', 1) if share > 0.6 else said
    if trace["showscale"]:
        yield from _scale(axes, trace)


def _scale(axes: _Axes, trace: dict[str, Any]) -> Iterator[str]:
    """Which colour is which number, at the right."""
    bar, steps = trace["colorbar"], 40
    x, high = axes.right + 8, (axes.low - axes.top) / steps
    for step in range(steps):
        y, colour = axes.low - (step + 1) * high, _mixed(trace["colorscale"], (step + 0.5) / steps)
        yield f'<rect x="{x:.0f}" y="{y:.1f}" width="10" height="{high + 0.5:.1f}" fill="{colour}"/>'
    for y, value in ((axes.low, trace["zmin"]), (axes.top + 9, trace["zmax"])):
        yield _words(x + 13, y, _number(value, str(bar["tickformat"])), "start")
    middle = (axes.low + axes.top) / 2
    said = _words(x + 24, middle, bar["title"]["text"], "middle")
    yield said.replace("<text ", f'<text transform="rotate(90 {x + 24:.0f} {middle:.0f})" ', 1)


def _shapes(axes: _Axes, layout: dict[str, Any]) -> Iterator[str]:
    """Outlines, lines across and notes. A place on paper goes from 0 to 1 over the plot."""
    for shape in layout.get("shapes", ()):
        (x0, y0), (x1, y1) = (_place(axes, shape, end) for end in "01")
        line = f'fill="none" stroke="{shape["line"]["color"]}" stroke-width="{shape["line"]["width"]}"'
        if shape["type"] == "rect":
            yield f'<rect x="{x0:.1f}" y="{min(y0, y1):.1f}" width="{x1 - x0:.1f}" height="{abs(y1 - y0):.1f}" {line}/>'
        else:
            yield f'<path d="M{x0:.1f} {y0:.1f}L{x1:.1f} {y1:.1f}" stroke-dasharray="5 4" {line}/>'
    for note in layout.get("annotations", ()):
        x, y = _place(axes, note, "")
        anchor = {"right": "end", "left": "start"}.get(str(note.get("xanchor")), "middle")
        colour = note.get("font", {}).get("color", _INK)
        said = _words(x, y - 4, str(note["text"]), anchor)
        yield said.replace("<text ", f'<text fill="{colour}" ', 1)


def _place(axes: _Axes, shape: dict[str, Any], end: str) -> tuple[float, float]:
    x, y = (float(shape[f"{axis}{end}"]) for axis in "xy")
    if shape.get("xref") == "paper":
        x = axes.x[0] + x * (axes.x[1] - axes.x[0])
    if shape.get("yref") == "paper":
        y = axes.y[0] + y * (axes.y[1] - axes.y[0])
    return axes.at(x, y)


def _mixed(scale: Sequence[Sequence[Any]], share: float) -> str:
    """The colour at a share (0 to 1) of a scale of three colours."""
    share = min(1.0, max(0.0, share))
    for (low, first), (high, second) in pairwise(scale):
        if share <= high:
            part = (share - low) / (high - low)
            pairs = ((int(first[k : k + 2], 16), int(second[k : k + 2], 16)) for k in (1, 3, 5))
            return "#" + "".join(f"{round(a + part * (b - a)):02x}" for a, b in pairs)
    return str(scale[-1][1])


def _legend(axes: _Axes, traces: Sequence[dict[str, Any]]) -> Iterator[str]:
    x, y = axes.left, 14.0
    for trace in traces:
        colour = _colour(trace)
        wide = 30 + 6.6 * len(html.unescape(str(trace["name"])))
        if x + wide > WIDTH and x > axes.left:
            x, y = axes.left, y + 16
        yield f'<rect x="{x:.0f}" y="{y - 8:.0f}" width="14" height="6" fill="{colour}"/>'
        yield _words(x + 20, y, str(trace["name"]), "start")
        x += wide


def _words(x: float, y: float, text: str, anchor: str) -> str:
    # Labels come escaped for Plotly, whose only tag of ours is the line break; one that is not escaped does no harm.
    lines = [html.escape(html.unescape(line), quote=False) for line in text.split("<br>")]
    spans = "".join(
        f'<tspan x="{x:.1f}" dy="{0 if at == 0 else _BETWEEN}">{line}</tspan>' for at, line in enumerate(lines)
    )
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{spans}</text>'
