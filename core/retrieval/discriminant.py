"""A linear discriminant of some images, fitted once: class means and one pooled covariance as a single linear map."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from core.retrieval.whitening import PooledCovariance


class Discriminant(NamedTuple):
    """log p(class | x), up to a constant an image, of equally likely Gaussian classes that share a covariance."""

    classes: Tensor
    """int64 (classes,): the labels that were given, ascending."""
    weight: Tensor
    """(classes, width)."""
    bias: Tensor
    """(classes,)."""

    def __call__(self, x: Tensor) -> Tensor:
        """int64 (n,): the likeliest class of each of x (n, width)."""
        return self.classes[(x.float() @ self.weight.T + self.bias).argmax(1)]


def discriminant(x: Tensor, labels: Tensor, shrinkage: float | None = None) -> Discriminant:
    """Of x (n, width) with labels int (n,). `shrinkage` as in `PooledCovariance.covariance`."""
    covariance = PooledCovariance(x.shape[1], x.device)
    found = covariance.add(x.float(), labels)
    raw = torch.stack([mean for mean, _ in found.values()])
    whitening = covariance.whitening(raw, shrinkage)
    means = whitening(raw)
    # −½‖z − m‖² without ‖z‖², with z = (x − centre) P: linear in x.
    weight = means @ whitening.projection.T
    bias = -(weight @ whitening.centre) - 0.5 * means.square().sum(1)
    return Discriminant(torch.tensor(list(found), device=x.device), weight, bias)
