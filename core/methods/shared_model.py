"""Shared by the methods that keep one model for all tasks: adapters on the backbone, and one growing linear head."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import torch
import torch.nn.functional as F
from torch import Tensor

from core.adapters.bank import AdapterBank, site_shapes
from core.adapters.describe import describe
from core.adapters.merge import merged
from core.adapters.updates import Updates
from core.backbones.vit import Backbone
from core.config import RunConfig
from core.methods.base import Method, Step, best_class, best_per_task, embedded
from core.methods.heads import TaskHeads
from core.methods.inputs import Inputs


class SharedModel(Method):
    """Class scores are the logits of all heads over the one model's embedding."""

    best_class_decides: ClassVar[bool] = True
    scores_all_seen: ClassVar[bool] = True
    """Cross-entropy over every class seen so far; otherwise over the present task's alone."""

    def __init__(self, backbone: Backbone, features: int, config: RunConfig, device: torch.device) -> None:
        super().__init__(backbone, features, config, device)
        self.bank = AdapterBank(site_shapes(self.adapter_sites(), backbone.site_shape), device)
        self.heads = TaskHeads(backbone.width, device)
        self._merged: tuple[Backbone, ...] = ()
        """The backbone with the adapters folded in, or none; in a tuple, so that it is no submodule."""

    def train(self, mode: bool = True) -> Self:
        if mode:
            self._merged = ()
        return super().train(mode)

    def merge(self) -> None:
        self._merged = (merged(self.backbone, self.present_updates()),)

    def embed(self, tokens: Tensor, task: int, first: int | None = None) -> Tensor:
        if not self._merged:
            return super().embed(tokens, task, first)
        return embedded(self._merged[0], tokens, self.first_block if first is None else first)

    def begin_task(self, task: int, classes: tuple[int, ...], generator: torch.Generator) -> None:
        self._merged = ()
        self.classes.append(classes)
        self.grow(task, generator)
        self.heads.add(len(classes))

    def start_heads(self, tasks: Sequence[int], inputs: Inputs) -> None:
        self.heads.start(tasks, inputs.embedding(tasks[-1]), inputs.labels)

    @abstractmethod
    def grow(self, task: int, generator: torch.Generator) -> None:
        """Add the adapters of a task."""

    def present_updates(self) -> Updates:
        """What the model's adapters add now: α times all of them, unless a method weighs them."""
        scale = torch.full((self.bank.units(),), self.scale, device=self.device)
        return self.bank.compose(len(self.bank), lambda site: scale)

    def updates(self, task: int) -> Updates:
        return self.present_updates()

    def loss(self, tokens: Tensor, labels: Tensor, step: Step) -> tuple[Tensor, dict[str, Tensor]]:
        embedding = self.embed(tokens, step.task)
        if self.scores_all_seen:
            return self.penalised(F.cross_entropy(self.heads.joined(embedding).float(), labels), step)
        logits = self.heads(embedding, step.task).float()
        return self.penalised(F.cross_entropy(logits, labels - self.classes[step.task][0]), step)

    def end_task(self, task: int, inputs: Inputs) -> None:
        """Nothing is fitted after training."""

    def class_scores(self, inputs: Inputs) -> Tensor:
        """(n, classes seen)."""
        return self.heads.joined(inputs.embedding(0))  # one model: every task's embedding is the same

    def task_scores(self, inputs: Inputs) -> Tensor:
        return best_per_task(self.class_scores(inputs), self.classes)

    def classify(self, inputs: Inputs, tasks: Tensor) -> Tensor:
        return best_class(self.class_scores(inputs), self.classes, tasks)

    def scores_inside(self, inputs: Inputs, task: int) -> Tensor:
        return self.class_scores(inputs)[:, list(self.classes[task])]

    def gates(self, task: int) -> dict[str, Any]:
        return describe(self.present_updates())

    def adapter_state(self, task: int) -> dict[str, Tensor]:
        """Every tensor but the heads': the newest task's folder holds all of the one model, the earlier what it was."""
        return {key: value for key, value in self._tensors().items() if not key.startswith("heads.")}

    def head_state(self, task: int) -> dict[str, Tensor]:
        return {key: value for key, value in self._tensors().items() if key.startswith("heads.")}

    def _tensors(self) -> dict[str, Tensor]:
        return {key: value.detach().cpu().clone() for key, value in self.state_dict().items()}

    def load_trained(self, task: int, adapter: Mapping[str, Tensor], head: Mapping[str, Tensor]) -> None:
        # `joint` begins all tasks before it saves any, so a folder may hold heads that are not there yet.
        saved = {**adapter, **head}
        self.load_state_dict({key: saved[key] for key in self.state_dict()})


class OneAdapter(SharedModel):
    """A single adapter, trained by every task."""

    def grow(self, task: int, generator: torch.Generator) -> None:
        if task == 0:
            self.bank.add(self.rank(0), generator)
