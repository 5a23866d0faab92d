"""One adapter for all tasks that is asked to answer old questions as it did before the new task.

Published: Learning without Forgetting (Li & Hoiem 2016, arXiv 1606.09282): images of the new task alone, loss =
L_new(y_n, ŷ_n) + λ_o L_old(y_o, ŷ_o), where y_o are the old heads' answers to these images, recorded before the task
(their algorithm 1), and L_old is the distillation of Hinton et al. with temperature T = 2 (their equations 2 and 3);
λ_o = 1. Our decisions: a LoRA adapter moves instead of all weights, as in `sequential`; y_o are computed again at each
step by a frozen copy of the adapter and the heads, which is the same; L_old is the mean over the old tasks.
"""

from __future__ import annotations

from copy import deepcopy
from typing import ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from core.adapters.updates import Updates
from core.config import Section
from core.methods.base import Step, embedded
from core.methods.shared_model import OneAdapter


class Options(Section):
    """[method] of the configuration."""

    distillation: float = Field(1.0, ge=0)
    """λ_o, the weight of the old tasks."""
    temperature: float = Field(2.0, gt=0)
    """T: above 1, answers that were improbable count more."""


class LearningWithoutForgetting(OneAdapter):
    """loss = CE(new classes) + λ_o · mean over old tasks k of CE(softmax(y_k / T), softmax(ŷ_k / T))."""

    Options: ClassVar[type[Section]] = Options
    scores_all_seen: ClassVar[bool] = False

    @torch.no_grad()
    def begin_task(self, task: int, classes: tuple[int, ...], generator: torch.Generator) -> None:
        # In a tuple, so that it is no submodule: a copy of what is saved already need not be saved again.
        self._teacher = (self._full_strength() if task else {}, deepcopy(self.heads))
        super().begin_task(task, classes, generator)

    def _full_strength(self) -> Updates:
        """Copies of the present updates as training counts them, whatever `adapters.strength` makes of them later."""
        scale = torch.full((self.bank.units(),), self.config.adapters.alpha, device=self.device)
        return self.bank.compose(len(self.bank), lambda site: scale)

    def loss(self, tokens: Tensor, labels: Tensor, step: Step) -> tuple[Tensor, dict[str, Tensor]]:
        now, T = self.embed(tokens, step.task), self.options.temperature
        new = self.heads(now, step.task).float()
        parts = {"cross_entropy": F.cross_entropy(new, labels - self.classes[step.task][0])}
        updates, heads = self._teacher
        with torch.no_grad():
            before = embedded(self.backbone, tokens, self.first_block, updates)
        for k in range(len(heads)):
            target = (heads(before, k) / T).float().softmax(1)
            old = F.cross_entropy((self.heads(now, k) / T).float(), target)
            parts[f"distillation {k}"] = self.options.distillation * old / len(heads)
        return torch.stack(list(parts.values())).sum(), parts


METHOD = LearningWithoutForgetting
