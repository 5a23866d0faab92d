"""A page with nothing but the point map over made-up clusters; `?points=` and `?frames=` size it."""

from __future__ import annotations

import numpy as np
import streamlit as st

from app.components.point_map import Column, Ellipse, MapData, point_map
from app.shell.sprites import sheet_template

HOSTILE = '<img src=x onerror="window.hacked = 1">'


def clusters(n: int, frames: int) -> MapData:
    """`frames` tasks, each on the map from its own frame on, and a last point far from all in a category of its own."""
    random = np.random.default_rng(0)
    task = np.arange(n) * frames // n
    task[-1] = frames
    centre = random.uniform(-10, 10, (2 * frames, 2))
    own_class = 2 * np.minimum(task, frames - 1) + random.integers(0, 2, n)
    start = centre[own_class] + random.normal(0, 1.1, (n, 2))
    xy = np.stack([start + frame * 0.7 * np.sin(start[:, ::-1] / 3 + frame) for frame in range(frames)])
    xy[:, -1] = [18, -14]
    seen = (task[None] <= np.arange(frames)[:, None]) | (task == frames)
    xy = np.where(seen[..., None], xy, np.nan).astype(np.float32)
    rings = (random.random((frames, n)) < 0.04) & seen
    rings[:, -1] = False
    ellipses = tuple(
        tuple(Ellipse(*xy[frame, own_class == 2 * t].mean(axis=0), 2.2, 1.4, 0.4, t, 0.5) for t in range(frame + 1))
        for frame in range(frames)
    )
    names = (*(f"task {t + 1}" for t in range(frames)), "far away")
    classes = (HOSTILE, *(f"class {c}" for c in range(1, 2 * frames)))
    return MapData(
        xy=xy,
        category=task,
        names=names,
        frame_names=tuple(f"after task {frame + 1}" for frame in range(frames)),
        rings=rings,
        columns=(Column("class", classes, own_class), Column("task", names, task)),
        sprites={"address": sheet_template("made-up"), "side": 64},
        ellipses=ellipses,
        title="Made-up clusters",
    )


def main() -> None:
    st.set_page_config(layout="wide")
    n, frames = (int(st.query_params.get(name, default)) for name, default in (("points", 3000), ("frames", 5)))
    points = clusters(n, frames)
    st.button("Run again")
    event = point_map(points, key="map", report_frame="report" in st.query_params)
    clicks = st.session_state.setdefault("clicks", [])
    if event.clicked is not None:
        clicks.append(event.clicked)
    st.text(f"clicked: {clicks}")
    st.text(f"selected: {len(event.selected)} of tasks {sorted(set(points.category[event.selected].tolist()))}")
    st.text(f"frame: {event.frame}")


main()
