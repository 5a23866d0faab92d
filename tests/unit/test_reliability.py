"""Means that are drawn in: what left-out images say of class means, and that everything follows which compares them."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from core.config import RunConfig, validate
from core.retrieval.leave_out import left_out_places
from core.retrieval.reliability import mean_noise, reliability
from core.retrieval.scores import WhitenedRetriever, _Place

CPU = torch.device("cpu")
CLASSES, WIDTH = 6, 60


def draw(per_class: int, seed: int) -> tuple[Tensor, Tensor]:
    """Images (n, 60) of classes that lie close together, and their labels: few images leave much to chance."""
    centres = 0.5 * torch.randn(CLASSES, WIDTH, generator=torch.Generator().manual_seed(1))
    labels = torch.arange(CLASSES).repeat_interleave(per_class)
    noise = torch.randn(len(labels), WIDTH, generator=torch.Generator().manual_seed(seed))
    return centres[labels] + noise, labels


def retriever(clustering: str, draw_in: bool, per_class: int = 12, tasks: int = 3) -> WhitenedRetriever:
    """After `tasks` tasks of two classes each."""
    config = validate(RunConfig, {"retrieval": {"draw_in": draw_in, "components": 4}})
    fitted = WhitenedRetriever(clustering, WIDTH, config, CPU)
    x, labels = draw(per_class, seed=2)
    for task in range(tasks):
        chosen = labels // 2 == task
        fitted.fit(task, x[chosen], labels[chosen])
    return fitted


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 8), st.integers(1, 6), st.floats(0.01, 50), st.integers(0, 10**6))
def test_shares_are_fractions_and_grow_with_what_sets_classes_apart(classes, dimensions, noise, seed):
    means = torch.randn(classes, dimensions, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    shares = reliability(means, noise)
    assert ((shares > 0) & (shares < 1)).all()
    order = means.square().mean(0).argsort()
    assert (shares[order].diff() >= 0).all()
    assert (reliability(means, 2 * noise) < shares).all()
    assert torch.equal(reliability(means, 0.0), torch.ones(dimensions, dtype=torch.float64))


def test_the_noise_is_what_new_images_do_not_show():
    generator = torch.Generator().manual_seed(0)
    apart = torch.tensor([4.0, 1.0, 0.3])
    means = torch.randn(4000, 3, generator=generator, dtype=torch.float64) * apart.sqrt()
    for noise in (0.1, 1.0, 5.0):
        places = reliability(means, noise) * means + torch.randn(means.shape, generator=generator, dtype=torch.float64)
        assert mean_noise(places, means, means) == pytest.approx(noise, rel=0.2)
    assert mean_noise(means, means, means) == 0, "where images lie about their means, these stay"
    nothing = torch.full_like(means, torch.nan)
    assert mean_noise(nothing, means, means) is None
    assert mean_noise(means, 0 * means, 0 * means) is None, "a single class sets nothing apart"


@pytest.mark.parametrize("clustering", ["dpgmm", "means", "kmeans"])
def test_means_that_are_drawn_in_are_nearer_to_new_images(clustering):
    plain, drawn = retriever(clustering, False), retriever(clustering, True)
    assert plain.noises == [None] * 3 and (plain.reliability == 1).all()
    assert drawn.noises[-1] > 0 and (drawn.reliability < 1).all()
    assert torch.equal(plain.whitening.projection, drawn.whitening.projection), "the space itself stays"
    x, labels = draw(200, seed=3)
    means = torch.cat(drawn.class_means)[labels]
    places = drawn.whitening(x)
    assert (places - drawn.drawn_in(means)).square().sum() < (places - drawn.whitening(means)).square().sum()
    assert drawn.temperature < plain.temperature, "scores of new images are less too sure"
    errors = [float((one.scores(x).argmax(1) != labels // 2).float().mean()) for one in (plain, drawn)]
    assert abs(drawn.expected_error() - errors[1]) < max(0.12, abs(plain.expected_error() - errors[0]))


def test_a_left_out_image_is_compared_with_means_that_are_drawn_in():
    drawn = retriever("means", True)
    x, labels = draw(12, seed=2)
    x, labels = x[labels > 3], labels[labels > 3]
    own = torch.full_like(labels, 12)
    place = drawn.left_out_places(x, labels, own)
    means = torch.cat(drawn.class_means)
    expected = -torch.cdist(place, drawn.drawn_in(means)).square() / 2
    at = _Place(labels, own)
    plain = drawn._left_out(x, at, means, at)
    found = drawn._drawn(plain, means, drawn._places(plain)).float()
    torch.testing.assert_close(found - found[:, :1], expected - expected[:, :1], atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(left_out_places(plain, drawn.whitening(means)).float(), place, atol=1e-4, rtol=1e-4)


def test_a_task_of_single_images_says_nothing_new_of_the_noise():
    fitted = retriever("means", True)
    known = fitted.noises[-1]
    x, labels = draw(1, seed=5)
    fitted.fit(3, x[:2], labels[:2] + CLASSES)
    assert fitted.noises[-1] == known and (fitted.reliability < 1).all()
    alone = WhitenedRetriever("means", WIDTH, validate(RunConfig, {"retrieval": {"draw_in": True}}), CPU)
    alone.fit(0, x, labels)
    assert alone.noises == [None] and (alone.reliability == 1).all()


@pytest.mark.parametrize("clustering", ["dpgmm", "means", "kmeans"])
def test_a_retriever_scores_the_same_after_it_was_stored(clustering):
    first = retriever(clustering, True)
    resumed, answering = (
        WhitenedRetriever(clustering, WIDTH, validate(RunConfig, {"retrieval": {"draw_in": True}}), CPU)
        for _ in range(2)
    )
    for task in range(3):
        resumed.load_task(first.task_arrays(task))
        answering.load_task(first.task_arrays(task))
    resumed.load_shared(first.shared_state())
    answering.load_answer(first.answer_state())
    x, _ = draw(5, seed=4)
    assert torch.equal(first.scores(x), resumed.scores(x))
    assert torch.equal(first.class_scores(x), resumed.class_scores(x))
    torch.testing.assert_close(answering.scores(x), first.scores(x))
    torch.testing.assert_close(answering.class_scores(x), first.class_scores(x))
    assert "noise" not in retriever(clustering, False).task_arrays(2)
    assert "whitening.reliability" not in retriever(clustering, False).answer_state()
