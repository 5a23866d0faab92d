"""Adapters composed of earlier tasks' units plus an orthogonal new part; a clustering picks the task.

Source: Proteus, "Continual Fine-Tuning with Provably Accurate and Parameter-Free Task Retrieval" (arXiv 2603.13235).
Published: ΔW_k = α ( Σ_{j<k} Σ_u s_{k,j,u} b_{j,u} a_{j,u}ᵀ + B_k A_k ), past units frozen, one scalar s a layer,
projection and past unit; L1/L2 penalties on s for selective transfer; new units orthogonal to old ones; q and v of the
blocks; rank 16 for the first task and 4 later; retrieval by a Dirichlet-process mixture a task, without trained
parameters; a RanPAC-style head on the retrieved task's features.
Our decisions: the penalties' form λ(‖s‖₁ + ‖s‖₂²) with λ = 0.006, and γ(‖A_old A_newᵀ‖²_F + ‖B_oldᵀ B_new‖²_F) with
γ = 0.004; s starts at zero; the task's own linear head by default; retrieval in a common whitened space by default
(retrieval.mode = "likelihood" is the literal recipe). With `active_blocks` (our decision, after Selective LoRA) each
task changes exactly so many blocks and no other: what it would reuse elsewhere is left alone too, and the blocks before
the first that any task changes are computed once for all of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

import torch
from pydantic import Field
from torch import Tensor

from core.adapters.bank import Adapter, AdapterBank, site_shapes
from core.adapters.gates import Gates
from core.adapters.mixed import pruned
from core.adapters.module_list import ModulesOf
from core.adapters.peft_files import PeftAdapter
from core.adapters.sites import Site
from core.adapters.updates import Updates
from core.backbones.vit import Backbone
from core.config import RunConfig, Section
from core.methods.base import Step
from core.methods.gated import Gated, GateOptions, Gating
from core.methods.given import read_given
from core.methods.inputs import Inputs
from core.methods.ridge import RandomFeatureRidge
from core.methods.task_adapters import TaskAdapters

_GATES = "gates."


class Options(GateOptions):
    """[method] of the configuration. The options of gates count where `active_blocks` is set."""

    transfer: float = Field(0.006, ge=0)
    """λ, the weight of the penalties on the coefficients of earlier units."""
    orthogonality: float = Field(0.004, ge=0)
    """γ, the weight of the penalty on overlap with earlier units."""
    compose: bool = True
    """Whether a task may reuse earlier tasks' units at all."""
    negligible: float = Field(0.01, ge=0, lt=1)
    """In answering, the smallest units of a site are left out as long as their norms sum to this share of the update's
    (our decision). Of the recorded run's earlier units none is left at 0.01: the penalties have made them so small."""
    head: Literal["linear", "ranpac"] = "linear"
    random_features: int = Field(2048, ge=1)
    """Of the RanPAC head."""


class Proteus(Gated, TaskAdapters):
    """An adapter a task, composed."""

    Options: ClassVar[type[Section]] = Options
    mixes: ClassVar[bool] = True
    takes_adapters: ClassVar[bool] = True

    def __init__(self, backbone: Backbone, features: int, config: RunConfig, device: torch.device) -> None:
        super().__init__(backbone, features, config, device)
        self.bank = AdapterBank(site_shapes(self.adapter_sites(), backbone.site_shape), device)
        self.ridge = (
            RandomFeatureRidge(backbone.width, self.options.random_features, config.seed, device)
            if self.options.head == "ranpac"
            else None
        )
        self.block_gates: ModulesOf[Gates] = ModulesOf()
        self._given: list[PeftAdapter] = []
        """Adapters trained elsewhere, while their tasks are being learned."""
        self._answering: dict[int, Updates] = {}
        """Task → its updates as they are when answering, for tasks that are learned."""

    @property
    def selective(self) -> bool:
        """Whether tasks have gates at all."""
        return self.options.active_blocks is not None

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
            self._add_gates(adapter)

    def _add_gates(self, adapter: Adapter) -> None:
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

    def updates(self, task: int) -> Updates:
        if self.training:
            return self._composed(task)
        if task not in self._answering:
            self._answering[task] = pruned(self._composed(task), self.options.negligible)
        return self._answering[task]

    def _composed(self, task: int) -> Updates:
        newest = self.bank.adapters[task]
        own = torch.ones(newest.rank, device=self.device)
        earlier = torch.zeros(self.bank.units(task), device=self.device)

        def coefficients(site: Site) -> Tensor:
            reuse = newest.reuse.get(site.name, earlier)
            return self.scale * torch.cat([reuse, own])

        if not self.selective:
            return self.bank.compose(task + 1, coefficients)
        gates = self.block_gates[task]
        if not self.training or gates.settled:
            return self.bank.compose(task + 1, coefficients, gates.open_sites())
        gated = gates.computed_sites()
        return self.bank.compose(task + 1, lambda site: coefficients(site) * gates.gate(site), gated)

    def loss(self, tokens: Tensor, labels: Tensor, step: Step) -> tuple[Tensor, dict[str, Tensor]]:
        if self.selective:
            self.gating.before(step)
        return super().loss(tokens, labels, step)

    def penalties(self, step: Step) -> dict[str, Tensor]:
        parts = self._composition_penalties(step) if step.task else {}
        if self.selective:
            parts["sparsity"] = self.gate_penalty(self.block_gates[step.task], step)
        return parts

    def _composition_penalties(self, step: Step) -> dict[str, Tensor]:
        reuse = list(self.bank.adapters[step.task].reuse.values())
        parts = {"orthogonality": self.options.orthogonality * self.bank.overlap(step.task)}
        if reuse:
            size = torch.stack([s.abs().sum() + s.square().sum() for s in reuse]).sum()
            parts["transfer"] = self.options.transfer * size
        return parts

    def end_task(self, task: int, inputs: Inputs) -> None:
        if self.selective:
            self.gating.finish()
        super().end_task(task, inputs)
        if self.ridge:
            self.ridge.fit(inputs.embedding(task), inputs.labels, self.classes[task][-1] + 1)

    def head_scores(self, embedding: Tensor, task: int) -> Tensor:
        if not self.ridge:
            return super().head_scores(embedding, task)
        return self.ridge(embedding)[:, list(self.classes[task])]

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

    def shared_state(self) -> dict[str, Tensor]:
        return {**super().shared_state(), **(self.ridge.state() if self.ridge else {})}

    def load_shared(self, state: Mapping[str, Tensor]) -> None:
        super().load_shared(state)
        if self.ridge:
            self.ridge.load(state)

    def answer_state(self) -> dict[str, Tensor]:
        return {**super().answer_state(), **(self.ridge.answer_state() if self.ridge else {})}

    def load_answer(self, state: Mapping[str, Tensor]) -> None:
        super().load_answer(state)
        if self.ridge:
            self.ridge.load_answer(state)


METHOD = Proteus
