"""The protocol of a method: what the one training loop and the evaluator ask of it.

    begin_task → (loss, step)* → end_task        for every task of the stream, in order
    task_scores, classify                        at any time, for the tasks learned so far

These five are what every method must say (a method that trains nothing has no `loss`), beside the tensors it keeps:
its family declares those (`SharedModel`: one model for all tasks, `TaskAdapters`: an adapter per task,
`FrozenClassifier`: statistics of frozen features), or the method does, as `kept`. All that a method may say besides,
with what holds where it is silent, is in defaults.py. docs/adding-a-method.md adds one step by step.

Class numbers are global, and tasks introduce them in order: task 0 has 0 … n₀−1, and so on. "Class-incremental"
prediction is `classify(inputs, task_scores(inputs).argmax(1))`; with the true task instead it is "task-aware".
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from core.methods.defaults import PAST_IS_FROZEN, Defaults, NoOptions, Step, TaskState, embedded
from core.methods.inputs import Inputs

__all__ = [
    "PAST_IS_FROZEN",
    "Method",
    "NoOptions",
    "Step",
    "TaskState",
    "best_class",
    "best_per_task",
    "embedded",
]


class Method(Defaults, ABC):
    """A method over a frozen backbone: what it must say."""

    @abstractmethod
    def begin_task(self, task: int, classes: tuple[int, ...], generator: torch.Generator) -> None:
        """Make room for a task of these classes: adapters, head, statistics; `generator` draws what is random."""

    def loss(self, tokens: Tensor, labels: Tensor, step: Step) -> tuple[Tensor, dict[str, Tensor]]:
        """Scalar loss of a batch, and its parts by name. `tokens` (n, tokens, width) enter `first_block`; `labels` (n,)
        are global class numbers."""
        raise NotImplementedError(f"{type(self).__name__} has nothing to train")

    @abstractmethod
    def end_task(self, task: int, inputs: Inputs) -> None:
        """Fit whatever needs all training images of the task at once."""

    @abstractmethod
    def task_scores(self, inputs: Inputs) -> Tensor:
        """(n, tasks): the higher, the likelier that an image belongs to a task; comparable across tasks."""

    @abstractmethod
    def classify(self, inputs: Inputs, tasks: Tensor) -> Tensor:
        """(n,) class numbers, each within the task that `tasks` (n,) names for its image."""


def best_per_task(class_scores: Tensor, classes: list[tuple[int, ...]]) -> Tensor:
    """(n, tasks): the best class score inside each task, from scores (n, classes) in global class order."""
    return torch.stack([class_scores[:, list(members)].amax(1) for members in classes], dim=1)


def best_class(class_scores: Tensor, classes: list[tuple[int, ...]], tasks: Tensor) -> Tensor:
    """(n,): the best class among those of the task named for each image."""
    owner = torch.empty(class_scores.shape[1], dtype=torch.long, device=class_scores.device)
    for task, members in enumerate(classes):
        owner[list(members)] = task
    inside = owner[None, :] == tasks.to(owner.device)[:, None]
    return class_scores.masked_fill(~inside, -torch.inf).argmax(1)
