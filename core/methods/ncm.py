"""Nearest class mean over frozen features: the plainest honest baseline.

Published: the classifier (Rebuffi et al. 2017 use it over learned features). Our decision: Euclidean distance, and the
features that `retrieval.features` names.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from core.methods.frozen_classifier import FrozenClassifier
from core.methods.inputs import Inputs
from core.retrieval.kept import Kept
from core.retrieval.leave_out import SentImages, owners


class NearestClassMean(FrozenClassifier):
    """score_c(x) = −‖x − μ_c‖²."""

    def begin_task(self, task: int, classes: tuple[int, ...], generator: torch.Generator) -> None:
        super().begin_task(task, classes, generator)
        if task == 0:
            self.means, self.sent = ClassMeans(self.device), SentImages()

    def end_task(self, task: int, inputs: Inputs) -> None:
        self.means.add([inputs.frozen[inputs.labels == label].mean(0) for label in self.classes[task]])
        self.sent.add(self.means.left_out_scores(inputs.frozen, inputs.labels), owners(self.means.tasks))

    def class_scores(self, frozen: Tensor) -> Tensor:
        return -torch.cdist(frozen, self.means.joined()).square()

    @property
    def kept(self) -> tuple[Kept, ...]:
        return (self.means, self.sent)


class ClassMeans(Kept):
    """The mean of each class, task by task."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.tasks: list[Tensor] = []
        """Per task: (classes, features)."""

    def add(self, means: list[Tensor]) -> None:
        """Take in the means (features,) of the classes of the next task."""
        self.tasks.append(torch.stack(means))

    def left_out_scores(self, x: Tensor, labels: Tensor) -> Tensor:
        """(n, classes): scores of images x (n, features), which are all that their classes have, each as if its class
        mean did not know it: it is n / (n − 1) as far from that mean of n images then. NaN where it is alone."""
        labels = labels.to(self.device)
        images = labels.bincount()[labels]
        squared, own = torch.cdist(x, self.joined()).square(), labels[:, None]
        away = (images / (images - 1)).square()[:, None]
        squared = squared.scatter(1, own, squared.gather(1, own) * away)
        return (-squared).masked_fill((images < 2)[:, None], torch.nan)

    def joined(self) -> Tensor:
        """(classes seen, features)."""
        return torch.cat(self.tasks)

    def task_arrays(self, task: int) -> dict[str, np.ndarray]:
        return {"class_means": self.tasks[task].cpu().numpy()}

    def load_task(self, arrays: Mapping[str, np.ndarray]) -> None:
        self.tasks.append(torch.from_numpy(arrays["class_means"]).to(self.device))


METHOD = NearestClassMean
