"""What a forward pass is told to add to a projection. Explicit and immutable: layers hold no "current task".

An update maps a projection's input x (n, tokens, in) to what is added to its output (n, tokens, out); `transposed` maps
(n, tokens, out) back to (n, tokens, in) by ΔWᵀ.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeAlias

import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class LowRank:
    """Σ_u c_u b_u a_uᵀ over rank-one units u.

    `down` is (units, in), its rows the a_u; `up` is (out, units), its columns the b_u; `coefficients` is (units,), or
    (n, units) to give each image of the batch its own.
    """

    down: Tensor
    up: Tensor
    coefficients: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        if self.coefficients.dim() == 1:
            return F.linear(F.linear(x, self.down), self.up * self.coefficients)
        return F.linear(F.linear(x, self.down) * self.coefficients[:, None, :], self.up)

    def transposed(self, y: Tensor) -> Tensor:
        """(n, rows, in) of y (n, rows, out)."""
        if self.coefficients.dim() == 1:
            return (y @ (self.up * self.coefficients)) @ self.down
        return ((y @ self.up) * self.coefficients[:, None, :]) @ self.down

    def matrix(self) -> Tensor:
        """ΔW (out, in), for coefficients that all images share."""
        return (self.up * self.coefficients) @ self.down


@dataclass(frozen=True)
class Dense:
    """A full residual ΔW (out, in), times a scalar gate (TAPS)."""

    weight: Tensor
    gate: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight * self.gate)

    def transposed(self, y: Tensor) -> Tensor:
        """(n, rows, in) of y (n, rows, out)."""
        return y @ (self.weight * self.gate)

    def matrix(self) -> Tensor:
        """ΔW (out, in)."""
        return self.weight * self.gate


Update: TypeAlias = LowRank | Dense
BlockUpdates: TypeAlias = Mapping[str, Update]
"""Projection → update, within one block. A projection that is absent is the frozen one, at no cost."""
Updates: TypeAlias = Mapping[int, BlockUpdates]
"""Block number → its updates."""

NO_UPDATES: BlockUpdates = MappingProxyType({})
