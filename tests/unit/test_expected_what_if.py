"""The error that other retrieval is expected to make on new images: against what then comes of new images."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch

from core.config import RunConfig
from core.retrieval import answering
from core.retrieval.answering import FOLDS, Recorded, answer, read
from core.retrieval.leave_out import left_out_places
from core.retrieval.questions import Settings
from core.retrieval.scores import WhitenedRetriever
from core.runs.formats import conform
from core.runs.schema import PREDICTION_COLUMNS
from core.runs.store import Run

DEMOS = Path(__file__).resolve().parents[2] / "assets" / "runs"
TASKS, CLASSES, WIDTH, KEPT, TESTS = 3, 6, 20, 20, 60
MIXTURES = [
    ("class-seeded", "full"),
    ("means", "full"),
    ("kmeans", "full"),
    ("gaussian", "full"),
    ("gaussian", "diagonal"),
    ("dp-gmm", "full"),
    ("dp-gmm", "diagonal"),
    ("dp-gmm", "tied"),
]


def made(apart: float, seed: int = 0) -> Recorded:
    """Classes of Gaussian images `apart` from each other, two a task; a run's own space that was whitened with them."""
    rng = np.random.default_rng(seed)
    centres = apart * rng.normal(size=(CLASSES, WIDTH))
    label = np.repeat(np.arange(CLASSES), KEPT + TESTS)
    train = np.tile(np.arange(KEPT + TESTS) < KEPT, CLASSES)
    x = torch.from_numpy(centres[label] + rng.normal(size=(len(label), WIDTH))).float()
    labels, task = torch.from_numpy(label), label // (CLASSES // TASKS)
    run = WhitenedRetriever("means", WIDTH, RunConfig(), torch.device("cpu"))
    for own in range(TASKS):
        rows = train & (task == own)
        run.fit(own, x[rows], labels[rows])
    whitened = run.whitening(x)
    left_out = whitened.clone()
    left_out[train] = run.left_out_places(x[train], labels[train], torch.full((int(train.sum()),), KEPT))
    return Recorded(
        task=task,
        label=label,
        train=train,
        spaces={"frozen": x.numpy(), "whitened": whitened.numpy()},
        left_out=left_out.numpy(),
        predictions=_predictions(np.flatnonzero(~train), task, label),
        train_images=(KEPT * CLASSES // TASKS,) * TASKS,
        seed=seed,
    )


def _predictions(tests: np.ndarray, task: np.ndarray, label: np.ndarray) -> pa.Table:
    n = len(tests)
    columns = {"after_task": np.full(n, TASKS - 1), "image": tests, "task": task[tests], "retrieved_task": task[tests]}
    columns |= dict.fromkeys(("label", "predicted", "predicted_given_task"), label[tests])
    columns |= {"margin": np.zeros(n), "nearest_component": np.zeros(n), "scores": list(np.eye(TASKS)[task[tests]])}
    columns |= {"split": ["test"] * n, "shift": ["none"] * n}
    return conform(pa.table({name: pa.array(values) for name, values in columns.items()}), PREDICTION_COLUMNS)


@pytest.mark.parametrize("space", ["whitened", "frozen", "frozen-whitened"])
@pytest.mark.parametrize(("mixture", "covariance"), MIXTURES)
def test_it_is_near_what_comes_of_new_images(space, mixture, covariance):
    """Few images in many directions: training images that are not left out are almost all retrieved."""
    settings = Settings(space=space, mixture=mixture, covariance=covariance, components=2)
    errors = [answer(made(0.35, seed), settings) for seed in range(3)]
    expected = np.mean([found.expected_error for found in errors])
    measured = np.mean([1 - found.after.retrieval for found in errors])
    assert expected == pytest.approx(measured, abs=0.07) and measured > 0.1


@pytest.mark.parametrize("space", ["whitened", "frozen", "frozen-whitened"])
def test_of_images_without_any_difference_it_is_guessing_and_of_clusters_far_apart_nothing(space):
    guessing = np.mean(
        [answer(made(0.0, seed), Settings(space=space, mixture="means")).expected_error for seed in range(4)]
    )
    assert guessing == pytest.approx(1 - 1 / TASKS, abs=0.08)
    assert answer(made(3.0), Settings(space=space, mixture="means")).expected_error == 0


def test_without_leaving_images_out_the_runs_own_space_would_promise_too_much():
    """What the places are for: in its own space a run has its training images where it wants them."""
    recorded, settings = made(0.0), Settings(mixture="means")
    known = answer(replace(recorded, left_out=recorded.spaces["whitened"]), settings).expected_error
    assert answer(recorded, settings).expected_error - known > 0.15


def test_it_is_what_refitting_without_each_part_gives():
    """By hand: one answer for each part, whose images are then the test images of a run that never kept them."""
    recorded = made(0.35)
    settings = Settings(space="frozen-whitened", mixture="means")
    whole = answer(recorded, settings)
    places = np.flatnonzero(recorded.train)
    part = places % FOLDS  # another division: what is compared is an average over images
    wrong = 0
    for fold in range(FOLDS):
        out = places[part == fold]
        train = recorded.train.copy()
        train[out] = False
        rows = _predictions(out, recorded.task, recorded.label)
        found = answer(replace(recorded, train=train, predictions=rows), settings.model_copy(update={"expect": False}))
        assert found.expected_error is None
        wrong += int((found.retrieved != found.task).sum())
    assert whole.expected_error == pytest.approx(wrong / len(places), abs=0.05)


def test_runs_of_earlier_versions_cannot_say_for_their_own_space():
    recorded = replace(made(0.35), left_out=None)
    assert answer(recorded, Settings()).expected_error is None
    assert answer(recorded, Settings(space="frozen")).expected_error is not None


def test_many_images_are_left_out_in_fewer_parts(monkeypatch):
    recorded, settings = made(0.35), Settings(space="frozen", mixture="means")
    in_ten = answer(recorded, settings).expected_error
    monkeypatch.setattr(answering, "MANY", 0)
    monkeypatch.setattr(answering, "FEWER_FOLDS", 2)
    in_two = answer(recorded, settings).expected_error
    assert in_two != in_ten == pytest.approx(in_two, abs=0.15)


def test_an_image_alone_in_its_class_is_not_asked_about():
    recorded = made(0.35)
    first = np.flatnonzero(recorded.train & (recorded.label == 0))
    train = recorded.train.copy()
    train[first[1:]] = False
    assert answer(replace(recorded, train=train), Settings(space="frozen", mixture="means")).expected_error is not None
    train[recorded.label == 1] = False
    alone = replace(recorded, train=train)
    assert answer(alone, Settings(space="frozen", mixture="means")).expected_error is None, "the only one of its task"


def test_places_tell_classes_apart_as_scores_do():
    generator = torch.Generator().manual_seed(1)
    means = torch.randn(5, 4, generator=generator, dtype=torch.float64)
    scores = torch.randn(7, 5, generator=generator, dtype=torch.float64)
    places = left_out_places(scores, means)
    again = -torch.cdist(places, means).square() / 2
    np.testing.assert_allclose(again - again[:, :1], scores - scores[:, :1], atol=1e-9)
    seen = torch.randn(3, 4, generator=generator, dtype=torch.float64)
    np.testing.assert_allclose(left_out_places(-torch.cdist(seen, means).square() / 2, means), seen, atol=1e-9)


@pytest.mark.parametrize("name", ["proteus-split-digits", "proteus-split-fashion", "lda-split-fashion"])
@pytest.mark.parametrize("mixture", ["class-seeded", "means", "kmeans", "gaussian", "dp-gmm"])
def test_recorded_runs_expect_of_their_own_space_what_was_measured(name, mixture):
    found = answer(read(Run(DEMOS / name)), Settings(mixture=mixture))
    assert found.expected_error == pytest.approx(1 - found.after.retrieval, abs=0.05)
    assert found.sampled_error < 0.02
