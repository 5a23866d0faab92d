"""How far class means can be trusted, direction by direction: an empirical Bayes estimate from left-out images.

A class mean of few images in many dimensions lies too far out: part of what sets it apart is chance, which a new image
of its class does not share. So new images lie nearer to the centre of all classes than their own class mean does, most
of all in directions in which class means hardly differ. Drawing means in towards that centre makes them better
forecasts (James and Stein 1961); how far, is measured on training images that were left out.
"""

from __future__ import annotations

import torch
from torch import Tensor

_NOISES = torch.cat([torch.zeros(1), torch.logspace(-2, 2, 81)]).double()
"""Those that are tried; the first leaves class means where they are."""


def reliability(class_means: Tensor, noise: float) -> Tensor:
    """(dimensions,): what share of a class mean's distance from the centre a new image shows, in each direction.

    `class_means` (classes, dimensions) are whitened, their mean is the centre, and the axes are those along which they
    differ most, second most, and so on, as `PooledCovariance.whitening` makes them. With λ their mean square along an
    axis, the share is λ / (λ + noise). Our decision: the published (λ − noise) / λ gives up the last axes altogether,
    which were needed to tell classes of CIFAR-100 apart.
    """
    if noise == 0:
        return torch.ones_like(class_means[0])
    spread = class_means.square().mean(0)
    return spread / (spread + noise)


def mean_noise(places: Tensor, own_means: Tensor, class_means: Tensor) -> float | None:
    """The noise with which drawn-in means forecast best where left-out images lie, by squared distance.

    `places` (n, dimensions) are those of left-out images, NaN where one cannot be left out, and `own_means`
    (n, dimensions) the whitened means of their classes, among `class_means` (classes, dimensions). None where no image
    can be left out, or all class means are one. It is a number of single precision, as it is stored.
    """
    known = places.isfinite().all(1)
    if not known.any() or not class_means.any():
        return None
    places, own = places[known].double(), own_means[known].double()
    shares = torch.stack([reliability(class_means.double(), float(noise)) for noise in _NOISES])
    errors = shares.square() @ own.square().sum(0) - 2 * shares @ (places * own).sum(0)
    return float(_NOISES[int(errors.argmin())].float())
