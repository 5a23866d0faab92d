"""What a run's story is told with: the two classes that cost the most, one image of them; and which runs are told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from app.reading.cards import RunCard
from app.reading.tables import Predictions

_RECORDED = 2
"""Streams of recorded runs that are offered as stories, beside the newest run of one's own."""


@dataclass(frozen=True)
class CostlyPair:
    """The two classes that are taken for each other most often."""

    label: int
    """The one of the two whose images are mistaken more often."""
    predicted: int
    there: int
    """Images of `label` that were answered `predicted`."""
    back: int
    """Images of `predicted` that were answered `label`."""
    wrong_task: int
    """How many of both were sent to a wrong task."""
    images: np.ndarray
    """Those of `label` answered `predicted`, the most confident first."""

    @property
    def mistakes(self) -> int:
        """In both directions."""
        return self.there + self.back


def costliest_pair(answers: Predictions) -> CostlyPair | None:
    """The pair of classes with the most mistakes between them, of answers with one row per image; None without any."""
    wrong = np.flatnonzero(answers.predicted != answers.label)
    if not len(wrong):
        return None
    label, predicted = answers.label[wrong].astype(np.int64), answers.predicted[wrong].astype(np.int64)
    low, high = np.minimum(label, predicted), np.maximum(label, predicted)
    classes = int(high.max()) + 1
    found, count = np.unique(low * classes + high, return_counts=True)
    both = low * classes + high == found[count.argmax()]
    of_low = both & (label == low)
    chosen = of_low if 2 * of_low.sum() >= both.sum() else both & ~of_low
    rows = wrong[chosen]
    order = rows[np.argsort(-answers.margin[rows], kind="stable")]
    first = order[0]
    return CostlyPair(
        int(answers.label[first]),
        int(answers.predicted[first]),
        int(chosen.sum()),
        int(both.sum() - chosen.sum()),
        int((answers.retrieved_task != answers.task)[wrong[both]].sum()),
        answers.image[order],
    )


def telling_image(answers: Predictions) -> tuple[int | None, bool]:
    """The test image to begin with, and whether it was answered wrongly: the most confident mistake of the costliest
    pair; without a mistake the image with the smallest margin."""
    if not len(answers):
        return None, False
    pair = costliest_pair(answers)
    if pair is not None:
        return int(pair.images[0]), True
    return int(answers.image[np.argmin(answers.margin)]), False


def stories(cards: Sequence[RunCard]) -> list[RunCard]:
    """Runs that are told as stories: the first recorded one of each of two streams, and the newest of one's own.

    `cards` as they are listed: recorded ones first, in their order, then one's own, the newest first.
    """
    ready = [card for card in cards if card.ready and card.accuracy is not None]
    first: dict[str, RunCard] = {}
    for card in ready:
        if card.recorded:
            first.setdefault(card.stream, card)
    own = next((card for card in ready if not card.recorded), None)
    return [*list(first.values())[:_RECORDED], *([own] if own is not None else [])]


def peers(card: RunCard, cards: Sequence[RunCard]) -> dict[str, RunCard]:
    """Other finished runs of the same images in the same tasks by method, the first of each as listed."""
    found: dict[str, RunCard] = {}
    for other in cards:
        if (
            other.ready
            and other.fingerprint == card.fingerprint
            and other.name != card.name
            and other.accuracy is not None
        ):
            found.setdefault(other.method, other)
    return found
