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
from core.retrieval.leave_out import expected_error, owners, sent_by_best


class NearestClassMean(FrozenClassifier):
    """score_c(x) = −‖x − μ_c‖²."""

    def begin_task(self, task: int, classes: tuple[int, ...], generator: torch.Generator) -> None:
        super().begin_task(task, classes, generator)
        if task == 0:
            self.means = ClassMeans(self.device)

    def end_task(self, task: int, inputs: Inputs) -> None:
        means = [inputs.frozen[inputs.labels == label].mean(0) for label in self.classes[task]]
        self.means.add(means, inputs.frozen, inputs.labels)

    def class_scores(self, frozen: Tensor) -> Tensor:
        return -torch.cdist(frozen, self.means.joined()).square()

    @property
    def kept(self) -> tuple[Kept, ...]:
        return (self.means,)


class ClassMeans(Kept):
    """The mean of each class, task by task."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.tasks: list[Tensor] = []
        """Per task: (classes, features)."""
        self.sent: list[np.ndarray | None] = []
        """Per task: shares of its left-out images sent to each task known then; None where an earlier version learned
        the task."""

    def add(self, means: list[Tensor], x: Tensor, labels: Tensor) -> None:
        """Take in the means (features,) of the classes of the next task, which are those of x (n, features)."""
        self.tasks.append(torch.stack(means))
        self.sent.append(self._sent(x, labels.to(self.device)))

    def _sent(self, x: Tensor, labels: Tensor) -> np.ndarray:
        """(tasks,) shares of images x, each left out: x is n / (n − 1) as far from its class mean of n images then."""
        images = labels.bincount()[labels]
        squared, own = torch.cdist(x, self.joined()).square(), labels[:, None]
        away = (images / (images - 1)).square()[:, None]
        squared = squared.scatter(1, own, squared.gather(1, own) * away)
        scores = (-squared).masked_fill((images < 2)[:, None], torch.nan)
        return sent_by_best(scores, owners(self.tasks))

    def expected_error(self) -> float | None:
        return expected_error(self.sent)

    def joined(self) -> Tensor:
        """(classes seen, features)."""
        return torch.cat(self.tasks)

    def task_arrays(self, task: int) -> dict[str, np.ndarray]:
        sent = self.sent[task]
        return {"class_means": self.tasks[task].cpu().numpy(), **({} if sent is None else {"left_out": sent})}

    def load_task(self, arrays: Mapping[str, np.ndarray]) -> None:
        self.tasks.append(torch.from_numpy(arrays["class_means"]).to(self.device))
        self.sent.append(arrays.get("left_out"))


METHOD = NearestClassMean
