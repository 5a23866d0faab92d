"""One LoRA adapter whose blocks are switched on or off by a learned indicator: change less, forget less.

Published: Selective LoRA (arXiv 2501.15377) puts TAPS' indicator on LoRA blocks, ΔW = 1[s ≥ τ]·BA, trained with the
straight-through gradient; TAPS (arXiv 2203.16708) gives the scores' start (0.15), τ = 0.1, and the loss
cross-entropy + (λ/N) Σ|s|. Our decisions: on a stream every task trains the one adapter, as in `sequential`, so
that the two differ by the gates alone; α scales the update where the paper has α/r; and those of core.methods.gated,
among them the exact budget `active_blocks`. The first task chooses the gates for the whole stream: a block that it
leaves closed is never changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from core.adapters.updates import Updates
from core.config import Section
from core.methods.base import Step
from core.methods.gated import Gated, GateOptions, Gating
from core.methods.inputs import Inputs
from core.methods.shared_model import OneAdapter


class SelectiveLora(Gated, OneAdapter):
    """ΔW = α 1[gate open] BA."""

    Options: ClassVar[type[Section]] = GateOptions

    def grow(self, task: int, generator: torch.Generator) -> None:
        super().grow(task, generator)
        if task == 0:
            self.block_gates = self.new_gates()
        adapter = self.bank.adapters[0]
        weights = {site: adapter.parameters_at(site) for site in self.bank.sites}
        self.gating = Gating(self.block_gates, weights, self.options, self.config.seed)

    def present_updates(self) -> Updates:
        units = torch.full((self.bank.units(),), self.scale, device=self.device)
        gates = self.block_gates
        if self.training:
            return self.bank.compose(1, lambda site: units * gates.gate(site), gates.computed_sites())
        return self.bank.compose(1, lambda site: units, gates.open_sites())

    def loss(self, tokens: Tensor, labels: Tensor, step: Step) -> tuple[Tensor, dict[str, Tensor]]:
        self.gating.before(step)
        return super().loss(tokens, labels, step)

    def penalties(self, step: Step) -> dict[str, Tensor]:
        return self.gate_penalties(self.block_gates, step)

    def end_task(self, task: int, inputs: Inputs) -> None:
        self.gating.finish()

    def gates(self, task: int) -> dict[str, Any]:
        return {**super().gates(task), "blocks": {**self.block_gates.describe(), "history": self.gating.history}}

    def adapter_state(self, task: int) -> dict[str, Tensor]:
        """Without the adapters of closed gates: they are zero and cost no bytes."""
        return {key: value for key, value in super().adapter_state(task).items() if key not in self._cleared()}

    def load_trained(self, task: int, adapter: Mapping[str, Tensor], head: Mapping[str, Tensor]) -> None:
        own = self.state_dict()
        self.block_gates.load_state_dict({key: adapter[f"block_gates.{key}"] for key in self.block_gates.state_dict()})
        super().load_trained(task, {**{key: torch.zeros_like(own[key]) for key in self._cleared()}, **adapter}, head)
        self.gating.settle()

    def _cleared(self) -> set[str]:
        """Names in `state_dict` of the adapters of closed gates."""
        closed = {site.name for site in self.bank.sites} - {site.name for site in self.block_gates.open_sites()}
        return {f"bank.adapters.0.{part}.{name}" for part in ("down", "up") for name in closed}


METHOD = SelectiveLora
