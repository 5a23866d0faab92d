"""A run's loss and accuracies as it trains, in Vega-Lite: it redraws every second without a flicker."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

import streamlit as st

from app.figures import palette
from app.reading import progress


def training_curves(events: Sequence[progress.Event], task_names: Sequence[str], epochs_wanted: bool = True) -> None:
    """Loss by step on the left, accuracy by task on the right; an empty chart says when its curve will appear."""
    loss, accuracy = progress.loss_curve(events), progress.accuracy_curves(events)
    left, right = st.columns(2, gap="medium") if loss or epochs_wanted else (None, st.container())
    if left is not None:
        with left:
            st.markdown("**Loss**")
            _chart(_loss_spec(loss, task_names), "Loss by training step") if loss else _waiting("the first step")
    _legend(task_names, max([p.task for p in loss] + [p.task for p in accuracy], default=-1))
    with right:
        st.markdown("**Accuracy on each learned task**")
        _chart(_accuracy_spec(accuracy, task_names), "Accuracy by task") if accuracy else _waiting("the first task")


def _legend(names: Sequence[str], newest: int) -> None:
    """The tasks and their colours, pale for tasks to come; with more than eight tasks only the newest has a colour."""
    if newest < 0:
        return
    few = len(names) <= palette.DISTINCT
    colours = palette.colours(len(names), theme(), None if few else newest)
    shown = range(len(names)) if few else [newest]
    items = "".join(
        f'<span style="opacity: {1 if task <= newest else 0.4}"><span style="display: inline-block; width: 14px; '
        f'height: 4px; margin-right: 6px; vertical-align: middle; background: {colours[task]}"></span>'
        f"{escape(f'{task + 1} · {names[task]}')}</span>"
        for task in shown
    )
    st.html(f'<div style="display: flex; flex-wrap: wrap; gap: 2px 18px; font-size: 0.85rem">{items}</div>')


def _waiting(what: str) -> None:
    with st.container(border=True, height=240, vertical_alignment="center", horizontal_alignment="center"):
        st.caption(f"Appears after {what}.", width="content")


def _chart(spec: dict[str, Any], alt: str) -> None:
    st.vega_lite_chart(spec, width="stretch", height=240, alt=alt)


def _loss_spec(points: Sequence[progress.LossPoint], names: Sequence[str]) -> dict[str, Any]:
    rows = [{"step": p.step, "loss": p.loss, "task": _label(p.task), "name": names[p.task]} for p in points]
    return {
        "data": {"values": rows},
        "mark": {"type": "line", "interpolate": "linear", "strokeWidth": 2},
        "encoding": {
            "x": {
                "field": "step",
                "type": "quantitative",
                "title": "training step",
                "axis": {"grid": False, "labelFlush": True},
            },
            "y": {"field": "loss", "type": "quantitative", "title": None},
            "color": _colour(max(p.task for p in points) + 1, len(names)),
            "tooltip": [_tip("name", "task"), _tip("step"), {**_tip("loss"), "format": ".4f"}],
        },
    }


def _accuracy_spec(points: Sequence[progress.AccuracyPoint], names: Sequence[str]) -> dict[str, Any]:
    rows = [{"after": p.after, "accuracy": p.accuracy, "task": _label(p.task), "name": names[p.task]} for p in points]
    share = {"format": ".0%", "values": [0, 0.25, 0.5, 0.75, 1]}
    return {
        "data": {"values": rows},
        "mark": {"type": "line", "point": True, "strokeWidth": 2},
        "encoding": {
            "x": {
                "field": "after",
                "type": "quantitative",
                "title": "tasks learned",
                "scale": {"domain": [1, max(2, len(names))]},
                "axis": {"grid": False, "tickMinStep": 1, "format": "d"},
            },
            "y": {
                "field": "accuracy",
                "type": "quantitative",
                "title": None,
                "scale": {"domain": [0, 1]},
                "axis": share,
            },
            "color": _colour(max(p.task for p in points) + 1, len(names)),
            "tooltip": [_tip("name", "task"), _tip("after", "tasks learned"), {**_tip("accuracy"), "format": ".1%"}],
        },
    }


def _label(task: int) -> str:
    return f"Task {task + 1}"


def _tip(field: str, title: str | None = None) -> dict[str, str]:
    kind = "nominal" if field in ("name", "task") else "quantitative"
    return {"field": field, "type": kind, "title": title or field}


def _colour(seen: int, tasks: int) -> dict[str, Any]:
    """One colour per task up to eight; above that the newest stands out from grey, without a legend."""
    few = tasks <= palette.DISTINCT
    colours = palette.colours(tasks, theme(), None if few else seen - 1)
    return {
        "field": "task",
        "type": "nominal",
        "scale": {"domain": [_label(task) for task in range(tasks)], "range": colours},
        "legend": None,  # one legend serves both charts
    }


def theme() -> palette.Theme:
    """The theme on screen."""
    return "dark" if st.context.theme.type == "dark" else "light"
