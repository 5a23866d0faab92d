"""The error that is expected of new images: the closed form against fitting again without each image, and the rule."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from core.config import RunConfig
from core.methods.ncm import ClassMeans
from core.methods.ridge import RandomFeatureRidge
from core.retrieval.leave_out import (
    SentImages,
    expected_error,
    left_out_scores,
    owners,
    sent_by_best,
    sent_to,
    temperature,
)
from core.retrieval.scores import WhitenedRetriever
from core.retrieval.space import PooledCovariance


def _images(features: int, per_class: int = 7, classes: int = 4) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Images (n, features) in double precision, their classes, and their components: two of every class."""
    generator = torch.Generator().manual_seed(features)
    centres = 2 * torch.randn(classes, features, generator=generator, dtype=torch.float64)
    labels = torch.arange(classes).repeat_interleave(per_class)
    spread = torch.randn(features, features, generator=generator, dtype=torch.float64)
    noise = torch.randn(len(labels), features, generator=generator, dtype=torch.float64) @ spread / features**0.5
    return centres[labels] + noise, labels, 2 * labels + (torch.arange(len(labels)) % 3 == 0)


def _means(x: torch.Tensor, groups: torch.Tensor, numbers: int) -> torch.Tensor:
    return torch.stack([x[groups == number].mean(0) for number in range(numbers)])


def _pooled(x: torch.Tensor, labels: torch.Tensor) -> PooledCovariance:
    pooled = PooledCovariance(x.shape[1], x.device)
    pooled.scatter = pooled.scatter.double()
    pooled.add(x, labels)
    return pooled


class _Fixed(PooledCovariance):
    """A covariance whose ridge and number of images stay those of all images, whatever was taken out of its sum."""

    def __init__(self, scatter: torch.Tensor, of: PooledCovariance, share: float) -> None:
        super().__init__(len(scatter), scatter.device)
        whole = of.covariance(share) - (1 - share) * of.scatter / of.images
        self._covariance = whole + (1 - share) * scatter / of.images

    def covariance(self, shrinkage: float | None = None) -> torch.Tensor:
        return self._covariance


@pytest.mark.parametrize("features", [3, 6, 40], ids=["as many as directions", "few", "more than images"])
def test_the_closed_form_is_what_fitting_again_without_the_image_gives(features):
    share = 0.1
    x, labels, groups = _images(features)
    pooled = _pooled(x, labels)
    class_means, means = _means(x, labels, 4), _means(x, groups, 8)
    whitening = pooled.whitening(class_means, share)
    counts, sizes = labels.bincount()[labels], groups.bincount()[groups]
    found = left_out_scores(pooled, whitening, share, x, class_means, labels, counts, means, groups, sizes)
    for image in range(len(x)):
        rest = torch.arange(len(x)) != image
        without = _pooled(x[rest], labels[rest])
        again = _Fixed(without.scatter, pooled, share).whitening(_means(x[rest], labels[rest], 4), share)
        distances = (again(x[image]) - again(_means(x[rest], groups[rest], 8))).square().sum(1)
        assert found[image].numpy() == pytest.approx((-distances / 2).numpy(), abs=1e-4, rel=1e-4)


def test_an_image_alone_in_its_component_or_class_has_nothing_there():
    x, labels, groups = _images(6)
    groups = groups.clone()
    groups[0], groups[1:7] = 1, 0
    labels_alone = torch.cat([labels, torch.tensor([4])])
    x_alone = torch.cat([x, torch.randn(1, 6, dtype=torch.float64)])
    groups_alone = torch.cat([groups, torch.tensor([8])])
    pooled = _pooled(x_alone, labels_alone)
    class_means, means = _means(x_alone, labels_alone, 5), _means(x_alone, groups_alone, 9)
    scores = left_out_scores(
        pooled,
        pooled.whitening(class_means, 0.1),
        0.1,
        x_alone,
        class_means,
        labels_alone,
        labels_alone.bincount()[labels_alone],
        means,
        groups_alone,
        groups_alone.bincount()[groups_alone],
    )
    assert scores[0, 1] == -torch.inf and scores[0, 0].isfinite()
    assert scores[-1].isnan().all() and not scores[:-1].isnan().any()


def test_shares_count_each_image_once_and_take_it_out_of_its_weight():
    scores = torch.tensor([[0.0, -1.0, -5.0], [-3.0, -0.5, -9.0], [float("nan")] * 3])
    sent = sent_to(scores, torch.tensor([0, 1, 1]), torch.tensor([4, 3, 1]), torch.tensor([1, 1, 2]))
    assert sent.tolist() == [0.5, 0.5] and sent.dtype == np.float32
    assert np.isnan(sent_to(scores[2:], torch.tensor([0, 1, 1]), torch.tensor([4, 3, 1]), torch.tensor([2]))).all()


def test_where_the_best_class_decides_its_task_is_picked_whatever_else_is_in_it():
    of = owners([torch.zeros(2, 3), torch.zeros(2, 3)])
    assert of.tolist() == [0, 0, 1, 1]
    scores = torch.tensor([[0.0, -50.0, -0.5, -0.5], [-3.0, -4.0, -9.0, -0.5], [float("nan")] * 4])
    assert sent_by_best(scores, of).tolist() == [0.5, 0.5]
    assert sent_to(scores[:1], of, torch.tensor([2, 1, 1, 1]), torch.tensor([0])).tolist() == [0, 1]
    assert np.isnan(sent_by_best(scores[2:], of)).all()


def _tasks(seed: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Images (n, 5) and classes of two tasks with two classes each that overlap."""
    generator = torch.Generator().manual_seed(seed)
    centres = torch.randn(4, 5, generator=generator)
    classes = [torch.tensor([first, first + 1]).repeat_interleave(9) for first in (0, 2)]
    return [(centres[labels] + torch.randn(len(labels), 5, generator=generator), labels) for labels in classes]


@pytest.mark.parametrize("seed", range(3))
def test_nearest_class_means_without_an_image_are_what_is_compared(seed):
    (first, of_first), (x, labels) = _tasks(seed)
    kept, sent = ClassMeans(torch.device("cpu")), SentImages()
    assert sent.expected_error() is None
    for images, of_images, task in ((first, of_first, (0, 1)), (x, labels, (2, 3))):
        kept.add([images[of_images == label].mean(0) for label in task])
        sent.add(kept.left_out_scores(images, of_images), owners(kept.tasks))
    found = []
    for image in range(len(x)):
        rest = torch.arange(len(x)) != image
        again = torch.stack([x[rest & (labels == label)].mean(0) for label in (2, 3)])
        means = torch.cat([kept.tasks[0], again])
        found.append(int(torch.cdist(x[image : image + 1], means).argmin()) // 2)
    assert sent.of_tasks[1].tolist() == pytest.approx((np.bincount(found, minlength=2) / len(x)).tolist())
    assert 0 < sent.expected_error() < 0.5
    alone = ClassMeans(torch.device("cpu"))
    alone.add([first[0]])
    sent.add(alone.left_out_scores(first[:1], of_first[:1]), owners(alone.tasks))
    assert sent.expected_error() is None, "of an image alone in its class nothing is known"


@pytest.mark.parametrize("ridge", [0.01, 1.0])
def test_a_ridge_regression_without_an_image_is_what_fitting_again_gives(ridge):
    (first, of_first), (x, labels) = _tasks(0)
    whole = RandomFeatureRidge(5, 8, 0, torch.device("cpu"))
    whole.fit(first, of_first, 2)
    whole.fit(x, labels, 4)
    loaded = whole.gram + ridge * whole.gram.diagonal().mean() * torch.eye(8)
    whole.ridge, whole.solution = ridge, torch.linalg.solve(loaded, whole.cross)
    found = whole.left_out_scores(x, labels, labels.bincount()[labels])
    for image in range(len(x)):
        hidden, target = torch.relu(x[image] @ whole.projection), torch.eye(4)[labels[image]]
        without = torch.linalg.solve(loaded - hidden.outer(hidden), whole.cross - hidden.outer(target))
        without[:, labels[image]] *= 9 / 8  # of nine images each
        torch.testing.assert_close(found[image], hidden @ without, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(found, whole(x), atol=1e-3)
    assert whole.left_out_scores(x[:1], labels[:1], torch.tensor([1])).isnan().all(), "an image alone in its class"


def test_a_discriminant_is_asked_by_its_best_class_and_is_the_same_for_being_asked():
    plain, asked = (
        WhitenedRetriever("means", 5, RunConfig(), torch.device("cpu"), best_component_decides=best)
        for best in (False, True)
    )
    for task, (x, labels) in enumerate(_tasks(1)):
        plain.fit(task, x, labels)
        asked.fit(task, x, labels)
    new = torch.randn(20, 5, generator=torch.Generator().manual_seed(9))
    assert torch.equal(plain.class_scores(new), asked.class_scores(new))
    assert asked.sent[1].sum() == pytest.approx(1) and 0 < asked.expected_error() < 0.6


class TestExpectedError:
    def test_of_one_task_is_none_at_all(self):
        assert expected_error([np.ones(1)]) == 0

    def test_of_two_tasks_is_the_confusion_of_the_second_taken_in_both_directions(self):
        assert expected_error([np.ones(1), np.array([0.2, 0.8])]) == pytest.approx(0.2)

    def test_an_earlier_task_loses_to_each_later_one(self):
        sent = [np.ones(1), np.array([0.2, 0.8]), np.array([0.1, 0.3, 0.6])]
        right = [1 * 0.8 * 0.9, 0.8 * 0.7, 0.6]
        assert expected_error(sent) == pytest.approx(1 - np.mean(right))

    def test_is_unknown_where_a_task_was_learned_without_it(self):
        assert expected_error([]) is None
        assert expected_error([np.ones(1), None]) is None
        assert expected_error([np.ones(1), np.full(2, np.nan)]) is None


@pytest.mark.parametrize("factor", [1.0, 4.0, 20.0])
def test_the_temperature_is_what_scores_were_multiplied_with(factor):
    generator = torch.Generator().manual_seed(3)
    honest = 2 * torch.randn(4000, 5, generator=generator, dtype=torch.float64)
    drawn = torch.multinomial(honest.softmax(1), 1, generator=generator)[:, 0]
    assert temperature(factor * honest, drawn) == pytest.approx(factor, rel=0.1)


def test_where_no_image_is_taken_for_another_class_nothing_says_how_sure_scores_may_be():
    assert temperature(torch.full((3, 2), torch.nan), torch.zeros(3, dtype=torch.long)) is None
    assert temperature(torch.randn(3, 1), torch.zeros(3, dtype=torch.long)) is None
    assert temperature(torch.eye(3), torch.arange(3)) is None


def test_new_images_ask_for_the_temperature_that_left_out_ones_do():
    """With more features than images scores are far too sure of new images, and left-out images say how far."""
    generator = torch.Generator().manual_seed(5)
    centres = 0.4 * torch.randn(6, 80, generator=generator, dtype=torch.float64)

    def draw(per_class: int) -> tuple[torch.Tensor, torch.Tensor]:
        labels = torch.arange(6).repeat_interleave(per_class)
        return centres[labels] + torch.randn(len(labels), 80, generator=generator, dtype=torch.float64), labels

    (x, labels), (fresh, of_fresh) = draw(9), draw(300)
    pooled, share = _pooled(x, labels), 0.2
    means, counts = _means(x, labels, 6), labels.bincount()[labels]
    whitening = pooled.whitening(means, share)
    left_out = left_out_scores(pooled, whitening, share, x, means, labels, counts, means, labels, counts)

    def scores(images: torch.Tensor) -> torch.Tensor:
        return -torch.cdist(whitening(images), whitening(means)).square() / 2

    asked = temperature(scores(fresh), of_fresh)
    assert temperature(left_out, labels) == pytest.approx(asked, rel=0.5)
    assert asked > 2 and temperature(scores(x), labels) is None, "training images that are not left out are all right"
