"""What theory says about retrieval when each task is a Gaussian mixture: pure functions of the mixtures, in float64.

Retrieval by maximum likelihood picks the task whose density is highest at an image. If images came from the mixtures
themselves, all tasks equally often, it would err as often as `sampled_error` estimates, and never more often than
`union_bound` says. On real images it errs more: the mixtures are only a model of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations

import numpy as np

from core.retrieval.mixture import GaussianMixture, float64, log_likelihoods, mahalanobis, squared_distances

EMPTY = 1e-3
"""Components below this weight stand for no images: a Dirichlet process leaves them at its prior."""


def bhattacharyya_matrix(mixtures: Sequence[GaussianMixture]) -> np.ndarray:
    """(T, T), symmetric, diagonal 1: upper bounds on the Bhattacharyya coefficients ∫ √(p_i p_j), each at most 1.

    √(Σ_a Σ_b w_a v_b N_a N_b) ≤ Σ_a Σ_b √(w_a v_b N_a N_b), because √ is subadditive; integrated, that is
    Σ_a Σ_b √(w_a v_b) ρ(N_a, N_b) with the closed form of ρ for two Gaussians (Kailath 1967):
    ρ = (|Σ_a| |Σ_b|)^¼ |Σ̄|^−½ exp(−⅛ (m_a − m_b)ᵀ Σ̄⁻¹ (m_a − m_b)),  Σ̄ = (Σ_a + Σ_b) / 2.
    It is exact for one component per task. Clipping is sound, as no coefficient exceeds 1 (Cauchy–Schwarz).
    """
    tasks = len(mixtures)
    matrix = np.eye(tasks)
    white = _whitened_means(mixtures)
    if white is not None:
        roots = np.sqrt(np.concatenate([float64(mixture.weights) for mixture in mixtures]))
        starts = np.cumsum([0, *(len(means) for means in white)])
        everything = np.concatenate(white)
        for i, means in enumerate(white):
            sums = roots[starts[i] : starts[i + 1]] @ np.exp(-squared_distances(means, everything) / 8)
            matrix[i, i + 1 :] = np.add.reduceat(sums * roots, starts[:-1])[i + 1 :]
    else:
        determinants = [mixture.log_determinants() for mixture in mixtures]
        for i, j in combinations(range(tasks), 2):
            own = determinants[i][:, None] + determinants[j]
            pairs = np.exp(own / 4 + _log_overlap(mixtures[i], mixtures[j]))
            matrix[i, j] = np.sqrt(mixtures[i].weights) @ pairs @ np.sqrt(mixtures[j].weights)
    upper = np.triu(np.minimum(matrix, 1.0), 1)
    return upper + upper.T + np.eye(tasks)


def union_bound(mixtures: Sequence[GaussianMixture]) -> float:
    """(1/T) Σ_{i<j} of `bhattacharyya_matrix`: never below the error of maximum likelihood, T tasks equally likely.

    Proof. At a point where the densities are p_(1) ≥ p_(2) ≥ … ≥ p_(T), maximum likelihood errs with the density
    (1/T) Σ_{j≥2} p_(j). Each of these p_(j) is the smaller one of the pair (1, j), so their sum is at most
    Σ_{i<j} min(p_i, p_j) ≤ Σ_{i<j} √(p_i p_j). Integrate.
    The more common factor 2/T comes from bounding the mistakes of each true task apart, which counts every pair twice.
    No factor below 1/T holds for all mixtures: two equal tasks, far from all others, err at 1/T and have ρ = 1.

    Above 1 − 1/T, the error of guessing, it says nothing; it is not clipped, so that this can be seen. 0 for one task.
    """
    return float(np.triu(bhattacharyya_matrix(mixtures), 1).sum() / len(mixtures))


def sampled_error(mixtures: Sequence[GaussianMixture], samples: int, seed: int) -> float:
    """Share of points that maximum likelihood sends to a wrong task: `samples` points drawn from each mixture.

    What the fitted model itself expects; its standard error is at most ½ / √(samples · T).
    """
    rng = np.random.default_rng(seed)
    points = np.concatenate([_draw(mixture, samples, rng) for mixture in mixtures])
    true = np.repeat(np.arange(len(mixtures)), samples)
    return float((log_likelihoods(mixtures, points).argmax(1) != true).mean())


def separation(mixtures: Sequence[GaussianMixture], placed: Callable[[int, int], np.ndarray]) -> float:
    """δ = min over tasks i ≠ k and components s of i of (mean over task k's images of the distance to s) / d, minus 1.

    Distances are squared Mahalanobis ones. `placed(k, i)` gives images of task k (n, d) where mixture i lives: the same
    for every i when the space is shared, and embedded by task i's adapter in the recipe of Proteus (arXiv 2603.13235).
    A task's own images are at a mean distance of d from the component they belong to, which would be δ = 0.
    Components below the weight `EMPTY` are left out (our decision). NaN when no two tasks can be compared.
    """
    found = []
    for i, mixture in enumerate(mixtures):
        kept = mixture.weights >= EMPTY
        others = [x for x in (placed(k, i) for k in range(len(mixtures)) if k != i) if len(x)]
        if others:
            distances = mahalanobis(mixture, np.concatenate(others))[:, kept]
            parts = np.split(distances, np.cumsum([len(x) for x in others])[:-1])
            found += [part.mean(0).min() / mixture.width - 1 for part in parts]
    return float(min(found, default=np.nan))


def log_determinant_ratio(mixtures: Sequence[GaussianMixture]) -> float:
    """κ = min over tasks i ≠ k, components s of i and r of k of (1/d) log( |Σ_is| / |Σ_kr| ), in nats a dimension.

    Per dimension, so that it adds to δ (our decision): with all components of d dimensions, δ + κ > 0 says that images
    of a task are on average likelier under the component they belong to than under any of another task. Never above 0,
    because every pair counts in both orders; 0 when all covariances have one determinant, as identity or one tied
    covariance do. Components below the weight `EMPTY` are left out. NaN for one task.
    """
    if len(mixtures) < 2:
        return float("nan")
    sizes = [np.broadcast_to(m.log_determinants(), m.weights.shape)[m.weights >= EMPTY] / m.width for m in mixtures]
    gaps = np.array([s.min() for s in sizes])[:, None] - np.array([s.max() for s in sizes])
    return float(gaps[~np.eye(len(mixtures), dtype=bool)].min())


def _whitened_means(mixtures: Sequence[GaussianMixture]) -> list[np.ndarray] | None:
    """Each mixture's means where the covariance is the identity; None unless all components share one covariance."""
    first = mixtures[0]
    if all(mixture.covariances is None for mixture in mixtures):
        scale = np.eye(first.width)
    elif all(mixture.tied and np.array_equal(mixture.matrices(), first.matrices()) for mixture in mixtures):
        scale = np.linalg.inv(np.linalg.cholesky(first.matrices()[0])).T
    else:
        return None
    centre = first.means.mean(0)
    return [(float64(mixture.means) - centre) @ scale for mixture in mixtures]


def _log_overlap(one: GaussianMixture, other: GaussianMixture) -> np.ndarray:
    """(K_one, K_other): log of |Σ̄|^−½ exp(−⅛ (m_a − m_b)ᵀ Σ̄⁻¹ (m_a − m_b)), for every pair of components."""
    centre = one.means[0]
    left, right = float64(one.means) - centre, float64(other.means) - centre
    if one.axis_aligned and other.axis_aligned:
        mean = (one.variances()[:, None] + other.variances()) / 2
        shift = left[:, None] - right
        return -np.log(mean).sum(-1) / 2 - (np.square(shift) / mean).sum(-1) / 8
    factor = np.linalg.cholesky((one.matrices()[:, None] + other.matrices()) / 2)
    determinant = 2 * np.log(np.diagonal(factor, axis1=-2, axis2=-1)).sum(-1)
    if factor.shape[:2] == (1, 1):  # in one space all these components are unit spheres
        white = np.linalg.solve(factor[0, 0], np.concatenate([left, right]).T).T
        distance = squared_distances(white[: len(left)], white[len(left) :])
    else:
        shifts = (left[:, None] - right)[..., None]
        distance = np.square(np.linalg.solve(factor, shifts)).sum((-2, -1))
    return np.asarray(-determinant / 2 - distance / 8)


def _draw(mixture: GaussianMixture, samples: int, rng: np.random.Generator) -> np.ndarray:
    """(samples, d) points of the mixture."""
    weights = float64(mixture.weights)
    component = rng.choice(len(weights), size=samples, p=weights / weights.sum())
    noise = rng.standard_normal((samples, mixture.width))
    if mixture.axis_aligned:
        scale = np.broadcast_to(np.sqrt(mixture.variances()), mixture.means.shape)
        return np.asarray(mixture.means[component] + noise * scale[component])
    factors = np.linalg.cholesky(mixture.matrices())
    for k in np.unique(component):
        noise[component == k] @= factors[k if len(factors) > 1 else 0].T
    return np.asarray(mixture.means[component] + noise)
