"""Which classes are taken for which: the class-by-class confusion, its order, and the pairs that cost the most."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from app.reading.tables import Predictions

_ORDERED = 400
"""With more classes than this they keep the order of the stream: ordering them takes the square of their number."""


@dataclass(frozen=True)
class Pair:
    """Images of one class that were answered with another."""

    label: int
    predicted: int
    images: int
    share: float
    """Of all test images: the points of (pooled) accuracy that the pair costs."""
    of_class: float
    """Share of the class's test images."""
    from_wrong_task: int
    """How many of them were sent to a wrong task."""
    told: int
    """How many would be answered rightly if the task were told."""


@dataclass(frozen=True, eq=False)
class Confusion:
    """The cells of the class-by-class matrix that hold images, (cells,) each; rows are true classes."""

    classes: int
    label: np.ndarray
    predicted: np.ndarray
    count: np.ndarray

    def totals(self) -> np.ndarray:
        """(classes,): test images of each class."""
        return np.bincount(self.label, self.count, self.classes).astype(np.int64)


def confusion(answers: Predictions, classes: int) -> Confusion:
    """Count the cells of `answers`, one row per image."""
    cells, count = np.unique(answers.label.astype(np.int64) * classes + answers.predicted, return_counts=True)
    return Confusion(classes, cells // classes, cells % classes, count)


def pairs(answers: Predictions, most: int | None = None) -> list[Pair]:
    """The confused pairs of classes, the costliest first."""
    wrong = answers.predicted != answers.label
    classes = int(max(answers.label.max(initial=0), answers.predicted.max(initial=0))) + 1
    cell = answers.label.astype(np.int64) * classes + answers.predicted
    found, place, count = np.unique(cell[wrong], return_inverse=True, return_counts=True)
    astray = np.bincount(place, (answers.retrieved_task != answers.task)[wrong], len(found)).astype(int)
    told = np.bincount(place, (answers.predicted_given_task == answers.label)[wrong], len(found)).astype(int)
    totals = np.bincount(answers.label, minlength=classes)
    order = np.lexsort((found, -count))[:most]
    return [
        Pair(
            int(found[i] // classes),
            int(found[i] % classes),
            int(count[i]),
            float(count[i] / len(answers)),
            float(count[i] / totals[found[i] // classes]),
            int(astray[i]),
            int(told[i]),
        )
        for i in order
    ]


def order(table: Confusion) -> np.ndarray:
    """(classes,): class numbers in an order in which confused classes stand beside each other, so that blocks show.

    Average linkage on the share of images that two classes exchange, with the leaves turned so that neighbours are as
    alike as possible (scipy's optimal leaf ordering, after Bar-Joseph et al. 2001). The order of the stream where
    nothing is confused, or with more than 400 classes.
    """
    crossed = table.label != table.predicted
    if not crossed.any() or table.classes > _ORDERED or table.classes < 3:
        return np.arange(table.classes)
    from scipy.cluster.hierarchy import leaves_list, linkage
    from scipy.spatial.distance import squareform

    shares = np.zeros((table.classes, table.classes))
    totals = np.maximum(table.totals(), 1)
    shares[table.label[crossed], table.predicted[crossed]] = table.count[crossed] / totals[table.label[crossed]]
    alike = shares + shares.T
    distance = 1 - alike / alike.max()
    np.fill_diagonal(distance, 0)
    return leaves_list(linkage(squareform(distance, checks=False), "average", optimal_ordering=True))
