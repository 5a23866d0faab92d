"""Adapters composed of the units of this and earlier tasks, with gates where blocks are chosen: the room of `proteus`.

What is composed with which coefficients, and what is penalised, is the method's; here is what has no equation: growing
the bank, gates, updates that are kept for answering, saving and loading.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Self

import torch
from pydantic import Field
from torch import Tensor

from core.adapters.bank import AdapterBank, site_shapes
from core.adapters.gates import Gates
from core.adapters.mixed import pruned
from core.adapters.module_list import ModulesOf
from core.adapters.peft_files import PeftAdapter
from core.adapters.sites import Site
from core.adapters.updates import Updates
from core.backbones.vit import Backbone
from core.config import RunConfig
from core.methods.base import Step
from core.methods.gated import Gated, GateOptions, Gating
from core.methods.given import read_given
from core.methods.inputs import Inputs
from core.methods.task_adapters import TaskAdapters

_GATES = "gates."


class ComposedOptions(GateOptions):
    """[method] of the configuration. The options of gates count where `active_blocks` is set."""

    compose: bool = True
    """Whether a task may reuse earlier tasks' units at all."""
    negligible: float = Field(0.01, ge=0, lt=1)
    """In answering, the smallest units of a site are left out as long as their norms sum to this share of the update's
    (our decision)."""


class ComposedAdapters(Gated, TaskAdapters):
    """An adapter per task, which may reuse the units of the adapters before it."""

    mixes: ClassVar[bool] = True
    takes_adapters: ClassVar[bool] = True

    def __init__(self, backbone: Backbone, features: int, config: RunConfig, device: torch.device) -> None:
        super().__init__(backbone, features, config, device)
        self.bank = AdapterBank(site_shapes(self.adapter_sites(), backbone.site_shape), device)
        self.block_gates: ModulesOf[Gates] = ModulesOf()
        self._given: list[PeftAdapter] = []
        """Adapters trained elsewhere, while their tasks are being learned."""
        self._answering: dict[int, Updates] = {}
        """Task → its updates as they are when answering, for tasks that are learned."""

    @property
    def selective(self) -> bool:
        """Whether tasks have gates at all."""
        return self.options.active_blocks is not None

    @abstractmethod
    def coefficients(self, task: int, site: Site) -> Tensor:
        """(units of tasks 0 … task,): how strongly each unit takes part in the update of `task` at a site."""

    def curriculum(self, tasks: int) -> list[tuple[int, ...]]:
        if folders := self.config.adapters.given:
            self._given = read_given(folders, tasks, self.backbone, self.bank.sites)
        return super().curriculum(tasks)

    def rank(self, task: int) -> int:
        return self._given[task].rank if self._given else super().rank(task)

    def grow(self, task: int, generator: torch.Generator) -> None:
        adapter = self.bank.add(self.rank(task), generator, reuse=self.options.compose)
        if self._given:
            adapter.take(self._given[task].units)
        if self.selective:
            self.block_gates.requires_grad_(False)
            self.block_gates.append(self.new_gates())
            weights = {site: adapter.parameters_at(site) for site in self.bank.sites}
            self.gating = Gating(self.block_gates[-1], weights, self.options, self.config.seed)

    def train(self, mode: bool = True) -> Self:
        """Training may move the newest task's units: what was composed of them is forgotten."""
        if mode:
            self._answering.pop(self.tasks - 1, None)
        super().train(mode)
        return self

    def answer_with(self, strength: float) -> None:
        self._answering.clear()
        super().answer_with(strength)

    def updates(self, task: int) -> Updates:
        if self.training:
            return self._composed(task)
        if task not in self._answering:
            self._answering[task] = pruned(self._composed(task), self.options.negligible)
        return self._answering[task]

    def _composed(self, task: int) -> Updates:
        if not self.selective:
            return self.bank.compose(task + 1, lambda site: self.coefficients(task, site))
        gates = self.block_gates[task]
        if not self.training or gates.settled:
            return self.bank.compose(task + 1, lambda site: self.coefficients(task, site), gates.open_sites())
        gated = gates.computed_sites()
        return self.bank.compose(task + 1, lambda site: self.coefficients(task, site) * gates.gate(site), gated)

    def loss(self, tokens: Tensor, labels: Tensor, step: Step) -> tuple[Tensor, dict[str, Tensor]]:
        if self.selective:
            self.gating.before(step)
        return super().loss(tokens, labels, step)

    def penalties(self, step: Step) -> dict[str, Tensor]:
        return self.gate_penalties(self.block_gates[step.task], step) if self.selective else {}

    def end_task(self, task: int, inputs: Inputs) -> None:
        if self.selective:
            self.gating.finish()
        super().end_task(task, inputs)

    def gates(self, task: int) -> dict[str, Any]:
        newest = self.bank.adapters[task]
        ranks = [adapter.rank for adapter in self.bank.adapters[:task]]
        described = super().gates(task)
        for name, coefficients in newest.reuse.items():
            if name in described["sites"]:
                described["sites"][name]["reuse"] = [part.tolist() for part in coefficients.detach().split(ranks)]
        described["overlap"] = [self.bank.cosine_overlap(task, other) for other in range(task)]
        if self.selective:
            described["blocks"] = {**self.block_gates[task].describe(), "history": self.gating.history}
        return described

    def adapter_state(self, task: int) -> dict[str, Tensor]:
        """The task's units at the sites that are open to it, and its gates: what is off costs no bytes."""
        sites = self.block_gates[task].open_sites() if self.selective else self.bank.sites
        state = self.bank.adapters[task].state_at(sites)
        if self.selective:
            gates = self.block_gates[task].state_dict(prefix=_GATES)
            state |= {key: value.detach().cpu().clone() for key, value in gates.items()}
        return state

    def load_adapter(self, task: int, tensors: Mapping[str, Tensor]) -> None:
        units = {key: value for key, value in tensors.items() if not key.startswith(_GATES)}
        if not self.selective:
            self.bank.load_adapter(units)
            return
        gates = self.new_gates()
        gates.load_state_dict({key.removeprefix(_GATES): tensors[key] for key in tensors if key.startswith(_GATES)})
        open_here = set(gates.open_sites())
        self.bank.load_adapter(units, [site for site in self.bank.sites if site not in open_here])
        gates.settle()
        self.block_gates.append(gates)
