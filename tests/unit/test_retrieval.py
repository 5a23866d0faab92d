"""Retrieval: mixtures score as scikit-learn does, whitening whitens, running sums equal the batch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.mixture import BayesianGaussianMixture

from core.config import RunConfig, validate
from core.errors import UserError
from core.retrieval.mixture import Mixture, dirichlet_process_assignments, fit_mixture, kmeans_assignments
from core.retrieval.scores import ComponentTable, WhitenedRetriever
from core.retrieval.space import CodedMeans, PooledCovariance

CPU = torch.device("cpu")
SKLEARN = {"full": "full", "diagonal": "diag", "tied": "tied"}


def blobs(classes=4, per_class=40, width=6, spread=4.0, seed=0):
    """Classes with one shared, far from spherical covariance."""
    rng = np.random.default_rng(seed)
    mix = rng.normal(size=(width, width)) + 2 * np.eye(width)
    centres = rng.normal(size=(classes, width)) * spread
    labels = np.repeat(np.arange(classes), per_class)
    x = centres[labels] + rng.normal(size=(len(labels), width)) @ mix
    return torch.tensor(x, dtype=torch.float32), torch.tensor(labels)


@pytest.mark.parametrize("covariance", ["full", "diagonal", "tied"])
@pytest.mark.parametrize("components", [1, 5])
def test_log_likelihood_is_scikit_learns(covariance, components):
    x, _ = blobs()
    reference = BayesianGaussianMixture(
        n_components=components,
        covariance_type=SKLEARN[covariance],
        weight_concentration_prior_type="dirichlet_process",
        weight_concentration_prior=0.1,
        reg_covar=1e-3 * float(x.numpy().var(axis=0).mean()) + 1e-12,
        max_iter=200,
        random_state=3,
    ).fit(x.numpy())
    mixture = fit_mixture(x.numpy(), components=components, concentration=0.1, covariance=covariance, seed=3)
    probe = x + torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    expected = reference.score_samples(probe.numpy())
    assert np.abs(mixture.log_likelihood(probe).numpy() - expected).max() <= 1e-4 * max(1, np.abs(expected).max())
    assert mixture.log_likelihood(probe).dtype == torch.float32
    best = mixture.component_log_likelihoods(probe).argmax(1).numpy()
    assert (best == reference.predict(probe.numpy())).all()


def test_an_image_is_scored_alone():
    x, _ = blobs()
    mixture = fit_mixture(x.numpy(), components=4, concentration=0.1, covariance="full", seed=0)
    together = mixture.log_likelihood(x)
    alone = torch.cat([mixture.log_likelihood(x[i : i + 1]) for i in range(len(x))])
    assert torch.allclose(together, alone, atol=1e-4)


def test_a_mixture_comes_back_from_its_arrays():
    x, _ = blobs()
    mixture = fit_mixture(x.numpy(), components=3, concentration=0.1, covariance="tied", seed=0)
    again = Mixture.from_arrays(mixture.arrays(), CPU)
    assert torch.equal(mixture.log_likelihood(x), again.log_likelihood(x)) and again.components == 3


def test_fewer_points_than_components():
    x, _ = blobs(classes=1, per_class=3)
    mixture = fit_mixture(x.numpy(), components=20, concentration=0.1, covariance="full", seed=0)
    assert mixture.components == 3 and torch.isfinite(mixture.log_likelihood(x)).all()


def test_the_running_covariance_equals_the_batch():
    x, labels = blobs()
    streaming, batch = PooledCovariance(6, CPU), PooledCovariance(6, CPU)
    batch.add(x, labels)
    for first in (0, 2):
        chosen = (labels == first) | (labels == first + 1)
        streaming.add(x[chosen], labels[chosen])
    assert torch.allclose(streaming.covariance(), batch.covariance(), atol=1e-5)
    centred = torch.cat([x[labels == c] - x[labels == c].mean(0) for c in range(4)])
    assert torch.allclose(
        streaming.covariance(0.0),
        centred.T @ centred / len(x) + 1e-4 * torch.eye(6) * ((centred.T @ centred / len(x)).diagonal().mean()),
        atol=1e-4,
    )


def test_shrinkage_falls_as_images_arrive():
    x, labels = blobs(per_class=12)
    pooled = PooledCovariance(6, CPU)
    assert pooled.shrinkage() == 0.3, "at most so much"
    pooled.add(x[labels == 0], labels[labels == 0])
    first = pooled.shrinkage()
    assert first == pytest.approx(0.06 * 6 / 12)
    pooled.add(x[labels > 0], labels[labels > 0])
    assert pooled.shrinkage() == pytest.approx(first / 4)
    shrunk, plain = pooled.covariance(), pooled.covariance(0.0)
    assert torch.allclose(shrunk.trace(), plain.trace(), rtol=1e-3), "the scale stays"
    assert torch.linalg.cond(shrunk) < torch.linalg.cond(plain)


def test_whitening_makes_the_within_class_covariance_the_identity():
    x, labels = blobs(per_class=400)
    pooled = PooledCovariance(6, CPU)
    means = torch.stack([mean for mean, _ in pooled.add(x, labels).values()])
    whitening = pooled.whitening(means, 0.0)
    white = whitening(x)
    assert white.shape == (1600, 3), "four means span three directions"
    centred = torch.cat([white[labels == c] - white[labels == c].mean(0) for c in range(4)])
    assert torch.allclose(centred.T @ centred / len(x), torch.eye(3), atol=1e-2)


def test_class_means_in_the_whitened_space_are_lda():
    x, labels = blobs(classes=5, per_class=60, spread=1.0)
    reference = LinearDiscriminantAnalysis(solver="lsqr", priors=[0.2] * 5).fit(x.numpy(), labels.numpy())
    retriever = built("means", shrinkage=0.0)
    retriever.fit(0, x, labels)
    assert (retriever.class_scores(x).argmax(1).numpy() == reference.predict(x.numpy())).mean() > 0.99


def built(clustering, **retrieval):
    config = validate(RunConfig, {"retrieval": retrieval})
    return WhitenedRetriever(clustering, 6, config, CPU)


@pytest.mark.parametrize("classes", [1, 2])
@pytest.mark.parametrize("clustering", ["dpgmm", "means", "kmeans"])
def test_tasks_are_retrieved_and_scores_are_densities(clustering, classes):
    """Also where the first task has a single class, and so no direction in which classes differ."""
    x, labels = blobs(classes=3 * classes, spread=6.0)
    retriever = built(clustering)
    for task in range(3):
        chosen = labels // classes == task
        retriever.fit(task, x[chosen], labels[chosen])
    scores = retriever.scores(x)
    assert scores.shape == (len(x), 3)
    assert (scores.argmax(1) == labels // classes).float().mean() > 0.9
    assert (retriever.class_scores(x).argmax(1) == labels).float().mean() > 0.9
    components = torch.cat([retriever.component_scores(x, 1)], dim=1)
    assert torch.allclose(components.logsumexp(1), scores[:, 1], atol=1e-3)
    nearest = retriever.nearest_component(x, scores.argmax(1))
    assert (nearest >= 0).all()


def test_earlier_components_are_whitened_again():
    """A task's scores come from today's covariance, not from the one it was learned with."""
    x, labels = blobs(classes=4)
    retriever = built("dpgmm")
    retriever.fit(0, x[labels < 2], labels[labels < 2])
    raw = retriever.means[0].clone()
    before = retriever.scores(x)
    retriever.fit(1, x[labels >= 2], labels[labels >= 2])
    assert torch.equal(raw, retriever.means[0]), "what is kept is raw"
    assert not torch.allclose(before[:, 0], retriever.scores(x)[:, 0])


@settings(deadline=None)
@given(st.integers(0, 1000), st.integers(1, 6), st.sampled_from([1e-3, 1.0, 300.0]), st.sampled_from([0.0, 5.0, 1e3]))
def test_coded_means_come_back_within_half_a_step(seed, components, scale, offset):
    means = offset + scale * torch.randn(components, 5, generator=torch.Generator().manual_seed(seed))
    coded = CodedMeans.of(means)
    assert coded.codes.dtype == torch.int8
    error = (coded.means() - means).abs()
    # Half a step, plus what float16 cannot tell apart when all means of a feature are nearly one.
    assert (error <= 0.51 * coded.scale.float() + 6e-4 * means.abs() / 127 + 1e-6).all()
    again = CodedMeans.from_arrays(coded.arrays(), CPU)
    assert torch.equal(again.means(), coded.means())


def test_a_retriever_scores_the_same_after_it_was_stored():
    x, labels = blobs(classes=4)
    for clustering in ("dpgmm", "means", "kmeans"):
        first, second = built(clustering), built(clustering)
        for task in range(2):
            chosen = labels // 2 == task
            first.fit(task, x[chosen], labels[chosen])
        for task in range(2):
            second.load_task(first.task_arrays(task))
        second.load_shared(first.shared_state())
        assert torch.equal(first.scores(x), second.scores(x))
        assert torch.equal(first.class_scores(x), second.class_scores(x))


def test_a_mixture_of_an_earlier_version_says_what_to_do():
    with pytest.raises(UserError, match="train it again"):
        built("dpgmm").load_task({"means": np.zeros((1, 6)), "counts": np.ones(1), "classes": np.zeros(1)})


def test_the_process_decides_how_many_components_a_class_has():
    rng = np.random.default_rng(0)
    one = rng.normal(size=(60, 2))
    two = np.concatenate([rng.normal(size=(30, 2)) - 12, rng.normal(size=(30, 2)) + 12])
    labels = np.repeat([0, 1], 60)
    groups = dirichlet_process_assignments(np.concatenate([one, two]), labels, components=2, concentration=0.1, seed=0)
    assert set(groups[:60]).isdisjoint(groups[60:]), "a component belongs to one class"
    assert len(set(groups[60:90])) == len(set(groups[90:])) == 1 and groups[60] != groups[90]
    assert sorted(set(groups)) == list(range(len(set(groups)))), "numbered without gaps"


def test_single_images_and_duplicates_can_be_clustered():
    white = np.zeros((4, 2))
    groups = dirichlet_process_assignments(white, np.array([0, 1, 1, 1]), components=3, concentration=0.1, seed=0)
    assert len(groups) == 4
    assert len(set(kmeans_assignments(np.arange(6.0)[:, None], 20, 0))) == 6


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 1000), st.lists(st.integers(1, 7), min_size=1, max_size=6), st.sampled_from([1, 5, 90]))
def test_one_product_scores_as_each_component_would_alone(seed, sizes, images):
    """Tasks and classes with any numbers of components; n images, of which one product serves all."""
    generator = torch.Generator().manual_seed(seed)
    means = [5 * torch.randn(size, 4, generator=generator) for size in sizes]
    counts = [torch.randint(1, 50, (size,), generator=generator) for size in sizes]
    members = [2 * task + torch.arange(size) % 2 for task, size in enumerate(sizes)]
    white = 5 * torch.randn(images, 4, generator=generator)
    table = ComponentTable.of(means, counts, members)
    by_class = []
    for task, (mean, count) in enumerate(zip(means, counts, strict=True)):
        distance = (white.double()[:, None] - mean.double()).square().sum(2)
        alone = (count.double() / count.sum()).log() - distance / 2
        assert torch.allclose(table.of_task(white, task).double(), alone, atol=1e-3)
        assert torch.allclose(table.by_task(white)[:, task].double(), alone.logsumexp(1), atol=1e-3)
        nearest = table.nearest(white, torch.full((images,), task))
        assert torch.allclose(alone.gather(1, nearest[:, None])[:, 0], alone.amax(1), atol=1e-3)
        by_class += [alone[:, members[task] == label].logsumexp(1) for label in members[task].unique().tolist()]
    assert torch.allclose(table.by_class(white).double(), torch.stack(by_class, dim=1), atol=1e-3)


def test_scores_do_not_depend_on_how_many_images_there_are(monkeypatch):
    x, labels = blobs(classes=4)
    retriever = built("dpgmm")
    for task in range(2):
        retriever.fit(task, x[labels // 2 == task], labels[labels // 2 == task])
    whole, tasks = retriever.scores(x), retriever.scores(x).argmax(1)
    nearest = retriever.nearest_component(x, tasks)
    monkeypatch.setattr("core.retrieval.scores._ROWS", 7)
    assert torch.allclose(retriever.scores(x), whole, atol=1e-4)
    assert torch.equal(retriever.nearest_component(x, tasks), nearest)
    assert retriever.scores(x[:0]).shape == (0, 2) and len(retriever.nearest_component(x[:0], tasks[:0])) == 0
