"""Start here: what one recorded run shows, before anything is trained."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from app.components import thumbnails
from app.components.browser import sheets
from app.components.captions import caption
from app.components.point_map import point_map, run_points
from app.components.story import Figure, Part, Tile, story
from app.reading.cards import RunCard
from app.reading.class_pictures import one_a_class
from app.reading.run_words import figures, stream_title
from app.reading.story import CostlyPair, costliest_pair, peers, stories, telling_image
from app.reading.tables import Predictions, class_names, images, metrics, predictions, spaces
from app.reading.telling_map import telling_colour, telling_space
from app.shell import layout
from app.shell.address import current_task, link
from app.shell.run_choice import available
from app.training.estimates import estimate
from core.light import is_light

_PICTURES = 8
"""Thumbnails on a story's tile."""
_LARGE = 158
"""Pixels that the one image is wide, about: it becomes 168 for a garment of 28, which fills its column."""
_MORE = 5
"""Further images of the costliest pair."""
_PEERS = {
    "sequential": "one model that is simply trained on, with nothing to protect what it knew, ends at ",
    "lda": "statistics of the frozen model alone, without any adapter, reach ",
    "joint": "one model that sees all tasks at once reaches ",
    "proteus": "an adapter per task, with a clustering to pick the task, reaches ",
}
"""Methods that a story is compared with, in words that a number ends."""


def render() -> None:
    """The first screen: stories to choose from, one in sentences, its figures, a map with Play, and one mistake."""
    card = layout.run_to_explore()
    if card is None:
        return
    layout.heading("What does a model forget?")
    found = metrics(card)
    answers = predictions(card).after(card.tasks - 1)
    pair = costliest_pair(answers) if len(answers) else None
    sentences = [_learned(card, found), _cost(card, found, answers, pair), _beside(card)]
    story(_tiles(card), [parts for parts in sentences if parts], _figures(card), key="story")
    left, right = st.columns([5, 2], gap="medium")
    with left:
        _map(card, answers)
    with right:
        _one_image(card, answers, pair)


def _tiles(card: RunCard) -> list[Tile]:
    """The stories there are, and the way to one of one's own where training is possible."""
    tiles = [_tile(each, each.name == card.name) for each in stories(available())]
    if is_light():
        return tiles
    expected = estimate()
    text = f"Takes {expected}." if expected is not None else "Choose images and a method."
    return [*tiles, Tile("Train your own", text, link("train", run=None, t=None))]


def _tile(card: RunCard, chosen: bool) -> Tile:
    accuracy, forgotten, _ = figures(card)
    return Tile(
        f"{stream_title(card.stream)} · {card.title if card.recorded else 'your newest run'}",
        f"{accuracy.text} right, {forgotten.text} forgotten",
        link("start", run=card.name, t=None),
        chosen,
        sheets(card),
        one_a_class(card, _PICTURES),
    )


def _learned(card: RunCard, found: Mapping[str, Any]) -> list[Part]:
    """What was learned, and how much of it is left."""
    parts = [
        Part(
            f"A frozen vision model learned {_tasks(card)} "
            f"({card.title} on {stream_title(card.stream)}, {card.classes} classes). "
            "In the end, and without being told which task an image belongs to, it answers "
        ),
        Part(f"{_percent(found, 'final_accuracy')} of the test images", link("forgetting", t=None)),
        Part(" rightly"),
    ]
    told = found.get("task_aware_accuracy")
    if told is not None:
        parts += [Part("; told the task, "), Part(f"{told:.1%}", link("forgetting", of="task_aware", t=None))]
    return [*parts, Part(".")]


def _tasks(card: RunCard) -> str:
    if card.tasks == 1:
        return "a single task"
    # What is measured once only, after the last task, was learned in one go.
    together = predictions(card).measured == (card.tasks - 1,)
    return f"{card.tasks} tasks {'all at once' if together else 'one after another'}"


def _cost(card: RunCard, found: Mapping[str, Any], answers: Predictions, pair: CostlyPair | None) -> list[Part]:
    """Where the mistakes come from, which two classes cost the most, and what was forgotten."""
    if pair is None:
        return [Part("It made no mistake.")] if len(answers) else []
    wrong = answers.predicted != answers.label
    astray = int((wrong & (answers.retrieved_task != answers.task)).sum())
    names = class_names(card)
    parts = [
        Part(f"{astray:,} of its {int(wrong.sum()):,} mistakes", link("errors", show="task", t=None)),
        Part(f" came from picking the wrong task. {names[pair.label]} and {names[pair.predicted]} cost the most: "),
        Part(_images(pair.there), _pair_link(pair.label, pair.predicted)),
        Part(f" of {names[pair.label]} {'was' if pair.there == 1 else 'were'} taken for {names[pair.predicted]}"),
    ]
    if pair.back:
        parts += [Part(", and "), Part(f"{pair.back:,}", _pair_link(pair.predicted, pair.label))]
        parts += [Part(" the other way round")]
    lost = found.get("forgetting")
    if lost is None or lost <= 0:
        return [*parts, Part(".")]
    return [
        *parts,
        Part(". Earlier tasks have lost "),
        Part(f"{100 * lost:.1f} points", link("errors", fate="forgotten", t=None)),
        Part(" since their best."),
    ]


def _images(count: int) -> str:
    return "1 image" if count == 1 else f"{count:,} images"


def _pair_link(label: int, predicted: int) -> str:
    return link("errors", view="classes", pair=f"{label}-{predicted}", t=None)


def _beside(card: RunCard) -> list[Part]:
    """What other methods reach on the same stream, where their runs are here."""
    known = peers(card, available())
    others = [(words, known[method]) for method, words in _PEERS.items() if method in known and method != card.method]
    parts: list[Part] = []
    for place, (words, other) in enumerate(others[:3]):
        opening = "On the same tasks " if place == 0 else "; "
        number = Part(f"{other.accuracy:.1%}", link("compare", runs=f"{card.name},{other.name}", t=None))
        parts += [Part(opening + words), number]
    return [*parts, Part(".")] if parts else []


def _figures(card: RunCard) -> list[Figure]:
    """Three numbers, each with the page that takes it apart."""
    accuracy, forgotten, retrieved = figures(card)
    return [
        Figure(
            accuracy.text,
            "Accuracy",
            "Task by task",
            "Share of test images answered rightly after the last task, with the task unknown; the mean over tasks.",
            link("forgetting", t=None),
        ),
        Figure(
            forgotten.text,
            "Forgetting",
            "See which images",
            "How far the earlier tasks have fallen from their best, on average; below zero they have gained.",
            link("errors", fate="forgotten", t=None),
        ),
        Figure(
            retrieved.text,
            "Right task retrieved",
            "Where it went wrong",
            "Share of test images for which the right task was picked; the mean over tasks.",
            link("errors", t=None),
        ),
    ]


def _percent(found: Mapping[str, Any], key: str) -> str:
    value = found.get(key)
    return f"{value:.1%}" if isinstance(value, int | float) else "–"


def _map(card: RunCard, answers: Predictions) -> None:
    known = spaces(card)
    if not known:
        return
    space, colour = telling_space(known), telling_colour(answers, card.tasks)
    points = run_points.build(card, space, colour, current_task(card.tasks))
    point_map(points, key=f"start-{card.name}", height=360, selectable=False)
    play = " Press **Play** to see the tasks arrive." if points.frames > 1 else ""
    caption(
        f"every [[test image]] and some training images, {run_points.space_words(card, space).where}.{play}",
        "rings: images that were taken for another task's. Point at one to see it.",
        "an image is answered with a class of the [[task]] that it is taken for, so a ring is usually a mistake. "
        "Distances between far clusters carry no meaning.",
    )


def _one_image(card: RunCard, answers: Predictions, pair: CostlyPair | None) -> None:
    """One image of the costliest pair, large, with the way to its explanation; without a mistake the closest call."""
    image, wrong = telling_image(answers)
    if image is None:
        return
    names = class_names(card)
    with st.container(border=True, key="telling-image", gap="small"):
        if pair is None or not wrong:
            st.markdown("**The closest call**")
            thumbnails.one(card, image, size=_LARGE, key="telling")
            st.markdown(f"{layout.plain(names[images(card).label[image]])}, answered rightly by the smallest margin.")
            layout.page_link("See how close", "errors", icon=":material/troubleshoot:", image=image, t=None)
            return
        label, predicted = layout.plain(names[pair.label]), layout.plain(names[pair.predicted])
        st.markdown(f"**{label}, or {predicted}?**")
        thumbnails.one(card, image, size=_LARGE, key="telling")
        st.markdown(f"A test image of **{label}** that was answered **{predicted}**.")
        where = {"view": "classes", "pair": f"{pair.label}-{pair.predicted}", "t": None}
        layout.page_link("See why", "errors", icon=":material/troubleshoot:", image=image, **where)
        others = pair.images[1 : 1 + _MORE].tolist()
        if others:
            st.caption(f"Mistaken in the same way: {len(pair.images) - 1:,} more")
            links = [link("errors", image=other, **where) for other in others]
            thumbnails.grid(card, others, columns=_MORE, size=56, links=links, key="telling-more")
