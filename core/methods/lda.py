"""Linear discriminant analysis over frozen features: class means and one pooled covariance, as running sums.

Published: streaming LDA (Hayes & Kanan 2020) in its batch-per-task form. Our decision: the shrinkage and features of
the `retrieval` section, the same that Proteus' whitened retrieval uses, so that the two differ by adapters alone.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from core.methods.base import TaskState
from core.methods.frozen_classifier import FrozenClassifier
from core.methods.inputs import Inputs
from core.retrieval.scores import WhitenedRetriever


class LinearDiscriminant(FrozenClassifier):
    """score_c(x) = −½ (x − μ_c)ᵀ Σ⁻¹ (x − μ_c), up to a constant an image."""

    def begin_task(self, task: int, classes: tuple[int, ...], generator: torch.Generator) -> None:
        super().begin_task(task, classes, generator)
        if task == 0:
            self.discriminant = WhitenedRetriever("means", self.features, self.config, self.device)
            self.shared_space = self.discriminant

    def end_task(self, task: int, inputs: Inputs) -> None:
        self.discriminant.fit(task, inputs.frozen, inputs.labels)

    def class_scores(self, frozen: Tensor) -> Tensor:
        return self.discriminant.class_scores(frozen)

    def nearest_component(self, inputs: Inputs, tasks: Tensor) -> Tensor:
        return self.discriminant.nearest_component(inputs.frozen, tasks)

    def whitened(self, inputs: Inputs) -> Tensor:
        return self.discriminant.whitening(inputs.frozen)

    def task_state(self, task: int) -> TaskState:
        return TaskState(mixture=self.discriminant.task_arrays(task))

    def load_task(self, task: int, classes: tuple[int, ...], state: TaskState) -> None:
        self.begin_task(task, classes, torch.Generator())
        self.discriminant.load_task(state.mixture)

    def shared_state(self) -> dict[str, Tensor]:
        return self.discriminant.shared_state()

    def load_shared(self, state: Mapping[str, Tensor]) -> None:
        self.discriminant.load_shared(state)

    def answer_state(self) -> dict[str, Tensor]:
        return self.discriminant.answer_state()

    def load_answer(self, state: Mapping[str, Tensor]) -> None:
        self.discriminant.load_answer(state)


METHOD = LinearDiscriminant
