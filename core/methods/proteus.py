"""Adapters composed of earlier tasks' units plus an orthogonal new part; a clustering picks the task.

Source: Proteus, "Continual Fine-Tuning with Provably Accurate and Parameter-Free Task Retrieval" (arXiv 2603.13235).
Published: ΔW_k = α ( Σ_{j<k} Σ_u s_{k,j,u} b_{j,u} a_{j,u}ᵀ + B_k A_k ), past units frozen, one scalar s per layer,
projection and past unit; L1/L2 penalties on s for selective transfer; new units orthogonal to old ones; q and v of the
blocks; rank 16 for the first task and 4 later; retrieval by one Dirichlet-process mixture per task, without
trained parameters; a RanPAC-style head on the retrieved task's features.
Our decisions: the penalties' form λ(‖s‖₁ + ‖s‖₂²) with λ = 0.006, and γ(‖A_old A_newᵀ‖²_F + ‖B_oldᵀ B_new‖²_F) with
γ = 0.004; s starts at zero; the task's own linear head by default; retrieval in a common whitened space by default
(retrieval.mode = "likelihood" is the literal recipe). With `active_blocks` (our decision, after Selective LoRA) each
task changes exactly so many blocks and no other: what it would reuse elsewhere is left alone too, and the blocks before
the first that any task changes are computed once for all of them.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

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

    transfer: float = Field(0.006, ge=0)
    """λ, the weight of the penalties on the coefficients of earlier units."""
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

    def penalties(self, step: Step) -> dict[str, Tensor]:
        """From the second task on: λ (‖s‖₁ + ‖s‖₂²) and γ (‖A_old A_newᵀ‖²_F + ‖B_oldᵀ B_new‖²_F), over all sites."""
        return self._composition_penalties(step.task) | super().penalties(step)

    def _composition_penalties(self, task: int) -> dict[str, Tensor]:
        if task == 0:
            return {}
        parts = {"orthogonality": self.options.orthogonality * self.bank.overlap(task)}
        if reuse := list(self.bank.adapters[task].reuse.values()):
            size = torch.stack([s.abs().sum() + s.square().sum() for s in reuse]).sum()
            parts["transfer"] = self.options.transfer * size
        return parts

    # The head of the paper, RanPAC's ridge over random features, in place of the task's own linear one.

    def __init__(self, backbone: Backbone, features: int, config: RunConfig, device: torch.device) -> None:
        super().__init__(backbone, features, config, device)
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
