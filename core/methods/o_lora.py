"""One LoRA adapter per task, all summed, each asked to be orthogonal to those before it.

Published: O-LoRA (Wang et al. 2023, arXiv 2310.14152): earlier adapters are frozen, all are summed, and the penalty is
γ ‖A_old A_newᵀ‖²_F. Our decisions: vision backbone and sites, a growing head, and cross-entropy over the present task's
classes alone, which leaves earlier heads as they were.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from core.config import Section
from core.methods.base import Step
from core.methods.shared_model import SharedModel


class Options(Section):
    """[method] of the configuration."""

    orthogonality: float = Field(0.5, ge=0)
    """γ, the weight of the penalty."""


class OrthogonalLora(SharedModel):
    """ΔW = α Σ_k B_k A_k."""

    Options: ClassVar[type[Section]] = Options
    scores_all_seen: ClassVar[bool] = False

    def grow(self, task: int, generator: torch.Generator) -> None:
        self.bank.add(self.rank(task), generator)

    def penalties(self, step: Step) -> dict[str, Tensor]:
        total = torch.zeros((), device=self.device)
        newest = self.bank.adapters[-1]
        for site in self.bank.sites if len(self.bank) > 1 else ():
            old, _ = self.bank.stacked(site, len(self.bank) - 1)
            total = total + (old @ newest.down[site.name].T).square().sum()
        return {"orthogonality": self.options.orthogonality * total}


METHOD = OrthogonalLora
