"""The mixtures that a finished run tells tasks apart by, read from its folder without its model or torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from core.retrieval.mixture import GaussianMixture, float64, gaussians
from core.runs import formats
from core.runs.files import damaged
from core.runs.store import Run


@dataclass(frozen=True, eq=False)
class RecordedMixtures:
    """Each task's mixture, and the kept images of that task where the mixture lives."""

    mixtures: tuple[GaussianMixture, ...]
    points: tuple[np.ndarray, ...]
    """Per task: (images, d) of its kept images, in their order."""
    train: tuple[np.ndarray, ...]
    """Per task: bool (images,), which of them were trained on."""
    shared: bool
    """Whether all live in one space; otherwise each task's is that of its own adapter."""


def recorded_mixtures(run: Run) -> RecordedMixtures | None:
    """As they are at the run's end; None for a run that keeps none, or no embeddings.

    Raises UserError when a file is damaged.
    """
    path = run.folder / "embeddings.npz"
    if not run.metrics or not path.exists():
        return None
    spaces, tasks = formats.names_of_arrays(path), range(len(run.manifest.tasks))
    kept = [run.task(task).mixture for task in tasks]
    shared = "whitened" in spaces and all("codes" in arrays for arrays in kept)
    if not shared and not ("own" in spaces and all("axes" in arrays for arrays in kept)):
        return None
    images = run.images()
    task, train = images["task"].to_numpy(), np.array(images["split"].cast("string").to_pylist()) == "train"
    values = run.embeddings("whitened" if shared else "own")
    rows = [np.flatnonzero(task == number) for number in tasks]
    try:
        if shared:
            whitening = formats.read_plain_tensors(run.folder / "answer.safetensors")
            mixtures = [_in_whitened_space(arrays, whitening) for arrays in kept]
            points = [float64(values[own]) for own in rows]
        else:
            mixtures = [gaussians(arrays) for arrays in kept]
            points = [
                (float64(values[own]) - float64(arrays["centre"])) @ float64(arrays["axes"])
                for own, arrays in zip(rows, kept, strict=True)
            ]
        widths = {(mixture.width, place.shape[1]) for mixture, place in zip(mixtures, points, strict=True)}
        if any(one != other for one, other in widths):
            raise ValueError("mixtures and embeddings have different widths")
    except (KeyError, ValueError, IndexError) as error:
        raise damaged(run.folder, error) from None
    return RecordedMixtures(tuple(mixtures), tuple(points), tuple(train[own] for own in rows), shared)


def _in_whitened_space(arrays: Mapping[str, np.ndarray], whitening: Mapping[str, np.ndarray]) -> GaussianMixture:
    """Unit spheres about the means, which a run keeps raw and in code (core.retrieval.space.CodedMeans); drawn in where
    the run draws them in."""
    means = float64(arrays["centre"]) + float64(arrays["scale"]) * float64(arrays["codes"])
    white = (means - float64(whitening["whitening.centre"])) @ float64(whitening["whitening.projection"])
    if "whitening.reliability" in whitening:
        white = white * float64(whitening["whitening.reliability"])
    return GaussianMixture(arrays["counts"] / arrays["counts"].sum(), white)
