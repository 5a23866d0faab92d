"""A run's images as points of the map: where they are, what colours them, the outlines of the components."""

from __future__ import annotations

from dataclasses import replace
from functools import cache, lru_cache
from typing import NamedTuple

import numpy as np

from app.components.browser import sheets
from app.components.point_map import Column, Ellipse, MapData
from app.reading.cards import RunCard, stamp
from app.reading.tables import (
    Images,
    Maps,
    Predictions,
    class_names,
    images,
    maps,
    own_adapters,
    predictions,
    task_names,
)


class Space(NamedTuple):
    """A space by the name that people see."""

    title: str
    where: str
    """Ends the sentence 'every image, …'."""


SPACES = {
    "frozen": Space("frozen", "as the frozen model sees them, without any adapter"),
    "own": Space("own adapter", "through the adapter of the task that each belongs to"),
    "retrieved": Space("retrieved adapter", "through the adapter of the task that was retrieved for each"),
    "whitened": Space("whitened", "in the space where tasks are retrieved, which sets the known classes apart"),
}
_FINAL_MODEL = Space("final model", "as the one model of all tasks sees them in the end")
COLOURS = {
    "task": "task",
    "class": "class",
    "component": "component",
    "retrieved": "retrieved task",
    "correct": "correct",
}
OUTCOMES = ("right", "right task, wrong class", "wrong task, wrong class", "wrong task, right class", "training image")
_STRAY = 2.5
"""So many times farther from the centre than half of its images, an image does not count for an outline."""
_SMALLEST_OUTLINE = 4
"""Images that a component needs before an ellipse says anything about it."""


def space_words(card: RunCard, space: str) -> Space:
    """What a space is called for this run: where all tasks share one model, none has an adapter of its own."""
    shared = space == "own" and not own_adapters(card)
    return _FINAL_MODEL if shared else SPACES[space]


def build(card: RunCard, space: str, colour: str, task: int, outlines: bool = False) -> MapData:
    """The map of `space`, coloured by one of COLOURS, shown after `task`; point i is image i.

    outlines: an ellipse around each component. Raises UserError when a table of the run is missing or damaged.
    """
    points, after = _points(card, space, colour, stamp(card.folder))
    ellipses = _outlines(card, space, colour, stamp(card.folder)) if outlines else ()
    return replace(points, frame=after.at(task), sprites=sheets(card), ellipses=ellipses)


@lru_cache(maxsize=8)
def _points(card: RunCard, space: str, colour: str, changed: int) -> tuple[MapData, Maps]:
    known, places, tasks = images(card), maps(card, space), task_names(card)
    retrieved, outcome = _answers(known, predictions(card), places, len(tasks))
    names, category = _colouring(card, colour, known, retrieved, outcome)
    points = MapData(
        xy=places.xy,
        category=category,
        names=names,
        # Nobody asks about training images, so under these colours they are the ground for the others.
        muted=len(names) - 1 if colour in ("retrieved", "correct") else None,
        frame_names=tuple(f"after task {after + 1}: {tasks[after]}" for after in places.after_task),
        rings=(outcome == 2) | (outcome == 3),
        columns=(
            Column("class", tuple(class_names(card)), known.label),
            Column("task", tuple(tasks), known.task),
            Column("retrieved", (*tasks, "not asked (training image)"), retrieved),
        ),
        sprite=np.stack([known.sheet, known.cell], axis=1),
        title="Map of all images",
    )
    return points, places


def _answers(known: Images, answers: Predictions, places: Maps, tasks: int) -> tuple[np.ndarray, np.ndarray]:
    """(frames, n) retrieved task (`tasks` where there is none) and position in OUTCOMES."""
    retrieved = np.full(places.xy.shape[:2], tasks, np.int32)
    outcome = np.full(places.xy.shape[:2], len(OUTCOMES) - 1, np.int32)
    for frame, after in enumerate(places.after_task):
        rows = answers.after(after)
        retrieved[frame, rows.image] = rows.retrieved_task
        astray, wrong = rows.retrieved_task != rows.task, rows.predicted != rows.label
        outcome[frame, rows.image] = np.where(astray, np.where(wrong, 2, 3), np.where(wrong, 1, 0))
    return retrieved, outcome


def _colouring(
    card: RunCard, colour: str, known: Images, retrieved: np.ndarray, outcome: np.ndarray
) -> tuple[tuple[str, ...], np.ndarray]:
    """The names of the categories, and each point's."""
    tasks = task_names(card)
    if colour == "class":
        return tuple(class_names(card)), known.label
    if colour == "component":
        pairs, category = np.unique(np.stack([known.task, known.component], axis=1), axis=0, return_inverse=True)
        return tuple(_component_name(tasks[t], c) for t, c in pairs.tolist()), category.reshape(-1)
    if colour == "retrieved":
        return (*tasks, "training image"), retrieved
    if colour == "correct":
        return OUTCOMES, outcome
    return tuple(tasks), known.task


def _component_name(task: str, component: int) -> str:
    return f"{task} · {component + 1}" if component >= 0 else f"{task} · none"


@lru_cache(maxsize=8)
def _outlines(card: RunCard, space: str, colour: str, changed: int) -> tuple[tuple[Ellipse, ...], ...]:
    """For each frame an ellipse a component, around two thirds of a normal cloud, in the colour that most of it has."""
    known, points = images(card), _points(card, space, colour, changed)[0]
    pairs = np.unique(np.stack([known.task, known.component], axis=1), axis=0)
    groups = [np.flatnonzero((known.task == t) & (known.component == c)) for t, c in pairs.tolist() if c >= 0]
    framed = np.broadcast_to(points.category, points.xy.shape[:2])
    # Most clouds stay where they are from frame to frame, so a shape is computed once for the same points.
    cloud = cache(lambda data: _cloud(np.frombuffer(data, points.xy.dtype).reshape(-1, 2)))
    frames = []
    for places, colours in zip(points.xy, framed, strict=True):
        drawn = []
        for group in groups:
            shown = group[np.isfinite(places[group, 0])]
            if len(shown) >= _SMALLEST_OUTLINE:
                weight = min(5 * len(shown) / len(known), 1.0)
                most = int(np.bincount(colours[shown]).argmax())
                drawn.append(Ellipse(*cloud(places[shown].tobytes()), most, weight))
        frames.append(tuple(drawn))
    return tuple(frames)


def _cloud(places: np.ndarray) -> tuple[float, float, float, float, float]:
    """Centre, radii and angle of the ellipse around points (n, 2)."""
    centre = np.median(places, axis=0)
    distance = np.sqrt(np.square(places - centre).sum(1))
    # Strays, and a second cloud far away (a component may hold two kinds of image), shall not stretch the ellipse.
    near = places[distance <= max(_STRAY * np.median(distance), np.sort(distance)[_SMALLEST_OUTLINE - 1])]
    sizes, axes = np.linalg.eigh(np.cov(near.T))
    rx, ry = 1.5 * np.sqrt(np.maximum(sizes[::-1], 1e-9))
    cx, cy = near.mean(axis=0)
    return float(cx), float(cy), float(rx), float(ry), float(np.arctan2(axes[1, 1], axes[0, 1]))
