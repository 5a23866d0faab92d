"""What a forward pass adds to a projection. Updates are explicit and immutable: layers hold no "current task".

`added` adds an update of the input x (n, tokens, in) to a projection's output (n, tokens, out), in one pass over
memory; `transposed` maps (n, tokens, out) back to (n, tokens, in) by ΔWᵀ.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

GRAIN = 16
"""Units that are stacked with others' are padded to a multiple of this, so that an image's update is the same bit for
bit whatever else is in its batch."""


@dataclass(frozen=True)
class LowRank:
    """Σ_u c_u b_u a_uᵀ over rank-one units u.

    `down` is (units, in), its rows the a_u; `up` is (out, units), its columns the b_u; `coefficients` is (units,).
    """

    down: Tensor
    up: Tensor
    coefficients: Tensor

    def added(self, projected: Tensor, x: Tensor) -> Tensor:
        """`projected` (n, rows, out) plus the update of x (n, rows, in)."""
        return _plus_product(projected, F.linear(x, self.down), self.up * self.coefficients)

    @cached_property
    def stackable(self) -> tuple[Tensor, Tensor]:
        """`down` (units, in), and `up` with its coefficients (units, out), zeros up to a multiple of GRAIN units."""
        missing = max(GRAIN, -(-len(self.down) // GRAIN) * GRAIN) - len(self.down)
        return F.pad(self.down, (0, 0, 0, missing)), F.pad((self.up * self.coefficients).T, (0, 0, 0, missing))

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

    def added(self, projected: Tensor, x: Tensor) -> Tensor:
        """`projected` (n, rows, out) plus the update of x (n, rows, in)."""
        return _plus_product(projected, x, self.weight * self.gate)

    def transposed(self, y: Tensor) -> Tensor:
        """(n, rows, in) of y (n, rows, out)."""
        return y @ (self.weight * self.gate)

    def matrix(self) -> Tensor:
        """ΔW (out, in)."""
        return self.weight * self.gate


@dataclass(frozen=True)
class RowLowRank:
    """A low-rank update for each image of the batch; images with updates of about one rank are computed together.

    `parts` are (rows (g,), down (g, units, in), up (g, units, out)) with the coefficients inside `up`; all their rows
    together are the n images.
    """

    parts: tuple[tuple[Tensor, Tensor, Tensor], ...]

    def added(self, projected: Tensor, x: Tensor) -> Tensor:
        """`projected` (n, rows, out) plus the update of x (n, rows, in)."""
        return self._by_parts(lambda down, up, base, x: torch.baddbmm(base, x @ down.mT, up), projected, x)

    def transposed(self, y: Tensor) -> Tensor:
        """(n, rows, in) of y (n, rows, out)."""
        return self._by_parts(lambda down, up, y: y @ up.mT @ down, y)

    def _by_parts(self, apply: Callable[..., Tensor], *inputs: Tensor) -> Tensor:
        """`apply(down, up, *inputs)` for the images of each part, put back in their order."""
        if len(self.parts) == 1:
            _, down, up = self.parts[0]
            return apply(down, up, *inputs)
        found = [(rows, apply(down, up, *(each[rows] for each in inputs))) for rows, down, up in self.parts]
        first = found[0][1]
        result = first.new_empty(len(inputs[0]), *first.shape[1:])
        for rows, values in found:
            result[rows] = values
        return result


def _plus_product(projected: Tensor, x: Tensor, weight: Tensor) -> Tensor:
    """projected (n, rows, out) + x weightᵀ, for x (n, rows, in)."""
    return torch.addmm(projected.flatten(0, 1), x.flatten(0, 1), weight.T).view(projected.shape)


Update: TypeAlias = LowRank | Dense
BlockUpdates: TypeAlias = Mapping[str, Update]
"""Projection → update, within one block. A projection without an update stays frozen and costs nothing more."""
Updates: TypeAlias = Mapping[int, BlockUpdates]
"""Block number → its updates."""

AnyUpdate: TypeAlias = Update | RowLowRank
AnyBlockUpdates: TypeAlias = Mapping[str, AnyUpdate]
AnyUpdates: TypeAlias = Mapping[int, AnyBlockUpdates]
"""What a forward pass accepts: the updates of one task, or of many."""

NO_UPDATES: BlockUpdates = MappingProxyType({})
