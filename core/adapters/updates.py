"""What a forward pass is told to add to a projection. Explicit and immutable: layers hold no "current task".

An update maps a projection's input x (n, tokens, in) to what is added to its output (n, tokens, out); `transposed` maps
(n, tokens, out) back to (n, tokens, in) by ΔWᵀ.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeAlias

import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class LowRank:
    """Σ_u c_u b_u a_uᵀ over rank-one units u.

    `down` is (units, in), its rows the a_u; `up` is (out, units), its columns the b_u; `coefficients` is (units,).
    """

    down: Tensor
    up: Tensor
    coefficients: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        return F.linear(F.linear(x, self.down), self.up * self.coefficients)

    def transposed(self, y: Tensor) -> Tensor:
        """(n, rows, in) of y (n, rows, out)."""
        return (y @ (self.up * self.coefficients)) @ self.down

    def matrix(self) -> Tensor:
        """ΔW (out, in)."""
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


@dataclass(frozen=True)
class RowLowRank:
    """A low-rank update of its own for each image of the batch, images of about one rank together.

    `parts` are (rows (g,), down (g, units, in), up (g, units, out)), the coefficients within `up`; together their rows
    are all n images. `width` is out.
    """

    parts: tuple[tuple[Tensor, Tensor, Tensor], ...]
    width: int

    def __call__(self, x: Tensor) -> Tensor:
        return self._by_parts(x, self.width, lambda x, down, up: x @ down.mT @ up)

    def transposed(self, y: Tensor) -> Tensor:
        """(n, rows, in) of y (n, rows, out)."""
        return self._by_parts(y, self.parts[0][1].shape[-1], lambda y, down, up: y @ up.mT @ down)

    def _by_parts(self, x: Tensor, width: int, apply: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Tensor:
        if len(self.parts) == 1:
            return apply(x, *self.parts[0][1:])
        found = [(rows, apply(x[rows], down, up)) for rows, down, up in self.parts]
        result = found[0][1].new_empty(*x.shape[:-1], width)
        for rows, values in found:
            result[rows] = values
        return result


Update: TypeAlias = LowRank | Dense
BlockUpdates: TypeAlias = Mapping[str, Update]
"""Projection → update, within one block. A projection that is absent is the frozen one, at no cost."""
Updates: TypeAlias = Mapping[int, BlockUpdates]
"""Block number → its updates."""

AnyUpdate: TypeAlias = Update | RowLowRank
AnyBlockUpdates: TypeAlias = Mapping[str, AnyUpdate]
AnyUpdates: TypeAlias = Mapping[int, AnyBlockUpdates]
"""What a forward pass takes: one task's updates, or those of many."""

NO_UPDATES: BlockUpdates = MappingProxyType({})
