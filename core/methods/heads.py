"""Linear heads, one per task, over one embedding."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from core.adapters.module_list import ModulesOf
from core.retrieval.space import discriminant

_SHRINKAGE, _TEMPERATURE = 0.3, 20.0


class TaskHeads(nn.Module):
    """Task k's head maps an embedding (n, width) to logits of its own classes."""

    def __init__(self, width: int, device: torch.device) -> None:
        super().__init__()
        self.width, self.device = width, device
        self.heads: ModulesOf[nn.Linear] = ModulesOf()

    def __len__(self) -> int:
        return len(self.heads)

    def add(self, classes: int) -> nn.Linear:
        """A new head that starts at zero: every class is equally likely."""
        head = nn.Linear(self.width, classes)
        nn.init.zeros_(head.weight)
        nn.init.zeros_(head.bias)
        self.heads.append(head.to(self.device))
        return head

    @torch.no_grad()
    def start(self, tasks: Sequence[int], embedding: Tensor, labels: Tensor) -> None:
        """Begin the heads of `tasks`, all new, as a linear discriminant of their images (n, width) with labels (n,).

        Published: a head that is fitted before the features move distorts them less, and what they knew besides lasts
        (Kumar et al. 2022, arXiv 2202.10054, there by logistic regression). Our decision: a discriminant, divided by
        a temperature, because a head that is sure of every training image leaves the adapters nothing to learn.
        """
        found = discriminant(embedding, labels, _SHRINKAGE)
        sizes = [self.heads[task].out_features for task in tasks]
        parts = zip(found.weight.split(sizes), found.bias.split(sizes), strict=True)
        for task, (weight, bias) in zip(tasks, parts, strict=True):
            self.heads[task].weight.copy_(weight / _TEMPERATURE)
            self.heads[task].bias.copy_(bias / _TEMPERATURE)

    def forward(self, embedding: Tensor, task: int) -> Tensor:
        """Logits (n, classes of task)."""
        logits: Tensor = self.heads[task](embedding)
        return logits

    def joined(self, embedding: Tensor) -> Tensor:
        """Logits (n, all classes), tasks in order."""
        return torch.cat([head(embedding) for head in self.heads], dim=1)
