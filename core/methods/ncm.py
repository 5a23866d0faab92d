"""Nearest class mean over frozen features: the plainest honest baseline.

Published: the classifier (Rebuffi et al. 2017 use it over learned features). Our decision: Euclidean distance, and the
features that `retrieval.features` names.
"""

from __future__ import annotations

import torch
from torch import Tensor

from core.methods.base import TaskState
from core.methods.frozen_classifier import FrozenClassifier
from core.methods.inputs import Inputs


class NearestClassMean(FrozenClassifier):
    """score_c(x) = −‖x − μ_c‖²."""

    means: Tensor

    def begin_task(self, task: int, classes: tuple[int, ...], generator: torch.Generator) -> None:
        super().begin_task(task, classes, generator)
        if task == 0:
            self.means = torch.zeros(0, self.features, device=self.device)

    def end_task(self, task: int, inputs: Inputs) -> None:
        members = [inputs.frozen[inputs.labels == label].mean(0) for label in self.classes[task]]
        self.means = torch.cat([self.means, torch.stack(members)])

    def class_scores(self, frozen: Tensor) -> Tensor:
        return -torch.cdist(frozen, self.means).square()

    def task_state(self, task: int) -> TaskState:
        return TaskState(mixture={"class_means": self.means[list(self.classes[task])].cpu().numpy()})

    def load_task(self, task: int, classes: tuple[int, ...], state: TaskState) -> None:
        self.begin_task(task, classes, torch.Generator())
        means = torch.from_numpy(state.mixture["class_means"]).to(self.device)
        self.means = torch.cat([self.means, means])


METHOD = NearestClassMean
