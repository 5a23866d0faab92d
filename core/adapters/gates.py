"""Gates that switch adapters on or off, a block or a single site at a time, by threshold or to an exact number.

Published: TAPS (arXiv 2203.16708) has one score s per gate, gate = 1[s ≥ τ] with τ = 0.1; s starts at 0.15 and gets the
straight-through gradient, so a gate that is closed still learns. Selective LoRA (arXiv 2501.15377) puts the same
indicator on LoRA. Our decisions: with a budget the gates with the highest scores stay open, fewer and fewer of them
until exactly as many are left as were asked for, and a gate that was closed stays closed; without one no optimiser
moves the scores, they are computed from how strongly the loss pulls at each gate, and from λ (`Gates.weigh`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from core.adapters.sites import Site

START = 0.15
THRESHOLD = 0.1

Per = Literal["block", "site"]


class Gates(nn.Module):
    """One score per gate. A gate is named by what it switches: '8' is block 8, '8/q' its projection q alone."""

    def __init__(self, sites: Sequence[Site], per: Per = "block", budget: int | None = None) -> None:
        """`budget` is how many gates end open; None leaves that to the threshold."""
        super().__init__()
        self.sites, self.per, self.budget = tuple(sites), per, budget
        self.names = gate_names(sites, per)
        self.settled = False
        """Whether gates stay as they are: from then on closed ones need not be computed for their scores to learn."""
        self.scores = nn.Parameter(torch.full((len(self.names),), START))
        self.closed: Tensor | None
        closed = torch.zeros(len(self.names), dtype=torch.bool) if budget is not None else None
        self.register_buffer("closed", closed)

    def __len__(self) -> int:
        return len(self.names)

    def is_open(self) -> Tensor:
        """Which gates are open, bool (gates,)."""
        return self.scores.detach() >= THRESHOLD if self.closed is None else ~self.closed

    def active(self) -> tuple[str, ...]:
        """The names of the open gates."""
        return tuple(name for name, is_open in zip(self.names, self.is_open().tolist(), strict=True) if is_open)

    def gate(self, site: Site) -> Tensor:
        """0-d tensor, exactly 0 or 1, whose gradient with respect to the score is that of the identity."""
        index = self.names.index(gate_name(site, self.per))
        score = self.scores[index]
        return self.is_open()[index].to(score.dtype) + (score - score.detach())

    def open_sites(self) -> tuple[Site, ...]:
        """The sites whose gate is open."""
        active = set(self.active())
        return tuple(site for site in self.sites if gate_name(site, self.per) in active)

    def computed_sites(self) -> tuple[Site, ...]:
        """The sites that a training step computes: a closed gate takes part only if it may open again."""
        return self.sites if self.budget is None and not self.settled else self.open_sites()

    @torch.no_grad()
    def keep(self, count: int) -> None:
        """Close open gates with the lowest scores until `count` are open; of equals the earlier block closes first."""
        assert self.closed is not None, "only gates with a budget are closed by rank"
        surplus = int(self.is_open().sum()) - count
        if surplus > 0:
            ranked = self.scores.masked_fill(self.closed, torch.inf).sort(stable=True).indices
            self.closed[ranked[:surplus]] = True

    def settle(self) -> None:
        """Fix the gates as they are; a budget that is not met yet is met now."""
        if self.budget is not None:
            self.keep(self.budget)
        self.settled = True
        self.scores.requires_grad_(False)

    @torch.no_grad()
    def weigh(self, pulls: Tensor, price: float) -> None:
        """Without a budget: set the scores by the pull |dL/dgate| at each gate, (gates,), and the price λ > 0.

        score = τ · c / λ, with c the share of the sum of all pulls that this gate and all weaker ones hold (our
        decision). To first order the loss changes by a gate's pull when it closes: so the weakest gates close whose
        pulls together are less than λ of the sum. At λ = 1 the strongest gate is left alone, above it none; how many
        close depends on the order and proportions of the pulls, and neither on their scale nor on the number of steps.
        """
        assert self.budget is None, "a budget closes gates by rank"
        order = pulls.sort(stable=True).indices
        held = pulls[order].double().cumsum(0)
        self.scores[order] = (THRESHOLD * (held / held[-1]) / price).to(self.scores.dtype)

    def sparsity(self) -> Tensor:
        """(1/N) Σ|s|, the penalty of TAPS."""
        return self.scores.abs().mean()

    def describe(self) -> dict[str, object]:
        """Scores and open gates, for gates.json."""
        scores = dict(zip(self.names, self.scores.detach().tolist(), strict=True))
        active: list[str] | list[int] = list(self.active())
        if self.per == "block":
            active = [int(name) for name in active]
        rule = {"threshold": THRESHOLD} if self.budget is None else {"budget": self.budget}
        return {"scores": scores, "active": active, "per": self.per, **rule}


def gate_name(site: Site, per: Per) -> str:
    """The name of the gate that switches a site."""
    return str(site.block) if per == "block" else site.name


def gate_names(sites: Iterable[Site], per: Per) -> tuple[str, ...]:
    """The gates over some sites, in order."""
    return tuple(dict.fromkeys(gate_name(site, per) for site in sites))


def annealed(fraction: float, gates: int, budget: int, start: float, end: float) -> int:
    """How many of `gates` may be open when `fraction` of the training is done: all until `start`, `budget` from `end`.

    Between them budget + (gates − budget)(1 − progress)³, rounded up: the cubic schedule of gradual pruning (Zhu and
    Gupta 2017, equation 1), which closes many gates while there are many, and the last ones slowly.
    """
    if fraction >= end:
        return budget
    left = 1 - max(0.0, fraction - start) / (end - start)
    return budget + int(-(-(gates - budget) * left**3 // 1))
