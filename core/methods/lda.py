"""Linear discriminant analysis over frozen features: class means and one pooled covariance, as running sums.

Published: streaming LDA (Hayes & Kanan 2020) in its batch-per-task form. Our decision: the shrinkage and features of
the `retrieval` section, the same that Proteus' whitened retrieval uses, so that the two differ by adapters alone.
"""

from __future__ import annotations

import torch
from torch import Tensor

from core.methods.frozen_classifier import FrozenClassifier
from core.methods.inputs import Inputs
from core.retrieval.scores import WhitenedRetriever


class LinearDiscriminant(FrozenClassifier):
    """score_c(x) = −½ (x − μ_c)ᵀ Σ⁻¹ (x − μ_c), up to a constant per image."""

    shared_space: WhitenedRetriever

    def begin_task(self, task: int, classes: tuple[int, ...], generator: torch.Generator) -> None:
        super().begin_task(task, classes, generator)
        if task == 0:
            self.shared_space = WhitenedRetriever(
                "means", self.features, self.config, self.device, best_component_decides=True
            )

    def end_task(self, task: int, inputs: Inputs) -> None:
        self.shared_space.fit(task, inputs.frozen, inputs.labels)

    def class_scores(self, frozen: Tensor) -> Tensor:
        return self.shared_space.class_scores(frozen)


METHOD = LinearDiscriminant
