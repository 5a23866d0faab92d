"""The tables of a run as plain numpy arrays, read once and shared by all sessions; nothing here can be written to.

Each function raises UserError when its file is missing or damaged. A cache entry is named by the run's folder and the
time of its last change, and every cache has a size.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from app.reading.cards import RunCard, stamp
from core.runs.evidence import RecordedEvidence, read_evidence, why_no_evidence
from core.runs.schema import EMBEDDING_SPACES, Manifest
from core.runs.store import Run

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, eq=False)
class Images:
    """IMAGE_COLUMNS, (n,) each; row i is image i."""

    image: np.ndarray
    split: np.ndarray
    """str, 'train' or 'test'."""
    task: np.ndarray
    label: np.ndarray
    name: np.ndarray
    component: np.ndarray
    sheet: np.ndarray
    cell: np.ndarray

    def __len__(self) -> int:
        return len(self.image)


@dataclass(frozen=True, eq=False)
class Predictions:
    """PREDICTION_COLUMNS of the undisturbed test images, (n,) each."""

    after_task: np.ndarray
    image: np.ndarray
    task: np.ndarray
    label: np.ndarray
    retrieved_task: np.ndarray
    predicted: np.ndarray
    predicted_given_task: np.ndarray
    margin: np.ndarray
    nearest_component: np.ndarray
    offsets: np.ndarray
    """(n + 1,): row i has the scores `values[offsets[i]:offsets[i + 1]]`."""
    values: np.ndarray

    def __len__(self) -> int:
        return len(self.image)

    @property
    def measured(self) -> tuple[int, ...]:
        """The tasks after which there was a measurement, ascending."""
        return tuple(np.unique(self.after_task).tolist())

    def scores(self, row: int) -> np.ndarray:
        """(tasks known then,) the task scores of row `row`."""
        return self.values[self.offsets[row] : self.offsets[row + 1]]

    def score_matrix(self) -> np.ndarray:
        """(n, tasks) scores, NaN for tasks not known at the time."""
        counts = np.diff(self.offsets)
        known = np.arange(counts.max(initial=0)) < counts[:, None]
        matrix = np.full(known.shape, np.nan, np.float32)
        matrix[known] = self.values
        return matrix

    def where(self, rows: np.ndarray) -> Predictions:
        """The chosen rows (bool mask or indices), in their order."""
        rows = np.flatnonzero(rows) if rows.dtype == bool else rows
        counts = np.diff(self.offsets)[rows]
        offsets = np.concatenate([[0], np.cumsum(counts)])
        at = np.repeat(self.offsets[:-1][rows] - offsets[:-1], counts) + np.arange(offsets[-1])
        columns = {f.name: getattr(self, f.name)[rows] for f in fields(self) if f.name not in ("offsets", "values")}
        return Predictions(**columns, offsets=offsets, values=self.values[at])

    def after(self, task: int) -> Predictions:
        """The rows measured after `task`; where that was not measured, after the nearest later one, else the last."""
        measured = self.measured
        if not measured:
            return self
        nearest = next((after for after in measured if after >= task), measured[-1])
        return self.where(self.after_task == nearest)


@dataclass(frozen=True, eq=False)
class Maps:
    """Map coordinates of one space, with one frame for each task after which the map was drawn."""

    after_task: tuple[int, ...]
    xy: np.ndarray
    """float32 (frames, images, 2); NaN where an image is not on the map yet."""

    def at(self, task: int) -> int:
        """The frame of the last map not later than `task`, else the first."""
        return max((frame for frame, after in enumerate(self.after_task) if after <= task), default=0)


def manifest(card: RunCard) -> Manifest:
    """What was run, on what."""
    return _manifest(card.folder, stamp(card.folder))


def task_names(card: RunCard) -> list[str]:
    """Names of the tasks, in the order in which they are learned."""
    return [task.name for task in manifest(card).tasks]


def class_names(card: RunCard) -> list[str]:
    """Names of the classes; a label is a position in them."""
    return list(manifest(card).class_names)


def own_adapters(card: RunCard) -> bool:
    """Whether every task keeps what it learned as it was, as opposed to one model that all tasks move."""
    return "past_is_frozen" in manifest(card).promises


def metrics(card: RunCard) -> Mapping[str, Any]:
    """The evaluation's summary with costs; empty before the run is done."""
    return _metrics(card.folder, stamp(card.folder))


def images(card: RunCard) -> Images:
    """Every image of which the run keeps a thumbnail."""
    return _images(card.folder, stamp(card.folder))


def component_counts(card: RunCard) -> np.ndarray:
    """int (tasks,): how many components of each task have images of which the run keeps a thumbnail."""
    known = images(card)
    used = np.unique(np.stack([known.task, known.component])[:, known.component >= 0], axis=1)
    return np.bincount(used[0], minlength=card.tasks)


def predictions(card: RunCard) -> Predictions:
    """Every answer for an undisturbed test image, after every measured task."""
    return _predictions(card.folder, stamp(card.folder))


def embeddings(card: RunCard, space: str) -> np.ndarray:
    """float16 (images, width) in one of `spaces`."""
    return _embeddings(card.folder, space, stamp(card.folder))


def spaces(card: RunCard) -> tuple[str, ...]:
    """The spaces of which the run has a map, in the order of EMBEDDING_SPACES."""
    return tuple(_maps(card.folder, stamp(card.folder)))


def shifts(card: RunCard) -> tuple[str, ...]:
    """The corruptions under which the run asked about test images, each with its severity: 'jpeg-3'."""
    return tuple(_disturbed(card.folder, stamp(card.folder)))


def disturbed(card: RunCard, shift: str) -> Predictions:
    """The answers for test images under one of `shifts`, after the last task."""
    return _disturbed(card.folder, stamp(card.folder))[shift]


def maps(card: RunCard, space: str) -> Maps:
    """The maps of one of `spaces`, by task."""
    return _maps(card.folder, stamp(card.folder))[space]


def evidence(card: RunCard) -> RecordedEvidence | None:
    """What the run recorded of what speaks for the true task of its test images; None where it recorded nothing."""
    return _evidence(card.folder, stamp(card.folder))


def no_evidence(card: RunCard) -> str | None:
    """Why the run recorded none, and how to get some, in words that follow its name."""
    return why_no_evidence(Run(card.folder))


def gates(card: RunCard) -> list[dict[str, Any]]:
    """gates.json of every finished task. Not to be changed."""
    return _gates(card.folder, stamp(card.folder))


@lru_cache(maxsize=1024)  # small, and a page may ask for that of every run
def _manifest(folder: Path, changed: int) -> Manifest:
    return Run(folder).manifest


@lru_cache(maxsize=1024)
def _metrics(folder: Path, changed: int) -> Mapping[str, Any]:
    return MappingProxyType(Run(folder).metrics)


@lru_cache(maxsize=8)
def _images(folder: Path, changed: int) -> Images:
    table = Run(folder).images()
    return Images(**{field.name: _column(table, field.name) for field in fields(Images)})


@lru_cache(maxsize=8)
def _predictions(folder: Path, changed: int) -> Predictions:
    table = Run(folder).predictions()
    return _answers(table.filter(_is(table, "shift", "none") & _is(table, "split", "test")))


@lru_cache(maxsize=4)
def _disturbed(folder: Path, changed: int) -> Mapping[str, Predictions]:
    table = Run(folder).predictions()
    names = sorted(set(table["shift"].combine_chunks().dictionary.to_pylist()) - {"none"})
    found = {name: _answers(table.filter(_is(table, "shift", name) & _is(table, "split", "test"))) for name in names}
    return MappingProxyType({name: answers for name, answers in found.items() if len(answers)})


def _answers(table: pa.Table) -> Predictions:
    names = [field.name for field in fields(Predictions) if field.name not in ("offsets", "values")]
    scores = table["scores"].combine_chunks()
    counts = scores.value_lengths().to_numpy(zero_copy_only=False) if len(table) else np.empty(0, np.int64)
    return Predictions(
        **{name: _column(table, name) for name in names},
        offsets=_frozen(np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)),
        values=_frozen(scores.flatten().to_numpy(zero_copy_only=False).astype(np.float32)),
    )


@lru_cache(maxsize=8)
def _embeddings(folder: Path, space: str, changed: int) -> np.ndarray:
    return _frozen(Run(folder).embeddings(space))


@lru_cache(maxsize=8)
def _maps(folder: Path, changed: int) -> Mapping[str, Maps]:
    table = Run(folder).projection()
    after, image = _column(table, "after_task"), _column(table, "image")
    places = np.stack([_column(table, "x"), _column(table, "y")], axis=1)
    count = len(_images(folder, changed))
    found = {}
    for name in EMBEDDING_SPACES:
        rows = _is(table, "space", name)
        if not rows.any():
            continue
        steps = np.unique(after[rows])
        xy = np.full((len(steps), count, 2), np.nan, np.float32)
        xy[np.searchsorted(steps, after[rows]), image[rows]] = places[rows]
        found[name] = Maps(tuple(steps.tolist()), _frozen(xy))
    return MappingProxyType(found)


@lru_cache(maxsize=8)
def _evidence(folder: Path, changed: int) -> RecordedEvidence | None:
    return read_evidence(Run(folder))


@lru_cache(maxsize=16)
def _gates(folder: Path, changed: int) -> list[dict[str, Any]]:
    run = Run(folder)
    return [run.task(task).gates for task in range(run.finished_tasks())]


def _is(table: pa.Table, column: str, word: str) -> np.ndarray:
    """(rows,) bool; words are compared once each, not row by row."""
    coded = table[column].combine_chunks()
    return (coded.dictionary.to_numpy(zero_copy_only=False) == word)[coded.indices.to_numpy(zero_copy_only=False)]


def _column(table: pa.Table, name: str) -> np.ndarray:
    column = table[name].combine_chunks()
    if str(column.type).startswith("dictionary"):
        column = column.cast("string")
    values = column.to_numpy(zero_copy_only=False)
    return _frozen(values.astype(str) if values.dtype == object else values)


def _frozen(array: np.ndarray) -> np.ndarray:
    array.setflags(write=False)
    return array
