"""Whether a task's images lie about its components as a Gaussian mixture says. Pure functions, in float64.

Were a task its mixture, the squared Mahalanobis distance of an image to its component in d dimensions would follow the
chi-square distribution with d degrees of freedom. That can fail in two ways: images are spread more widely (or less)
than the components are, or they are spread in another shape. `fit` measures both. Which of the two the error of
retrieval comes from is what `error_with_spread` tells: the error, were images Gaussian, with the spread that they have.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

from core.retrieval.mixture import GaussianMixture, float64, log_likelihoods, mahalanobis

_ONCE_IN_TWENTY = 1.358
"""Kolmogorov's distribution: √n times the distance is above this once in twenty times by chance."""


@dataclass(frozen=True)
class Fit:
    """How the images of a task lie about its components."""

    images: int
    dimensions: int
    spread: float
    """The mean squared distance over d: 1 if the task were its mixture."""
    distance: float
    """Kolmogorov–Smirnov: the largest difference between the shares of images and of the chi-square up to any value."""
    shape: float
    """The same once squared distances are divided by `spread`: what is wrong beside the size."""
    chance: float
    """What a Kolmogorov–Smirnov distance exceeds once in twenty times where nothing is wrong."""
    kurtosis: float
    """Mardia's (1970), about the images' own mean and covariance, over d(d + 2), which it is for a Gaussian."""


def residuals(mixture: GaussianMixture, x: np.ndarray) -> np.ndarray:
    """(n, d): x (n, d) minus the mean of the likeliest component of each, in units in which that is a unit sphere."""
    x = float64(x)
    nearest = _likeliest(mixture, x)
    steps = x - float64(mixture.means)[nearest]
    if mixture.covariances is None:
        return steps
    factors = np.linalg.cholesky(mixture.matrices())
    own = factors[nearest if len(factors) > 1 else np.zeros(len(x), int)]
    return np.asarray(np.linalg.solve(own, steps[..., None])[..., 0])


def _likeliest(mixture: GaussianMixture, x: np.ndarray) -> np.ndarray:
    """(n,): the component whose share of the density is largest."""
    with np.errstate(divide="ignore"):  # an empty component has no weight
        weights = np.log(float64(mixture.weights))
    return np.asarray((weights - (mahalanobis(mixture, x) + mixture.log_determinants()) / 2).argmax(1))


def fit(steps: np.ndarray) -> Fit:
    """How the residuals (n, d) of a task's images, n ≥ 2, compare with a unit sphere."""
    images, dimensions = steps.shape
    squared = np.square(steps).sum(1)
    spread = float(squared.mean() / dimensions)
    return Fit(
        images=images,
        dimensions=dimensions,
        spread=spread,
        distance=kolmogorov(squared, dimensions),
        shape=kolmogorov(squared / spread, dimensions) if spread else 1.0,
        chance=_ONCE_IN_TWENTY / images**0.5,
        kurtosis=kurtosis(steps),
    )


def kolmogorov(squared: np.ndarray, dimensions: int) -> float:
    """The largest distance between the shares of `squared` (n,) and of the chi-square up to any value, 0 to 1."""
    expected = special.gammainc(dimensions / 2, np.sort(squared) / 2)
    place = np.arange(len(squared) + 1) / len(squared)
    return float(max((place[1:] - expected).max(), (expected - place[:-1]).max()))


def kurtosis(steps: np.ndarray) -> float:
    """Mardia's kurtosis of (n, d) points over d(d + 2); NaN with too few points to have a covariance."""
    images, dimensions = steps.shape
    if images <= dimensions + 1:
        return float("nan")
    centred = steps - steps.mean(0)
    covariance = centred.T @ centred / images
    squared = (centred * np.linalg.solve(covariance, centred.T).T).sum(1)
    return float(np.square(squared).mean() / (dimensions * (dimensions + 2)))


def quantiles(steps: np.ndarray, most: int = 100) -> tuple[np.ndarray, np.ndarray]:
    """(expected, found), at most `most` each, ascending: squared lengths by the chi-square, and of residuals (n, d).

    The i-th of n is where the chi-square has passed (i − ½)/n of its images.
    """
    images, dimensions = steps.shape
    rows = np.unique(np.linspace(0, images - 1, min(images, most)).round().astype(int))
    expected = 2 * special.gammaincinv(dimensions / 2, (rows + 0.5) / images)
    return expected, np.sort(np.square(steps).sum(1))[rows]


def error_with_spread(
    mixtures: Sequence[GaussianMixture], steps: Sequence[np.ndarray], samples: int, seed: int
) -> float:
    """The error of retrieval by `mixtures` if images were Gaussian about their components, spread as `steps` are.

    `steps` are each task's residuals (n, d) of images that were not fitted; their mean square in all directions, about
    the component and not about their own mean, is the covariance of every component then. `samples` points of each
    task. The mixtures share one space, and their components are unit spheres in it.
    """
    rng = np.random.default_rng(seed)
    points = []
    for mixture, own in zip(mixtures, steps, strict=True):
        chosen = rng.choice(len(mixture.weights), samples, p=mixture.weights / mixture.weights.sum())
        width = own.shape[1]
        values, axes = np.linalg.eigh(own.T @ own / len(own))
        drawn = (rng.normal(size=(samples, width)) * np.sqrt(np.maximum(values, 0))) @ axes.T
        points.append(float64(mixture.means)[chosen] + drawn)
    found = log_likelihoods(mixtures, np.concatenate(points)).argmax(1)
    return float((found != np.repeat(np.arange(len(mixtures)), samples)).mean())
