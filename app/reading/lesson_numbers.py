"""The numbers of a run that a lesson may name: each is read from the run, none is written into a lesson."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from app.reading import accuracy, block_maps, theory
from app.reading.cards import RunCard
from app.reading.tables import component_counts, gates, manifest, metrics


def _metric(key: str) -> Callable[[RunCard], float]:
    def read(card: RunCard) -> float:
        value = metrics(card).get(key)
        return float(value) if isinstance(value, int | float) else float("nan")

    return read


def accuracies(card: RunCard, kind: str = "class_incremental") -> np.ndarray:
    """(T, T) accuracy on every task (column) after every task (row); NaN where it was not measured."""
    found = accuracy.matrices(metrics(card), card.tasks)
    return found.get(kind, np.full((card.tasks, card.tasks), np.nan))


def _largest(values: np.ndarray) -> float:
    return float(values.max()) if len(values) else float("nan")


def _theory(key: str) -> Callable[[RunCard], float]:
    def read(card: RunCard) -> float:
        found = theory.errors(metrics(card), card.tasks)
        return float("nan") if found is None else float(getattr(found, key)[-1])

    return read


def _spread(card: RunCard) -> float:
    tested = theory.assumptions(card)
    known = [fit.new.spread for fit in tested.fits if fit is not None] if tested else []
    return float(np.mean(known)) if known else float("nan")


def _with_spread(card: RunCard) -> float:
    tested = theory.assumptions(card)
    return float("nan") if tested is None else tested.with_spread


def _blocks(card: RunCard) -> list[int]:
    """How many blocks each task changed."""
    return [len(found.active_blocks) for found in block_maps.block_maps(gates(card), manifest(card).backbone.depth)]


def _could(card: RunCard) -> float:
    """How many blocks a task was free to change."""
    found = block_maps.block_maps(gates(card), manifest(card).backbone.depth)
    return float(max((len(each.adapted_blocks) for each in found), default=0))


def _trained(card: RunCard) -> float:
    found: Any = metrics(card).get("trainable_parameters_per_task") or [float("nan")]
    return float(found[-1])


NUMBERS: Mapping[str, tuple[Callable[[RunCard], float], str]] = {
    "final_accuracy": (_metric("final_accuracy"), "share"),
    "task_aware_accuracy": (_metric("task_aware_accuracy"), "share"),
    "retrieval_accuracy": (_metric("retrieval_accuracy"), "share"),
    "recall_at_2": (_metric("recall_at_2"), "share"),
    "forgetting": (_metric("forgetting"), "points"),
    "oracle_gap": (_metric("oracle_gap"), "points"),
    "mistakes": (_metric("mistakes"), "count"),
    "images": (_metric("images"), "count"),
    "mistakes_from_wrong_task": (_metric("mistakes_from_wrong_task"), "share"),
    "mistakes_right_given_task": (_metric("mistakes_right_given_task"), "share"),
    "first_task_start": (lambda card: float(accuracies(card)[0, 0]), "share"),
    "first_task_second": (lambda card: float(accuracies(card)[min(1, card.tasks - 1), 0]), "share"),
    "first_task_end": (lambda card: float(accuracies(card)[-1, 0]), "share"),
    "first_task_given": (lambda card: float(accuracies(card, "task_aware")[-1, 0]), "share"),
    "newest_task": (lambda card: float(accuracies(card)[-1, -1]), "share"),
    "measured_error": (_theory("measured"), "share"),
    "expected_error": (_theory("expected"), "share"),
    "sampled_error": (_theory("sampled"), "share"),
    "bound": (_theory("bound"), "share"),
    "spread": (_spread, "times"),
    "with_spread": (_with_spread, "share"),
    "fewest_components": (lambda card: float(component_counts(card).min()), "count"),
    "most_components": (lambda card: float(component_counts(card).max()), "count"),
    "tasks": (lambda card: float(card.tasks), "count"),
    "classes": (lambda card: float(card.classes), "count"),
    "depth": (lambda card: float(manifest(card).backbone.depth), "count"),
    "most_blocks": (lambda card: float(max(_blocks(card), default=0)), "count"),
    "possible_blocks": (_could, "count"),
    "weights": (lambda card: float(manifest(card).backbone.parameters), "count"),
    "trained_weights": (_trained, "count"),
    "kilobytes_per_task": (lambda card: _metric("bytes_per_task")(card) / 1000, "count"),
    "earlier_units": (lambda card: float(len(block_maps.coefficients(gates(card)))), "count"),
    "used_units": (lambda card: float((block_maps.coefficients(gates(card)) > block_maps.USED).sum()), "count"),
    "largest_reuse": (lambda card: _largest(block_maps.coefficients(gates(card))), "small"),
    "train_seconds": (_metric("train_seconds"), "count"),
}
"""Name in a lesson → how it is read, and its unit."""


class Series(NamedTuple):
    """Shares of a run, (T,), that can be predicted point by point, and the names of the axes when they are drawn."""

    read: Callable[[RunCard], np.ndarray]
    across: str
    upwards: str


CURVES: Mapping[str, Series] = {
    "first_task": Series(lambda card: accuracies(card)[:, 0], "after task", "right answers on the first task"),
    "all_tasks": Series(
        lambda card: accuracy.seen_accuracy(accuracies(card)), "after task", "right answers on all tasks so far"
    ),
    "last_row": Series(lambda card: accuracies(card)[-1], "task", "right answers at the end"),
}

_FORMS: Mapping[str, Callable[[float], str]] = {
    "share": lambda value: f"{value:.0%}" if value in (0, 1) else f"{value:.{1 if value >= 0.001 else 2}%}",
    "points": lambda value: f"{100 * value:.1f} points",
    "count": lambda value: f"{value:,.0f}",
    "times": lambda value: f"{value:.1f}",
    "small": lambda value: f"{value:.4f}",
}


def value(card: RunCard, name: str) -> float:
    """One number of NUMBERS in its own unit; NaN where the run has none."""
    return NUMBERS[name][0](card)


def shown(card: RunCard, name: str) -> str:
    """The same in words; '–' where the run has none."""
    found = value(card, name)
    return "–" if np.isnan(found) else _FORMS[NUMBERS[name][1]](found)


def guessable(card: RunCard, name: str) -> float:
    """The number as a reader guesses it: shares and points in percent."""
    return value(card, name) * (100 if NUMBERS[name][1] in ("share", "points") else 1)


class Numbers(Mapping[str, str]):
    """All numbers of a run in words; each is read when it is asked for."""

    def __init__(self, card: RunCard) -> None:
        self._card = card

    def __getitem__(self, name: str) -> str:
        if name not in NUMBERS:
            raise KeyError(name)
        return shown(self._card, name)

    def __iter__(self):  # type: ignore[no-untyped-def]
        return iter(NUMBERS)

    def __len__(self) -> int:
        return len(NUMBERS)
