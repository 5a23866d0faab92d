"""What a run answered for one of its images, and what the image lies near, from the run's tables."""

from __future__ import annotations

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


def _vectors(card: RunCard) -> np.ndarray | None:
    try:
        space = comparison_space(spaces(card))
        return embeddings(card, space) if space else None
    except UserError:  # a run without a map: images in their order will do
        return None
