"""Start here: what one recorded run shows, before anything is trained."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import streamlit as st

from app import pointmaps
from app.loading import metrics, predictions, spaces
from app.state import RunCard, available, current_task
from app.widgets import layout
from app.widgets.captions import caption
from app.widgets.point_map import point_map


def render() -> None:
    """The first screen: a sentence, a map with Play, three tiles, two actions."""
    card = layout.run_to_explore()
    if card is None:
        return
    st.title("What does a model forget while it goes on learning?", anchor=False)
    found = metrics(card)
    st.markdown(_sentence(card, found))
    left, right = st.columns([5, 2], gap="medium")
    with left:
        _map(card)
    with right:
        _tiles(found)
        _actions(card)


def _sentence(card: RunCard, found: Mapping[str, Any]) -> str:
    """What was measured, in words."""
    text = (
        f"A frozen vision model learned **{card.tasks} tasks one after another** ({layout.plain(card.title)}, "
        f"{layout.plain(card.stream)}). After the last, it still answers **{found['final_accuracy']:.1%}** of the test "
        f"images correctly; {_blame(found)}."
    )
    other = _unprotected(card)
    if other is not None:
        text += f" One model that is simply trained on, with nothing to protect what it knew, ends at **{other:.1%}**."
    return text


def _blame(found: Mapping[str, Any]) -> str:
    mistakes, share = found["mistakes"], found["mistakes_from_wrong_task"]
    if not mistakes:
        return "it made no mistake"
    if share is None:
        return f"it made {mistakes} mistakes"
    return f"**{round(share * mistakes)} of its {mistakes} mistakes** came from picking the wrong task"


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
    points = pointmaps.build(card, known[-1], "task", current_task(card.tasks))
    point_map(points, key=f"start-{card.name}", height=400, selectable=False)
    caption(
        f"every image as a point, {pointmaps.SPACES[known[-1]].where}. Press **Play** to see the tasks arrive.",
        "rings: images that were taken for another task's. Point at one to see it.",
        "an image is answered with the adapter of the task that it is taken for, so a ring is usually a mistake. "
        "Distances between far clusters carry no meaning.",
    )


def _tiles(found: Mapping[str, Any]) -> None:
    """Three numbers, each with the page that takes it apart."""
    with st.container(border=True):
        _tile("Accuracy", found["final_accuracy"], "Share of test images answered correctly after the last task, task "
              "unknown; mean over tasks.")  # fmt: skip
        layout.page_link("Task by task", "forgetting")
    with st.container(border=True):
        _tile("Forgetting", found["forgetting"], "How far each earlier task has fallen from its best, on average; below "
              "zero it has gained.")  # fmt: skip
        layout.page_link("When it happened", "forgetting")
    with st.container(border=True):
        _tile("Right task retrieved", found["retrieval_accuracy"], "Share of test images for which the right task's "
              "adapter was picked.")  # fmt: skip
        layout.page_link("Where it went wrong", "errors")


def _tile(label: str, value: float | None, text: str) -> None:
    st.metric(label, "–" if value is None else f"{value:.1%}", help=text)


def _actions(card: RunCard) -> None:
    image, wrong = telling_image(card)
    if image is not None:
        label = "See a mistake" if wrong else "See its closest call"
        layout.page_link(label, "errors", icon=":material/troubleshoot:", image=image, run=card.name)
    layout.page_link(f"Train your own{_estimate(card)}", "train", icon=":material/play_arrow:")


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


def _estimate(card: RunCard) -> str:
    seconds = metrics(card).get("seconds")
    if not seconds:
        return ""
    return f" (about {round(seconds, -1) or 10:.0f} s)" if seconds < 100 else f" (about {seconds / 60:.0f} min)"
