from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.reading.explain import (
    Answer,
    Cluster,
    Names,
    bars,
    cluster,
    comparison_space,
    nearest,
    ranking,
    ratio,
    sentence,
)

NAMES = Names(("0, 1", "2, 3", "4, 5"), ("0", "1", "2", "3", "4", "5"))
SCORES = st.lists(st.floats(-1e6, 1e6, width=32) | st.just(-math.inf), min_size=1, max_size=60)


def wrong(**changes) -> Answer:
    fields = {"scores": (-9.0, -2.0, -4.0), "retrieved": 1, "predicted": 3, "component": 4, "task": 2, "label": 5}
    return Answer(**(fields | {"given_task": 5} | changes))


def test_wrong_task_says_why_by_how_much_and_what_the_right_task_would_have_given():
    text = sentence(wrong(), NAMES, Cluster(1, 4, 3, (7, 8)))
    assert text == (
        "It was sent to “2, 3” because it lies nearest to a component of “3” there, which makes that task 7.4 times "
        "likelier than its own, “4, 5”; told the right task, it would have answered “5”, which is right."
    )
    assert "even told the right task, it would have answered “4”" in sentence(wrong(given_task=4), NAMES)


def test_mistake_inside_the_right_task_is_not_blamed_on_retrieval():
    text = sentence(wrong(task=1, label=2, given_task=3), NAMES)
    assert text.startswith("Its task “2, 3” was found")
    assert "inside the task, where it answered “3” instead of “2”" in text


def test_right_answer_names_the_runner_up():
    text = sentence(wrong(task=1, label=3), NAMES)
    assert "7.4 times likelier than the next, “4, 5”; inside it “3” is right." in text


def test_one_known_task_is_no_choice():
    assert "none to pick" in sentence(Answer((-3.0,), 0, 1, task=0, label=1), NAMES)


def test_picture_from_outside_has_no_truth():
    text = sentence(Answer((-9.0, -2.0, -4.0), 1, 3, 2), NAMES, Cluster(1, 2, 2, ()))
    assert "nearest to a component of “2”" in text
    assert text.endswith("inside it the answer is “3”.")
    assert "right" not in text


def test_scores_that_are_no_likelihoods_are_not_called_likely():
    text = sentence(wrong(component=-1), NAMES)
    assert "highest in the task “2, 3”, 2 ahead of its own" in text
    assert "likelier" not in text


def test_task_left_out_of_the_shortlist_is_said_to_be_left_out():
    text = sentence(wrong(scores=(-9.0, -2.0, -math.inf)), NAMES)
    assert "while its own, “4, 5”, was not considered" in text


@given(SCORES, st.data())
def test_every_answer_has_a_sentence_and_bars(scores, data):
    names = Names([f"task {t}" for t in range(len(scores))], ["a", "b"])
    truth = data.draw(st.none() | st.integers(0, len(scores) - 1))
    label = None if truth is None else data.draw(st.integers(0, 1))
    retrieved = ranking(scores)[0]
    answer = Answer(tuple(scores), retrieved, 0, data.draw(st.integers(-1, 3)), truth, label, label)
    text = sentence(answer, names, Cluster(retrieved, answer.component, 1, ()))
    assert text.endswith(".")
    assert "inf" not in text and "nan" not in text
    shown = bars(answer)
    assert shown[0].retrieved and shown[0].task == retrieved
    assert len(shown) == min(8, len(scores)) == len({bar.task for bar in shown})
    assert all(0 <= bar.length <= 1 and bar.gap >= 0 for bar in shown)
    assert truth is None or [bar.task for bar in shown if bar.true] == [truth]
    gaps = [bar.gap for bar in shown]
    assert gaps == sorted(gaps)


@pytest.mark.parametrize(
    ("nats", "said"),
    [(0.0, "a hair"), (0.05, "a hair"), (math.log(2.5), "2.5 times"), (math.log(40), "40 times"), (500, "thousand")],
)
def test_ratio_in_words(nats, said):
    assert said in ratio(nats)


@given(st.integers(2, 30), st.integers(0, 10_000))
def test_nearest_are_the_nearest_in_order(count, seed):
    random = np.random.default_rng(seed)
    vectors = random.normal(size=(count, 3)).astype(np.float16)
    among = np.flatnonzero(random.random(count) < 0.7)
    found = nearest(vectors, 0, among)
    distances = np.square(vectors.astype(np.float32) - vectors[0].astype(np.float32)).sum(1)
    assert 0 not in found
    assert [distances[i] for i in found] == sorted(distances[among[among != 0]])[:5]


def test_cluster_shows_training_images_of_the_component_only():
    tasks, components = np.array([0, 0, 0, 0, 1, 1]), np.array([1, 1, 1, 0, 1, 1])
    labels, train = np.array([0, 1, 1, 0, 2, 2]), np.array([False, True, True, True, True, False])
    vectors = np.array([[0], [5], [1], [0], [0], [0]], np.float16)
    table = {"tasks": tasks, "components": components, "labels": labels, "train": train}
    assert cluster(0, 0, 1, **table, vectors=vectors) == Cluster(0, 1, 1, (2, 1))
    assert cluster(0, 0, -1, **table, vectors=vectors) == Cluster(0, -1, None, (3, 2, 1))
    assert cluster(0, 0, 7, **table, vectors=vectors) == Cluster(0, 7, None, ())
    assert cluster(4, 1, 1, **(table | {"train": np.zeros(6, bool)}), vectors=None).images == (5,)


def test_comparison_space_is_one_that_all_images_share():
    assert comparison_space(("frozen", "own", "retrieved", "whitened")) == "whitened"
    assert comparison_space(("frozen", "own", "retrieved")) == "frozen"
    assert comparison_space(("frozen", "own")) == "own"
    assert comparison_space(()) is None
