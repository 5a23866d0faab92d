"""The error expected of new images where every task has a space of its own: against what then comes of new images."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from core.retrieval.own_left_out import FOLDS, expected_error, left_out_likelihoods, rows_kept


def test_every_image_is_scored_by_a_density_that_has_not_seen_it():
    seen: list[tuple[set[int], set[int]]] = []

    def fitted(kept):
        def density(asked):
            seen.append((set(kept.tolist()), set(asked.tolist())))
            return asked * 10.0

        return density

    rows = rows_kept(95, 1)
    found = left_out_likelihoods(95, rows, fitted, 3)
    assert found.tolist() == (rows * 10.0).tolist() and len(seen) == FOLDS
    assert all(not kept & asked and len(kept) >= 85 for kept, asked in seen)
    assert set.union(*(asked for _, asked in seen)) == set(range(95))
    assert np.isnan(left_out_likelihoods(1, np.array([0]), fitted, 3)).all()
    assert left_out_likelihoods(3, np.arange(3), fitted, 3).tolist() == [0, 10, 20], "one by one"


@pytest.mark.parametrize(("images", "tasks", "kept"), [(1000, 1, 200), (1000, 40, 100), (1000, 500, 50), (7, 1, 7)])
def test_few_numbers_are_kept(images, tasks, kept):
    rows = rows_kept(images, tasks)
    assert len(set(rows.tolist())) == kept and rows[0] == 0 and rows[-1] == images - 1


@pytest.mark.parametrize("scale", [(1.0, 1.0, 1.0), (1.0, 3.0, 0.3)], ids=["one scale", "three scales"])
@pytest.mark.parametrize("apart", [2.0, 4.0, 8.0])
def test_it_is_what_comes_of_new_images_where_the_assumptions_hold(scale, apart):
    """Tasks on the corners of a triangle, each with densities measured in units of its own."""
    rng = np.random.default_rng(0)
    corners = apart * np.array([[0.0, 0.0], [1.0, 0.0], [0.5, 0.75**0.5]])

    def scored(task: int, count: int, known: int) -> np.ndarray:
        x = corners[task] + rng.normal(size=(count, 2))
        # The same image in units that are `scale` as large: densities are then not on one scale.
        likely = [stats.norm.logpdf(x - corners[k]).sum(1) - 2 * np.log(scale[k]) for k in range(known)]
        return np.stack(likely, axis=1)

    found = expected_error([scored(task, 4000, task + 1) for task in range(3)])
    wrong = [(scored(task, 4000, 3).argmax(1) != task).mean() for task in range(3)]
    assert found == pytest.approx(np.mean(wrong), abs=0.04)


def test_it_is_unknown_where_a_task_was_learned_without_it():
    one, two = np.zeros((5, 1)), np.array([[-9.0, 0.0]] * 5)
    assert expected_error([one]) == 0 and expected_error([one - 1, two]) == 0
    assert expected_error([]) is None and expected_error([one, None]) is None
    assert expected_error([one, np.full((5, 2), np.nan)]) is None
