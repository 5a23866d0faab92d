"""Adapters composed of earlier tasks' units plus an orthogonal new part; a clustering picks the task.

Source: Proteus, "Continual Fine-Tuning with Provably Accurate and Parameter-Free Task Retrieval" (arXiv 2603.13235).
Published: ΔW_k = α ( Σ_{j<k} Σ_u s_{k,j,u} b_{j,u} a_{j,u}ᵀ + B_k A_k ), past units frozen, one scalar s per layer,
projection and past unit; L1/L2 penalties on s for selective transfer; new units orthogonal to old ones; q and v of the
blocks; rank 16 for the first task and 4 later; retrieval by one Dirichlet-process mixture per task, without
trained parameters; a RanPAC-style head on the retrieved task's features.
Our decisions: the penalties' form, λ Σ_u e_u |s_u| with e_u = ‖b_u‖ ‖a_u‖ what a unit adds, in proximal steps that
leave exact zeros, over the first half of a task's training, after which the units that are left begin again at one; and
γ(‖A_old A_newᵀ‖²_F + ‖B_oldᵀ B_new‖²_F) with γ = 0.004; s starts at one, so that a task begins with all that was
learned before it, and has a learning rate of its own; the task's own linear head by default; retrieval in a common
whitened space by default (retrieval.mode = "likelihood" is the literal recipe). With `active_blocks` (our decision,
after Selective LoRA) each task changes exactly so many blocks and no other: what it would reuse elsewhere is left alone
too, and the blocks before the first that any task changes are computed once for all of them.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from core.adapters.sites import Site
from core.backbones.vit import Backbone
from core.config import RunConfig, Section
from core.methods.base import Step
from core.methods.composed import ComposedAdapters, ComposedOptions
from core.methods.inputs import Inputs
from core.methods.ridge import RandomFeatureRidge
from core.retrieval.kept import Kept


class Options(ComposedOptions):
    """[method] of the configuration."""

    transfer: float = Field(1.4, ge=0)
    """λ, the weight of the penalty on what earlier units add. In the first half of a task's training, which is four
    fifths of it by learning rate, it takes away 0.8 λ units of the mean size from each, where the loss does not hold on
    to them. Those that are left then count in full."""
    transfer_start: Literal["whole", "zero"] = "whole"
    """Coefficients of earlier units start at one, so that a task begins with all that was learned before it, or at
    zero."""
    transfer_rate: float = Field(10.0, gt=0)
    """The learning rate of those coefficients, in learning rates of the units."""
    orthogonality: float = Field(0.004, ge=0)
    """γ, the weight of the penalty on overlap with earlier units."""
    head: Literal["linear", "ranpac"] = "linear"
    random_features: int = Field(2048, ge=1)
    """Of the RanPAC head."""


class Proteus(ComposedAdapters):
    """ΔW_k = α ( Σ_{j<k} Σ_u s_{k,j,u} b_{j,u} a_{j,u}ᵀ + B_k A_k ).

    loss = cross-entropy + transfer + orthogonality; retrieval and answering are those of `TaskAdapters`.
    """

    Options: ClassVar[type[Section]] = Options

    def coefficients(self, task: int, site: Site) -> Tensor:
        """α (s_k, 1): earlier units by their coefficients, the task's own as they are."""
        newest = self.bank.adapters[task]
        own = torch.ones(newest.rank, device=self.device)
        earlier = newest.reuse.get(site.name, torch.zeros(self.bank.units(task), device=self.device))
        return self.scale * torch.cat([earlier, own])

    def grow(self, task: int, generator: torch.Generator) -> None:
        super().grow(task, generator)
        if self.options.transfer_start == "whole":
            for s in self.bank.adapters[task].reuse.values():
                nn.init.ones_(s)

    def rates(self) -> list[tuple[list[nn.Parameter], float]]:
        """Units and heads at the learning rate, coefficients of earlier units at theirs."""
        reuse = {id(s) for adapter in self.bank.adapters[-1:] for s in adapter.reuse.values()}
        moved = self.trainable()
        return [
            ([each for each in moved if id(each) not in reuse], 1.0),
            ([each for each in moved if id(each) in reuse], self.options.transfer_rate),
        ]

    @torch.no_grad()
    def after_step(self, step: Step, share: float) -> None:
        """Choose earlier units in the first half of a task, and train what is chosen in the second.

        Choosing is the penalty on what earlier units add, λ Σ_u e_u |s_u| with e_u = ‖b_u‖ ‖a_u‖, as proximal steps:

            s_u ← sign(s_u) max(0, |s_u| − share · λ ē / e_u)

        with ē the mean of e over the site. Those that add least vanish first, unless the loss holds on to them, and
        what vanishes is exactly zero. But the same steps make all others smaller, too. So those that are left begin
        again at one, and no penalty pulls at them any more: the relaxed lasso (Meinshausen 2007).
        """
        half = step.steps // 2
        for site in self.bank.sites if step.task and half and self.options.transfer else ():
            s = self.bank.adapters[step.task].reuse.get(site.name)
            if s is None or not s.requires_grad:
                continue
            if step.step >= half:
                s.mul_(self._chosen[site])
                continue
            effects = self.bank.effects(site, step.task)
            shrink = share * self.options.transfer * effects.mean() / effects.clamp_min(1e-12)
            s.copy_(s.sign() * (s.abs() - shrink).clamp_min(0))
            if step.step == half - 1:
                self._chosen[site] = s != 0
                s.copy_(self._chosen[site])

    def penalties(self, step: Step) -> dict[str, Tensor]:
        """From the second task on γ (‖A_old A_newᵀ‖²_F + ‖B_oldᵀ B_new‖²_F), over all sites."""
        apart = {"orthogonality": self.options.orthogonality * self.bank.overlap(step.task)} if step.task else {}
        return apart | super().penalties(step)

    # The head of the paper, RanPAC's ridge over random features, in place of the task's own linear one.

    def __init__(self, backbone: Backbone, features: int, config: RunConfig, device: torch.device) -> None:
        super().__init__(backbone, features, config, device)
        self._chosen: dict[Site, Tensor] = {}
        """Site → (earlier units,) bool: those that the task being learned keeps."""
        self.ridge: RandomFeatureRidge | None = None
        if self.options.head == "ranpac":
            self.ridge = RandomFeatureRidge(backbone.width, self.options.random_features, config.seed, device)

    def end_task(self, task: int, inputs: Inputs) -> None:
        super().end_task(task, inputs)
        if self.ridge:
            self.ridge.fit(inputs.embedding(task), inputs.labels, self.classes[task][-1] + 1)

    def head_scores(self, embedding: Tensor, task: int) -> Tensor:
        if not self.ridge:
            return super().head_scores(embedding, task)
        return self.ridge(embedding)[:, list(self.classes[task])]

    @property
    def kept(self) -> tuple[Kept, ...]:
        return (*super().kept, self.ridge) if self.ridge else super().kept


METHOD = Proteus
