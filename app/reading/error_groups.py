"""Groups of mistakes that are alike: clusters of their embeddings, each named by the pair of classes it has most of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

MOST_GROUPS = 12
_CLUSTERED = 2000
"""More mistakes than this join the group whose centre is nearest: linking them all takes the square of their number."""


@dataclass(frozen=True, eq=False)
class Group:
    """Mistakes that lie together."""

    rows: np.ndarray
    """Positions among the mistakes that were given, the most typical (nearest to the centre) first."""
    pair: tuple[int, int]
    """(true class, answered class) that most of them have."""
    share: float
    """Of the group, that have this pair."""

    def name(self, classes: Sequence[str]) -> str:
        """“Shirt” answered “Coat”, and whether that is all of it."""
        text = f"“{classes[self.pair[0]]}” answered “{classes[self.pair[1]]}”"
        return text if self.share > 0.85 else f"mostly {text}" if self.share > 0.5 else f"{text} and others"


def groups(places: np.ndarray, labels: np.ndarray, predicted: np.ndarray) -> list[Group]:
    """Group mistakes by where they lie, `places` (n, width); the largest group first.

    Ward's clustering, cut at about √n groups, at most MOST_GROUPS (our decision). Equal mistakes give equal groups.
    """
    if len(places) == 0:
        return []
    member = _clusters(places.astype(np.float64))
    found = []
    for number in np.unique(member):
        rows = np.flatnonzero(member == number)
        centre = places[rows].mean(0)
        rows = rows[np.argsort(np.square(places[rows] - centre).sum(1), kind="stable")]
        (pair, count), *_ = Counter(zip(labels[rows].tolist(), predicted[rows].tolist(), strict=True)).most_common(1)
        found.append(Group(rows, pair, count / len(rows)))
    return sorted(found, key=lambda group: -len(group.rows))


def _clusters(places: np.ndarray) -> np.ndarray:
    """(n,) number of each place's cluster."""
    wanted = min(MOST_GROUPS, round(len(places) ** 0.5))
    if wanted < 2:
        return np.zeros(len(places), np.int64)
    from scipy.cluster.hierarchy import fcluster, ward

    drawn = np.arange(len(places))
    if len(places) > _CLUSTERED:
        drawn = np.sort(np.random.default_rng(0).choice(len(places), _CLUSTERED, replace=False))
    member = fcluster(ward(places[drawn]), wanted, "maxclust")
    if len(drawn) == len(places):
        return member
    centres = np.stack([places[drawn][member == number].mean(0) for number in np.unique(member)])
    distance = np.square(centres).sum(1) - 2 * places @ centres.T
    return distance.argmin(1)
