"""Retrieval by the literal recipe: each task's mixture in the space of its own adapter, the highest likelihood wins.

Published (Proteus): a Dirichlet-process mixture over the final CLS embedding of the task-adapted model; an image goes
through every adapted model. Our decision: the embedding is first projected on the task's own principal components,
because a full covariance of the whole embedding cannot be estimated from a thousand images.

The likelihoods come from different spaces and are not on one scale, which is why this retrieves badly; it is kept to
show that.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from core.config import RunConfig
from core.methods.inputs import Inputs
from core.retrieval.bounds import GaussianMixture
from core.retrieval.mixture import Mixture, fit_mixture


class LikelihoodRetriever:
    """log p_k(embedding with adapter k), for every task k."""

    def __init__(self, config: RunConfig, device: torch.device) -> None:
        self.settings, self.seed, self.device = config.retrieval, config.seed, device
        self.centres: list[Tensor] = []
        self.axes: list[Tensor] = []
        """Per task: principal axes (width, dimensions)."""
        self.mixtures: list[Mixture] = []

    def fit(self, task: int, embeddings: Tensor) -> None:
        """Take in the adapted embeddings (n, width) of a task's training images."""
        centre = embeddings.mean(0)
        kept = min(self.settings.dimensions, len(embeddings), embeddings.shape[1])
        _, _, directions = torch.linalg.svd(embeddings - centre, full_matrices=False)
        axes = directions[:kept].T.contiguous()
        mixture = fit_mixture(
            ((embeddings - centre) @ axes).cpu().numpy(),
            components=self.settings.components,
            concentration=self.settings.concentration,
            covariance=self.settings.covariance,
            seed=self.seed,
        )
        self.centres.append(centre)
        self.axes.append(axes)
        self.mixtures.append(mixture.to(self.device))

    def task_mixtures(self) -> list[GaussianMixture]:
        """Each task's mixture, in the space that `projected` leads to for that task."""
        return [mixture.as_gaussians() for mixture in self.mixtures]

    def projected(self, embeddings: Tensor, task: int) -> Tensor:
        """(n, dimensions): embeddings (n, width) by the task's adapter, on the task's principal axes."""
        return (embeddings - self.centres[task]) @ self.axes[task]

    def scores(self, inputs: Inputs) -> Tensor:
        """(n, tasks): log-likelihoods, in nats, each in its own task's space."""
        columns = [
            mixture.log_likelihood(self.projected(inputs.embedding(task), task))
            for task, mixture in enumerate(self.mixtures)
        ]
        return torch.stack(columns, dim=1)

    def nearest_component(self, inputs: Inputs, tasks: Tensor) -> Tensor:
        """(n,): the likeliest component of the task named for each image."""
        nearest = torch.full((len(inputs),), -1, device=self.device)
        for task in tasks.unique().tolist():
            rows = torch.where(tasks == task)[0]
            projected = self.projected(inputs.embedding(task, rows), task)
            nearest[rows.to(self.device)] = self.mixtures[task].component_log_likelihoods(projected).argmax(1)
        return nearest

    def task_arrays(self, task: int) -> dict[str, np.ndarray]:
        """For mixture.npz."""
        return {
            "centre": self.centres[task].cpu().numpy(),
            "axes": self.axes[task].cpu().numpy(),
            **self.mixtures[task].arrays(),
        }

    def load_task(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Take back what `task_arrays` returned."""
        self.centres.append(torch.from_numpy(arrays["centre"]).to(self.device))
        self.axes.append(torch.from_numpy(arrays["axes"]).to(self.device))
        self.mixtures.append(Mixture.from_arrays(dict(arrays), self.device))
