"""Answers for new images by a finished run: the retrieved task, the class, and what speaks for each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from core.backbones import load_backbone
from core.backbones.features import FrozenFeatures
from core.config import RunConfig, validate
from core.data.images import ArrayPicture, FilePicture, ImageSet, Item, UnreadableImage
from core.errors import UserError
from core.evaluation.evaluator import Evaluator
from core.methods import method_class
from core.methods.base import Method, TaskState
from core.methods.inputs import Inputs
from core.runs.schema import Manifest
from core.runs.store import Run
from core.training.device import Precision, pick_device
from core.training.encoding import Encoder
from core.training.token_store import TokenCache

_COMPONENT_IMAGES = 5
_UNKNOWN = 0
"""The true task of a new image, which nothing but the oracle asks for."""


@dataclass(frozen=True)
class TrainedModel:
    """A finished run, loaded: answers for any number of images, one image at a time."""

    run: Run
    manifest: Manifest
    method: Method
    encoder: Encoder
    precision: Precision

    @torch.no_grad()
    def answer(self, images: Sequence[Path | np.ndarray]) -> list[dict[str, Any]]:
        """One JSON-ready answer per image, in order; see `predict_images`.

        An image is a file, or uint8 pixels (height, width) or (height, width, 3), which are called “image N” from 1.
        """
        data = self.encoder.encode(read_images(images), lambda done: None)
        inputs = Evaluator(self.method, self.precision, lambda done: None, whole_batches=False).inputs(data, _UNKNOWN)
        scores = self.method.task_scores(inputs).float()
        tasks = scores.argmax(1)
        classes = self.method.classify(inputs, tasks)
        components = self.method.nearest_component(inputs, tasks)
        return [
            self._described(name, scores[row], int(tasks[row]), int(classes[row]), int(components[row]))
            | {"classes": self._classes(inputs, row, int(tasks[row]))}
            for row, name in enumerate(data.images.names)
        ]

    def _classes(self, inputs: Inputs, row: int, task: int) -> list[dict[str, Any]]:
        """The classes of the retrieved task, likeliest first, with the parts of each score; empty if there is one part.

        Each part is in nats below the class that it favours: only differences between a task's classes mean anything.
        """
        parts = self.method.class_parts(inputs, task, torch.tensor([row]))
        if not parts:
            return []
        total = torch.stack(list(parts.values())).sum(0)[0]
        below = {name: (values[0] - values[0].max()).tolist() for name, values in parts.items()}
        labels, names = self.manifest.tasks[task].classes, self.manifest.class_names
        return [
            {
                "class": labels[place],
                "class_name": names[labels[place]],
                "parts": {name: values[place] for name, values in below.items()},
            }
            for place in total.argsort(descending=True).tolist()
        ]

    def _described(self, image: str, scores: Tensor, task: int, label: int, component: int) -> dict[str, Any]:
        ranked = scores.sort(descending=True).values
        names = [info.name for info in self.manifest.tasks]
        return {
            "image": image,
            "task": task,
            "task_name": names[task],
            "class": label,
            "class_name": self.manifest.class_names[label],
            "margin": float(ranked[0] - ranked[1]) if len(ranked) > 1 else 0.0,
            "scores": [
                {"task": other, "name": names[other], "score": float(score)}
                for other, score in enumerate(scores.tolist())
            ],
            "nearest_component": component,
            "component_images": self._members(task, component),
        }

    def _members(self, task: int, component: int) -> list[int]:
        """The first few training images of the run whose nearest component is the same."""
        if component < 0:
            return []
        images = self.run.images()
        columns = {name: images.column(name).to_numpy(zero_copy_only=False) for name in ("task", "component", "image")}
        train = np.asarray(images.column("split").to_pylist()) == "train"
        members = train & (columns["task"] == task) & (columns["component"] == component)
        return [int(image) for image in columns["image"][members][:_COMPONENT_IMAGES]]


def load_model(folder: Path, device: str = "auto") -> TrainedModel:
    """The model of a finished run.

    Raises UserError when the run is not finished, is damaged, or its backbone cannot be had.
    """
    run = Run(folder)
    manifest = run.manifest
    tasks = len(manifest.tasks)
    if run.finished_tasks() < tasks or not (folder / "answer.safetensors").exists():
        raise UserError(f"Run {run.name} is not finished: resume it with `python -m core train --resume {run.name}`.")
    config = validate(RunConfig, manifest.config, f"{folder}/manifest.json")
    chosen = pick_device(device)
    backbone = load_backbone(config.backbone, manifest.backbone.image_size, chosen)
    if backbone.fingerprint() != manifest.backbone.fingerprint:
        raise UserError(f"The weights of {manifest.backbone.name} here are not those {run.name} was trained with.")
    features = FrozenFeatures(backbone, config.retrieval.features)
    method = method_class(manifest.method)(backbone, features.width, config, chosen)
    for task, info in enumerate(manifest.tasks):
        saved = run.task(task)
        state = TaskState(saved.adapter, saved.head, saved.mixture, saved.gates)
        method.load_task(task, tuple(info.classes), state)
    method.load_answer(run.answer)
    precision: Precision = "bfloat16" if manifest.hardware.get("precision") == "bfloat16" else "float32"
    method.eval()
    method.merge()
    method.share_prefix()
    encoder = Encoder(
        backbone,
        features,
        method.first_block,
        precision,
        TokenCache("memory"),
        views=method.views,
        reads_frozen=method.passes()[0],
    )
    return TrainedModel(run, manifest, method, encoder, precision)


def predict_images(folder: Path, images: Sequence[Path]) -> list[dict[str, Any]]:
    """What the finished run in `folder` says of each image file.

    One dict per image: image, task, task_name, class, class_name, margin (best minus second task score), scores (one
    per task: task, name, score), nearest_component of the retrieved task (−1 where it has none), component_images
    (numbers of the run's training images there), classes (those of the retrieved task, with the parts of their scores).
    Raises UserError for a file that is missing or is no image.
    """
    return load_model(folder).answer(images)


def read_images(images: Sequence[Path | np.ndarray]) -> ImageSet:
    """Images from outside a run, as `TrainedModel.answer` takes them. Raises UserError for one that is none."""
    items = []
    for number, image in enumerate(images, start=1):
        name = f"image {number}" if isinstance(image, np.ndarray) else str(image)
        picture = ArrayPicture(image) if isinstance(image, np.ndarray) else FilePicture(Path(image))
        try:
            items.append(Item(name, picture, picture.identity()))
        except UnreadableImage as error:
            raise UserError(f"{name} cannot be read: {error}.") from None
    return ImageSet(items, [0] * len(items))
