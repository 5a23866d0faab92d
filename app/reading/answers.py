"""What a run answered for one of its images, and what the image lies near, from the run's tables."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from app.reading.cards import RunCard
from app.reading.explain import Answer, Cluster, Names, cluster, comparison_space
from app.reading.tables import Predictions, class_names, embeddings, images, spaces, task_names
from core.errors import UserError


def names_of(card: RunCard) -> Names:
    """What the run calls its tasks and classes."""
    return Names(task_names(card), class_names(card))


def answer_of(predictions: Predictions, row: int) -> Answer:
    """The answer in one row of the table."""
    return Answer(
        scores=tuple(predictions.scores(row).tolist()),
        retrieved=int(predictions.retrieved_task[row]),
        predicted=int(predictions.predicted[row]),
        component=int(predictions.nearest_component[row]),
        task=int(predictions.task[row]),
        label=int(predictions.label[row]),
        given_task=int(predictions.predicted_given_task[row]),
    )


def clusters_of(card: RunCard, image: int, answer: Answer) -> tuple[Cluster, ...]:
    """The component that the image lies nearest to, and what its rival task offers: its own component if it is its own.

    Which component of a merely second-best task is nearest is not on record: the task as a whole stands for it.
    """
    known = images(card)
    table = {
        "tasks": known.task,
        "components": known.component,
        "labels": known.label,
        "train": known.split == "train",
        "vectors": _vectors(card),
    }
    found = [cluster(image, answer.retrieved, answer.component, **table)]
    if (rival := answer.rival) is not None:
        own = int(known.component[image]) if rival == answer.task else -1
        found.append(cluster(image, rival, own, **table))
    return tuple(found)


@dataclass(frozen=True)
class Neighbour:
    """A training image near a test image."""

    image: int
    task: int
    label: int
    distance: float
    """In the space in which tasks are told apart; where that is whitened, in standard deviations of a class."""


def neighbours_of(card: RunCard, image: int, task: int, count: int = 10) -> tuple[Neighbour, ...]:
    """The kept training images nearest to `image`, whatever their task, of the tasks known after `task`."""
    known, vectors = images(card), _vectors(card)
    if vectors is None:
        return ()
    among = np.flatnonzero((known.split == "train") & (known.task <= task))
    distance = np.linalg.norm(vectors[among].astype(np.float32) - vectors[image].astype(np.float32), axis=1)
    nearest = np.argsort(distance, kind="stable")[:count]
    return tuple(
        Neighbour(int(among[row]), int(known.task[among[row]]), int(known.label[among[row]]), float(distance[row]))
        for row in nearest
    )


def _vectors(card: RunCard) -> np.ndarray | None:
    try:
        space = comparison_space(spaces(card))
        return embeddings(card, space) if space else None
    except UserError:  # a run without a map: images in their order will do
        return None


def answer_said(said: Mapping[str, Any]) -> Answer:
    """What `predict_images` said, for the explanation; a task without a score was not considered."""
    scores = {int(row["task"]): float(row["score"]) for row in said["scores"] if row["score"] is not None}
    count = max([*scores, int(said["task"])]) + 1
    return Answer(
        scores=tuple(scores.get(task, -math.inf) for task in range(count)),
        retrieved=int(said["task"]),
        predicted=int(said["class"]),
        component=int(said["nearest_component"]),
    )


def cluster_near(card: RunCard, said: Mapping[str, Any]) -> Cluster:
    """The component that the picture lies nearest to; without mixtures the first images of its task."""
    known = images(card)
    task, component = int(said["task"]), int(said["nearest_component"])
    inside = np.array([row for row in said["component_images"] if 0 <= row < len(known)], dtype=np.int64)
    members = (known.task == task) & ((known.component == component) | (component < 0)) & (known.split == "train")
    if not len(inside):
        inside = np.flatnonzero(members)[:5]
    labels = known.label[members]
    common = int(np.bincount(labels).argmax()) if component >= 0 and len(labels) else None
    return Cluster(task, component, common, tuple(inside.tolist()))
