from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.components.confusion import counts
from app.components.confusion.component import _checked
from app.reading import way
from app.reading.tables import Predictions
from app.views import how
from app.views.errors import listing


def answers(task, retrieved, label, predicted, margin) -> Predictions:
    n = len(task)
    columns = {"after_task": np.zeros(n, int), "image": np.arange(n), "nearest_component": np.full(n, -1)}
    given = {"task": task, "retrieved_task": retrieved, "label": label, "predicted": predicted, "margin": margin}
    arrays = {name: np.array(values) for name, values in given.items()}
    scores = {"offsets": np.arange(n + 1), "values": np.zeros(n, np.float32)}
    return Predictions(**columns, **arrays, predicted_given_task=arrays["predicted"], **scores)


FOUR = answers([0, 0, 1, 1], [0, 1, 1, 1], [0, 0, 1, 2], [0, 1, 1, 1], [0.3, 0.1, 0.9, 0.5])


@given(st.lists(st.tuples(st.integers(-1, 4), st.integers(-1, 4)), max_size=50))
def test_counts_of_the_confusion_are_those_of_a_loop(pairs):
    true, retrieved = (np.array([pair[place] for pair in pairs], np.int16) for place in (0, 1))
    expected = np.zeros((4, 4), int)
    for row, column in pairs:
        if 0 <= row < 4 and 0 <= column < 4:
            expected[row, column] += 1
    np.testing.assert_array_equal(counts(true, retrieved, 4), expected)


@pytest.mark.parametrize("cell", [None, "0-1", [1], [1, 2, 3], [0, 9], [-1, 0], ["0", "1"], [0.5, 1], {}])
def test_cells_that_are_none_are_ignored(cell):
    assert _checked(cell, 3, None) is None


def test_chosen_cell_is_given_back_on_a_second_click():
    assert _checked([0, 1], 3, None) == (0, 1)
    assert _checked([0, 1], 3, (0, 1)) is None


@pytest.mark.parametrize(("show", "rows"), [("mistakes", [1, 3]), ("task", [1]), ("class", [3]), ("all", [0, 1, 2, 3])])
def test_lists_hold_what_they_say(show, rows):
    assert np.flatnonzero(listing.of_kind(FOUR, show)).tolist() == rows


def test_typical_image_is_right_and_in_the_middle():
    assert how.typical(FOUR) == 2  # of the right ones (0 and 2) the upper middle
    wrong = answers([0, 0, 0], [1, 1, 1], [0, 0, 0], [1, 1, 1], [0.2, 0.9, 0.5])
    assert how.typical(wrong) == 2


@given(st.integers(1, 200), st.integers(1, 30))
def test_rows_taken_evenly_keep_order_and_ends(count, most):
    rows = np.arange(count) * 2
    chosen = way.evenly(rows, most)
    assert len(chosen) == min(most, count)
    assert chosen[0] == 0 and (most == 1 or chosen[-1] == rows[-1])
    assert (np.diff(chosen) > 0).all()
