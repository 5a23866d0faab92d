"""Ridge regression on random ReLU features, its Gram matrix accumulated over tasks: RanPAC's classifier.

Published: RanPAC (McDonnell et al. 2023, arXiv 2307.02251): h = ReLU(xᵀR) with a fixed Gaussian R, G = Σ hhᵀ,
C = Σ h yᵀ, scores hᵀ(G + λI)⁻¹C, λ chosen among powers of ten on a fifth of the present task's training images. Our
decision: λ counts in units of G's mean diagonal, so that its range does not depend on the features' scale.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from core.errors import UserError
from core.retrieval.kept import Kept

_RIDGES = tuple(10.0**power for power in range(-5, 2))


class RandomFeatureRidge(Kept):
    """Class scores (n, classes) of features x (n, width)."""

    def __init__(self, width: int, random_features: int, seed: int, device: torch.device) -> None:
        generator = torch.Generator().manual_seed(seed)
        # 1/√width keeps h of the scale of x.
        self.projection = (torch.randn(width, random_features, generator=generator) * width**-0.5).to(device)
        self.gram = torch.zeros(random_features, random_features, device=device)
        self.cross = torch.zeros(random_features, 0, device=device)
        self.ridge = 1.0
        self.solution = self.cross

    def fit(self, x: Tensor, labels: Tensor, classes: int) -> None:
        """Take in a task: x (n, width) with labels in 0 … classes − 1, earlier tasks' classes included."""
        hidden = self._hidden(x)
        targets = F.one_hot(labels, classes).float()
        grown = torch.zeros(len(self.cross), classes - self.cross.shape[1], device=x.device)
        self.cross = torch.cat([self.cross, grown], dim=1)
        self.ridge = self._choose_ridge(hidden, targets)
        self.gram += hidden.T @ hidden
        self.cross += hidden.T @ targets
        self.solution = _solve(self.gram, self.cross, self.ridge)

    def __call__(self, x: Tensor) -> Tensor:
        return self._hidden(x) @ self.solution

    def left_out_scores(self, x: Tensor, labels: Tensor, images: Tensor) -> Tensor:
        """(n, classes): scores of images x (n, width) that were taken in, each as if it had not been.

        `labels` (n,) are their classes, which have `images` (n,) images each, itself included. With h of an image, its
        target y and a = hᵀ(G + λI)⁻¹h, its scores s become (s − a y) / (1 − a), as in any ridge regression without one
        of its rows (Allen 1974). λ stays what it is with the image, and a class without it is scored as one of as many
        images as before: scores grow with that number, and a new image takes none away (our decisions).
        NaN for an image that is alone in its class: nothing could be known of it.
        """
        hidden = self._hidden(x)
        own = (hidden * _solve(self.gram, hidden.T, self.ridge).T).sum(1, keepdim=True)
        target = F.one_hot(labels, self.cross.shape[1])
        scores = (hidden @ self.solution - own * target) / (1 - own).clamp_min(1e-6)
        as_many = (images / (images - 1))[:, None]
        return torch.where(target == 1, scores * as_many, scores).masked_fill((images < 2)[:, None], torch.nan)

    def _hidden(self, x: Tensor) -> Tensor:
        return torch.relu(x @ self.projection)

    def _choose_ridge(self, hidden: Tensor, targets: Tensor) -> float:
        held_out = torch.arange(len(hidden), device=hidden.device) % 5 == 4
        fit, check = hidden[~held_out], hidden[held_out]
        if not len(check):
            return self.ridge
        gram, cross = self.gram + fit.T @ fit, self.cross + fit.T @ targets[~held_out]
        errors = [(check @ _solve(gram, cross, ridge) - targets[held_out]).square().mean() for ridge in _RIDGES]
        return _RIDGES[int(torch.stack(errors).nan_to_num(torch.inf).argmin())]

    def shared_state(self) -> dict[str, Tensor]:
        """For the shared file of the run folder; the projection comes back from the seed."""
        return {
            "ridge.gram": self.gram.cpu(),
            "ridge.cross": self.cross.cpu(),
            "ridge.weight": torch.tensor([self.ridge], dtype=torch.float64),
        }

    def load_shared(self, state: Mapping[str, Tensor]) -> None:
        """Take back what `shared_state` returned."""
        device = self.gram.device
        if state["ridge.gram"].shape != self.gram.shape:
            raise UserError("The run's random features are of another size than its configuration says: it is damaged.")
        self.gram = state["ridge.gram"].to(device, copy=True)  # a copy, because it is added to in place
        self.cross = state["ridge.cross"].to(device, copy=True)
        self.ridge = float(state["ridge.weight"][0])
        self.solution = _solve(self.gram, self.cross, self.ridge)

    def answer_state(self) -> dict[str, Tensor]:
        """What scoring takes."""
        return {"ridge.solution": self.solution.cpu()}

    def load_answer(self, state: Mapping[str, Tensor]) -> None:
        """Take back what `answer_state` returned."""
        self.solution = state["ridge.solution"].to(self.gram.device)


def _solve(gram: Tensor, cross: Tensor, ridge: float) -> Tensor:
    """(G + λI)⁻¹C; NaN where λ is too small for float32 to factor the matrix."""
    loaded = gram.clone()
    loaded.diagonal().add_(ridge * float(gram.diagonal().mean().clamp_min(1e-12)))
    factor, failed = torch.linalg.cholesky_ex(loaded)
    return torch.cholesky_solve(cross, factor) if not failed else torch.full_like(cross, torch.nan)
