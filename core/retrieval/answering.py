"""Other retrieval for a finished run, from what its folder keeps: which tasks it would pick. Nothing is retrained.

Mixtures are fitted on the kept training images and score all test images by maximum likelihood, in one space that all
tasks share. Densities are compared without the terms that `Mixture` adds to a fit's scores, so that the bound and the
sampled error are about the very rule that is measured.

Which class is answered inside a task is the run's own doing and does not change: an image is right when its true task
is retrieved and the run's answer with the task given (`predicted_given_task`) is right. That is exact for methods whose
past is frozen. Not possible from a run folder: each adapter's own space, which the literal recipe of Proteus compares,
because every image would have to go through every adapter.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from threadpoolctl import threadpool_limits

from core.errors import UserError
from core.evaluation.metrics import recall_at_k
from core.retrieval.mixture import (
    GaussianMixture,
    dirichlet_process_assignments,
    fitted_arrays,
    gaussians,
    kmeans_assignments,
    log_likelihoods,
    mahalanobis,
)
from core.retrieval.questions import SPHERES, Answer, Settings, Shares, spaces, unanswerable
from core.retrieval.theory import sampled_error, union_bound
from core.runs import formats
from core.runs.schema import LEFT_OUT
from core.runs.store import Run

FOLDS, FEWER_FOLDS, MANY = 10, 5, 4000
"""Parts of the kept training images that are left out one after another to expect the error on new images. Five where
images are many: a fifth of them more or less is then little, and each part takes long."""
SAMPLES = 2000
"""Points drawn from all mixtures together: the sampled error is known to 1.1 points (one standard error)."""


@dataclass(frozen=True, eq=False)
class Recorded:
    """What a run kept that answers need; row i of all arrays but `predictions` is image i."""

    task: np.ndarray
    label: np.ndarray
    train: np.ndarray
    """bool."""
    spaces: Mapping[str, np.ndarray]
    """float32 (images, width): 'frozen', and 'whitened' where the method has it."""
    left_out: np.ndarray | None
    """float32 (images, width): LEFT_OUT beside the whitened space; None for a run of an earlier version."""
    predictions: pa.Table
    """PREDICTION_COLUMNS of the undisturbed test images."""
    train_images: tuple[int, ...]
    """Per task: how many the run itself saw."""
    seed: int


def read(run: Run) -> Recorded:
    """What answers need of a finished run. Raises UserError where nothing can be asked about it."""
    if reason := unanswerable(run):
        raise UserError(f"Run {run.name} {reason}: choose another run.")
    images, predictions = run.images(), run.predictions()
    kept = {name: run.embeddings(name).astype(np.float32) for name in spaces(run) if name != "frozen-whitened"}
    if not all(len(values) == len(images) and np.isfinite(values).all() for values in kept.values()):
        raise UserError(f"The embeddings of run {run.name} are damaged: choose another run.")
    undisturbed = (_column(predictions, "shift") == "none") & (_column(predictions, "split") == "test")
    return Recorded(
        task=_column(images, "task"),
        label=_column(images, "label"),
        train=_column(images, "split") == "train",
        spaces=kept,
        left_out=_left_out(run) if "whitened" in kept else None,
        predictions=predictions.filter(undisturbed),
        train_images=tuple(task.train_images for task in run.manifest.tasks),
        seed=run.manifest.seed,
    )


def _left_out(run: Run) -> np.ndarray | None:
    known = LEFT_OUT in formats.names_of_arrays(run.folder / "embeddings.npz")
    return run.embeddings(LEFT_OUT).astype(np.float32) if known else None


def ask(run: Run, settings: Settings) -> Answer:
    """What `settings` would have answered. Raises UserError where the run cannot say."""
    return answer(read(run), settings)


def answer(recorded: Recorded, settings: Settings) -> Answer:
    """What `settings` would have answered; the same for the same settings.

    Raises UserError for a space that the run does not have, fewer than two tasks, or a task without training images.
    """
    # Many small matrices: waiting for several threads, on a busy machine, made answers up to ten times as slow.
    with threadpool_limits(1):
        return _answer(recorded, settings)


def _answer(recorded: Recorded, settings: Settings) -> Answer:
    began = time.perf_counter()
    tasks, rows = _taking_part(recorded, settings)
    trained, tested = recorded.train & (recorded.task < tasks), _column(rows, "image")
    trained[list(settings.extra)] = True
    fitted, asked = _places(recorded, settings, trained, tested)
    owners, labels = recorded.task[trained], recorded.label[trained]
    found = _fitted(fitted, owners, labels, tasks, settings, recorded.seed)
    mixtures = [mixture for mixture, _ in found]
    scores = log_likelihoods(mixtures, asked)
    ranked = np.sort(scores, axis=1)
    true, retrieved, retrieved_before = recorded.task[tested], scores.argmax(1), _column(rows, "retrieved_task")
    right = (retrieved == true) & (_column(rows, "predicted_given_task") == _column(rows, "label"))
    right_before = _column(rows, "predicted") == _column(rows, "label")
    return Answer(
        image=tested,
        task=true,
        retrieved_before=retrieved_before,
        retrieved=retrieved,
        right_before=right_before,
        right=right,
        margin=ranked[:, -1] - ranked[:, -2],
        before=_shares(retrieved_before == true, right_before, _scores(rows, tasks), true, settings.shortlist),
        after=_shares(retrieved == true, right, scores, true, settings.shortlist),
        bound=union_bound(mixtures),
        sampled_error=sampled_error(mixtures, max(1, SAMPLES // tasks), recorded.seed),
        expected_error=_expected(recorded, settings, trained, np.bincount(true, minlength=tasks)),
        components=[holding for _, holding in found],
        dimensions=mixtures[0].width,
        train_images=int(trained.sum()),
        run_train_images=sum(recorded.train_images[:tasks]),
        seconds=time.perf_counter() - began,
    )


def _fitted(
    x: np.ndarray, owners: np.ndarray, labels: np.ndarray, tasks: int, settings: Settings, seed: int
) -> list[tuple[GaussianMixture, int]]:
    """`_mixture` of each task's training images, of all x (n, dimensions)."""
    return [_mixture(x[owners == task], labels[owners == task], settings, seed) for task in range(tasks)]


def _expected(recorded: Recorded, settings: Settings, trained: np.ndarray, tests: np.ndarray) -> float | None:
    """The error on new images: the training images (bool, of all images) are left out in parts, and retrieved.

    Space and mixtures are fitted to the others. `tests` (tasks,) are the test images of each task, which count a task's
    share of errors. An image that is alone in its class is not asked about, as nothing could be known of it.
    """
    if not settings.expect or (settings.space == "whitened" and recorded.left_out is None):
        return None
    rows, part = np.flatnonzero(trained), np.full(len(trained), -1)
    folds = FOLDS if len(rows) <= MANY else FEWER_FOLDS
    part[rows] = _parts(recorded.label[rows], folds, recorded.seed)
    wrong, asked = np.zeros(len(tests)), np.zeros(len(tests))
    for fold in range(folds):
        out, kept = part == fold, trained & (part != fold)
        if not out.any():
            continue
        fitted, places = _places(recorded, settings, kept, out, left_out=True)
        known = np.isfinite(places).all(1)
        owners, true = recorded.task[kept], recorded.task[out][known]
        found = _fitted(fitted, owners, recorded.label[kept], len(tests), settings, recorded.seed)
        picked = log_likelihoods([mixture for mixture, _ in found], places[known]).argmax(1)
        asked += np.bincount(true, minlength=len(tests))
        wrong += np.bincount(true[picked != true], minlength=len(tests))
    return float(np.average(wrong / asked, weights=tests)) if asked.all() else None


def _parts(labels: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """(n,) the part that each image is left out with, classes spread over all parts; −1 for one alone in its class."""
    rng = np.random.default_rng(seed)
    part = np.full(len(labels), -1)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        if len(members) > 1:
            part[members] = rng.permutation(len(members)) % folds
    return part


def _taking_part(recorded: Recorded, settings: Settings) -> tuple[int, pa.Table]:
    """How many tasks take part, and the run's own answers for their test images at that time."""
    last = len(recorded.train_images) - 1
    tasks = min(last if settings.after_task is None else settings.after_task, last) + 1
    if tasks < 2:
        raise UserError("With one task there is none to pick: ask about a later time, or a run of more tasks.")
    rows = recorded.predictions.filter(_column(recorded.predictions, "after_task") == tasks - 1)
    if not len(rows):
        raise UserError(f"This run has no answers for test images after task {tasks}: ask about another time.")
    asked = _column(rows, "image")
    if unknown := sorted(set(settings.extra) - set(asked.tolist())):
        raise UserError(f"Image {unknown[0]} is no test image of the tasks that take part: choose another one.")
    rows = rows.filter(~np.isin(asked, settings.extra))
    without = set(range(tasks)) - set(recorded.task[recorded.train].tolist())
    if without:
        raise UserError(f"This run kept no training images of task {min(without) + 1}: choose another run.")
    if settings.space.split("-")[0] not in recorded.spaces:
        raise UserError(f"This run has no space “{settings.space}”: choose frozen-whitened.")
    return tasks, rows


def _shares(found: np.ndarray, right: np.ndarray, scores: np.ndarray | None, true: np.ndarray, k: int) -> Shares:
    recall = recall_at_k(scores, true, k) if scores is not None else float("nan")
    return Shares(float(found.mean()), float(right.mean()), recall)


def _scores(rows: pa.Table, tasks: int) -> np.ndarray | None:
    """(n, tasks) the run's own; None where it did not keep one for every task."""
    flat = rows["scores"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
    return flat.reshape(len(rows), tasks) if len(flat) == len(rows) * tasks else None


def _places(
    recorded: Recorded, settings: Settings, trained: np.ndarray, tested: np.ndarray, *, left_out: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """float64 (n, dimensions) of the training images and of those asked about, in the one space of all tasks.

    `left_out`: those asked about are training images, and lie where they would if the run had not seen them.
    """
    fitted, asked = _in_space(recorded, settings.space, trained, tested)
    if left_out and settings.space == "whitened":
        assert recorded.left_out is not None
        asked = recorded.left_out[tested].astype(np.float64)
    return (fitted, asked) if settings.mixture in SPHERES else _principal(fitted, asked, settings.dimensions)


def _in_space(recorded: Recorded, space: str, trained: np.ndarray, tested: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """As `_places`, with all directions of the space; the unit is the within-class scatter.

    The run's whitened space is that of its end, also where fewer tasks take part. In the others only the training
    images of the tasks that take part count. The plain one is divided by the root of their mean within-class variance;
    for the whitening the shrinkage follows the number of these images, as the run's own follows that of all.
    """
    if space == "whitened":
        values = recorded.spaces[space].astype(np.float64)
        return values[trained], values[tested]
    import torch

    from core.retrieval.space import PooledCovariance

    fitted, asked = (torch.from_numpy(recorded.spaces["frozen"][rows]) for rows in (trained, tested))
    pooled = PooledCovariance(fitted.shape[1], fitted.device)
    means = pooled.add(fitted, torch.from_numpy(recorded.label[trained]))
    if space == "frozen-whitened":
        whitening = pooled.whitening(torch.stack([mean for mean, _ in means.values()]))
        fitted, asked = whitening(fitted), whitening(asked)
    else:
        unit = pooled.covariance(0.0).diagonal().mean().sqrt()
        fitted, asked = fitted / unit, asked / unit
    return fitted.double().numpy(), asked.double().numpy()


def _principal(fitted: np.ndarray, asked: np.ndarray, dimensions: int) -> tuple[np.ndarray, np.ndarray]:
    """Both on at most `dimensions` principal components of `fitted` (n, width); as they are where it has no more."""
    if fitted.shape[1] <= dimensions:
        return fitted, asked
    centre = fitted.mean(0)
    _, axes = np.linalg.eigh(np.cov(fitted.T))
    kept = axes[:, ::-1][:, :dimensions]
    return (fitted - centre) @ kept, (asked - centre) @ kept


def _mixture(x: np.ndarray, labels: np.ndarray, settings: Settings, seed: int) -> tuple[GaussianMixture, int]:
    """One task's density, of its training images (n, dimensions), and how many of its components hold any of them."""
    components, concentration = settings.most_components, settings.concentration
    if settings.mixture in SPHERES:
        if settings.mixture == "kmeans":
            groups = kmeans_assignments(x, components, seed)
        elif settings.mixture == "class-seeded":
            groups = dirichlet_process_assignments(
                x, labels, components=components, concentration=concentration, seed=seed
            )
        else:
            groups = labels
        spheres = _spheres(x, groups)
        return spheres, len(spheres.weights)
    covariance = settings.covariance
    found = fitted_arrays(x, components=components, concentration=concentration, covariance=covariance, seed=seed)
    mixture = gaussians(found)
    likeliest = (found["offsets"] - mahalanobis(mixture, x) / 2).argmax(1)
    return mixture, len(np.unique(likeliest))


def _spheres(x: np.ndarray, groups: np.ndarray) -> GaussianMixture:
    """A unit sphere around the mean of each group (n,) of images, weighted by how many they are."""
    _, members, counts = np.unique(groups, return_inverse=True, return_counts=True)
    means = np.stack([x[members == group].mean(0) for group in range(len(counts))])
    return GaussianMixture(counts / counts.sum(), means)


def _column(table: pa.Table, name: str) -> np.ndarray:
    column = table[name].combine_chunks()
    if str(column.type).startswith("dictionary"):
        return np.asarray(column.cast("string").to_pylist(), dtype=str)
    return np.asarray(column.to_numpy(zero_copy_only=False))
