"""Linear heads, one a task, over one embedding."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from core.adapters.module_list import ModulesOf


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

    def forward(self, embedding: Tensor, task: int) -> Tensor:
        """Logits (n, classes of task)."""
        logits: Tensor = self.heads[task](embedding)
        return logits

    def joined(self, embedding: Tensor) -> Tensor:
        """Logits (n, all classes), tasks in order."""
        return torch.cat([head(embedding) for head in self.heads], dim=1)
