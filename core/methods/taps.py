"""A gated dense residual a block and task: each task changes only the blocks that it needs.

Published: TAPS, "Task Adaptive Parameter Sharing" (arXiv 2203.16708): W + 1[s ≥ τ]·ΔW with one score a block, s from
0.15, τ = 0.1, the straight-through gradient, and cross-entropy + (λ/N) Σ|s|; tasks are learned apart, each from the
frozen backbone, with the task known at test time. Our decisions: ΔW at the configured sites; λ counts after a warm-up;
where the task is not known, the same retrieval as Proteus'.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from core.adapters.bank import site_shapes
from core.adapters.gates import BlockGates
from core.adapters.module_list import ModulesOf
from core.adapters.sites import Site
from core.adapters.updates import Dense, Updates
from core.backbones.vit import Backbone
from core.config import RunConfig, Section
from core.methods.base import Step
from core.methods.task_adapters import TaskAdapters


class Options(Section):
    """[method] of the configuration."""

    sparsity: float = Field(0.3, ge=0)
    """λ, the weight of the penalty on the scores."""
    warmup: float = Field(0.2, ge=0, le=1)
    """Share of a task's steps before the penalty counts."""


class _Residual(nn.Module):
    """One task's ΔW at every site, zero at the start, and its gates."""

    def __init__(self, shapes: Mapping[Site, tuple[int, int]], blocks: tuple[int, ...]) -> None:
        super().__init__()
        self.weights = nn.ParameterDict({site.name: nn.Parameter(torch.zeros(shape)) for site, shape in shapes.items()})
        self.gates = BlockGates(blocks)


class Taps(TaskAdapters):
    """W + 1[s_block ≥ τ] ΔW."""

    Options: ClassVar[type[Section]] = Options

    def __init__(self, backbone: Backbone, features: int, config: RunConfig, device: torch.device) -> None:
        super().__init__(backbone, features, config, device)
        self.shapes = site_shapes(self.adapter_sites(), backbone.site_shape)
        self.residuals: ModulesOf[_Residual] = ModulesOf()

    def grow(self, task: int, generator: torch.Generator) -> None:
        self.residuals.requires_grad_(False)
        self.residuals.append(_Residual(self.shapes, self.adapted_blocks).to(self.device))

    def updates(self, task: int) -> Updates:
        residual = self.residuals[task]
        on = residual.gates.active()
        updates: dict[int, dict[str, Dense]] = {}
        for site in self.shapes:
            if self.training or site.block in on:
                dense = Dense(residual.weights[site.name], residual.gates.gate(site.block))
                updates.setdefault(site.block, {})[site.projection] = dense
        return updates

    def penalties(self, step: Step) -> dict[str, Tensor]:
        weight = self.options.sparsity if step.fraction >= self.options.warmup else 0.0
        return {"sparsity": weight * self.residuals[step.task].gates.sparsity()}

    def gates(self, task: int) -> dict[str, Any]:
        return {**super().gates(task), "blocks": self.residuals[task].gates.describe()}

    def adapter_state(self, task: int) -> dict[str, Tensor]:
        """The residuals of the blocks that are on, and all scores: what is off costs no bytes."""
        residual = self.residuals[task]
        on = residual.gates.active()
        state = residual.state_dict()
        kept = {key for key in state if not key.startswith("weights.")}
        kept |= {f"weights.{site.name}" for site in self.shapes if site.block in on}
        return {key: state[key].detach().cpu().clone() for key in sorted(kept)}

    def load_adapter(self, task: int, tensors: Mapping[str, Tensor]) -> None:
        self.grow(task, torch.Generator())
        # Residuals of blocks that are off were not kept; theirs stay zero, and their gates keep them out anyway.
        self.residuals[task].load_state_dict(dict(tensors), strict=False)


METHOD = Taps
