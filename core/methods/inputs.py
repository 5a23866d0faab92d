"""What a method may see of a set of images: frozen features, and embeddings with adapters, computed on demand."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Embed = Callable[[Tensor, Tensor], Tensor]
"""(tasks (m,), rows (m,)) → embeddings (m, width): image rows[i] with the adapters of tasks[i]."""


class Memo:
    """Embeddings known so far, by task and image; only those asked for take memory."""

    def __init__(self) -> None:
        self._places: dict[int, Tensor] = {}
        """Task → where each image's embedding lies in `_values`; −1 for those not known."""
        self._values: Tensor | None = None
        self._used = 0

    def clear(self) -> None:
        """Forget everything."""
        self._places.clear()
        self._values, self._used = None, 0

    def knows(self, tasks: Tensor, rows: Tensor) -> Tensor:
        """(m,) whether each (task, image) is here."""
        known = torch.zeros(len(rows), dtype=torch.bool)
        for task in tasks.unique().tolist():
            if task in self._places:
                asked = tasks == task
                known[asked] = self._places[task][rows[asked]] >= 0
        return known

    def keep(self, tasks: Tensor, rows: Tensor, values: Tensor, images: int) -> None:
        """Remember embeddings (m, width) of some of `images` images."""
        places = self._room(values) + torch.arange(len(values))
        for task in tasks.unique().tolist():
            at = self._places.setdefault(task, torch.full((images,), -1))
            at[rows[tasks == task]] = places[tasks == task]

    def _room(self, values: Tensor) -> int:
        """Append `values`, doubling the store where it is full; returns where they begin."""
        start, self._used = self._used, self._used + len(values)
        if self._values is None or self._used > len(self._values):
            grown = values.new_empty(max(self._used, 2 * start), values.shape[1])
            if self._values is not None:
                grown[:start] = self._values[:start]
            self._values = grown
        self._values[start : self._used] = values
        return start

    def read(self, task: int, rows: Tensor) -> Tensor:
        """(len(rows), width) of images that are known."""
        assert self._values is not None
        if task not in self._places:  # nothing was asked for
            return self._values[:0]
        return self._values[self._places[task][rows].to(self._values.device)]


class Inputs:
    """n images. `frozen` is (n, features); `labels` and `tasks` (n,) are for fitting and for the oracle alone."""

    def __init__(
        self, frozen: Tensor, embed: Embed, *, labels: Tensor, tasks: Tensor, memo: Memo | None = None
    ) -> None:
        """`memo` carries embeddings over from earlier calls, for as long as the method has not moved them."""
        self.frozen, self.labels, self.tasks = frozen, labels, tasks
        self._embed = embed
        self._memo = Memo() if memo is None else memo

    def __len__(self) -> int:
        return len(self.frozen)

    def prepare(self, tasks: Tensor, rows: Tensor) -> None:
        """Compute in one go what is not known of: image rows[i] with the adapters of tasks[i], both (m,)."""
        tasks, rows = tasks.cpu(), rows.cpu()
        missing = ~self._memo.knows(tasks, rows)
        if missing.any() or not len(rows):
            tasks, rows = tasks[missing], rows[missing]
            self._memo.keep(tasks, rows, self._embed(tasks, rows), len(self))

    def prepare_all(self, tasks: int) -> None:
        """`prepare` every image with each of the first `tasks` tasks' adapters."""
        rows = torch.arange(len(self))
        self.prepare(torch.arange(tasks).repeat(len(self)), rows.repeat_interleave(tasks))

    def embedding(self, task: int, rows: Tensor | None = None) -> Tensor:
        """(n, width), or (len(rows), width), with task `task`'s adapters; each is computed once."""
        rows = torch.arange(len(self)) if rows is None else rows.cpu()
        self.prepare(torch.full_like(rows, task), rows)
        return self._memo.read(task, rows)
