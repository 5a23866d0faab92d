"""Start here: what one recorded run shows, before anything is trained."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import streamlit as st

from app.components.captions import caption
from app.components.point_map import point_map, run_points
from app.reading.cards import RunCard
from app.reading.tables import metrics, predictions, spaces
from app.shell import layout
from app.shell.address import current_task
from app.shell.run_choice import available
from app.training.estimates import estimate

_TILES = (
    (
        "Accuracy",
        "final_accuracy",
        "Share of test images answered correctly after the last task, with the task unknown; the mean over tasks.",
        "Task by task",
        "forgetting",
    ),
    (
        "Forgetting",
        "forgetting",
        "How far the earlier tasks have fallen from their best, on average; below zero they have gained.",
        "When it happened",
        "forgetting",
    ),
    (
        "Right task retrieved",
        "retrieval_accuracy",
        "Share of test images for which the adapter of the right task was picked.",
        "Where it went wrong",
        "errors",
    ),
)
"""Label, key in metrics.json, meaning, and the page that takes the number apart."""


def render() -> None:
    """The first screen: a sentence, a map with Play, three tiles, two actions."""
    card = layout.run_to_explore()
    if card is None:
        return
    layout.heading("What does a model forget?")
    found = metrics(card)
    st.markdown(_sentence(card, found))
    left, right = st.columns([5, 2], gap="medium")
    with left:
        _map(card)
    with right:
        _tiles(found)
        with st.container(key="actions"):
            _actions(card)


def _sentence(card: RunCard, found: Mapping[str, Any]) -> str:
    """What was measured, in words."""
    text = (
        f"A frozen vision model learned **{card.tasks} tasks one after another** ({layout.plain(card.title)}, "
        f"{layout.plain(card.stream)}). After the last, it still answers "
        f"**{_percent(found, 'final_accuracy')}** of the test images correctly; {_blame(found)}."
    )
    other = _unprotected(card)
    if other is not None:
        text += f" One model that is simply trained on, with nothing to protect what it knew, ends at **{other:.1%}**."
    return text


def _blame(found: Mapping[str, Any]) -> str:
    mistakes, share = found.get("mistakes"), found.get("mistakes_from_wrong_task")
    if not mistakes or share is None:
        return "it made no mistake" if mistakes == 0 else "its mistakes are on the next pages"
    return f"**{round(share * mistakes)} of its {mistakes} mistakes** came from picking the wrong task"


def _percent(found: Mapping[str, Any], key: str) -> str:
    value = found.get(key)
    return f"{value:.1%}" if isinstance(value, int | float) else "–"


def _unprotected(card: RunCard) -> float | None:
    """Final accuracy of the sequential run of the same stream, where there is another."""
    for other in available():
        if other.method == "sequential" and other.stream == card.stream and other.ready and other.name != card.name:
            return metrics(other).get("final_accuracy")
    return None


def _map(card: RunCard) -> None:
    known = spaces(card)
    if not known:
        return
    # Where tasks are told apart, if the run has such a space: there a ring lies beside what misled it.
    space = "whitened" if "whitened" in known else known[0]
    points = run_points.build(card, space, "task", current_task(card.tasks))
    point_map(points, key=f"start-{card.name}", height=360, selectable=False)
    caption(
        f"every image as a point, {run_points.SPACES[space].where}. Press **Play** to see the tasks arrive.",
        "rings: images that were taken for another task's. Point at one to see it.",
        "an image is answered with the adapter of the task that it is taken for, so a ring is usually a mistake. "
        "Distances between far clusters carry no meaning.",
    )


def _tiles(found: Mapping[str, Any]) -> None:
    """Three numbers, each with the page that takes it apart."""
    for label, key, meaning, more, page in _TILES:
        with st.container(border=True, gap="small"):
            st.metric(label, _percent(found, key), help=meaning)
            layout.page_link(more, page)


def _actions(card: RunCard) -> None:
    image, wrong = telling_image(card)
    if image is not None:
        label = "See a mistake" if wrong else "See its closest call"
        layout.page_link(label, "errors", icon=":material/troubleshoot:", image=image, run=card.name)
    expected = estimate()
    label = f"Train your own ({expected})" if expected is not None else "Train your own"
    layout.page_link(label, "train", icon=":material/play_arrow:", run=None, t=None)


def telling_image(card: RunCard) -> tuple[int | None, bool]:
    """The test image to begin with, and whether it was answered wrongly: a wrong task if there is one, else a wrong
    class, else the smallest margin."""
    answers = predictions(card).after(card.tasks - 1)
    if not len(answers):
        return None, False
    astray = answers.retrieved_task != answers.task
    wrong = answers.predicted != answers.label
    for rows in (astray & wrong, wrong):
        if rows.any():
            return int(answers.image[rows][np.argmax(answers.margin[rows])]), True
    return int(answers.image[np.argmin(answers.margin)]), False
