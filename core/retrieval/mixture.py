"""Dirichlet-process Gaussian mixtures: fitted by scikit-learn, scored in float32 on the device.

Proteus (arXiv 2603.13235) clusters each task's embeddings with one, so that the number of clusters is not a parameter:
`components` is only the truncation of the process.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import torch
from scipy.special import digamma
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import BayesianGaussianMixture
from torch import Tensor

from core.retrieval.bounds import GaussianMixture

_SKLEARN_COVARIANCE = {"full": "full", "diagonal": "diag", "tied": "tied"}


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
        factors = self.factors.double().cpu()
        if factors.dim() == 2 and factors.shape[0] != factors.shape[1]:  # square ones would be read as one matrix
            return GaussianMixture(self.weights.cpu().numpy(), self.means.cpu().numpy(), (1 / factors.square()).numpy())
        if factors.dim() == 2:
            factors = torch.diag_embed(factors)
        covariances = torch.linalg.inv(factors @ factors.mT)
        tied = self.factors.shape[0] == 1
        return GaussianMixture(
            self.weights.cpu().numpy(),
            self.means.cpu().numpy(),
            (covariances[0] if tied else covariances).numpy(),
        )

    def to(self, device: torch.device) -> Mixture:
        return Mixture(*(getattr(self, name).to(device) for name in ("weights", "means", "factors", "offsets")))

    def arrays(self) -> dict[str, np.ndarray]:
        """For mixture.npz."""
        return {name: getattr(self, name).cpu().numpy() for name in ("weights", "means", "factors", "offsets")}

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray], device: torch.device) -> Mixture:
        """The mixture that `arrays` described."""
        names = ("weights", "means", "factors", "offsets")
        return cls(*(torch.from_numpy(np.ascontiguousarray(arrays[name])).to(device) for name in names))


def fit_mixture(x: np.ndarray, *, components: int, concentration: float, covariance: str, seed: int) -> Mixture:
    """A Dirichlet-process mixture of x (n, d), on the CPU, in float32.

    `concentration` is the process's prior weight of a new cluster; `covariance` is full, diagonal or tied.
    """
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


def _scored_like_sklearn(model: BayesianGaussianMixture, width: int) -> Mixture:
    """The fitted model with its variational terms folded into one offset a component.

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
    as_tensor = {
        "weights": model.weights_,
        "means": model.means_,
        "factors": factors,
        "offsets": offsets,
    }
    return Mixture(**{name: torch.from_numpy(np.asarray(value, np.float32)) for name, value in as_tensor.items()})


def _expected_log_weights(model: BayesianGaussianMixture) -> np.ndarray:
    """E[log π_k] of the stick-breaking posterior."""
    taken, left = model.weight_concentration_
    total = digamma(taken + left)
    broken, remaining = digamma(taken) - total, digamma(left) - total
    return broken + np.concatenate(([0.0], np.cumsum(remaining)[:-1]))
