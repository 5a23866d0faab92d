"""What differs between runs, and who is right on the same image."""

from __future__ import annotations

import numpy as np
import pytest

from app.reading import comparison
from app.reading.tables import Images, Predictions
from tests.app.test_accuracy import answers


def images(names: list[str], splits: list[str]) -> Images:
    number = np.arange(len(names))
    return Images(number, np.array(splits), *[number] * 2, np.array(names), *[number] * 3)


def answered(image: int, right: bool) -> tuple[int, ...]:
    return 1, image, 0, 0, 0 if right else 1, 0 if right else 2, 0


def test_images_are_matched_by_name_whatever_their_numbers() -> None:
    first = (answers([answered(0, True), answered(1, True), answered(2, False), answered(3, False)]),
             images(["a", "b", "c", "d"], ["test"] * 4))  # fmt: skip
    second = (answers([answered(5, False), answered(4, True), answered(2, True), answered(1, False)]),
              images(["d", "d2", "c", "x", "b", "a"], ["train", "test", "test", "test", "test", "test"]))  # fmt: skip
    found = comparison.same_images(first, second)
    names = first[1].name[found.first.image].tolist()
    assert dict(zip(names, found.outcome.tolist(), strict=True)) == {"a": 1, "b": 0, "c": 2}
    assert second[1].name[found.second.image].tolist() == names
    assert found.counts() == {"both": 1, "first": 1, "second": 1, "neither": 0}


def test_a_name_that_stands_for_two_images_is_left_out() -> None:
    rows: Predictions = answers([answered(0, True), answered(1, True), answered(2, True)])
    run = rows, images(["a", "a", "b"], ["test"] * 3)
    assert comparison.same_images(run, run).first.image.tolist() == [2]


def test_measures_that_differ_come_first_and_the_best_is_known() -> None:
    one = {"final_accuracy": 0.9, "forgetting": 0.1, "mistakes": 3, "retrieval_accuracy": 0.5, "oracle_gap": None}
    two = {"final_accuracy": 0.8, "forgetting": 0.4, "mistakes": 9, "retrieval_accuracy": 0.5, "oracle_gap": None}
    differ, same = comparison.measures([one, two])
    assert [row.measure.key for row in differ] == ["forgetting", "final_accuracy", "mistakes"]
    assert [row.best for row in differ] == [(True, False)] * 3
    assert [row.measure.key for row in same] == ["retrieval_accuracy"]


def test_a_measure_that_only_one_run_has_differs_and_has_no_winner() -> None:
    (row,), same = comparison.measures([{"final_accuracy": 0.9}, {}])
    assert row.values == (0.9, None) and row.best == (False, False) and not same


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (None, "share", "–"),
        (0.1234, "share", "12.3%"),
        (935215104.0, "flops", "935 MFLOP"),
        (999.0, "bytes", "999 B"),
        (0.0, "bytes", "0 B"),
        (-0.01, "share", "-1.0%"),
        (3.25, "seconds", "3.2 s"),
    ],
)
def test_values_for_people(value: float | None, unit: str, text: str) -> None:
    assert comparison.told(value, unit) == text


def test_settings_that_differ_are_named_with_dots() -> None:
    one = {"seed": 0, "method": {"name": "lda"}, "adapters": {"projections": ["q", "v"]}}
    two = {"seed": 0, "method": {"name": "proteus", "transfer": 0.1}, "adapters": {"projections": ["q", "v"]}}
    differ, same = comparison.settings([one, two])
    assert differ == {"method.name": ["lda", "proteus"], "method.transfer": ["–", "0.1"]}
    assert same == 2


def test_what_was_gained_and_lost_is_read_from_all_tasks_and_the_last() -> None:
    first = {"own_before": 0.5, "own_after": 0.7, "knn_before": 0.6, "knn_after": 0.5}
    last = {"own_before": 0.5, "own_after": 0.9, "knn_before": 0.6, "knn_after": 0.35}
    assert comparison.kept({"retention": [first, last]}) == (pytest.approx(0.3), {"knn": pytest.approx(0.25)})
    more = {"zero_shot_before": 0.4, "zero_shot_after": 0.1, "readout_before": 0.3, "readout_after": 0.5}
    found = comparison.kept({"retention": [last | more]})
    assert found is not None and found.lost == pytest.approx({"readout": -0.2, "zero_shot": 0.3, "knn": 0.25})
    assert next(iter(found.lost)) == "readout"


_TELLS_NOTHING = (
    None, 5, "?", [], [None], [{}], ["?"], [{"own_before": 1, "own_after": 1}],
    [{"own_before": 1, "own_after": 1, "knn_before": "x", "knn_after": 1}],
    [{"own_before": 1, "own_after": 1, "knn_before": 1e300, "knn_after": 1}],
)  # fmt: skip


@pytest.mark.parametrize("told", _TELLS_NOTHING)
def test_without_held_out_classes_nothing_is_known(told: object) -> None:
    assert comparison.kept({"retention": told}) is None and comparison.kept({}) is None
