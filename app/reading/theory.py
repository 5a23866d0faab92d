"""What theory expects of retrieval, what left-out images expect, and what was measured; and which assumption fails."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from app.reading.cards import RunCard, stamp
from core.retrieval.gaussianity import Fit, error_with_spread, fit, quantiles, residuals
from core.retrieval.recorded import recorded_mixtures
from core.retrieval.theory import sampled_error
from core.runs.store import Run

_SAMPLES = 5000
"""Points drawn from all tasks together: an error is then known to 0.7 points (one standard error)."""
_FEWEST = 10
"""With fewer images nothing is said of how they lie."""


@dataclass(frozen=True, eq=False)
class Errors:
    """Errors of picking the task after each task, (tasks,) fractions; NaN where a number does not exist."""

    bound: np.ndarray
    """Never below the error, if tasks were the fitted mixtures; it may exceed 1."""
    sampled: np.ndarray
    """The error, if tasks were the fitted mixtures."""
    expected: np.ndarray
    """Of new images, from training images that were left out."""
    measured: np.ndarray
    """On the test images, as a mean over tasks."""
    by_mixtures: bool = True
    """Whether mixtures pick the task; otherwise the best class does, and theory says nothing."""


def errors(metrics: Mapping[str, Any], tasks: int) -> Errors | None:
    """From metrics.json; None for a run that says nothing of theory."""
    kept = metrics.get("theory")
    if not isinstance(kept, list) or len(kept) != tasks or not any(kept):
        return None
    names = {"bound": "bound", "sampled": "sampled_error", "expected": "expected_error", "measured": "measured_error"}
    numbers = {name: np.array([_number(entry, key) for entry in kept]) for name, key in names.items()}
    of_mixtures = [_number(entry, key) for entry in kept for key in ("bound", "log_determinant_ratio")]
    return Errors(**numbers, by_mixtures=not np.isnan(of_mixtures).all())


def _number(entry: Any, key: str) -> float:
    value = entry.get(key) if isinstance(entry, Mapping) else None
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else float("nan")


def in_words(found: Errors, task: int) -> str:
    """What the numbers after `task` mean, in plain sentences (markdown); empty after the first task.

    Names that come from a run are not part of it.
    """
    bound, expected, measured = (float(values[task]) for values in (found.bound, found.expected, found.measured))
    if task < 1 or np.isnan(measured):
        return ""
    said = [f"After task {task + 1}, **{measured:.1%}** of the test images are sent to a wrong task."]
    if not np.isnan(expected):
        said.append(
            f"**{expected:.1%}** was expected of new images before any test image was seen, from training images that "
            "were scored as if the model had never met them."
        )
    if not np.isnan(bound):
        guess = 1 - 1 / (task + 1)
        allows = f"**{bound:.1%}**" if bound < guess else f"{bound:.2f}, no less than guessing"
        said.append(
            f"The bound of theory is {allows}: it would hold if tasks were the mixtures that were fitted to them, and "
            "real images are not drawn from those."
        )
    return " ".join(said)


@dataclass(frozen=True, eq=False)
class TaskFit:
    """How one task's images lie about its components, those that were not fitted and those that were."""

    new: Fit
    trained: Fit | None
    """None where too few training images were kept."""
    quantiles: Mapping[str, tuple[np.ndarray, np.ndarray]]
    """“new” and “trained”: squared distances as the chi-square has them, and as they are."""


@dataclass(frozen=True, eq=False)
class Assumptions:
    """What theory assumes of a finished run's tasks, put to the test."""

    fits: tuple[TaskFit | None, ...]
    """Per task; None for one with too few test images."""
    as_fitted: float
    """The error, if tasks were the mixtures; NaN, as is the next, where mixtures share no space."""
    with_spread: float
    """The error, if images were Gaussian with the spread that new ones have."""


def assumptions(card: RunCard) -> Assumptions | None:
    """As they are at the end of the run; None for a run without mixtures. Raises UserError when a file is damaged."""
    return _assumptions(card.folder, stamp(card.folder))


@lru_cache(maxsize=8)
def _assumptions(folder: Path, changed: int) -> Assumptions | None:
    del changed  # only tells one version from the next
    run = Run(folder)
    kept = recorded_mixtures(run)
    if kept is None:
        return None
    steps = [residuals(mixture, points) for mixture, points in zip(kept.mixtures, kept.points, strict=True)]
    fits = tuple(_of_task(own, train) for own, train in zip(steps, kept.train, strict=True))
    new = [own[~train] for own, train in zip(steps, kept.train, strict=True)]
    as_fitted = with_spread = float("nan")
    if kept.shared and len(new) > 1 and all(len(own) for own in new):
        each = max(1, _SAMPLES // len(new))
        as_fitted = sampled_error(kept.mixtures, each, run.manifest.seed)
        with_spread = error_with_spread(kept.mixtures, new, each, run.manifest.seed)
    return Assumptions(fits, as_fitted, with_spread)


def _of_task(steps: np.ndarray, train: np.ndarray) -> TaskFit | None:
    parts = {"new": steps[~train], "trained": steps[train]}
    if len(parts["new"]) < _FEWEST:
        return None
    parts = {name: own for name, own in parts.items() if len(own) >= _FEWEST}
    fits = {name: fit(own) for name, own in parts.items()}
    return TaskFit(fits["new"], fits.get("trained"), {name: quantiles(own) for name, own in parts.items()})


def failing(found: Assumptions, measured: float) -> str:
    """Which assumption the error that theory misses comes from, in plain sentences (markdown)."""
    known = [each.new for each in found.fits if each is not None]
    if not known:
        return ""
    spread, trained = np.mean([each.spread for each in known]), [f.trained for f in found.fits if f and f.trained]
    said = [f"New images are spread **{spread:.1f} times** as widely about their components as the mixtures say"]
    if trained:
        said[0] += f", the training images that were fitted {np.mean([each.spread for each in trained]):.1f} times"
    said[0] += "."
    odd = sum(each.shape > each.chance for each in known)
    said.append(
        f"In **{odd} of {len(known)}** tasks they are not Gaussian in shape either, by the Kolmogorov–Smirnov test: "
        "such a difference comes by chance less than once in twenty times."
    )
    if not np.isnan(found.as_fitted) and not np.isnan(measured) and measured > found.as_fitted:
        missed, by_spread = measured - found.as_fitted, max(0.0, found.with_spread - found.as_fitted)
        by_spread = min(by_spread, missed)
        said.append(
            f"Of the {100 * missed:.1f} points by which the measured error exceeds that of the mixtures, "
            f"**{100 * by_spread:.1f}** come with the spread, and **{100 * (missed - by_spread):.1f}** are left for "
            "the shape: images lie between tasks that no Gaussian puts there."
        )
    return " ".join(said)
