"""After every task: what the method answers for every test image seen so far, one image at a time.

Where a method promises that past adapters never change, their embeddings are computed once and remembered; for other
methods every embedding is computed again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import torch
import torch.nn.functional as F
from torch import Tensor

from core.methods.base import PAST_IS_FROZEN, Method
from core.methods.inputs import Inputs, Memo
from core.runs.schema import PREDICTION_COLUMNS
from core.training.device import Precision, autocast
from core.training.encoding import EncodedImages

EMBED_BATCH = 64
"""Rows per pass through the adapted blocks. Smaller groups are padded to it, so that an image's embedding is the same
bit for bit whatever it is computed together with."""


@dataclass
class Watched:
    """A task's test images, encoded, with the embeddings that are still valid."""

    task: int
    data: EncodedImages
    first_image: int
    """Row of images.parquet of the first of them."""
    memo: Memo = field(default_factory=Memo)


class Evaluator:
    """Answers for the test images of the tasks watched so far."""

    def __init__(
        self, method: Method, precision: Precision, advance: Callable[[int], None], *, whole_batches: bool = True
    ) -> None:
        """`advance` is called with the number of images embedded. Without `whole_batches` nothing is padded."""
        self.whole_batches = whole_batches
        self.method, self.precision, self._advance = method, precision, advance
        self.tests: list[Watched] = []

    def watch(self, task: int, data: EncodedImages, first_image: int) -> None:
        """Follow a task's test images from now on."""
        self.tests.append(Watched(task, data, first_image))

    def inputs(self, data: EncodedImages, tasks: int | Tensor, memo: Memo | None = None) -> Inputs:
        """`data` as a method sees it. `tasks` are the true ones, for the oracle."""

        def embed(tasks: Tensor, rows: Tensor) -> Tensor:
            return self._embed(data, tasks, rows)

        true = torch.full((len(data),), tasks) if isinstance(tasks, int) else tasks
        return Inputs(data.frozen, embed, labels=data.labels, tasks=true, memo=memo)

    @torch.no_grad()
    def _embed(self, data: EncodedImages, tasks: Tensor, rows: Tensor) -> Tensor:
        """(m, width) of images `rows` with the adapters of `tasks`, both (m,) on the CPU."""
        result = torch.empty(len(rows), self.method.backbone.width, device=data.frozen.device)
        for batch in self._batches(tasks):
            images, place = rows[batch].unique(return_inverse=True)
            tokens = data.tokens(images)[place.to(data.frozen.device)]
            padding = EMBED_BATCH - len(batch) if self.whole_batches else 0
            owners = torch.cat([tasks[batch], tasks[batch][-1:].expand(padding)])
            with autocast(data.frozen.device, self.precision):
                embedded = self.method.embed_rows(F.pad(tokens, (0, 0, 0, 0, 0, padding)), owners)
            result[batch.to(result.device)] = embedded[: len(batch)].float()
            self._advance(len(batch))
        return result

    def _batches(self, tasks: Tensor) -> list[Tensor]:
        """Positions in `tasks` (m,) that go through the adapted blocks together."""
        groups = [torch.arange(len(tasks))]
        if not self.method.mixes:
            groups = [torch.where(tasks == task)[0] for task in tasks.unique().tolist()]
        return [batch for group in groups if len(group) for batch in group.split(EMBED_BATCH)]

    @torch.no_grad()
    def predictions(self, after_task: int) -> pa.Table:
        """PREDICTION_COLUMNS for every test image watched."""
        if PAST_IS_FROZEN not in self.method.promises:
            for watched in self.tests:
                watched.memo.clear()
        return pa.concat_tables([self._rows(watched, after_task) for watched in self.tests])

    def _rows(self, watched: Watched, after_task: int) -> pa.Table:
        n = len(watched.data)
        inputs = self.inputs(watched.data, watched.task, watched.memo)
        return self.answers(inputs, np.arange(watched.first_image, watched.first_image + n), after_task)

    @torch.no_grad()
    def answers(self, inputs: Inputs, image: np.ndarray, after_task: int, shift: str = "none") -> pa.Table:
        """PREDICTION_COLUMNS of test images, `image` (n,) by their rows of images.parquet; `shift` disturbed them."""
        scores = self.method.task_scores(inputs).float()
        retrieved = scores.argmax(1)
        best = scores.topk(min(2, scores.shape[1]), dim=1).values
        true = inputs.tasks.to(retrieved.device)
        columns = {
            "after_task": np.full(len(image), after_task),
            "image": image,
            "task": inputs.tasks,
            "label": inputs.labels,
            "retrieved_task": retrieved,
            "predicted": self.method.classify(inputs, retrieved),
            "predicted_given_task": self.method.classify(inputs, true),
            "margin": best[:, 0] - best[:, 1] if best.shape[1] == 2 else torch.zeros(len(image)),
            "nearest_component": self.method.nearest_component(inputs, retrieved),
        }
        arrays = {name: value.cpu().numpy() if isinstance(value, Tensor) else value for name, value in columns.items()}
        table = {name: pa.array(values).cast(PREDICTION_COLUMNS.field(name).type) for name, values in arrays.items()}
        table["scores"] = pa.array(list(scores.cpu().numpy()), PREDICTION_COLUMNS.field("scores").type)
        for name, value in (("split", "test"), ("shift", shift)):
            values = pa.array([value] * len(image), pa.string())
            table[name] = values.dictionary_encode().cast(PREDICTION_COLUMNS.field(name).type)
        return pa.table(table, schema=PREDICTION_COLUMNS)
