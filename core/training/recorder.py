"""What a run keeps for people to look at: images, their thumbnails, their embeddings in every space, and their map.

All test images are kept, and a few training images of each class, spread evenly over it. Images are numbered task by
task, with a task's test images before its training images, so the images that were seen up to task t come first.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch

from core.data.tasks import Stream, Task
from core.evaluation.evaluator import Evaluator
from core.methods.base import PAST_IS_FROZEN, Method
from core.methods.inputs import Inputs, Memo
from core.projection import projection_table
from core.runs.schema import IMAGE_COLUMNS, LEFT_OUT
from core.runs.sprites import cell_side, write_sprites
from core.training.encoding import EncodedImages


@dataclass(frozen=True)
class Kept:
    """One task's share of images.parquet: its test images, then `train_rows` of its training images."""

    task: int
    first: int
    tests: int
    train_rows: np.ndarray
    class_images: np.ndarray
    """(train_rows,): how many training images the class of each has."""

    @property
    def images(self) -> int:
        return self.tests + len(self.train_rows)


def plan(stream: Stream, train_per_class: int) -> list[Kept]:
    """Which images are kept, task by task.

    Training images are spread evenly over their class, because neighbours may be alike (digits come writer by writer),
    and errors on new images are expected from them. Runs made before 30 November 2026 kept the first ones.
    """
    kept: list[Kept] = []
    first = 0
    for task in stream.tasks:
        members = [np.flatnonzero(task.train.labels == label) for label in task.classes]
        rows = np.concatenate([_spread(own, train_per_class) for own in members]).astype(np.int64)
        class_images = np.bincount(task.train.labels)[task.train.labels[rows]]
        kept.append(Kept(task.index, first, len(task.test), rows, class_images))
        first += kept[-1].images
    return kept


def _spread(rows: np.ndarray, most: int) -> np.ndarray:
    """At most so many of `rows`, evenly spread."""
    count = min(most, len(rows))
    return rows[np.arange(count) * len(rows) // max(count, 1)]


@dataclass
class Watch:
    """The kept images of one task, encoded: test images whole, training images as chosen."""

    kept: Kept
    test: EncodedImages
    train: EncodedImages
    memo: Memo = field(default_factory=Memo)
    """Embeddings of the training images, as long as no training has changed them."""


class Recorder:
    """Collects embeddings while a run goes on and writes the tables at its end."""

    def __init__(self, method: Method, evaluator: Evaluator) -> None:
        self.method, self.evaluator = method, evaluator
        self.watches: list[Watch] = []

    @torch.no_grad()
    def own_embeddings(self) -> dict[str, np.ndarray]:
        """float16 (kept images, width) with each image's own task's adapters, as they are now, for a task folder.

        Where the past is frozen these are the newest task's images alone; for a model that changes, all seen so far.
        """
        frozen_past = PAST_IS_FROZEN in self.method.promises
        chosen = self.watches[-1:] if frozen_past else self.watches
        return {"own": np.concatenate([self._own(watch) for watch in chosen])}

    def _own(self, watch: Watch) -> np.ndarray:
        parts = []
        for data, inputs in self._seen(watch):
            adapted = self.method.first_block < self.method.backbone.depth
            moving = PAST_IS_FROZEN not in self.method.promises
            task = 0 if moving else watch.kept.task  # one model has one embedding, whatever the task
            values = inputs.embedding(task) if adapted and len(data) else data.embedding
            parts.append(values.cpu().numpy().astype(np.float16))
        return np.concatenate(parts)

    def _seen(self, watch: Watch) -> list[tuple[EncodedImages, Inputs]]:
        """A task's kept images, test before training, as the method sees them; no embedding is computed twice."""
        if PAST_IS_FROZEN not in self.method.promises:
            watch.memo.clear()
        task = watch.kept.task
        memos = ((watch.test, self.evaluator.tests[task].memo), (watch.train, watch.memo))
        return [(data, self.evaluator.inputs(data, task, memo)) for data, memo in memos]

    def images(self, stream: Stream, sprites: Path, size: int) -> pa.Table:
        """IMAGE_COLUMNS of every kept image; writes the thumbnails."""
        columns: dict[str, list] = {name: [] for name in ("image", "split", "task", "label", "name", "component")}
        for watch, task in zip(self.watches, stream.tasks, strict=True):
            for split, (data, inputs) in zip(("test", "train"), self._seen(watch), strict=True):
                count = len(data)
                first = len(columns["image"])
                columns["image"] += range(first, first + count)
                columns["split"] += [split] * count
                columns["task"] += [task.index] * count
                columns["label"] += data.labels.tolist()
                columns["name"] += data.images.names
                columns["component"] += self._components(inputs, task)
        samples = (data.images.image(0) for watch in self.watches for data in (watch.test, watch.train) if len(data))
        cells = write_sprites(sprites, self._pictures(), cell_side(samples, size))
        columns["sheet"] = [sheet for sheet, _ in cells]
        columns["cell"] = [cell for _, cell in cells]
        return pa.table({name: _column(name, values) for name, values in columns.items()}, schema=IMAGE_COLUMNS)

    def _components(self, inputs: Inputs, task: Task) -> list[int]:
        if not len(inputs):
            return []
        return [int(c) for c in self.method.nearest_component(inputs, torch.full((len(inputs),), task.index)).tolist()]

    def _pictures(self):  # type: ignore[no-untyped-def]
        for watch in self.watches:
            for data in (watch.test, watch.train):
                for index in range(len(data)):
                    yield data.images.image(index)

    @torch.no_grad()
    def spaces(self, retrieved: np.ndarray) -> dict[str, np.ndarray]:
        """float32 (kept images, width) per space, at the end of the run.

        `retrieved` is the retrieved task of every test image, in the order of the kept test images.
        """
        spaces: dict[str, list[np.ndarray]] = {"frozen": [], "own": [], "retrieved": [], "whitened": []}
        at = 0
        for watch in self.watches:
            own = self._own(watch).astype(np.float32)
            spaces["own"].append(own)
            tests = retrieved[at : at + len(watch.test)]
            at += len(watch.test)
            spaces["retrieved"].append(self._retrieved(watch, own, tests))
            for data, inputs in self._seen(watch):
                spaces["frozen"].append(data.embedding.cpu().numpy())
                white = self.method.whitened(inputs)
                if white is not None:
                    spaces["whitened"].append(white.cpu().numpy())
        joined = {name: np.concatenate(parts) for name, parts in spaces.items() if parts}
        if self.method.first_block == self.method.backbone.depth:
            del joined["own"], joined["retrieved"]
        elif PAST_IS_FROZEN not in self.method.promises:
            del joined["retrieved"]
        return joined

    @torch.no_grad()
    def left_out(self) -> dict[str, np.ndarray]:
        """LEFT_OUT: where each kept image would lie in the whitened space if that had never seen it, at the run's end.

        (kept images, dimensions); test images lie where they do. NaN for a training image that is alone in its class.
        Empty for methods without that space.
        """
        space = self.method.shared_space
        if space is None:
            return {}
        parts = []
        for watch in self.watches:
            (_, tests), (data, train) = self._seen(watch)
            labels, images = torch.as_tensor(data.labels), torch.from_numpy(watch.kept.class_images)
            parts.append(space.whitening(self.method.shared_features(tests)))
            if len(data):
                parts.append(space.left_out_places(self.method.shared_features(train), labels, images))
        return {LEFT_OUT: torch.cat(parts).cpu().numpy()}

    def _retrieved(self, watch: Watch, own: np.ndarray, tests: np.ndarray) -> np.ndarray:
        """Like `own`, but test images go through the adapters of the task that was retrieved for them."""
        values = own.copy()
        if PAST_IS_FROZEN not in self.method.promises or self.method.first_block == self.method.backbone.depth:
            return values
        inputs = self.evaluator.inputs(watch.test, watch.kept.task, self.evaluator.tests[watch.kept.task].memo)
        for task in np.unique(tests):
            rows = np.flatnonzero(tests == task)
            values[rows] = inputs.embedding(int(task), torch.from_numpy(rows)).cpu().numpy()
        return values

    def frames(
        self, spaces: dict[str, np.ndarray], snapshots: list[np.ndarray] | None
    ) -> dict[tuple[str, int], tuple[np.ndarray, np.ndarray]]:
        """What the map shows: (space, after_task) → image numbers and embeddings of what had been seen by then.

        `snapshots` are the own embeddings after each task, for a model whose earlier embeddings change.
        """
        frames = {}
        for space, values in spaces.items():
            for watch in self.watches:
                seen = watch.kept.first + watch.kept.images
                after = watch.kept.task
                shown = values[:seen]
                if space == "own" and snapshots is not None:
                    shown = snapshots[after].astype(np.float32)
                if len(shown) == seen:
                    frames[space, after] = (np.arange(seen), shown)
        return frames


def map_table(
    frames: dict[tuple[str, int], tuple[np.ndarray, np.ndarray]], seed: int, enabled: bool
) -> pa.Table | None:
    """PROJECTION_COLUMNS, or None where the map is switched off or there is nothing to show."""
    return projection_table(frames, seed) if enabled and frames else None


def _column(name: str, values: list) -> pa.Array:
    kind = IMAGE_COLUMNS.field(name).type
    if pa.types.is_dictionary(kind):
        return pa.array(values, pa.string()).dictionary_encode().cast(kind)
    return pa.array(values, kind)
