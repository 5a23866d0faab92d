"""All tasks' components in one table: one matrix product scores an image against every one, however many tasks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

_ROWS = 4096
"""Images scored at a time, so that memory stays bounded for any number of images."""


@dataclass(frozen=True)
class ComponentTable:
    """log π_k − ½‖z − m_k‖² = z·m_k + (log π_k − ½‖m_k‖²) − ½‖z‖² for K components in one whitened space.

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
