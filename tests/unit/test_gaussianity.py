"""Whether images lie about components as a mixture says: against scipy, against draws, and against the engine."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from app.reading.cards import RECORDED_RUNS
from core.errors import UserError
from core.retrieval.gaussianity import error_with_spread, fit, kolmogorov, kurtosis, quantiles, residuals
from core.retrieval.mixture import GaussianMixture
from core.retrieval.recorded import recorded_mixtures
from core.retrieval.theory import sampled_error
from core.runs.store import Run

SEEDS = st.integers(0, 10**6)


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 12), st.integers(2, 300), SEEDS)
def test_the_distance_is_scipys(dimensions, images, seed):
    squared = np.random.default_rng(seed).exponential(dimensions, images)
    assert kolmogorov(squared, dimensions) == pytest.approx(stats.kstest(squared, "chi2", args=(dimensions,)).statistic)


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 12), SEEDS)
def test_a_gaussian_passes_and_a_heavier_tail_does_not(dimensions, seed):
    rng = np.random.default_rng(seed)
    found = fit(rng.normal(size=(2000, dimensions)))
    assert found.spread == pytest.approx(1, abs=0.15) and found.distance < 1.5 * found.chance
    assert found.kurtosis == pytest.approx(1, abs=0.3) and found.chance == pytest.approx(0.0304, abs=1e-3)
    wide = fit(2 * rng.normal(size=(2000, dimensions)))
    assert wide.spread == pytest.approx(4, rel=0.15) and wide.distance > 0.2 and wide.shape < 1.5 * wide.chance
    tail = fit(rng.standard_t(3, size=(2000, dimensions)) / 3**0.5)
    assert tail.kurtosis > 1.3 and tail.shape > found.shape


@settings(max_examples=20, deadline=None)
@given(SEEDS)
def test_kurtosis_does_not_depend_on_place_size_or_direction(seed):
    rng = np.random.default_rng(seed)
    x = rng.standard_t(5, size=(200, 4))
    moved = x @ rng.normal(size=(4, 4)) + 7
    assert kurtosis(moved) == pytest.approx(kurtosis(x), rel=1e-5)
    assert np.isnan(kurtosis(x[:5]))


def test_quantiles_are_those_of_the_chi_square_in_order():
    steps = np.random.default_rng(0).normal(size=(250, 6))
    expected, found = quantiles(steps, 40)
    assert len(expected) == len(found) == 40
    squared = np.sort(np.square(steps).sum(1))
    assert found[0] == squared[0] and found[-1] == squared[-1] and (np.diff(found) >= 0).all()
    assert expected[0] == pytest.approx(stats.chi2.ppf(0.5 / 250, 6))


@pytest.mark.parametrize("kind", ["spheres", "diagonal", "tied", "full"])
def test_residuals_are_units_of_the_component_that_is_likeliest(kind):
    rng = np.random.default_rng(1)
    means = np.array([[0.0, 0.0], [30.0, -5.0], [-40.0, 9.0]])
    root = np.array([[2.0, 0.0], [1.5, 0.5]])
    covariances = {
        "spheres": None, "diagonal": np.array([[4.0, 1.0], [0.25, 9.0], [1.0, 1.0]]), "tied": root @ root.T,
        "full": np.stack([root @ root.T, np.eye(2), 2 * np.eye(2)]),
    }[kind]  # fmt: skip
    mixture = GaussianMixture(np.array([0.4, 0.4, 0.2]), means, covariances)
    matrices = np.broadcast_to(mixture.matrices(), (3, 2, 2))
    member = rng.integers(0, 3, 4000)
    drawn = np.stack([rng.multivariate_normal(means[k], matrices[k]) for k in member])
    steps = residuals(mixture, drawn)
    assert np.cov(steps.T) == pytest.approx(np.eye(2), abs=0.1)
    one = int(np.flatnonzero(member == 1)[0])
    away = drawn[one] - means[1]
    assert np.square(steps[one]).sum() == pytest.approx(away @ np.linalg.inv(matrices[1]) @ away)


def test_with_the_spread_of_the_model_the_error_is_the_models():
    rng = np.random.default_rng(2)
    mixtures = [GaussianMixture(np.array([0.3, 0.7]), rng.normal(size=(2, 3)) * 2) for _ in range(3)]
    unit = [rng.normal(size=(4000, 3)) for _ in mixtures]
    same = error_with_spread(mixtures, unit, 4000, 0)
    assert same == pytest.approx(sampled_error(mixtures, 4000, 1), abs=0.02)
    assert error_with_spread(mixtures, [2 * own for own in unit], 4000, 0) > same + 0.05
    assert error_with_spread(mixtures, [0.01 * own for own in unit], 4000, 0) < same


@pytest.mark.parametrize("name", ["proteus-split-fashion", "proteus-likelihood-split-fashion", "lda-split-digits"])
def test_recorded_mixtures_are_those_that_the_run_tells_tasks_apart_by(name):
    run = Run(RECORDED_RUNS / name)
    found = recorded_mixtures(run)
    assert found is not None and found.shared == ("likelihood" not in name)
    images = run.images()
    task, train = images["task"].to_numpy(), np.array(images["split"].to_pylist()) == "train"
    for number, (mixture, points, trained) in enumerate(zip(found.mixtures, found.points, found.train, strict=True)):
        rows = np.flatnonzero(task == number)
        assert mixture.width == points.shape[1] and (trained == train[rows]).all()
        if found.shared:  # the component that the run itself calls nearest
            weights = np.log(mixture.weights)
            nearest = (weights - np.square(points[:, None] - mixture.means).sum(2) / 2).argmax(1)
            assert (nearest == images["component"].to_numpy()[rows]).mean() > 0.98


def test_runs_without_mixtures_have_none_and_damage_is_one_line(tmp_path):
    assert recorded_mixtures(Run(RECORDED_RUNS / "sequential-split-digits")) is None
    assert recorded_mixtures(Run(RECORDED_RUNS / "joint-split-fashion")) is None
    import shutil

    folder = shutil.copytree(RECORDED_RUNS / "lda-split-digits", tmp_path / "run")
    (folder / "answer.safetensors").write_bytes(b"nothing")
    with pytest.raises(UserError, match=r"answer\.safetensors"):
        recorded_mixtures(Run(folder))
