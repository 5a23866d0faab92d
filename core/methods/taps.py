"""A gated dense residual per block and task: each task changes only the blocks that it needs.

Published: TAPS, "Task Adaptive Parameter Sharing" (arXiv 2203.16708): W + 1[s ≥ τ]·ΔW with one score per block, s from
0.15, τ = 0.1, the straight-through gradient, and cross-entropy + (λ/N) Σ|s|; tasks are learned apart, each from the
frozen backbone, with the task known at test time. Our decisions: ΔW at the configured sites; where the task is not
known, the same retrieval as Proteus'; and those of core.methods.gated, among them the exact budget `active_blocks`,
which every task fills for itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from core.adapters.bank import site_shapes
from core.adapters.gates import Gates
from core.adapters.module_list import ModulesOf
from core.adapters.sites import Site
from core.adapters.updates import Dense, Updates
from core.backbones.vit import Backbone
from core.config import RunConfig, Section
from core.methods.base import Step
from core.methods.gated import Gated, GateOptions, Gating
from core.methods.inputs import Inputs
from core.methods.task_adapters import TaskAdapters


class _Residual(nn.Module):
    """One task's ΔW at every site, zero at the start, and its gates."""

    def __init__(self, shapes: Mapping[Site, tuple[int, int]], gates: Gates) -> None:
        super().__init__()
        self.weights = nn.ParameterDict({site.name: nn.Parameter(torch.zeros(shape)) for site, shape in shapes.items()})
        self.gates = gates


class Taps(Gated, TaskAdapters):
    """W + 1[gate open] ΔW."""

    Options: ClassVar[type[Section]] = GateOptions

    def __init__(self, backbone: Backbone, features: int, config: RunConfig, device: torch.device) -> None:
        super().__init__(backbone, features, config, device)
        self.shapes = site_shapes(self.adapter_sites(), backbone.site_shape)
        self.residuals: ModulesOf[_Residual] = ModulesOf()

    def grow(self, task: int, generator: torch.Generator) -> None:
        self.residuals.requires_grad_(False)
        residual = _Residual(self.shapes, self.new_gates()).to(self.device)
        self.residuals.append(residual)
        weights = {site: [residual.weights[site.name]] for site in self.shapes}
        self.gating = Gating(residual.gates, weights, self.options, self.config.seed)

    def updates(self, task: int) -> Updates:
        residual = self.residuals[task]
        gates = residual.gates
        updates: dict[int, dict[str, Dense]] = {}
        for site in gates.computed_sites() if self.training else gates.open_sites():
            dense = Dense(residual.weights[site.name], self.strength * gates.gate(site))
            updates.setdefault(site.block, {})[site.projection] = dense
        return updates

    def loss(self, tokens: Tensor, labels: Tensor, step: Step) -> tuple[Tensor, dict[str, Tensor]]:
        self.gating.before(step)
        return super().loss(tokens, labels, step)

    def penalties(self, step: Step) -> dict[str, Tensor]:
        return self.gate_penalties(self.residuals[step.task].gates, step)

    def end_task(self, task: int, inputs: Inputs) -> None:
        self.gating.finish()
        super().end_task(task, inputs)

    def gates(self, task: int) -> dict[str, Any]:
        described = {**self.residuals[task].gates.describe(), "history": self.gating.history}
        return {**super().gates(task), "blocks": described}

    def adapter_state(self, task: int) -> dict[str, Tensor]:
        """The residuals at the sites that are on, and all scores: what is off costs no bytes."""
        residual = self.residuals[task]
        state = residual.state_dict()
        kept = {key for key in state if not key.startswith("weights.")}
        kept |= {f"weights.{site.name}" for site in residual.gates.open_sites()}
        return {key: state[key].detach().cpu().clone() for key in sorted(kept)}

    def load_adapter(self, task: int, tensors: Mapping[str, Tensor]) -> None:
        self.grow(task, torch.Generator())
        # Residuals of blocks that are off were not kept; theirs stay zero, and their gates keep them out anyway.
        self.residuals[task].load_state_dict(dict(tensors), strict=False)
        self.gating.settle()


METHOD = Taps
