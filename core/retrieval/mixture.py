"""Gaussian mixtures: what they are, their densities, and how one is fitted to a task's training images.

Proteus (arXiv 2603.13235) clusters each task's embeddings with a Dirichlet-process mixture, so that the number of
clusters is not a parameter: `components` is only the truncation of the process.

    GaussianMixture     weights, means and covariances in float64: what theory and other retrieval compute with
    fit_mixture         a Dirichlet-process mixture with covariances, as a `Mixture` that scores on the device
    …_assignments       hard clusterings of a task in a whitened space, where components are unit spheres
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import digamma

if TYPE_CHECKING:
    import torch
    from sklearn.mixture import BayesianGaussianMixture
    from torch import Tensor

_SKLEARN_COVARIANCE = {"full": "full", "diagonal": "diag", "tied": "tied"}


@dataclass(frozen=True)
class GaussianMixture:
    """p(x) = Σ_k weights_k N(x; means_k, covariance_k).

    A square two-dimensional `covariances` is read as tied, also where K = d: give diagonal ones in full there.
    Raises ValueError for shapes that do not fit together, or weights that do not sum to 1.
    """

    weights: np.ndarray
    """(K,), summing to 1."""
    means: np.ndarray
    """(K, d)."""
    covariances: np.ndarray | None = None
    """None: identity. (d, d): tied. (K, d): diagonal. (K, d, d): full."""

    def __post_init__(self) -> None:
        components, width = self.means.shape
        if self.weights.shape != (components,) or abs(float(self.weights.sum()) - 1) > 1e-3:
            raise ValueError(f"{components} components need as many weights that sum to 1, not {self.weights}")
        allowed = [(width, width), (components, width), (components, width, width)]
        if self.covariances is not None and self.covariances.shape not in allowed:
            raise ValueError(f"covariances {self.covariances.shape} do not fit means {self.means.shape}")

    @property
    def width(self) -> int:
        """d."""
        return int(self.means.shape[1])

    @property
    def tied(self) -> bool:
        """Whether one covariance matrix is given for all components."""
        return self.covariances is not None and self.covariances.shape == (self.width, self.width)

    @property
    def axis_aligned(self) -> bool:
        """Whether every covariance is diagonal by its form."""
        return self.covariances is None or (self.covariances.ndim == 2 and not self.tied)

    def variances(self) -> np.ndarray:
        """(K or 1, d), of an axis-aligned mixture."""
        return np.ones((1, self.width)) if self.covariances is None else float64(self.covariances)

    def matrices(self) -> np.ndarray:
        """(K or 1, d, d), of any mixture."""
        if self.axis_aligned:
            return self.variances()[:, :, None] * np.eye(self.width)
        assert self.covariances is not None
        return float64(self.covariances).reshape(-1, self.width, self.width)

    def log_determinants(self) -> np.ndarray:
        """(K or 1,), of the covariances, in nats."""
        if self.axis_aligned:
            return np.asarray(np.log(self.variances()).sum(1))
        return 2 * np.log(np.diagonal(np.linalg.cholesky(self.matrices()), axis1=1, axis2=2)).sum(1)


def log_likelihoods(mixtures: Sequence[GaussianMixture], x: np.ndarray) -> np.ndarray:
    """(n, T): log p_t(x) of points (n, d), in nats."""
    x = float64(x)
    columns = np.empty((len(x), len(mixtures)))
    for task, mixture in enumerate(mixtures):
        kept = mixture.weights > 0
        constant = mixture.log_determinants() + mixture.width * np.log(2 * np.pi)
        shares = np.log(float64(mixture.weights[kept])) - (mahalanobis(mixture, x) + constant)[:, kept] / 2
        highest = shares.max(1, keepdims=True)
        columns[:, task] = highest[:, 0] + np.log(np.exp(shares - highest).sum(1))
    return columns


def mahalanobis(mixture: GaussianMixture, x: np.ndarray) -> np.ndarray:
    """(n, K): squared Mahalanobis distances of points (n, d) to every component."""
    centre = mixture.means.mean(0)
    x, means = float64(x) - centre, float64(mixture.means) - centre
    if mixture.covariances is None:
        return squared_distances(x, means)
    if mixture.axis_aligned:
        precisions = 1 / mixture.variances()
        crossed = np.square(x) @ precisions.T - 2 * x @ (means * precisions).T
        return np.maximum(crossed + (np.square(means) * precisions).sum(1), 0)
    scales = np.linalg.inv(np.linalg.cholesky(mixture.matrices())).transpose(0, 2, 1)
    if mixture.tied:
        return squared_distances(x @ scales[0], means @ scales[0])
    columns = [np.square((x - mean) @ scale).sum(1) for mean, scale in zip(means, scales, strict=True)]
    return np.stack(columns, axis=1)


@dataclass(frozen=True)
class Mixture:
    """log p(x) = logsumexp_k( offset_k − ½‖(x − mean_k) P_k‖² ).

    `offsets` (K,) hold the log weights and every other term that does not depend on x. `factors` are the P_k: the
    Cholesky factors of the precisions, (K, d, d) full, (K, d) diagonal or (1, d, d) tied.
    """

    weights: Tensor
    means: Tensor
    factors: Tensor
    offsets: Tensor

    @property
    def components(self) -> int:
        return int(self.means.shape[0])

    def component_log_likelihoods(self, x: Tensor) -> Tensor:
        """(n, K): each component's share of the density at x (n, d), weight included, in nats."""
        import torch

        if self.factors.dim() == 2:
            distance = ((x[:, None, :] - self.means) * self.factors).square().sum(-1)
        elif self.factors.shape[0] == 1:
            scale = self.factors[0]
            distance = torch.cdist(x @ scale, self.means @ scale, compute_mode="donot_use_mm_for_euclid_dist").square()
        else:
            centred = x[:, None, :] - self.means
            distance = torch.einsum("nkd,kde->nke", centred, self.factors).square().sum(-1)
        return self.offsets - distance / 2

    def log_likelihood(self, x: Tensor) -> Tensor:
        """(n,): log p(x), in nats."""
        return self.component_log_likelihoods(x).logsumexp(-1)

    def as_gaussians(self) -> GaussianMixture:
        """Weights, means and covariances, without what the fit adds to the score of a component."""
        return gaussians(self.arrays())

    def to(self, device: torch.device) -> Mixture:
        return Mixture(*(getattr(self, name).to(device) for name in ("weights", "means", "factors", "offsets")))

    def arrays(self) -> dict[str, np.ndarray]:
        """For mixture.npz."""
        return {name: getattr(self, name).cpu().numpy() for name in ("weights", "means", "factors", "offsets")}

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray], device: torch.device) -> Mixture:
        """The mixture that `arrays` described."""
        import torch

        names = ("weights", "means", "factors", "offsets")
        return cls(*(torch.from_numpy(np.ascontiguousarray(arrays[name])).to(device) for name in names))


def gaussians(arrays: Mapping[str, np.ndarray]) -> GaussianMixture:
    """Weights, means and covariances of what `Mixture.arrays` describes, without what the fit adds to scores."""
    weights, means, factors = arrays["weights"], arrays["means"], float64(arrays["factors"])
    if factors.ndim == 2 and factors.shape[0] != factors.shape[1]:  # square ones would be read as one matrix
        return GaussianMixture(weights, means, 1 / np.square(factors))
    if factors.ndim == 2:
        factors = factors[:, :, None] * np.eye(factors.shape[1])
    covariances = np.linalg.inv(factors @ factors.swapaxes(1, 2))
    return GaussianMixture(weights, means, covariances[0] if len(factors) == 1 else covariances)


def fit_mixture(x: np.ndarray, *, components: int, concentration: float, covariance: str, seed: int) -> Mixture:
    """A Dirichlet-process mixture of x (n, d), on the CPU, in float32; see `fitted_arrays`."""
    import torch

    found = fitted_arrays(x, components=components, concentration=concentration, covariance=covariance, seed=seed)
    return Mixture.from_arrays(found, torch.device("cpu"))


def fitted_arrays(
    x: np.ndarray, *, components: int, concentration: float, covariance: str, seed: int
) -> dict[str, np.ndarray]:
    """The float32 arrays of a Dirichlet-process mixture of x (n, d), named as the fields of `Mixture`.

    `concentration` is the process's prior weight of a new cluster; `covariance` is full, diagonal or tied.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import BayesianGaussianMixture

    # A ridge of a thousandth of the mean variance keeps a cluster of few points from collapsing onto a subspace.
    model = BayesianGaussianMixture(
        n_components=min(components, len(x)),
        covariance_type=_SKLEARN_COVARIANCE[covariance],
        weight_concentration_prior_type="dirichlet_process",
        weight_concentration_prior=concentration,
        reg_covar=1e-3 * float(x.var(axis=0).mean()) + 1e-12,
        max_iter=200,
        random_state=seed,
    )
    with warnings.catch_warnings():
        # An unconverged variational fit is still a valid density; 200 iterations are our budget.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(x)
    return _scored_like_sklearn(model, x.shape[1])


def _scored_like_sklearn(model: BayesianGaussianMixture, width: int) -> dict[str, np.ndarray]:
    """The fitted model with its variational terms folded into one offset per component.

    scikit-learn scores with the expected log weights of the stick-breaking process and the expected log determinant of
    the Wishart posterior (Bishop 2006, 10.65 and 10.66); neither depends on x.
    """
    factors = model.precisions_cholesky_
    if factors.ndim == 2 and model.covariance_type == "tied":
        factors = factors[None]
    diagonal = factors if model.covariance_type == "diag" else np.diagonal(factors, axis1=-2, axis2=-1)
    log_determinant = np.log(diagonal).sum(-1)
    freedom = np.atleast_1d(model.degrees_of_freedom_)
    log_lambda = width * np.log(2) + digamma((freedom - np.arange(width)[:, None]) / 2).sum(0)
    wishart = (log_lambda - width / model.mean_precision_) / 2 - width / 2 * np.log(freedom)
    offsets = _expected_log_weights(model) + log_determinant - width / 2 * np.log(2 * np.pi) + wishart
    found = {
        "weights": model.weights_,
        "means": model.means_,
        "factors": factors,
        "offsets": offsets,
    }
    return {name: np.asarray(value, np.float32) for name, value in found.items()}


def _expected_log_weights(model: BayesianGaussianMixture) -> np.ndarray:
    """E[log π_k] of the stick-breaking posterior."""
    taken, left = model.weight_concentration_
    total = digamma(taken + left)
    broken, remaining = digamma(taken) - total, digamma(left) - total
    return broken + np.concatenate(([0.0], np.cumsum(remaining)[:-1]))


def dirichlet_process_assignments(
    white: np.ndarray, labels: np.ndarray, *, components: int, concentration: float, seed: int
) -> np.ndarray:
    """(n,) component numbers: each class is clustered by a Dirichlet-process mixture with one tied covariance.

    `white` is (n, dimensions); `components` truncates the process within a class. Components the process leaves empty
    do not appear. Our decision: seeding by class, which finds 2 points more of the tasks than no labels.
    """
    assignments = np.empty(len(white), np.int64)
    used = 0
    for label in np.unique(labels):
        members = labels == label
        found = _dirichlet_process(white[members], components, concentration, seed)
        _, numbers = np.unique(found, return_inverse=True)
        assignments[members] = used + numbers
        used += int(numbers.max()) + 1
    return assignments


def _dirichlet_process(x: np.ndarray, components: int, concentration: float, seed: int) -> np.ndarray:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import BayesianGaussianMixture

    components = min(components, len(x))
    if components == 1:
        return np.zeros(len(x), np.int64)
    model = BayesianGaussianMixture(
        n_components=components,
        covariance_type="tied",
        weight_concentration_prior_type="dirichlet_process",
        weight_concentration_prior=concentration,
        random_state=seed,
    )
    with warnings.catch_warnings():
        # A partition that is still moving a little is as usable as a converged one.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return np.asarray(model.fit_predict(_in_own_span(x)), np.int64)


def _in_own_span(x: np.ndarray) -> np.ndarray:
    """x (n, d) in double precision; with no more images than directions, on the n − 1 directions in which they differ.

    That changes no distance. Without it the covariance has directions without variance, and in single precision the
    fit fails on them.
    """
    x = x.astype(np.float64)
    if len(x) > x.shape[1]:
        return x
    centred = x - x.mean(0)
    _, _, axes = np.linalg.svd(centred, full_matrices=False)
    return np.asarray(centred @ axes[: len(x) - 1].T)


def kmeans_assignments(white: np.ndarray, clusters: int, seed: int) -> np.ndarray:
    """(n,) cluster numbers of k-means with at most `clusters` clusters."""
    from sklearn.cluster import KMeans

    model = KMeans(n_clusters=min(clusters, len(white)), n_init=3, random_state=seed)
    return np.asarray(model.fit_predict(white), np.int64)


def squared_distances(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(n, m): ‖x − y‖² of rows (n, d) and (m, d), by one matrix product."""
    squares = np.square(x).sum(1)[:, None] + np.square(y).sum(1) - 2 * x @ y.T
    return np.asarray(np.maximum(squares, 0))


def float64(array: np.ndarray) -> np.ndarray:
    """`array` in double precision."""
    return np.asarray(array, dtype=np.float64)
