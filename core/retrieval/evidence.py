"""Exact evidence (ours): where in an image the difference between two scores comes from, in nats.

In the whitened space z = Pᵀ(x − c) the scores of components are s_k = log π_k − ½‖z − m_k‖², so two of them differ by a
linear function of the features x:
    s_a − s_b = log(π_a/π_b) + wᵀ(x − x̄),   w = P(m_a − m_b),   x̄ the mean of the two components' raw means.
Where means are drawn in (core.retrieval.reliability), m is what they are then, and x̄ a point that lies between them.
The score of a task, or of a class, is the log-sum-exp over its components. With a and b the likeliest components of
the two sides, the difference of the two log-sum-exps is s_a − s_b and what all other components add, a small term.
The frozen features join, block by block, the class token and the mean of patch tokens, every token after the final
norm, averaged over the views of the image. So wᵀ(x − x̄) is a sum over views and blocks of a class token's term and of
one term per patch, w_lᵀ(token − x̄_l) / (patches · views). What stands after the frozen features is the embedding with
the first task's adapter: one term of its own, because attention has mixed the patches in it.

The squared distance of two images splits likewise, half of it over the tokens of each (`apart`).

Everything is computed in float64 from the tokens of a pass and from what the retriever holds.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isqrt
from typing import Literal

import torch
from torch import Tensor

from core.backbones.features import Piece
from core.retrieval.scores import WhitenedRetriever


@dataclass(frozen=True)
class Sides:
    """What can speak against one another: all tasks, all classes seen, or all components.

    `means` are raw (K, features), `log_weights` (K,), `members` (sides, most of a side) the numbers of the components
    of each side, filled up with K.
    """

    means: Tensor
    log_weights: Tensor
    members: Tensor


def sides(space: WhitenedRetriever, kind: Literal["task", "class", "component"]) -> Sides:
    """Sides of a kind, as `space` scores them now: classes by its components, or by their means where those are blind.

    Components are numbered through all tasks in order.
    """
    if kind == "class" and space.clustering == "kmeans":
        means = torch.cat(space.class_means).double()
        return Sides(means, means.new_zeros(len(means)), torch.arange(len(means), device=means.device)[:, None])
    means = torch.cat(space.means).double()
    log_weights = torch.cat([(count / count.sum()).double().log() for count in space.counts])
    every = torch.arange(len(means), device=means.device)
    members = {"task": space.table.tasks, "class": space.table.classes, "component": every[:, None]}[kind]
    return Sides(means, log_weights, members)


@dataclass(frozen=True)
class Contrast:
    """For n images: score of one side minus score of another = weights + others + direction · (x − middle), in nats.

    All float64; `own` and `against` (n,) are the likeliest components of the two sides, as `Sides` numbers them;
    `direction` and `middle` are (n, features).
    """

    own: Tensor
    against: Tensor
    weights: Tensor
    others: Tensor
    direction: Tensor
    middle: Tensor

    def terms(self, x: Tensor) -> Tensor:
        """(n, features): what each feature of x (n, features) adds."""
        return self.direction * (x.double() - self.middle)

    def rows(self, rows: Tensor | slice) -> Contrast:
        """Those images alone."""
        return Contrast(**{name: value[rows] for name, value in vars(self).items()})


@torch.no_grad()
def contrast(
    space: WhitenedRetriever, sides: Sides, x: Tensor, own: Tensor, against: Tensor, best_alone: bool = False
) -> Contrast:
    """Of features x (n, features): side `own` (n,) against side `against` (n,), both by number.

    With `best_alone` a side's score is that of its likeliest component, and others add nothing.
    """
    centre, projection = space.whitening.centre.double(), space.whitening.projection.double()
    white, plain = (x.double() - centre) @ projection, (sides.means - centre) @ projection
    means = plain * space.reliability
    scores = white @ means.T + sides.log_weights - means.square().sum(1) / 2 - white.square().sum(1, keepdim=True) / 2
    scores = torch.cat([scores, scores.new_full((len(x), 1), -torch.inf)], dim=1)
    best, others = [], []
    for named in (own.to(x.device), against.to(x.device)):
        members = sides.members[named]
        among = scores.gather(1, members)
        highest, place = among.max(1)
        best.append(members.gather(1, place[:, None])[:, 0])
        others.append(torch.zeros_like(highest) if best_alone else among.logsumexp(1) - highest)
    a, b = best
    middle = (sides.means[a] + sides.means[b]) / 2
    if bool((space.reliability != 1).any()):  # as far in as the means: the smallest move that the projection sees so
        moved = (means - plain)[a] + (means - plain)[b]
        middle = middle + moved / 2 @ torch.linalg.pinv(projection)
    return Contrast(
        own=a,
        against=b,
        weights=sides.log_weights[a] - sides.log_weights[b],
        others=others[0] - others[1],
        direction=(means[a] - means[b]) @ projection.T,
        middle=middle,
    )


@torch.no_grad()
def apart(space: WhitenedRetriever, x: Tensor, y: Tensor) -> Contrast:
    """For n pairs of features x and y (n, features): what x adds to their squared distance in the whitened space.

    ‖Pᵀ(x − y)‖² = dᵀ(x − x̄) + (−d)ᵀ(y − x̄) with d = P Pᵀ(x − y) and x̄ = (x + y)/2, the halves being equal. So this is
    linear in each of the two once d is known: d is the way from y to x, and a token's share is how far it lies on the
    side of x. Our decision to split it in the middle: neither image is the measure of the other.
    """
    x, y, projection = x.double(), y.double(), space.whitening.projection.double()
    nothing = x.new_zeros(len(x))
    none = torch.full((len(x),), -1, device=x.device)
    return Contrast(none, none, nothing, nothing, ((x - y) @ projection) @ projection.T, (x + y) / 2)


class Split:
    """Collects what class tokens and patches of n images add to a contrast, piece by piece as a pass goes on."""

    def __init__(self, contrast: Contrast, blocks: tuple[int, ...], views: int) -> None:
        self.contrast, self.blocks, self.views = contrast, blocks, views
        self.class_tokens = contrast.weights.new_zeros(len(contrast.weights), len(blocks))
        self._maps: dict[int, Tensor] = {}

    @property
    def patches(self) -> Tensor:
        """(n, blocks, patches a side, patches a side); (n, blocks, 0, 0) where the features have no patches."""
        if not self._maps:
            return self.class_tokens.new_zeros(*self.class_tokens.shape, 0, 0)
        empty = torch.zeros_like(next(iter(self._maps.values())))
        return torch.stack([self._maps.get(block, empty) for block in self.blocks], dim=1)

    @torch.no_grad()
    def add(self, view: int, piece: Piece, tokens: Tensor) -> None:
        """Take in the tokens (n, m, width) whose mean over m, and over views, the columns of `piece` are."""
        direction, middle = self.contrast.direction[:, piece.columns], self.contrast.middle[:, piece.columns]
        shares = torch.einsum("nmw,nw->nm", tokens.double(), direction) - (direction * middle).sum(1, keepdim=True)
        shares = shares / (shares.shape[1] * self.views)
        if piece.kind == "class":
            self.class_tokens[:, self.blocks.index(piece.block)] += shares.sum(1)
            return
        side = isqrt(shares.shape[1])
        square = shares.view(len(shares), side, -1)  # images are square, and so are patches
        square = square.flip(-1) if view else square
        self._maps[piece.block] = self._maps.get(piece.block, 0) + square


def positions(space: WhitenedRetriever, components: Tensor) -> Tensor:
    """(n,): components (n,) numbered through all tasks, counted within their own task instead."""
    starts = torch.tensor([0, *(len(count) for count in space.counts)], device=components.device).cumsum(0)
    return components - starts[torch.searchsorted(starts, components, right=True) - 1]
