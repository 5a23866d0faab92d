"""One LoRA adapter per task, whose direction is frozen and whose magnitude later tasks may still change.

Published: SD-LoRA (Wu et al. 2025, arXiv 2501.13198): ΔW = Σ_j m_j B_jA_j / ‖B_jA_j‖_F with frozen directions for past
tasks and all magnitudes m learned; no rehearsal, no task retrieval. Our decisions: the present task's product is not
divided by its norm while it is learned (B starts at zero, so the norm does too), and is normalised when the task ends,
its norm moving into m; one magnitude per task and site; cross-entropy over the present task's classes alone.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from core.adapters.sites import Site
from core.adapters.updates import Updates
from core.methods.inputs import Inputs
from core.methods.shared_model import SharedModel


class DirectionMagnitudeLora(SharedModel):
    """ΔW = α Σ_j m_j B_j A_j with ‖B_j A_j‖_F = 1 for past tasks."""

    scores_all_seen: ClassVar[bool] = False

    def grow(self, task: int, generator: torch.Generator) -> None:
        if task == 0:
            self.magnitudes = nn.ParameterDict()
        self.bank.add(self.rank(task), generator)
        for site in self.bank.sites:
            earlier = self.magnitudes[site.name].detach() if task else torch.zeros(0, device=self.device)
            self.magnitudes[site.name] = nn.Parameter(torch.cat([earlier, torch.ones(1, device=self.device)]))

    def present_updates(self) -> Updates:
        return self.bank.compose(len(self.bank), self._coefficients)

    def _coefficients(self, site: Site) -> Tensor:
        ranks = torch.tensor([adapter.rank for adapter in self.bank.adapters], device=self.device)
        return self.scale * self.magnitudes[site.name].repeat_interleave(ranks)

    @torch.no_grad()
    def end_task(self, task: int, inputs: Inputs) -> None:
        newest = self.bank.adapters[-1]
        for site in self.bank.sites:
            up, down = newest.up[site.name], newest.down[site.name]
            norm = (up @ down).norm()
            if norm > 0:
                up /= norm
                self.magnitudes[site.name][-1] *= norm


METHOD = DirectionMagnitudeLora
