"""One LoRA adapter whose blocks are switched on or off by a learned indicator: change less, forget less.

Published: Selective LoRA (arXiv 2501.15377) puts TAPS' indicator on LoRA blocks, ΔW = 1[s ≥ τ]·BA, trained with the
straight-through gradient; TAPS (arXiv 2203.16708) gives the scores' start (0.15), τ = 0.1, and the loss
cross-entropy + (λ/N) Σ|s|. Our decisions: on a stream the one adapter is moved by every task, as in `sequential`, so
that the two differ by the gates alone; λ counts only after a warm-up, because with B = 0 a score gets no gradient from
the task; α scales the update where the paper has α/r.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from core.adapters.gates import BlockGates
from core.adapters.updates import Updates
from core.config import Section
from core.methods.base import Step
from core.methods.shared_model import OneAdapter


class Options(Section):
    """[method] of the configuration."""

    sparsity: float = Field(0.3, ge=0)
    """λ, the weight of the penalty on the scores; the papers try 0.1, 0.3 and 1."""
    warmup: float = Field(0.2, ge=0, le=1)
    """Share of a task's steps before the penalty counts."""


class SelectiveLora(OneAdapter):
    """ΔW = α 1[s_block ≥ τ] BA."""

    Options: ClassVar[type[Section]] = Options

    def grow(self, task: int, generator: torch.Generator) -> None:
        super().grow(task, generator)
        if task == 0:
            self.block_gates = BlockGates(self.adapted_blocks).to(self.device)

    def present_updates(self) -> Updates:
        units = torch.full((self.bank.units(),), self.config.adapters.alpha, device=self.device)
        updates = self.bank.compose(len(self.bank), lambda site: units * self.block_gates.gate(site.block))
        if self.training:
            return updates
        on = self.block_gates.active()
        return {block: update for block, update in updates.items() if block in on}

    def penalties(self, step: Step) -> dict[str, Tensor]:
        weight = self.options.sparsity if step.fraction >= self.options.warmup else 0.0
        return {"sparsity": weight * self.block_gates.sparsity()}

    def gates(self) -> dict[str, Any]:
        return {**super().gates(), "blocks": self.block_gates.describe()}


METHOD = SelectiveLora
