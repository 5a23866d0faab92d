"""Metrics on matrices and tables worked by hand, and what must hold for any."""

import json
import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from core.evaluation import metrics
from core.runs.schema import PREDICTION_COLUMNS

NAN = float("nan")

# Task 0 is forgotten by 0.2, task 1 gains 0.1 from the last task: forgetting is (0.2 - 0.1) / 2.
A = np.array([[0.9, NAN, NAN], [0.8, 0.6, NAN], [0.7, 0.7, 1.0]])
JOINT = np.array([[NAN, NAN, NAN], [NAN, NAN, NAN], [0.9, 0.8, 1.0]])


def table(rows):
    """A predictions table from rows (after, task, label, retrieved, predicted, given task) and optional fields."""
    names = ("after_task", "task", "label", "retrieved_task", "predicted", "predicted_given_task")
    base = {"image": 0, "margin": 0.0, "nearest_component": -1, "scores": [], "split": "test", "shift": "none"}
    records = [base | dict(zip(names, row[:6], strict=True)) | (row[6] if len(row) > 6 else {}) for row in rows]
    return pa.Table.from_pylist(records, schema=PREDICTION_COLUMNS)


def right(after, task, times):
    return [(after, task, task, task, task, task)] * times


def wrong(after, task, times, retrieved=None, given=None):
    """Wrong answers; the class told the task is right unless `given` says otherwise."""
    sent, answer = task if retrieved is None else retrieved, task if given is None else given
    return [(after, task, task, sent, 999, answer)] * times


def test_three_tasks_by_hand():
    assert metrics.final_accuracy(A) == pytest.approx(0.8)
    assert metrics.average_incremental_accuracy(A) == pytest.approx((0.9 + 0.7 + 0.8) / 3)
    assert metrics.forgetting_by_task(A) == pytest.approx([0.2, -0.1, NAN], nan_ok=True)
    assert metrics.forgetting(A) == pytest.approx(0.05)
    assert metrics.backward_transfer(A) == pytest.approx((-0.2 + 0.1) / 2)


def test_forgetting_is_negative_when_the_last_task_helps_all():
    a = np.array([[0.5, NAN], [0.8, 0.9]])
    assert metrics.forgetting(a) == pytest.approx(-0.3)


def test_the_best_need_not_be_the_first():
    a = np.array([[0.5, NAN, NAN], [0.9, 0.5, NAN], [0.6, 0.5, 0.5]])
    assert metrics.best_earlier(a) == pytest.approx([0.9, 0.5, NAN], nan_ok=True)
    assert metrics.forgetting(a) == pytest.approx(0.15)
    assert metrics.backward_transfer(a) == pytest.approx(0.05)


def test_what_joint_training_never_measured_is_unknown():
    assert metrics.final_accuracy(JOINT) == pytest.approx(0.9)
    for metric in (metrics.forgetting, metrics.backward_transfer, metrics.average_incremental_accuracy):
        assert math.isnan(metric(JOINT))


def test_one_task_has_no_past():
    one = np.array([[0.7]])
    assert metrics.final_accuracy(one) == metrics.average_incremental_accuracy(one) == pytest.approx(0.7)
    assert math.isnan(metrics.forgetting(one))
    assert math.isnan(metrics.backward_transfer(one))


def test_a_task_without_test_images_is_left_out():
    a = np.array([[0.9, NAN, NAN], [0.7, NAN, NAN], [0.5, NAN, 1.0]])
    assert metrics.final_accuracy(a) == pytest.approx(0.75)
    assert metrics.forgetting(a) == pytest.approx(0.4)
    assert metrics.average_incremental_accuracy(a) == pytest.approx((0.9 + 0.7 + 0.75) / 3)


def test_an_unfinished_run_has_no_final_accuracy():
    a = np.array([[0.9, NAN, NAN], [0.7, 0.8, NAN], [NAN, NAN, NAN]])
    for metric in (metrics.final_accuracy, metrics.forgetting, metrics.average_incremental_accuracy):
        assert math.isnan(metric(a))


def test_forward_transfer_reads_the_row_before_each_task():
    a = np.array([[0.9, 0.3, 0.1], [0.9, 0.9, 0.5], [0.9, 0.9, 0.9]])
    assert metrics.forward_transfer(a, np.array([0.0, 0.2, 0.1])) == pytest.approx((0.1 + 0.4) / 2)
    assert math.isnan(metrics.forward_transfer(A, np.zeros(3)))


def test_oracle_gap_is_what_the_task_would_add():
    assert metrics.oracle_gap(A, np.ones((3, 3))) == pytest.approx(0.2)


def test_recall_by_hand():
    scores = np.array([[3.0, 2.0, 1.0], [3.0, 2.0, 1.0], [3.0, 2.0, 1.0], [NAN, 1.0, -np.inf]])
    tasks = np.array([0, 1, 2, 2])
    assert metrics.task_ranks(scores, tasks).tolist() == [0, 1, 2, 3]
    assert [metrics.recall_at_k(scores, tasks, k) for k in (1, 2, 3, 9)] == [0.25, 0.5, 0.75, 0.75]


def test_equal_scores_do_not_count_for_all():
    assert metrics.recall_at_k(np.zeros((4, 4)), np.arange(4), 1) == 0.25


def test_retention():
    assert metrics.retention(0.8, 0.6) == pytest.approx(0.75)
    assert math.isnan(metrics.retention(0.0, 0.5))


def test_matrices_of_a_small_table():
    rows = right(0, 0, 4)
    rows += right(1, 0, 1) + wrong(1, 0, 2, retrieved=1) + wrong(1, 0, 1, given=5) + right(1, 1, 2)
    found = metrics.matrices(table(rows), 2)
    assert found["class_incremental"] == pytest.approx(np.array([[1, NAN], [0.25, 1]]), nan_ok=True)
    assert found["task_aware"] == pytest.approx(np.array([[1, NAN], [0.75, 1]]), nan_ok=True)
    assert found["retrieval"] == pytest.approx(np.array([[1, NAN], [0.5, 1]]), nan_ok=True)


def test_only_clean_test_images_count():
    rows = right(0, 0, 1)
    rows += [(*row, {"split": "train"}) for row in wrong(0, 0, 5)]
    rows += [(*row, {"shift": "fog"}) for row in wrong(0, 0, 5)]
    found = metrics.summary(table(rows), 1)
    assert (found["final_accuracy"], found["images"], found["predictions"]) == (1.0, 1, 1)


def test_plain_string_columns_are_read_too():
    plain = table(right(0, 0, 2))
    for name in ("split", "shift"):
        plain = plain.set_column(plain.column_names.index(name), name, plain[name].cast(pa.string()))
    assert metrics.summary(plain, 1)["final_accuracy"] == 1.0


def test_pooled_differs_from_the_mean_over_tasks():
    rows = right(0, 0, 9) + right(1, 0, 9) + wrong(1, 1, 1, retrieved=0, given=999)
    found = metrics.summary(table(rows), 2)
    for name in ("final_accuracy", "task_aware_accuracy", "retrieval_accuracy"):
        assert found[name] == pytest.approx(0.5)
        assert found[f"{name}_pooled"] == pytest.approx(0.9)


def test_twelve_tasks_stay_in_number_order():
    """Sorted as strings, task 10 would come before task 2."""
    tasks = 12
    rows = [row for t in range(tasks) for i in range(t + 1) for row in right(t, i, i) + wrong(t, i, tasks - i)]
    found = metrics.summary(table(rows), tasks)
    assert np.array(found["matrices"]["class_incremental"][-1]) == pytest.approx(np.arange(tasks) / tasks)
    assert [row["task"] for row in found["per_task"]] == list(range(tasks))
    assert found["per_task"][10]["final_accuracy"] == pytest.approx(10 / 12)
    assert found["confusion"] == (np.eye(tasks, dtype=int) * tasks).tolist()
    assert found["forgetting"] == 0.0


def test_summary_of_joint_training_says_none():
    found = metrics.summary(table(right(2, 0, 3) + wrong(2, 1, 1) + right(2, 2, 1)), 3)
    assert found["final_accuracy"] == pytest.approx(2 / 3)
    for name in ("forgetting", "backward_transfer", "average_incremental_accuracy"):
        assert found[name] is None
    assert found["matrices"]["class_incremental"][0] == [None, None, None]
    assert found["per_task"][0]["best_earlier"] is found["per_task"][0]["forgetting"] is None


def test_summary_rows_and_mistakes():
    rows = right(0, 0, 4)
    rows += right(1, 0, 1) + wrong(1, 0, 2, retrieved=1) + wrong(1, 0, 1, given=5) + right(1, 1, 2)
    found = metrics.summary(table(rows), 2)
    assert found["per_task"][0] == {
        "task": 0,
        "images": 4,
        "learned_accuracy": 1.0,
        "final_accuracy": 0.25,
        "task_aware_accuracy": 0.75,
        "retrieval_accuracy": 0.5,
        "best_earlier": 1.0,
        "forgetting": 0.75,
    }
    assert found["per_task"][1]["forgetting"] is None
    assert found["confusion"] == [[2, 2], [0, 2]]
    assert (found["images"], found["mistakes"]) == (6, 3)
    assert found["mistakes_from_wrong_task"] == pytest.approx(2 / 3)
    assert found["mistakes_right_given_task"] == pytest.approx(2 / 3)


def test_no_mistakes_have_no_causes():
    found = metrics.summary(table(right(0, 0, 3)), 1)
    assert (found["mistakes"], found["mistakes_from_wrong_task"]) == (0, None)


def test_a_method_without_retrieval_has_none():
    rows = [(0, 0, 7, -1, 7, -1), (0, 0, 7, -1, 8, -1)]
    found = metrics.summary(table(rows), 1)
    assert found["final_accuracy"] == 0.5
    for name in ("retrieval_accuracy", "task_aware_accuracy", "oracle_gap", "mistakes_from_wrong_task", "recall_at_1"):
        assert found[name] is None
    assert found["confusion"] == [[0]]


def test_recall_in_the_summary_uses_the_last_task_only():
    rows = [(*row, {"scores": [1.0]}) for row in right(0, 0, 2)]
    rows += [(*row, {"scores": [2.0, 1.0, 0.0]}) for t in range(3) for row in right(2, t, 1 + (t == 2))]
    found = metrics.summary(table(rows), 3)
    assert [found[f"recall_at_{k}"] for k in (1, 2, 3)] == pytest.approx([1 / 3, 2 / 3, 1])
    assert [found[f"recall_at_{k}_pooled"] for k in (1, 2, 3)] == pytest.approx([1 / 4, 2 / 4, 1])
    assert found["recall_at_5"] is None and "recall_at_4" not in found
    longer = metrics.summary(table(rows), 3, shortlist=4)
    assert "recall_at_4" not in longer and longer["recall_at_3"] == 1, "there are but three tasks to show an image to"


def test_recall_is_told_at_the_length_of_the_shortlist():
    rows = [(*row, {"scores": [6.0, 5.0, 4.0, 3.0, 2.0, 1.0]}) for t in range(6) for row in right(5, t, 1)]
    found = metrics.summary(table(rows), 6, shortlist=4)
    assert found["recall_at_4"] == found["recall_at_4_pooled"] == pytest.approx(4 / 6)


def test_an_empty_table_is_all_unknown():
    found = metrics.summary(PREDICTION_COLUMNS.empty_table(), 2)
    assert found["final_accuracy"] is found["final_accuracy_pooled"] is found["recall_at_1"] is None
    assert found["images"] == found["mistakes"] == 0


@pytest.mark.parametrize("row", [(0, 3, 0, 0, 0, 0), (3, 0, 0, 0, 0, 0), (0, 0, 0, 3, 0, 0), (-1, 0, 0, 0, 0, 0)])
def test_tasks_that_do_not_exist_are_refused(row):
    with pytest.raises(ValueError, match="there are 3"):
        metrics.summary(table([row]), 3)


def test_no_task_at_all_is_refused():
    with pytest.raises(ValueError, match="at least one"):
        metrics.summary(PREDICTION_COLUMNS.empty_table(), 0)


lower_matrices = st.integers(2, 14).flatmap(
    lambda t: hnp.arrays(float, (t, t), elements=st.floats(0, 1)).map(lambda a: np.where(np.tri(t) > 0, a, NAN))
)


@given(lower_matrices)
def test_forgetting_is_at_least_what_was_lost_since_learning(a):
    assert metrics.forgetting(a) >= -metrics.backward_transfer(a) - 1e-12
    assert -1 <= metrics.forgetting(a) <= 1


@given(lower_matrices, st.floats(0, 1))
def test_forgetting_never_looks_at_the_last_row_for_its_best(a, last):
    changed = a.copy()
    changed[-1] = last
    assert np.array_equal(metrics.best_earlier(a), metrics.best_earlier(changed), equal_nan=True)


@given(st.integers(2, 14), st.floats(0, 1))
def test_a_model_that_never_changes_forgets_nothing(tasks, accuracy):
    a = np.where(np.tri(tasks) > 0, accuracy, NAN)
    assert metrics.forgetting(a) == metrics.backward_transfer(a) == 0
    assert metrics.average_incremental_accuracy(a) == pytest.approx(accuracy)


@given(hnp.arrays(np.float32, st.tuples(st.integers(1, 20), st.integers(1, 12))), st.data())
def test_recall_grows_with_k(scores, data):
    scores = np.nan_to_num(scores)
    images, tasks = scores.shape
    true = data.draw(hnp.arrays(int, images, elements=st.integers(0, tasks - 1)))
    recalls = [metrics.recall_at_k(scores, true, k) for k in range(1, tasks + 1)]
    assert recalls == sorted(recalls)
    assert recalls[-1] == 1
    assert recalls[0] == np.mean(scores.argmax(axis=1) == true)


@st.composite
def finished_runs(draw):
    tasks = draw(st.integers(1, 12))
    task = st.integers(0, tasks - 1)
    row = st.tuples(task, task, st.integers(0, 3), task, st.integers(0, 3), st.integers(0, 3))
    return tasks, [*draw(st.lists(row, max_size=60)), (tasks - 1, 0, 0, 0, 0, 0)]


@settings(deadline=None, max_examples=50)
@given(finished_runs(), st.randoms(use_true_random=False))
def test_the_summary_agrees_with_itself(run, random):
    tasks, rows = run
    found = metrics.summary(table(rows), tasks)
    json.dumps(found, allow_nan=False)
    per_task = [row for row in found["per_task"] if row["images"]]
    images = sum(row["images"] for row in per_task)
    assert images == found["images"] == np.sum(found["confusion"])
    for name in ("final_accuracy", "task_aware_accuracy", "retrieval_accuracy"):
        pooled = sum(row[name] * row["images"] for row in per_task) / images
        assert found[f"{name}_pooled"] == pytest.approx(pooled)
    assert found["retrieval_accuracy_pooled"] == pytest.approx(np.trace(found["confusion"]) / images)
    assert found["mistakes"] == pytest.approx(images * (1 - found["final_accuracy_pooled"]))
    shuffled = list(rows)
    random.shuffle(shuffled)
    assert metrics.summary(table(shuffled), tasks) == found


def test_images_judged_together_outvote_a_bad_one():
    scores = np.array([[0.0, -1.0], [-3.0, 0.0], [0.0, -3.0], [-9.0, 0.0]])
    tasks = np.array([0, 0, 0, 1])
    assert metrics.batch_retrieval(scores, tasks, 1) == 0.75, "one image at a time is plain retrieval"
    assert metrics.batch_retrieval(scores, tasks, 3) == 1.0
    assert metrics.batch_retrieval(scores, tasks, 2) == 0.5, "the first two outvote each other the wrong way"
    assert np.isnan(metrics.batch_retrieval(scores[:0], tasks[:0], 2))
