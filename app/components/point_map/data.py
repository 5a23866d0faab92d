"""What the map shows, and its compact form for the browser."""

from __future__ import annotations

import hashlib
import json
from dataclasses import astuple, dataclass
from typing import Any

import numpy as np

from app.components.browser import Sheets, number
from app.figures import palette

_STEPS = 65_534  # of the larger side; one more value says "not on the map"
_HIDDEN = 65_535


@dataclass(frozen=True, eq=False)
class Column:
    """One line of the hover text: `title: names[code]`."""

    title: str
    names: tuple[str, ...]
    codes: np.ndarray
    """(n,) or (frames, n) positions in `names`."""


@dataclass(frozen=True)
class Ellipse:
    """One mixture component, in map coordinates; `angle` in radians from the x axis, `weight` 0 to 1."""

    cx: float
    cy: float
    rx: float
    ry: float
    angle: float
    category: int
    weight: float


@dataclass(frozen=True, eq=False)
class MapData:
    """Points over task time. n points, one frame for each `after_task`.

    Raises ValueError when the parts do not fit together.
    """

    xy: np.ndarray
    """(frames, n, 2) float; NaN where a point is not on the map yet."""
    category: np.ndarray
    """(n,) or (frames, n) positions in `names`: the colour."""
    names: tuple[str, ...]
    """Of the categories."""
    frame_names: tuple[str, ...]
    """For people: 'after task 3'."""
    rings: np.ndarray | None = None
    """(frames, n) bool: points marked with a ring, such as retrieval errors."""
    ring_name: str = "wrong task retrieved"
    columns: tuple[Column, ...] = ()
    """Hover text."""
    muted: int | None = None
    """A category that says nothing by itself, drawn in grey: the colours are left to the others."""
    ids: np.ndarray | None = None
    """(n,) int, the points' own numbers, which keep a selection alive when other points are shown; default 0…n−1."""
    sprites: Sheets | None = None
    """Where the thumbnails are."""
    sprite: np.ndarray | None = None
    """(n, 2) int, (sheet, cell) of each thumbnail; default is the point's id."""
    ellipses: tuple[tuple[Ellipse, ...], ...] = ()
    """Per frame."""
    highlight: int | None = None
    """The category in colour while all others are grey."""
    frame: int = -1
    """The frame to show."""
    title: str = "Map"
    noun: str = "images"
    """What the points are."""

    def __post_init__(self) -> None:
        if self.xy.ndim != 3 or self.xy.shape[2] != 2 or not len(self.xy):
            raise ValueError(f"xy is {self.xy.shape}; expected (frames, n, 2) with at least one frame")
        flat, framed = (self.points,), (self.frames, self.points)
        _check("category", self.category, flat, framed, below=len(self.names))
        for column in self.columns:
            _check(f"column {column.title!r}", column.codes, flat, framed, below=len(column.names))
        if self.rings is not None:
            _check("rings", self.rings, framed)
        if self.ids is not None:
            _check("ids", self.ids, flat, below=2**31)
            if len(np.unique(self.ids)) != self.points:
                raise ValueError("ids are not unique")
        if self.sprite is not None:
            _check("sprite", self.sprite, (self.points, 2))
        if len(self.frame_names) != self.frames:
            raise ValueError(f"{len(self.frame_names)} frame names for {self.frames} frames")
        if self.ellipses and len(self.ellipses) != self.frames:
            raise ValueError(f"ellipses for {len(self.ellipses)} of {self.frames} frames")
        if self.muted is not None and not 0 <= self.muted < len(self.names):
            raise ValueError(f"no category {self.muted} to draw in grey")
        if self.highlight is not None and not 0 <= self.highlight < len(self.names):
            raise ValueError(f"no category {self.highlight} to highlight")

    @property
    def frames(self) -> int:
        return int(self.xy.shape[0])

    @property
    def points(self) -> int:
        return int(self.xy.shape[1])

    @property
    def numbers(self) -> np.ndarray:
        """(n,) the points' ids."""
        return np.arange(self.points) if self.ids is None else self.ids


def pack(points: MapData, **options: Any) -> bytes:
    """The bytes for the browser: the header's length (4 bytes), a JSON header, typed arrays.

    A point costs 4 bytes per frame for its place (a 65,534th of the map's larger side, so one pixel when zoomed some
    fifty times), 1 for a category that changes by frame, 1 bit for rings; and once 1 for a fixed category, 1 or 2 per
    hover column, and up to 4 each for ids and sprites where these are not simply 0…n−1. `options` go into the header.
    """
    place, origin, scale = _place(points.xy)
    arrays = {"xy": place, "category": _narrow(points.category)}
    if points.rings is not None:
        arrays["rings"] = np.packbits(points.rings.astype(bool), axis=1, bitorder="little")
    arrays |= {f"column{index}": _narrow(column.codes) for index, column in enumerate(points.columns)}
    arrays |= _unless_counting("ids", points.numbers)
    if points.sprite is not None:
        arrays |= _unless_counting("sprite", number(*points.sprite.T))
    elif points.ids is not None:
        arrays |= _unless_counting("sprite", points.ids)
    layout, body = _join(arrays)
    header = {
        "n": points.points,
        "frames": points.frames,
        "place": hashlib.blake2b(place.tobytes(), digest_size=8).hexdigest(),
        "extent": _extent(place),
        "frame": points.frame % points.frames,
        "frame_names": points.frame_names,
        "names": points.names,
        "highlight": points.highlight,
        "palette": {theme: _palette(len(points.names), points.muted, theme) for theme in ("light", "dark")},
        "ring_name": points.ring_name,
        "columns": [{"title": column.title, "names": column.names} for column in points.columns],
        "sprites": points.sprites,
        "ellipses": [[_placed(ellipse, origin, scale) for ellipse in frame] for frame in points.ellipses],
        "title": points.title,
        "noun": points.noun,
        "arrays": layout,
        **options,
    }
    text = json.dumps(header, separators=(",", ":"), allow_nan=False).encode()
    text += b" " * (-(len(text) + 4) % 8)
    return len(text).to_bytes(4, "little") + text + body


def _check(
    name: str,
    values: np.ndarray,
    shape: tuple[int, ...],
    other: tuple[int, ...] | None = None,
    below: int | None = None,
) -> None:
    if values.shape not in (shape, other):
        raise ValueError(f"{name} is {values.shape}; expected {shape}{f' or {other}' if other else ''}")
    if below is not None and values.size and (values.min() < 0 or values.max() >= below):
        raise ValueError(f"{name} has values outside 0…{below - 1}")


def _place(xy: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """uint16 coordinates on one scale for both axes, and the origin and scale (steps per unit) that made them."""
    shown = np.isfinite(xy).all(axis=2)
    if not shown.any():
        return np.full(xy.shape, _HIDDEN, np.uint16), np.zeros(2), 1.0
    low, top = (np.where(shown[..., None], xy, fill).reshape(-1, 2) for fill in (np.inf, -np.inf))
    origin, top = low.min(axis=0).astype(float), top.max(axis=0).astype(float)
    scale = _STEPS / (float((top - origin).max()) or 1.0)
    steps = np.where(shown[..., None], np.rint((xy - origin) * scale), _HIDDEN)
    return steps.astype(np.uint16), origin, scale


def _extent(place: np.ndarray) -> list[int]:
    shown = place[place[..., 0] != _HIDDEN]
    return [int(side.max()) for side in shown.T] if len(shown) else [1, 1]


def _placed(ellipse: Ellipse, origin: np.ndarray, scale: float) -> list[float]:
    cx, cy, rx, ry, angle, category, weight = astuple(ellipse)
    cx, cy, rx, ry = (cx - origin[0]) * scale, (cy - origin[1]) * scale, rx * scale, ry * scale
    return [round(cx, 1), round(cy, 1), round(rx, 1), round(ry, 1), round(angle, 4), category, round(weight, 4)]


def _narrow(values: np.ndarray) -> np.ndarray:
    """The same whole numbers in as few bytes as hold them."""
    top = int(values.max()) if values.size else 0
    return values.astype(np.uint8 if top < 2**8 else np.uint16 if top < 2**16 else np.uint32)


def _unless_counting(name: str, values: np.ndarray) -> dict[str, np.ndarray]:
    return {} if np.array_equal(values, np.arange(len(values))) else {name: _narrow(values)}


def _join(arrays: dict[str, np.ndarray]) -> tuple[list[dict[str, Any]], bytes]:
    """Where each array lies, and all of them end to end, each at a multiple of four bytes."""
    layout, parts, offset = [], [], 0
    for name, array in arrays.items():
        data = array.astype(array.dtype.newbyteorder("<")).tobytes()
        layout.append({"name": name, "type": array.dtype.name, "offset": offset, "length": array.size})
        padding = -len(data) % 4
        parts += [data, b"\0" * padding]
        offset += len(data) + padding
    return layout, b"".join(parts)


def _palette(count: int, muted: int | None, theme: palette.Theme) -> dict[str, Any]:
    coloured = count if muted is None else count - 1
    distinct = palette.colours(coloured, theme)
    if muted is not None:
        distinct.insert(muted, palette.GREY[theme])
    return {
        "colours": distinct,
        "grey": palette.GREY[theme],
        "accent": palette.ACCENT[theme] if coloured > palette.DISTINCT else None,
    }
