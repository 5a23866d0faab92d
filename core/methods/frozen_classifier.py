"""Shared by the methods that train nothing: class scores from running sums over frozen features."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

import torch
from torch import Tensor

from core.methods.base import PAST_IS_FROZEN, Method, best_class, best_per_task
from core.methods.inputs import Inputs


class FrozenClassifier(Method):
    """Scores all classes at once; the task is the one that owns the best class."""

    promises: ClassVar[frozenset[str]] = frozenset({PAST_IS_FROZEN})
    best_class_decides: ClassVar[bool] = True

    @property
    def first_block(self) -> int:
        return self.backbone.depth

    def begin_task(self, task: int, classes: tuple[int, ...], generator: torch.Generator) -> None:
        self.classes.append(classes)

    def passes(self) -> tuple[bool, int]:
        return True, 0

    @abstractmethod
    def class_scores(self, frozen: Tensor) -> Tensor:
        """(n, classes seen) of frozen features (n, features)."""

    def task_scores(self, inputs: Inputs) -> Tensor:
        return best_per_task(self.class_scores(inputs.frozen), self.classes)

    def classify(self, inputs: Inputs, tasks: Tensor) -> Tensor:
        return best_class(self.class_scores(inputs.frozen), self.classes, tasks)

    def scores_inside(self, inputs: Inputs, task: int) -> Tensor:
        return self.class_scores(inputs.frozen)[:, list(self.classes[task])]
