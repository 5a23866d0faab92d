"""Gates that switch the adapters of whole blocks on or off.

TAPS (arXiv 2203.16708): one score s a block, gate = 1[s ≥ τ] with τ = 0.1, s starting at 0.15, and the straight-through
gradient, so that a gate that is off still learns. Selective LoRA (arXiv 2501.15377) puts the same indicator on LoRA.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

START = 0.15
THRESHOLD = 0.1


class BlockGates(nn.Module):
    """One learned score a block."""

    def __init__(self, blocks: Iterable[int], threshold: float = THRESHOLD) -> None:
        super().__init__()
        self.blocks = tuple(blocks)
        self.threshold = threshold
        self.scores = nn.Parameter(torch.full((len(self.blocks),), START))

    def gate(self, block: int) -> Tensor:
        """0-d tensor, exactly 0 or 1, whose gradient with respect to the score is that of the identity."""
        score = self.scores[self.blocks.index(block)]
        hard = (score.detach() >= self.threshold).to(score.dtype)
        return hard + (score - score.detach())

    def active(self) -> tuple[int, ...]:
        """The blocks whose gate is on."""
        on = (self.scores.detach() >= self.threshold).tolist()
        return tuple(block for block, is_on in zip(self.blocks, on, strict=True) if is_on)

    def sparsity(self) -> Tensor:
        """(1/N) Σ|s|, the penalty of TAPS."""
        return self.scores.abs().mean()

    def describe(self) -> dict[str, object]:
        """Scores and active blocks, for gates.json."""
        scores = self.scores.detach().tolist()
        return {
            "scores": {str(block): score for block, score in zip(self.blocks, scores, strict=True)},
            "threshold": self.threshold,
            "active": list(self.active()),
        }
