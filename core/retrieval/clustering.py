"""Hard clusterings of a task's training images in a whitened space."""

from __future__ import annotations

import warnings

import numpy as np
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import BayesianGaussianMixture


def dirichlet_process_assignments(
    white: np.ndarray, labels: np.ndarray, *, components: int, concentration: float, seed: int
) -> np.ndarray:
    """(n,) component numbers: each class is clustered by a Dirichlet-process mixture with one tied covariance.

    `white` is (n, dimensions); `components` truncates the process within a class. Components the process leaves empty
    do not appear. Our decision: seeding by class, which a clustering blind to classes loses to by 2 points.
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
    model = KMeans(n_clusters=min(clusters, len(white)), n_init=3, random_state=seed)
    return np.asarray(model.fit_predict(white), np.int64)
