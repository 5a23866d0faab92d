"""What is asked about held-out classes after the last task: the dial, and to which task their images are sent.

The dial says what learned and held-out classes answer at every share of the update, from the frozen model to all of it.
Published: the models on the line between the weights before and after fine-tuning (WiSE-FT, Wortsman et al. 2022, arXiv
2109.01903). Our decision: heads and statistics stay as they were fitted, so that a turn of the dial moves the backbone
alone. Each answer is kept with its image, so that moving the dial afterwards takes no model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from core.data.images import ImageSet
from core.evaluation.evaluator import Evaluator, Watched
from core.evaluation.retention import RetentionProbe, gain
from core.methods.base import PAST_IS_FROZEN
from core.methods.inputs import Inputs
from core.runs.schema import HELD_OUT_COLUMNS, LATER_COLUMNS
from core.training.recorder import Watch

PROBES = ("readout", "knn", "zero_shot")
"""The ways of asking about held-out classes, as core.evaluation.retention describes them."""


@dataclass(frozen=True)
class Dial:
    """What was measured at each of the ascending `strengths`."""

    strengths: tuple[float, ...]
    configured: float
    """The strength that the run itself answers with, `adapters.strength`; one of `strengths`."""
    classes: tuple[str, ...]
    """The held-out classes."""
    measured: Mapping[str, list[float]]
    """One value for each strength. class_incremental and task_aware: accuracy on the learned classes, the mean over
    tasks; own: nearest neighbours on them; readout, knn, zero_shot: accuracy on the held-out classes."""
    answers: Mapping[str, np.ndarray]
    """Way of asking → int (questions, strengths), positions in `classes`."""
    sent: Mapping[str, np.ndarray]
    """retrieved_task, predicted and margin of HELD_OUT_COLUMNS, (questions,) each: what the run itself answers."""

    def as_dict(self) -> dict[str, Any]:
        """What metrics.json says of it."""
        told = {"strengths": list(self.strengths), "configured": self.configured, "classes": list(self.classes)}
        return {**told, **self.measured}

    def table(self, images: ImageSet, cells: Sequence[tuple[int, int]]) -> pa.Table:
        """HELD_OUT_COLUMNS of the `images` that were asked about, whose thumbnails are in `cells` (sheet, cell)."""
        count = len(images)
        columns: dict[str, Any] = {
            "image": range(count),
            "label": images.labels,
            "name": images.names,
            "sheet": [sheet for sheet, _ in cells],
            "cell": [cell for _, cell in cells],
            **self.sent,
        }
        for probe in PROBES:
            columns[probe] = self.answers[probe].tolist() if probe in self.answers else [[]] * count
        arrays = {name: pa.array(list(values), HELD_OUT_COLUMNS.field(name).type) for name, values in columns.items()}
        return pa.table(arrays, schema=HELD_OUT_COLUMNS)


def strengths(steps: int, configured: float) -> tuple[float, ...]:
    """Ascending, without repetition: 0, `configured`, and the ends of `steps` equal steps from 0 to 1 (none for 0)."""
    return tuple(sorted({0.0, configured, *(step / steps for step in range(steps + 1) if steps)}))


@torch.no_grad()
def turned(
    evaluator: Evaluator, probe: RetentionProbe, watches: Sequence[Watch], at: Sequence[float], classes: Sequence[str]
) -> Dial:
    """Ask at each of the strengths `at`; the method answers with its own strength again afterwards.

    `classes` are the names of the held-out ones, which `probe` asks about.
    """
    method, last = evaluator.method, len(watches) - 1
    configured = method.answer_strength
    measured: dict[str, list[float]] = {}
    answers: dict[str, list[np.ndarray]] = {}
    try:
        for strength in at:
            method.answer_with(strength)
            asked = probe.answers(evaluator, last)
            found = {**_learned(evaluator, watches, probe.neighbours), **probe.accuracies(asked)}
            for name, value in found.items():
                measured.setdefault(name, []).append(value)
            for name, answer in asked.items():
                answers.setdefault(name, []).append(answer.cpu().numpy())
    finally:
        method.answer_with(configured)
    kept = {name: np.stack(each, axis=1) for name, each in answers.items()}
    return Dial(tuple(at), configured, tuple(classes), measured, kept, _sent(evaluator, probe, last))


def _sent(evaluator: Evaluator, probe: RetentionProbe, last: int) -> dict[str, np.ndarray]:
    """What `evaluator` answers for the questions, as for test images. Task 0 stands where a true one is asked for."""
    inputs = evaluator.inputs(probe.queries, 0)
    answers = evaluator.answers(inputs, np.arange(len(probe.queries)), last)
    return {name: answers[name].to_numpy() for name in LATER_COLUMNS["held_out"]}


def _learned(evaluator: Evaluator, watches: Sequence[Watch], neighbours: int) -> dict[str, float]:
    """Means over tasks: accuracy with the task unknown and given, and that of neighbours among the training images."""
    last = len(watches) - 1
    every: dict[str, list[float]] = {}
    for watch, tested in zip(watches, evaluator.tests, strict=True):
        inputs = evaluator.inputs(tested.data, tested.task)
        rows = evaluator.answers(inputs, np.arange(len(tested.data)), last)
        label = rows["label"].to_numpy()
        found = {
            "class_incremental": float((rows["predicted"].to_numpy() == label).mean()),
            "task_aware": float((rows["predicted_given_task"].to_numpy() == label).mean()),
        }
        own = gain(watch.test, watch.train, _own(evaluator, watch, tested, inputs), neighbours)
        if own:
            found["own"] = own["own_after"]
        for name, value in found.items():
            every.setdefault(name, []).append(value)
    return {name: float(np.mean(values)) for name, values in every.items()}


def _own(evaluator: Evaluator, watch: Watch, tested: Watched, inputs: Inputs) -> np.ndarray:
    """float16 (test images, then kept training images; width) with the task's adapters, as a run records them."""
    method = evaluator.method
    if method.first_block == method.backbone.depth:
        parts = [tested.data.embedding, watch.train.embedding]
    else:
        task = tested.task if PAST_IS_FROZEN in method.promises else 0
        parts = [inputs.embedding(task), evaluator.inputs(watch.train, tested.task).embedding(task)]
    return np.concatenate([part.cpu().numpy().astype(np.float16) for part in parts])
