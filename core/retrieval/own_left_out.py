"""How often the task of a new image will be missed where every task has a space of its own (the literal recipe).

As in `core.retrieval.leave_out` the estimate comes from training images that are left out while their task is learned:
here of the density alone, in ten parts, each scored by a density of the other nine, because the mixture of a few
hundred images knows them far better than new ones. The adapter has seen them; holding images out of it too would change
what is trained. What is kept of a task are the log-likelihoods of a few left-out images under every task known then.

An image of task i may be attracted by a later task j, and is gone by then. We assume (our decision) that i looks to j's
space as j looks to i's, up to the difference in scale that the two show on their own images:
    log p_j(x_i) is distributed as log p_i(x_j) + c_j − c_i,    c_t the mean log p_t of task t's left-out images,
and independently for each j given log p_i(x_i). Without c likelihoods of different spaces are on no common scale.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

FOLDS = 10
_NUMBERS, _FEWEST, _MOST = 4000, 50, 200
"""Log-likelihoods kept of a task, and the images that they are of, at least and at most: 8 kB, and no more than a tenth
of what a task's mixture takes."""


def rows_kept(images: int, tasks: int) -> np.ndarray:
    """Which of a task's training images are left out, spread evenly, where `tasks` are known with it."""
    most = min(images, max(_FEWEST, min(_MOST, _NUMBERS // tasks)))
    return np.linspace(0, images - 1, most).round().astype(int)


def left_out_likelihoods(
    images: int, rows: np.ndarray, fitted: Callable[[np.ndarray], Callable[[np.ndarray], np.ndarray]], seed: int
) -> np.ndarray:
    """(rows,) log-likelihoods of the images `rows` of so many, each by a density that was fitted without it.

    `fitted` turns numbers of images into a density, which turns numbers of others into log-likelihoods. With fewer than
    `FOLDS` images each is left out by itself; NaN for a single one.
    """
    if images < 2:
        return np.full(len(rows), np.nan)
    folds = min(FOLDS, images)
    part = np.random.default_rng(seed).permutation(images) % folds
    found = np.empty(len(rows))
    for fold in np.unique(part[rows]):
        asked = part[rows] == fold
        found[asked] = fitted(np.flatnonzero(part != fold))(rows[asked])
    return found


def expected_error(scores: Sequence[np.ndarray | None]) -> float | None:
    """The error of picking the task of a new image that is expected after the last of these tasks, as a fraction.

    `scores[t]` (images, t + 1) are log-likelihoods of task t's left-out images under the tasks known when it was
    learned, its own the last; tasks weigh the same. None where any task has none.
    """
    if not scores or any(each is None or not len(each) or np.isnan(each).any() for each in scores):
        return None
    kept = [np.asarray(each, np.float64) for each in scores if each is not None]
    level = [float(each[:, -1].mean()) for each in kept]
    right = []
    for task, own in enumerate(kept):
        still = (own.argmax(1) == task).astype(float)
        for later in range(task + 1, len(kept)):
            foreign = np.sort(kept[later][:, task] + level[later] - level[task])
            still *= np.searchsorted(foreign, own[:, task]) / len(foreign)
        right.append(still.mean())
    return float(1 - np.mean(right))
