"""Ridge regression on random ReLU features of the frozen backbone: the strongest plain baseline.

Published: RanPAC (arXiv 2307.02251) without its first-session adaptation. Our decisions: the features that
`retrieval.features` names, and 4,096 random features, which fit a laptop.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from core.config import Section
from core.methods.frozen_classifier import FrozenClassifier
from core.methods.inputs import Inputs
from core.methods.ridge import RandomFeatureRidge
from core.retrieval.kept import Kept
from core.retrieval.leave_out import SentImages, owners, rows_left_out


class Options(Section):
    """[method] of the configuration."""

    random_features: int = Field(4096, ge=1)


class RanPac(FrozenClassifier):
    """scores = ReLU(xᵀR)ᵀ (G + λI)⁻¹ C."""

    Options: ClassVar[type[Section]] = Options

    def begin_task(self, task: int, classes: tuple[int, ...], generator: torch.Generator) -> None:
        super().begin_task(task, classes, generator)
        if task == 0:
            self.ridge = RandomFeatureRidge(self.features, self.options.random_features, self.config.seed, self.device)
            self.sent = SentImages()

    def end_task(self, task: int, inputs: Inputs) -> None:
        self.ridge.fit(inputs.frozen, inputs.labels, self.classes[task][-1] + 1)
        rows, images = rows_left_out(inputs.frozen), inputs.labels.bincount()[inputs.labels]
        scores = self.ridge.left_out_scores(inputs.frozen[rows], inputs.labels[rows], images[rows])
        self.sent.add(scores, owners([torch.tensor(classes, device=self.device) for classes in self.classes]))

    def class_scores(self, frozen: Tensor) -> Tensor:
        return self.ridge(frozen)

    @property
    def kept(self) -> tuple[Kept, ...]:
        return (self.ridge, self.sent)


METHOD = RanPac
