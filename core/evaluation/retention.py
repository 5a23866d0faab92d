"""What is left of what the backbone knew: accuracy on classes that no task learns, before and after; and under shifts.

Retention is measured on held-out classes in three ways. "Before" means with the frozen backbone.

- knn: nearest neighbours (core.evaluation.knn) among images that are embedded anew. It asks how well a newcomer could
  still tell the classes apart, and it rises where a task teaches about other classes too.
- zero_shot: the text tower's answers, where there is one. The text features stay as they are, so the image embeddings
  must not move away from them.
- readout: our decision, the same question for a backbone without a text tower. A linear discriminant of the held-out
  classes is fitted on the frozen embedding and stays as it is: does what was built on the backbone still work?
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from core.data.images import ImageSet
from core.data.shifts import STRENGTHS, ShiftedImages
from core.evaluation.evaluator import Evaluator
from core.evaluation.knn import knn_accuracy, knn_predict
from core.evaluation.metrics import retention
from core.retrieval.space import discriminant
from core.runs.schema import PREDICTION_COLUMNS
from core.training.encoding import EncodedImages, Encoder

if TYPE_CHECKING:
    from core.backbones.clip_text import ZeroShot


class RetentionProbe:
    """Held-out images, encoded once, and the accuracies of the frozen backbone on them."""

    def __init__(
        self, bank: EncodedImages, queries: EncodedImages, neighbours: int, zero_shot: ZeroShot | None = None
    ) -> None:
        """`bank` holds the neighbours, `queries` the questions; labels of both are positions in the held-out names."""
        self.bank, self.queries, self.neighbours, self.zero_shot = bank, queries, neighbours, zero_shot
        self.readout = discriminant(bank.embedding, bank.labels)
        self.before = self.accuracies(self._answers(bank.embedding, queries.embedding))

    @torch.no_grad()
    def after(self, evaluator: Evaluator, task: int) -> dict[str, float]:
        """For TaskDone.retention: knn_before, knn_after, knn_retention (after / before); the others likewise.

        A method with one adapter per task answers with the adapter of `task`, the newest.
        """
        found: dict[str, float] = {}
        for name, after in self.accuracies(self.answers(evaluator, task)).items():
            before = self.before[name]
            found |= {f"{name}_before": before, f"{name}_after": after, f"{name}_retention": retention(before, after)}
        return found

    @torch.no_grad()
    def answers(self, evaluator: Evaluator, task: int) -> dict[str, Tensor]:
        """By way of asking, the class that the model as it is now answers for each question, int64 (questions,)."""
        frozen = evaluator.method.first_block == evaluator.method.backbone.depth
        bank, queries = (
            data.embedding if frozen else evaluator.inputs(data, task).embedding(task)
            for data in (self.bank, self.queries)
        )
        return self._answers(bank, queries)

    def accuracies(self, answers: Mapping[str, Tensor]) -> dict[str, float]:
        """The share of `answers` that are right, by way of asking."""
        return {name: _share(answer == self.queries.labels) for name, answer in answers.items()}

    def _answers(self, bank: Tensor, queries: Tensor) -> dict[str, Tensor]:
        found = {
            "knn": knn_predict(bank, self.bank.labels, queries, self.neighbours),
            "readout": self.readout(queries),
        }
        if self.zero_shot:
            found["zero_shot"] = self.zero_shot.logits(queries).argmax(1)
        return found


def _share(right: Tensor) -> float:
    return float(right.float().mean())


@torch.no_grad()
def gain(test: EncodedImages, train: EncodedImages, own: np.ndarray, neighbours: int) -> dict[str, float]:
    """own_before and own_after: the same neighbours' accuracy on the classes that were learned, for the other axis.

    `own` (test images, then training images; width) are their embeddings with the task's adapters. Empty where no
    training images are kept to be neighbours.
    """
    if not len(train) or not len(test):
        return {}
    learned = torch.from_numpy(own).to(test.embedding)

    def accuracy(bank: Tensor, queries: Tensor) -> float:
        return knn_accuracy(bank, train.labels, queries, test.labels, neighbours)

    after = accuracy(learned[len(test) :], learned[: len(test)])
    return {"own_before": accuracy(train.embedding, test.embedding), "own_after": after}


def shift_names(names: Sequence[str]) -> tuple[str, ...]:
    """The shifts that a configuration asks for; ("all",) is every one."""
    return tuple(STRENGTHS) if tuple(names) == ("all",) else tuple(names)


@torch.no_grad()
def answers_under_shifts(
    evaluator: Evaluator,
    encoder: Encoder,
    shifts: Sequence[str],
    severities: Sequence[int],
    images: int,
    advance: Callable[[int], None],
) -> tuple[dict[str, list[float]], pa.Table]:
    """'none' → [accuracy], and shift → class-incremental accuracy at each severity, on the same test images; and
    PREDICTION_COLUMNS of the disturbed ones, whose `shift` is the name and the severity, such as 'jpeg-3'.

    At most `images` of the watched test images, spread evenly. `advance` is called with the images encoded.
    """
    whole = ImageSet.joined([watched.data.images for watched in evaluator.tests])
    tasks = np.concatenate([np.full(len(watched.data), watched.task) for watched in evaluator.tests])
    numbers = np.concatenate([watched.first_image + np.arange(len(watched.data)) for watched in evaluator.tests])
    rows = np.unique(np.linspace(0, len(whole) - 1, min(images, len(whole))).astype(int))
    chosen, true, last = whole.subset(rows), torch.from_numpy(tasks[rows]), int(tasks.max())

    def answered(shown: ImageSet, name: str) -> pa.Table:
        return evaluator.answers(evaluator.inputs(encoder.encode(shown, advance), true), numbers[rows], last, name)

    found, tables = {"none": [_accuracy(answered(chosen, "none"))]}, [PREDICTION_COLUMNS.empty_table()]
    for name in shifts:
        disturbed = [answered(ShiftedImages(chosen, name, severity), f"{name}-{severity}") for severity in severities]
        found[name] = [_accuracy(table) for table in disturbed]
        tables += disturbed
    return found, pa.concat_tables(tables, promote_options="permissive")


def _accuracy(answers: pa.Table) -> float:
    return float((answers["predicted"].to_numpy() == answers["label"].to_numpy()).mean())
