"""Frozen features of an image: its final CLS embedding, or the CLS and mean patch tokens of the last few blocks."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from core.backbones.vit import Backbone
from core.errors import UserError


@dataclass(frozen=True)
class Piece:
    """Columns of the frozen features that are the mean of some tokens after one block (blocks count from 0)."""

    block: int
    kind: Literal["class", "patches"]
    """'class' also stands for a final embedding that is made of its tokens in some other way than as their mean."""
    columns: slice


class FrozenFeatures:
    """Which tokens of a frozen pass become features. States are counted after blocks: state 0 is the stem's output.

    Every token passes the backbone's final norm first, so that blocks whose scales differ weigh alike (our decision).
    """

    def __init__(self, backbone: Backbone, spec: str) -> None:
        self.backbone = backbone
        self.states = _states(spec, backbone.depth)
        parts = 2 * len(self.states) if self.states else 1
        self.width = parts * backbone.width
        self.pieces = self._pieces()
        """What the columns are, in their order."""

    def _pieces(self) -> tuple[Piece, ...]:
        width, readout = self.backbone.width, self.backbone.readout
        if not self.states:
            averaged = readout.pool == "mean" and isinstance(readout.after, nn.Identity)
            return (Piece(self.backbone.depth - 1, "patches" if averaged else "class", slice(0, width)),)
        kinds: tuple[Literal["class", "patches"], ...] = ("class", "patches")
        named = [(state - 1, kind) for state in self.states for kind in kinds]
        return tuple(
            Piece(block, kind, slice(place * width, (place + 1) * width)) for place, (block, kind) in enumerate(named)
        )

    def averaged(self, piece: Piece, after: Tensor) -> Tensor:
        """(n, m, width): the tokens whose mean over m the columns of `piece` are, of the tokens after its block."""
        readout = self.backbone.readout
        if piece.kind == "patches":
            return readout.norm(after)[:, readout.prefix :]
        whole: Tensor = readout.norm(after[:, :1]) if self.states else readout(after)[:, None]
        return whole

    def __call__(self, states: Mapping[int, Tensor], embedding: Tensor) -> Tensor:
        """(n, width) from the tokens (n, tokens, width) of each of `self.states` and the final embedding (n, width)."""
        if not self.states:
            return embedding
        readout = self.backbone.readout
        joined: list[Tensor] = []
        for state in self.states:
            tokens = readout.norm(states[state])
            joined += [tokens[:, 0], tokens[:, readout.prefix :].mean(dim=1)]
        return torch.cat(joined, dim=1)


def _states(spec: str, depth: int) -> tuple[int, ...]:
    if spec == "final":
        return ()
    match = re.fullmatch(r"last:(\d+)", spec.replace(" ", ""))
    if not match or int(match[1]) < 1:
        raise UserError(f"retrieval.features “{spec}” is not understood: write final or last:N, such as last:5.")
    return tuple(range(max(1, depth - int(match[1]) + 1), depth + 1))
