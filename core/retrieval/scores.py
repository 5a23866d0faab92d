"""Scores of tasks: how likely an image is under each one, by one of two retrievers without trained parameters.

`WhitenedRetriever`, our default. Measured, the likelihoods of the literal recipe (one mixture in each adapter's own
space) are not on one scale and pick the wrong task twice in three. Here every task's components live in one space,
where within-class scatter is the unit sphere, so their densities can be compared. Components are kept as (mean, count)
in the raw space and whitened again whenever a task makes the pooled covariance better known; no image is kept.

How a task is clustered:
    dpgmm    a Dirichlet-process mixture seeded by class: each class is split as far as the process finds modes in it
    kmeans   `components` clusters per task, blind to classes
    means    one component per class: linear discriminant analysis
Then  log p(x | task) = logsumexp_k [ log π_k − ½‖z − m_k‖² ],  z and m_k whitened, and tasks are equally likely.
With `retrieval.draw_in` every m_k is first drawn in towards the centre of all classes (core.retrieval.reliability).

`LikelihoodRetriever`, the literal recipe. Published (Proteus): a Dirichlet-process mixture over the final CLS embedding
of the task-adapted model; an image goes through every adapted model, and the highest likelihood wins. Our decision: the
embedding is first projected on the task's own principal components, because a full covariance of the whole embedding
cannot be estimated from a thousand images. It retrieves badly, as said above, and is kept to show that.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from core.config import RunConfig
from core.retrieval import own_left_out
from core.retrieval.kept import Kept
from core.retrieval.leave_out import (
    expected_error,
    left_out_places,
    left_out_scores,
    owners,
    rows_left_out,
    sent_by_best,
    sent_to,
    temperature,
)
from core.retrieval.mixture import (
    GaussianMixture,
    Mixture,
    dirichlet_process_assignments,
    fit_mixture,
    kmeans_assignments,
)
from core.retrieval.reliability import mean_noise, reliability
from core.retrieval.space import CodedMeans, PooledCovariance, Whitening

if TYPE_CHECKING:
    from core.methods.inputs import Inputs

Clustering = Literal["dpgmm", "kmeans", "means"]

_ROWS = 4096
"""Images scored at a time, so that memory stays bounded for any number of images."""


class _Place(NamedTuple):
    """The class or component of some of the newest task's images, among those of all tasks."""

    number: Tensor
    """(n,)."""
    images: Tensor
    """(n,): how many images are there."""

    @classmethod
    def of(cls, groups: Tensor, rows: Tensor, earlier: Sequence[Tensor]) -> _Place:
        """Of images `rows` by the group of every image of the task; means of `earlier` tasks come before its own."""
        _, place, images = groups.unique(return_inverse=True, return_counts=True)
        place = place[rows]
        return cls(place + sum(len(means) for means in earlier), images[place])


class WhitenedRetriever(Kept):
    """Scores tasks, and classes, of frozen features (n, features). Class numbers follow the order of the tasks."""

    def __init__(
        self,
        clustering: Clustering,
        features: int,
        config: RunConfig,
        device: torch.device,
        best_component_decides: bool = False,
    ) -> None:
        """`best_component_decides`: the method picks the task of the likeliest component, not the likeliest task."""
        self.best_component_decides = best_component_decides
        self.clustering, self.settings, self.seed, self.device = clustering, config.retrieval, config.seed, device
        self.pooled = PooledCovariance(features, device)
        self.coded: list[CodedMeans] = []
        """Per task: component means, as they are stored."""
        self.means: list[Tensor] = []
        """Per task: component means (components, features), raw, read back from the code."""
        self.counts: list[Tensor] = []
        """Per task: images behind each component (components,)."""
        self.members: list[Tensor] = []
        """Per task: the class of each component (components,); −1 where clustering is blind to classes."""
        self.class_means: list[Tensor] = []
        """Per task: (classes, features), raw: means of the components, so that they need not be stored."""
        self.sent: list[np.ndarray | None] = []
        """Per task: shares of its left-out images sent to each task known then (core.retrieval.leave_out); None where
        an earlier version learned the task."""
        self.temperatures: list[float | None] = []
        """Per task: how many times too sure class scores were of its left-out images when it was learned; None where
        an earlier version learned the task."""
        self.noises: list[float | None] = []
        """Per task: the noise of class means that its left-out images showed when it was learned, or those of the task
        before where they showed none; None where means are not drawn in, or nothing was left out so far."""
        self.whitening: Whitening
        """Of all classes seen so far."""
        self.reliability: Tensor
        """(dimensions,): what is multiplied with whitened means before they are compared; ones where they stay."""
        self._table: ComponentTable | None = None
        """Of the components as they are whitened now; made when first asked for."""

    @property
    def tasks(self) -> int:
        return len(self.means)

    def fit(self, task: int, frozen: Tensor, labels: Tensor) -> None:
        """Take in a task: its classes' means, its share of the covariance, its components."""
        seen = self.pooled.add(frozen, labels)
        class_means = torch.stack([mean for mean, _ in seen.values()])
        self._whiten([*self.class_means, class_means])
        groups = self._assignments(frozen, labels)
        means, counts, members = [], [], []
        for group in groups.unique().tolist():
            chosen = groups == group
            means.append(frozen[chosen].mean(0))
            counts.append(int(chosen.sum()))
            members.append(int(labels[chosen][0]) if self.clustering != "kmeans" else -1)
        device = self.device
        self._keep(
            CodedMeans.of(torch.stack(means)),
            torch.tensor(counts, device=device),
            torch.tensor(members, device=device),
            class_means if self.clustering == "kmeans" else None,
        )
        self._whiten(self.class_means)
        rows = rows_left_out(frozen)
        own_class = _Place.of(labels, rows, self.class_means[:-1])
        by_class = self._left_out(frozen[rows], own_class, torch.cat(self.class_means), own_class)
        places = self._places(by_class) if self.settings.draw_in else None
        self.noises.append(None if places is None else self._noise(places, own_class))
        self._trust()
        self.sent.append(self._sent(frozen[rows], own_class, _Place.of(groups, rows, self.means[:-1]), places))
        self.temperatures.append(self._too_sure(by_class, own_class, places))

    def _sent(self, x: Tensor, own_class: _Place, own_component: _Place, places: Tensor | None) -> np.ndarray:
        """(tasks,) shares of images x of the newest task, each left out, that are sent to each task."""
        if self.tasks == 1:
            return np.ones(1, np.float32)
        means = torch.cat(self.means)
        scores = self._drawn(self._left_out(x, own_class, means, own_component), means, places)
        if self.best_component_decides:
            weights = torch.cat([count / count.sum() for count in self.counts])
            return sent_by_best(scores + weights.log(), owners(self.means))
        return sent_to(scores, owners(self.means), torch.cat(self.counts), own_component.number)

    def _too_sure(self, by_class: Tensor, own_class: _Place, places: Tensor | None) -> float:
        """The temperature of class scores, from those of the newest task's left-out images among all classes seen."""
        scores = self._drawn(by_class, torch.cat(self.class_means), places)
        return temperature(scores, own_class.number) or self.temperature

    def left_out_places(self, x: Tensor, labels: Tensor, class_images: Tensor) -> Tensor:
        """(n, dimensions) where training images x (n, features) of any task would lie if the space had not seen them.

        `labels` (n,) are their classes, and `class_images` (n,) how many images of that class were trained on.
        """
        own = _Place(labels.to(self.device), class_images.to(self.device))
        return self._places(self._left_out(x, own, torch.cat(self.class_means), own)).float()

    def _places(self, by_class: Tensor) -> Tensor:
        """float64 (n, dimensions): `left_out_places` of images by their scores of all classes (n, classes)."""
        return left_out_places(by_class, self.whitening(torch.cat(self.class_means)))

    def _noise(self, places: Tensor, own_class: _Place) -> float | None:
        """`mean_noise` as images of the newest task show it, whose left-out places these are; that of the task before
        where they show none."""
        class_means = self.whitening(torch.cat(self.class_means))
        found = mean_noise(places, class_means[own_class.number], class_means)
        return self.noises[-1] if found is None and self.noises else found

    def _drawn(self, scores: Tensor, means: Tensor, places: Tensor | None) -> Tensor:
        """(n, means): what `_left_out` scores of `means` are once these are drawn in; the same without `places`.

        −½‖z − r∘m‖² and −½‖z − m‖² differ by what is linear in z, and z is an image's left-out place (n, dimensions).
        """
        if places is None:
            return scores
        plain = self.whitening(means).double()
        drawn = plain * self.reliability
        return scores + places @ (drawn - plain).T + (plain.square() - drawn.square()).sum(1) / 2

    def _left_out(self, x: Tensor, own_class: _Place, means: Tensor, own: _Place) -> Tensor:
        """(n, means): `left_out_scores` of images x, which lie in `own` among `means`."""
        return left_out_scores(
            self.pooled,
            self.whitening,
            self.settings.shrinkage,
            x,
            torch.cat(self.class_means),
            own_class.number,
            own_class.images,
            means,
            own.number,
            own.images,
        )

    def _keep(self, coded: CodedMeans, counts: Tensor, members: Tensor, class_means: Tensor | None) -> None:
        """Remember a task by what is stored of it: a resumed run then computes with the very same numbers."""
        self.coded.append(coded)
        means = coded.means()
        self.means.append(means)
        self.counts.append(counts)
        self.members.append(members)
        if class_means is None:
            owners = [members == label for label in members.unique().tolist()]
            class_means = torch.stack([_weighted(means[owned], counts[owned]) for owned in owners])
        self.class_means.append(class_means)

    def _assignments(self, frozen: Tensor, labels: Tensor) -> Tensor:
        """(n,) component number of each training image."""
        if self.clustering == "means":
            return labels
        white = self.whitening(frozen).cpu().numpy()
        if self.clustering == "kmeans":
            groups = kmeans_assignments(white, self.settings.components, self.seed)
        else:
            groups = dirichlet_process_assignments(
                white,
                labels.cpu().numpy(),
                components=self.settings.class_components,
                concentration=self.settings.concentration,
                seed=self.seed,
            )
        return torch.from_numpy(groups).to(self.device)

    def _whiten(self, class_means: list[Tensor]) -> None:
        self._table = None
        self.whitening = self.pooled.whitening(torch.cat(class_means), self.settings.shrinkage)

    def _trust(self) -> None:
        """How far means are drawn in now: by what the newest task's left-out images say, as for the temperature."""
        self._table = None
        self.reliability = reliability(self.whitening(torch.cat(self.class_means)), self.noises[-1] or 0.0)

    def drawn_in(self, means: Tensor) -> Tensor:
        """(k, dimensions): raw means (k, features), whitened and drawn in, as scores compare them now."""
        return self.whitening(means) * self.reliability

    @property
    def table(self) -> ComponentTable:
        """Every component as scores compare them now."""
        if self._table is None:
            white = [self.drawn_in(means) for means in self.means]
            self._table = ComponentTable.of(white, self.counts, self.members)
        return self._table

    def component_scores(self, frozen: Tensor, task: int) -> Tensor:
        """(n, components of task): log π_k − ½‖z − m_k‖², in nats."""
        return self.table.of_task(self.whitening(frozen), task)

    def scores(self, frozen: Tensor) -> Tensor:
        """(n, tasks): log p(x | task) up to a constant an image, in nats."""
        return self.table.by_task(self.whitening(frozen))

    def task_mixtures(self) -> list[GaussianMixture]:
        """Each task's density in the whitened space, as `scores` compares them now."""
        means = [self.drawn_in(mean).cpu().numpy() for mean in self.means]
        shares = [(count / count.sum()).cpu().numpy() for count in self.counts]
        return [GaussianMixture(share, mean) for share, mean in zip(shares, means, strict=True)]

    def class_scores(self, frozen: Tensor) -> Tensor:
        """(n, classes seen): each class's own components; where clustering is blind, its mean."""
        white = self.whitening(frozen)
        if self.clustering == "kmeans":
            return -torch.cdist(white, self.drawn_in(torch.cat(self.class_means))).square() / 2
        return self.table.by_class(white)

    def nearest_component(self, frozen: Tensor, tasks: Tensor) -> Tensor:
        """(n,): the likeliest component of the task named for each image."""
        return self.table.nearest(self.whitening(frozen), tasks.to(self.device))

    def task_arrays(self, task: int) -> dict[str, np.ndarray]:
        """For mixture.npz: what a task leaves."""
        arrays = {
            **self.coded[task].arrays(),
            "counts": self.counts[task].cpu().numpy(),
            "classes": self.members[task].cpu().numpy(),
        }
        sent = self.sent[task]
        if sent is not None:
            arrays["left_out"] = sent
        if (sure := self.temperatures[task]) is not None:
            arrays["temperature"] = np.float32(sure).reshape(1)
        if (noise := self.noises[task]) is not None:
            arrays["noise"] = np.float32(noise).reshape(1)
        if self.clustering == "kmeans":  # components of many classes: the class means cannot be had from them
            arrays["class_means"] = self.class_means[task].cpu().numpy()
        return arrays

    def load_task(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Take back what `task_arrays` returned; `load_shared` must follow before anything is scored."""
        coded = CodedMeans.from_arrays(arrays, self.device)
        counts, members = (torch.from_numpy(arrays[name]).to(self.device) for name in ("counts", "classes"))
        blind = torch.from_numpy(arrays["class_means"]).to(self.device) if "class_means" in arrays else None
        self._keep(coded, counts, members, blind)
        self.sent.append(arrays.get("left_out"))
        self.temperatures.append(float(arrays["temperature"][0]) if "temperature" in arrays else None)
        self.noises.append(float(arrays["noise"][0]) if "noise" in arrays else None)

    @property
    def temperature(self) -> float:
        """How many times too sure class scores inside a task are of new images: what the newest task's left-out images
        say, because all tasks are compared in the space as it is now. 1 for tasks of an earlier version."""
        return (self.temperatures and self.temperatures[-1]) or 1.0

    def expected_error(self) -> float | None:
        """Of picking the task of a new image, from left-out training images; None where a task has none."""
        return expected_error(self.sent)

    def shared_state(self) -> dict[str, Tensor]:
        return self.pooled.state()

    def load_shared(self, state: Mapping[str, Tensor]) -> None:
        self.pooled.load(state)
        self._whiten(self.class_means)
        self._trust()

    def answer_state(self) -> dict[str, Tensor]:
        state = {
            "whitening.centre": self.whitening.centre.cpu(),
            "whitening.projection": self.whitening.projection.cpu().contiguous(),
        }
        if self.settings.draw_in:
            state["whitening.reliability"] = self.reliability.cpu()
        return state

    def load_answer(self, state: Mapping[str, Tensor]) -> None:
        centre, projection = state["whitening.centre"], state["whitening.projection"]
        self._table = None
        self.whitening = Whitening(centre.to(self.device), projection.to(self.device))
        stay = projection.new_ones(projection.shape[1])
        self.reliability = state.get("whitening.reliability", stay).to(self.device)


@dataclass(frozen=True)
class OwnSpace:
    """A task's density in the space of its own adapter."""

    centre: Tensor
    axes: Tensor
    """(width, dimensions): the task's principal axes."""
    mixture: Mixture

    def projected(self, embeddings: Tensor) -> Tensor:
        """(n, dimensions): embeddings (n, width) by the task's adapter, on the task's principal axes."""
        return (embeddings - self.centre) @ self.axes

    def log_likelihood(self, embeddings: Tensor) -> Tensor:
        """(n,): log p of embeddings (n, width), in nats."""
        return self.mixture.log_likelihood(self.projected(embeddings))


class LikelihoodRetriever(Kept):
    """log p_k(embedding with adapter k), for every task k."""

    def __init__(self, config: RunConfig, device: torch.device) -> None:
        self.settings, self.seed, self.device = config.retrieval, config.seed, device
        self.spaces: list[OwnSpace] = []
        self.left_out: list[np.ndarray | None] = []
        """Per task: float16 (images, tasks known then) log-likelihoods of some of its training images, its own by
        densities that have not seen them (core.retrieval.own_left_out); None where an earlier version learned it."""

    def fit(self, task: int, inputs: Inputs) -> None:
        """Take in the training images of a task, each by its embedding with the task's adapter."""
        embeddings = inputs.embedding(task)
        self.spaces.append(self._space(embeddings))
        rows = torch.from_numpy(own_left_out.rows_kept(len(embeddings), task + 1))

        def fitted(kept: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
            space = self._space(embeddings[torch.from_numpy(kept)])
            return lambda asked: space.log_likelihood(embeddings[torch.from_numpy(asked)]).cpu().numpy()

        own = own_left_out.left_out_likelihoods(len(embeddings), rows.numpy(), fitted, self.seed)
        earlier = [
            self.spaces[other].log_likelihood(inputs.embedding(other, rows)).cpu().numpy() for other in range(task)
        ]
        largest = float(np.finfo(np.float16).max)
        self.left_out.append(np.stack([*earlier, own], axis=1).clip(-largest, largest).astype(np.float16))

    def _space(self, embeddings: Tensor) -> OwnSpace:
        """Of the adapted embeddings (n, width) of a task's images."""
        centre = embeddings.mean(0)
        kept = min(self.settings.dimensions, len(embeddings), embeddings.shape[1])
        _, _, directions = torch.linalg.svd(embeddings - centre, full_matrices=False)
        axes = directions[:kept].T.contiguous()
        mixture = fit_mixture(
            ((embeddings - centre) @ axes).cpu().numpy(),
            components=self.settings.components,
            concentration=self.settings.concentration,
            covariance=self.settings.covariance,
            seed=self.seed,
        )
        return OwnSpace(centre, axes, mixture.to(self.device))

    def expected_error(self) -> float | None:
        """Of picking the task of a new image, from left-out training images; None where a task has none."""
        return own_left_out.expected_error(self.left_out)

    def task_mixtures(self) -> list[GaussianMixture]:
        """Each task's mixture, in the space that `projected` leads to for that task."""
        return [space.mixture.as_gaussians() for space in self.spaces]

    def projected(self, embeddings: Tensor, task: int) -> Tensor:
        """(n, dimensions): embeddings (n, width) by the task's adapter, on the task's principal axes."""
        return self.spaces[task].projected(embeddings)

    def scores(self, inputs: Inputs) -> Tensor:
        """(n, tasks): log-likelihoods, in nats, each in its own task's space."""
        columns = [space.log_likelihood(inputs.embedding(task)) for task, space in enumerate(self.spaces)]
        return torch.stack(columns, dim=1)

    def nearest_component(self, inputs: Inputs, tasks: Tensor) -> Tensor:
        """(n,): the likeliest component of the task named for each image."""
        nearest = torch.full((len(inputs),), -1, device=self.device)
        for task in tasks.unique().tolist():
            rows = torch.where(tasks == task)[0]
            projected = self.projected(inputs.embedding(task, rows), task)
            shares = self.spaces[task].mixture.component_log_likelihoods(projected)
            nearest[rows.to(self.device)] = shares.argmax(1)
        return nearest

    def task_arrays(self, task: int) -> dict[str, np.ndarray]:
        """For mixture.npz."""
        space, left_out = self.spaces[task], self.left_out[task]
        return {
            "centre": space.centre.cpu().numpy(),
            "axes": space.axes.cpu().numpy(),
            **({} if left_out is None else {"left_out_scores": left_out}),
            **space.mixture.arrays(),
        }

    def load_task(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Take back what `task_arrays` returned."""
        centre, axes = (torch.from_numpy(arrays[name]).to(self.device) for name in ("centre", "axes"))
        self.spaces.append(OwnSpace(centre, axes, Mixture.from_arrays(dict(arrays), self.device)))
        self.left_out.append(arrays.get("left_out_scores"))


@dataclass(frozen=True)
class ComponentTable:
    """All tasks' components: one matrix product scores an image against every one, however many tasks there are.

    log π_k − ½‖z − m_k‖² = z·m_k + (log π_k − ½‖m_k‖²) − ½‖z‖² for K components in one whitened space.

    `means` is (K, dimensions) and `offsets` (K,) the term in parentheses. `tasks` (T, most of a task) and `classes`
    (C, most of a class) hold the numbers of the components that belong together, filled up with K.
    """

    means: Tensor
    offsets: Tensor
    tasks: Tensor
    classes: Tensor

    @classmethod
    def of(cls, means: Sequence[Tensor], counts: Sequence[Tensor], members: Sequence[Tensor]) -> ComponentTable:
        """From a list a task: whitened means (k, dimensions), images behind each (k,), and the class of each (k,)."""
        joined = torch.cat(list(means))
        weights = torch.cat([count / count.sum() for count in counts])
        owner = torch.cat([torch.full_like(count, task) for task, count in enumerate(counts)])
        labels = [label for member in members for label in member.unique().tolist()]
        return cls(
            joined,
            weights.log() - joined.square().sum(1) / 2,
            _grouped(owner, range(len(counts))),
            _grouped(torch.cat(list(members)), labels),
        )

    def by_task(self, white: Tensor) -> Tensor:
        """(n, tasks): log p(z | task) of z (n, dimensions), up to a constant an image, in nats."""
        return self._pooled(white, self.tasks)

    def by_class(self, white: Tensor) -> Tensor:
        """(n, classes): the same from each class's own components, weighted as they are within their task."""
        return self._pooled(white, self.classes)

    def of_task(self, white: Tensor, task: int) -> Tensor:
        """(n, components of task)."""
        own = self.tasks[task][self.tasks[task] < len(self.means)]
        return self._scores(white, own)

    def nearest(self, white: Tensor, tasks: Tensor) -> Tensor:
        """(n,): the likeliest component of the task named for each image, counted within that task."""
        found = [
            self._all(rows).gather(1, self.tasks[named]).argmax(1)
            for rows, named in zip(white.split(_ROWS), tasks.split(_ROWS), strict=True)
        ]
        return torch.cat(found)

    def _pooled(self, white: Tensor, groups: Tensor) -> Tensor:
        return torch.cat([self._all(rows)[:, groups].logsumexp(2) for rows in white.split(_ROWS)])

    def _all(self, white: Tensor) -> Tensor:
        """(n, K + 1): every component's score; the last column, which fills groups up, is −∞."""
        scores = self._scores(white, slice(None))
        return torch.cat([scores, scores.new_full((len(white), 1), -torch.inf)], dim=1)

    def _scores(self, white: Tensor, chosen: Tensor | slice) -> Tensor:
        products = torch.addmm(self.offsets[chosen], white, self.means[chosen].T)
        return products - white.square().sum(1, keepdim=True) / 2


def _grouped(owner: Tensor, groups: Sequence[int]) -> Tensor:
    """(groups, most of a group): positions in `owner` (K,) of each group's members, filled up with K."""
    members = [torch.where(owner == group)[0] for group in groups]
    return pad_sequence(members, batch_first=True, padding_value=len(owner))


def _weighted(means: Tensor, counts: Tensor) -> Tensor:
    """(features,): the mean of all images behind some components."""
    return (means * counts[:, None]).sum(0) / counts.sum()
