"""The parts of an explanation, in Streamlit's own elements and HTML styled by `explanation.css`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import streamlit as st

from app.components import thumbnails
from app.reading.answers import answer_of, clusters_of, names_of
from app.reading.cards import RunCard
from app.reading.explain import Answer, Bar, Cluster, Names, bars, sentence

__all__ = ["answer_of", "clusters_of", "component_images", "facts", "gaps", "inside", "names_of", "unit", "why"]

_STYLE = f"<style>{Path(__file__).with_name('explanation.css').read_text(encoding='utf-8')}</style>"


def why(answer: Answer, names: Names, nearest_to: Cluster | None) -> None:
    """The sentence, marked by whether the answer is right."""
    mark = {"right": "right", "unknown": "unknown"}.get(answer.verdict, "wrong")
    st.html(f'{_STYLE}<p class="why {mark}">{escape(sentence(answer, names, nearest_to))}</p>')


def facts(pairs: dict[str, str]) -> None:
    """Names and values in two columns, as plain text."""
    inside = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in pairs.items())
    st.html(f'{_STYLE}<dl class="facts">{inside}</dl>')


def gaps(answer: Answer, names: Names) -> None:
    """How far each task's score lies below the best: one bar per task, longer is less likely."""
    shown = bars(answer)
    rows = "".join(_bar(bar, names) for bar in shown)
    hidden = len(answer.scores) - len(shown)
    more = f"<span></span><span>and {hidden} more tasks</span><span></span>" if hidden else ""
    st.html(f'{_STYLE}<div class="gaps" role="group" aria-label="Gap to the best task">{rows}{more}</div>')


def _bar(bar: Bar, names: Names) -> str:
    tags = [tag for tag, on in (("retrieved", bar.retrieved), ("true", bar.true)) if on]
    name = escape(str(names.tasks[bar.task]))
    marks = "".join(f'<span class="tag">{tag}</span>' for tag in tags)
    value = "not considered" if not math.isfinite(bar.gap) else "best" if bar.gap == 0 else f"−{_short(bar.gap)}"
    width = 0 if not math.isfinite(bar.gap) else 100 * bar.length
    return (
        f'<span class="name" title="{name}">{bar.task + 1} · {name}{marks}</span>'
        f'<span class="track"><div class="bar {" ".join(tags)}" style="width: {width:.1f}%"></div></span>'
        f'<span class="value">{value}</span>'
    )


_PARTS = {
    "clusters": "where its clusters lie in the space that all tasks share",
    "adapter": "what the task's own adapter and head say",
}
_CLASSES = 6


def inside(classes: Sequence[Mapping[str, Any]]) -> None:
    """How far each class of the task lies behind in each part of its score: stacked bars, the likeliest class first."""
    shown = classes[:_CLASSES]
    widest = max((-sum(row["parts"].values()) for row in shown), default=0.0) or 1.0
    rows = "".join(_stack(row["class_name"], row["parts"], widest) for row in shown)
    st.html(f'{_STYLE}<div class="gaps" role="group" aria-label="Gap to the best class">{rows}</div>')
    said = "; ".join(f"{colour}: {_PARTS[name]}" for name, colour in (("clusters", "blue"), ("adapter", "orange")))
    st.caption(f"Nats behind the class that each part favours, {said}.")


def _stack(name: str, parts: Mapping[str, float], widest: float) -> str:
    behind = {part: 0.0 - value for part, value in parts.items()}
    pieces = "".join(
        f'<div class="bar {part}" style="width: {100 * gap / widest:.1f}%" title="{part}: −{_short(gap)}"></div>'
        for part, gap in behind.items()
    )
    total = sum(behind.values())
    value = "best in all" if total == 0 else " − ".join(["", *map(_short, behind.values())]).strip()
    return (
        f'<span class="name" title="{escape(name)}">{escape(name)}</span>'
        f'<span class="track parts">{pieces}</span><span class="value">{value}</span>'
    )


def _short(gap: float) -> str:
    return f"{gap:.2g}" if gap < 1 else f"{gap:.1f}" if gap < 100 else f"{gap:.0f}"


def unit(answer: Answer) -> str:
    """What a gap is measured in."""
    return "nats of log-likelihood" if answer.component >= 0 else "units of the score"


def component_images(card: RunCard, near: Cluster, names: Names, answer: Answer, *, key: str) -> None:
    """A component's heading and those of its images that lie nearest."""
    role = "Its own task" if near.task == answer.task else "Retrieved" if near.task == answer.retrieved else "Runner-up"
    what = f"component {near.component + 1}" if near.component >= 0 else "nearest images"
    of = f", mostly {names.label(near.label)}" if near.label is not None else ""
    facts({role: f"{names.task(near.task)}, {what}{of}"})
    if near.images:
        thumbnails.grid(card, near.images, columns=5, size=64, key=key)
    else:
        st.caption("No image of it was kept.")
