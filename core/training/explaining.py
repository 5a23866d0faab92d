"""One image of a finished run, or from outside it, explained by the run's model: `python -m core explain`.

model = load_model(folder)
explain(model, RunImages(model.run), 17)            # test image 17: its true task against the one it was sent to
explain(model, None, Path("shirt.png"), against=2)  # a new image: the task it is sent to against task 2
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import torch
from PIL import Image
from torch import Tensor

from core.config import RunConfig, validate
from core.data.images import ImageSet
from core.data.streams import open_stream
from core.data.tasks import Stream
from core.errors import UserError
from core.evaluation.evaluator import Evaluator
from core.heatmap import draw
from core.methods.inputs import Inputs
from core.runs.evidence import Apart, Evidence, Kind, RecordedEvidence, write_evidence
from core.runs.saying import sentence
from core.runs.store import Run
from core.training.evidence import (
    adapter_by_occlusion,
    attention,
    between,
    by_occlusion,
    exact,
    inputs_of,
    recorded,
)
from core.training.inference import TrainedModel, read_images
from core.training.recorder import Kept, plan

_MOST = 2000
"""Images whose evidence is added to a run that is finished; wrong answers beyond that are explained too."""


@dataclass(frozen=True, eq=False)
class Explanation:
    """Evidence for one image, with what people call the two sides and the image as the model sees it."""

    name: str
    evidence: Evidence
    own: str
    against: str
    pixels: np.ndarray
    """uint8 (size, size, 3): what the backbone is given, before its colours are normalised."""
    attention: dict[str, Any]
    """As `core.training.evidence.attention` has it, with the retrieved task's adapters; empty where there is none."""

    @property
    def sentence(self) -> str:
        """What the evidence says, in words."""
        return sentence(self.evidence, self.own, self.against)

    def picture(self) -> Image.Image:
        """The image, and over it what each patch speaks for."""
        return draw(self.pixels, self.evidence, self.own, self.against)

    def _repr_png_(self) -> bytes:
        """What a notebook shows."""
        buffer = BytesIO()
        self.picture().save(buffer, "PNG")
        return buffer.getvalue()

    def document(self) -> dict[str, Any]:
        """As JSON, without the pixels."""
        looked = {
            key: value.tolist() if isinstance(value, np.ndarray) else value for key, value in self.attention.items()
        }
        sides = {"image": self.name, "own_name": self.own, "against_name": self.against, "sentence": self.sentence}
        return {**sides, **self.evidence.document(), "attention": looked}


class RunImages:
    """The images that a run was made of, from its stream; the stream is opened when the first one is asked for."""

    def __init__(self, run: Run) -> None:
        self.run = run

    @cached_property
    def stream(self) -> Stream:
        """Raises UserError when the images cannot be had any more, or are not the same."""
        manifest = self.run.manifest
        config: RunConfig = validate(RunConfig, manifest.config, f"{self.run.folder}/manifest.json")
        stream = open_stream(config.stream, config.seed)
        if stream.fingerprint != manifest.stream_fingerprint:
            raise UserError(f"The images of {manifest.stream} have changed since {self.run.name} was made.")
        return stream

    @property
    def kept(self) -> list[Kept]:
        """Which images the run kept, and how it numbers them."""
        config: RunConfig = validate(RunConfig, self.run.manifest.config, f"{self.run.folder}/manifest.json")
        return plan(self.stream, config.record.train_per_class)

    def image(self, number: int) -> ImageSet:
        """Row `number` of images.parquet, alone in its set. Raises UserError when there is no such image.

        Training images are found by their names: versions differ in which of them they keep.
        """
        count = self.run.images().num_rows
        if not 0 <= number < count:
            raise UserError(f"There is no image {number} in run {self.run.name}: it has 0 to {count - 1}.")
        for kept, task in zip(self.kept, self.stream.tasks, strict=True):
            place = number - kept.first
            if place < kept.tests:
                return task.test.subset([place])
            if place < kept.images:
                name = self.run.images()["name"][number].as_py()
                if name in task.train.names:
                    return task.train.subset([task.train.names.index(name)])
        raise UserError(f"Image {number} of run {self.run.name} is not in its stream.")


def explain(
    model: TrainedModel,
    images: RunImages | None,
    image: int | Path | np.ndarray,
    against: int | None = None,
    kind: Kind = "task",
) -> Explanation:
    """Why `image` is sent to the task (or is given the class) that it is: an image of the run by number, or any other.

    The first side is the true task (class) of an image of the run, else the retrieved (answered) one. The second is
    `against`, else the retrieved one where that is wrong, else the runner-up.
    Raises UserError for an image that cannot be had, and for a second side that is no other than the first.
    """
    numbered = isinstance(image, int)
    if isinstance(image, int):
        found = (images or RunImages(model.run)).image(image)
    else:
        found = read_images([image])
    method, encoder = model.method, model.encoder
    decoded = encoder.decoded(found, torch.tensor([0]))
    inputs = inputs_of(method, encoder, encoder.encoded(decoded, frozen=True))
    label = int(found.labels[0]) if numbered else None
    own, other, retrieved = _sides(model, inputs, label, against, kind)
    if method.shared_space is None:
        evidence = by_occlusion(method, encoder, decoded, kind, own, other)
    else:
        first, second = torch.tensor([own]), torch.tensor([other])
        evidence = exact(method, encoder, inputs, torch.tensor([0]), lambda rows: decoded, kind, first, second)[0]
        evidence = _with_occlusion(model, decoded, evidence)
    tasks, classes = model.manifest.tasks, model.manifest.class_names
    names = [f"“{classes[side] if kind == 'class' else tasks[side].name}”" for side in (own, other)]
    looked = attention(method, encoder, decoded, retrieved) if encoder.backbone.readout.prefix else {}
    pixels = decoded[0].permute(1, 2, 0).numpy()
    return Explanation(found.names[0], evidence, names[0], names[1], pixels, looked)


def explain_pair(model: TrainedModel, images: RunImages, one: int, other: int) -> tuple[Apart, list[np.ndarray]]:
    """What sets two of the run's images apart, and both as the model sees them, uint8 (size, size, 3).

    Raises UserError for an image that cannot be had, and for an image with itself.
    """
    if one == other:
        raise UserError(f"Image {one} would be compared with itself: name another one.")
    encoder, zero = model.encoder, torch.tensor([0])
    decoded = torch.cat([encoder.decoded(images.image(number), zero) for number in (one, other)])
    return between(model.method, encoder, decoded), list(decoded.permute(0, 2, 3, 1).numpy())


def _with_occlusion(model: TrainedModel, decoded: Tensor, evidence: Evidence) -> Evidence:
    """Exact evidence, and by occlusion what is not linear in the patches: the first adapter's term, or everything."""
    method, encoder, kind = model.method, model.encoder, evidence.kind
    if not evidence.patches.size:
        lost = by_occlusion(method, encoder, decoded, kind, evidence.own, evidence.against)
        return replace(evidence, occluded=lost.occluded, occluded_part="difference", window=lost.window)
    if not evidence.adapter:
        return evidence
    part, window = adapter_by_occlusion(method, encoder, decoded, kind, evidence.own, evidence.against)
    return replace(evidence, occluded=part, occluded_part="adapter", window=window)


@torch.no_grad()
def _sides(
    model: TrainedModel, inputs: Inputs, label: int | None, against: int | None, kind: Kind
) -> tuple[int, int, int]:
    """The two sides, and the retrieved task."""
    method, tasks = model.method, model.manifest.tasks
    scores = method.task_scores(inputs)
    task = None if label is None else next(t for t, info in enumerate(tasks) if label in info.classes)
    if method.config.retrieval.mode == "oracle" and task is not None:
        scores = torch.nn.functional.one_hot(torch.tensor([task]), len(tasks))
    retrieved = int(scores.argmax(1))
    truth, answered = task, retrieved
    if kind == "class":
        truth, answered = label, int(method.classify(inputs, scores.argmax(1)))
        scores = method.scores_inside(inputs, retrieved)
    own = answered if truth is None else truth
    if against is None:
        if answered == own:
            names = tasks[retrieved].classes if kind == "class" else range(len(tasks))
            ranked = [int(names[place]) for place in scores[0].argsort(descending=True).tolist()]
            answered = next((side for side in ranked if side != own), own)
        against = answered
    if against == own:
        name = model.manifest.class_names[own] if kind == "class" else tasks[own].name
        raise UserError(f"“{name}” would be compared with itself: name another {kind} with --against.")
    return own, against, retrieved


def add_evidence(model: TrainedModel, images: RunImages, advance: Callable[[int], None]) -> RecordedEvidence | None:
    """Write evidence.npz into a finished run that has none; gives what was written, None where nothing can be.

    `advance` is called with the number of test images just read. Raises UserError as `RunImages.stream` does.
    """
    encoder, method = model.encoder, model.method
    evaluator = Evaluator(method, model.precision, lambda done: None)
    tasks = images.stream.tasks
    for kept, task in zip(images.kept, tasks, strict=True):
        evaluator.watch(task.index, encoder.encode(task.test, advance), kept.first)
    answers = model.run.predictions()
    final = answers.filter(pc.field("after_task") == len(tasks) - 1)
    found = recorded(method, encoder, evaluator, final, _MOST)
    if found is not None:
        write_evidence(model.run, found)
    return found
