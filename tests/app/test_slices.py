"""Slices of test images, histories of answers, confused classes, groups of mistakes, and what is exported of them."""

from __future__ import annotations

import csv
import io
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.reading.answer_csv import answer_csv
from app.reading.cards import RECORDED_RUNS, run_card
from app.reading.class_confusion import Confusion, confusion, order, pairs
from app.reading.error_groups import MOST_GROUPS, groups
from app.reading.error_report import error_report
from app.reading.slices import FATES, Slice, history
from app.reading.tables import Predictions, class_names, images, predictions, task_names

CARD = run_card(RECORDED_RUNS / "sequential-split-digits", True)


def table(rows: list[tuple[int, int, int, int]]) -> Predictions:
    """Answers from (after_task, image, label, predicted); a class is a task here."""
    after, image, label, predicted = (np.array([row[i] for row in rows], np.int64).reshape(-1) for i in range(4))
    n = len(rows)
    return Predictions(
        after_task=after, image=image, task=label, label=label, retrieved_task=predicted, predicted=predicted,
        predicted_given_task=label, margin=np.linspace(0, 1, n), nearest_component=np.full(n, -1),
        offsets=np.zeros(n + 1, np.int64), values=np.zeros(0, np.float32),
    )  # fmt: skip


def by_hand(wrong: list[bool]) -> tuple[str, int, int]:
    """Fate, since and first wrong of one image whose answers after tasks 0, 1, … were wrong or not."""
    first = wrong.index(True) if True in wrong else -1
    if not wrong[-1]:
        return ("recovered" if first >= 0 else "right"), -1, first
    since = len(wrong)
    while since and wrong[since - 1]:
        since -= 1
    return ("wrong" if since == 0 else "forgotten"), since, first


@given(st.lists(st.lists(st.booleans(), min_size=1, max_size=6), min_size=1, max_size=8), st.randoms())
def test_history_is_that_of_a_loop_over_each_image(answers, random):
    rows = [(t, image, 1, 0 if wrong else 1) for image, all_of in enumerate(answers) for t, wrong in enumerate(all_of)]
    random.shuffle(rows)
    found = history(table(rows), 9)
    assert found.image.tolist() == list(range(len(answers)))
    for image, all_of in enumerate(answers):
        assert (found.fate[image], found.since[image], found.first_wrong[image]) == by_hand(all_of)


def test_history_knows_nothing_of_later_tasks():
    rows = [(0, 5, 1, 1), (1, 5, 1, 0), (2, 5, 1, 1)]
    assert [history(table(rows), task).fate[0] for task in (0, 1, 2)] == ["right", "forgotten", "recovered"]


whole = st.none() | st.integers(0, 500)
slices = st.builds(
    Slice, whole, whole, whole, whole, whole,
    st.none() | st.integers(0, 50).map(lambda value: value / 4),
    st.none() | st.integers(0, 50).map(lambda value: value / 4),
    st.none() | st.sampled_from(list(FATES)), whole,
)  # fmt: skip


@given(slices)
def test_a_slice_survives_its_address(chosen):
    said = {key: value for key, value in chosen.address().items() if value is not None}
    assert Slice.parse(said) == chosen


@pytest.mark.parametrize("text", ["", "x", "-", "--", "1e9-", "99999999999-1", "nan-inf", "-1-2", "²-³"])
def test_nonsense_in_an_address_leaves_things_open(text):
    keys = ("cell", "pair", "component", "margin", "fate", "since")
    found = Slice.parse(dict.fromkeys(keys, text))
    assert all(value is None or value >= 0 for value in vars(found).values() if not isinstance(value, str))
    assert found.fate is None


@given(slices, st.integers(1, 300), st.integers(1, 300))
def test_a_slice_is_open_in_what_a_run_does_not_have(chosen, tasks, classes):
    found = chosen.within(tasks, classes)
    assert all((getattr(found, name) or 0) < tasks for name in ("task", "retrieved", "since"))
    assert all((getattr(found, name) or 0) < classes for name in ("label", "predicted"))
    assert found.within(tasks, classes) == found and found.fate == chosen.fate


def test_a_slice_holds_the_images_that_have_all_its_properties():
    answers = predictions(CARD).after(4)
    past = history(predictions(CARD), 4)
    chosen = Slice(task=1, retrieved=4, fate="forgotten", least=0.5)
    inside = chosen.rows(answers, past)
    own = past.of(answers.image)
    expected = [
        answers.task[row] == 1 and answers.retrieved_task[row] == 4 and own.fate[row] == "forgotten"
        and answers.margin[row] >= 0.5
        for row in range(len(answers))
    ]  # fmt: skip
    assert inside.tolist() == expected and 0 < inside.sum() < len(answers)
    assert Slice().rows(answers, past).all()


def test_pairs_add_up_to_the_accuracy_that_is_lost():
    answers = predictions(CARD).after(4)
    found = pairs(answers)
    assert sum(pair.share for pair in found) == pytest.approx((answers.predicted != answers.label).mean())
    assert [pair.images for pair in found] == sorted((pair.images for pair in found), reverse=True)
    counted = Counter(zip(answers.label.tolist(), answers.predicted.tolist(), strict=True))
    assert all(counted[pair.label, pair.predicted] == pair.images for pair in found)
    assert all(pair.from_wrong_task <= pair.images and pair.told <= pair.images for pair in found)


def test_confused_classes_stand_beside_each_other():
    cells = [(0, 5, 9), (5, 0, 8), (2, 7, 7), (7, 2, 9), *((label, label, 20) for label in range(9))]
    label, predicted, count = (np.array([cell[i] for cell in cells]) for i in range(3))
    places = np.argsort(order(Confusion(9, label, predicted, count)))
    assert abs(places[0] - places[5]) == 1 and abs(places[2] - places[7]) == 1


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=80))
def test_every_image_is_in_one_cell_and_the_order_is_one_of_all_classes(cells):
    answers = table([(0, image, label, predicted) for image, (label, predicted) in enumerate(cells)])
    found = confusion(answers, 7)
    assert (
        found.count.sum() == len(cells) and found.totals().tolist() == np.bincount(answers.label, minlength=7).tolist()
    )
    assert sorted(order(found).tolist()) == list(range(7))


def test_a_thousand_classes_keep_the_order_of_the_stream():
    many = np.arange(1000)
    assert order(Confusion(1000, many, (many + 1) % 1000, many + 1)).tolist() == many.tolist()


def test_mistakes_of_one_kind_make_a_group_with_the_name_of_their_pair():
    generator = np.random.default_rng(0)
    kinds = [(3, 5)] * 30 + [(1, 2)] * 20
    places = generator.normal(size=(50, 4)) + np.array([[20.0 * (kind == (1, 2))] * 4 for kind in kinds])
    labels, predicted = np.array(kinds).T
    found = groups(places, labels, predicted)
    assert len(found) <= MOST_GROUPS and sorted(row for group in found for row in group.rows) == list(range(50))
    assert {group.pair for group in found} == {(3, 5), (1, 2)} and all(group.share == 1 for group in found)
    assert found[0].name([f"c{i}" for i in range(6)]) == "“c3” answered “c5”"


def test_groups_of_few_and_of_many_mistakes():
    assert groups(np.empty((0, 3)), np.empty(0, int), np.empty(0, int)) == []
    (one,) = groups(np.zeros((1, 3)), np.array([4]), np.array([2]))
    assert one.rows.tolist() == [0]
    generator = np.random.default_rng(1)
    many = groups(generator.normal(size=(2500, 3)), np.zeros(2500, int), np.ones(2500, int))
    assert sum(len(group.rows) for group in many) == 2500


def test_csv_holds_every_image_and_all_that_is_known_of_it():
    answers, past = predictions(CARD).after(4), history(predictions(CARD), 4)
    text = answer_csv(answers, past, images(CARD), task_names(CARD), ["=1+1", *class_names(CARD)[1:]])
    rows = list(csv.DictReader(io.StringIO(text)))
    assert len(rows) == len(answers) and {row["history"] for row in rows} <= set(FATES)
    first = rows[0]
    assert int(first["image"]) == answers.image[0] and first["class_name"] == "'=1+1"
    assert [float(first[f"score_task_{task}"]) for task in range(1, 6)] == pytest.approx(answers.scores(0).tolist())
    assert sum(row["right"] == "True" for row in rows) == (answers.predicted == answers.label).sum()


def test_report_needs_no_server_and_tells_the_mistakes():
    answers, past = predictions(CARD).after(4), history(predictions(CARD), 4)
    page = error_report(CARD, answers, past)
    wrong = (answers.predicted != answers.label).sum()
    assert f"{wrong:,} of {len(answers):,}" in page and page.count("data:image/png;base64,") > 20
    assert "http" not in page and "<script" not in page
