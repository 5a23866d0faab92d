"""What a method may see of a set of images: frozen features, and embeddings with adapters, computed on demand."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Embed = Callable[[int, Tensor], Tensor]
"""(task, rows (m,)) → embeddings (m, width) of those images with that task's adapters."""


class Inputs:
    """n images. `frozen` is (n, features); `labels` and `tasks` (n,) are for fitting and for the oracle alone."""

    def __init__(
        self, frozen: Tensor, embed: Embed, *, labels: Tensor, tasks: Tensor, memo: Memo | None = None
    ) -> None:
        """`memo` carries embeddings over from earlier calls, for as long as the method has not moved them."""
        self.frozen, self.labels, self.tasks = frozen, labels, tasks
        self._embed = embed
        self._memo: Memo = {} if memo is None else memo

    def __len__(self) -> int:
        return len(self.frozen)

    def embedding(self, task: int, rows: Tensor | None = None) -> Tensor:
        """(n, width), or (len(rows), width), with task `task`'s adapters; each is computed once."""
        rows = torch.arange(len(self)) if rows is None else rows.cpu()
        known, values = self._memo.get(task, (torch.zeros(len(self), dtype=torch.bool), None))
        missing = rows[~known[rows]]
        if len(missing) or values is None:
            fresh = self._embed(task, missing)
            if values is None:
                values = fresh.new_zeros(len(self), fresh.shape[1])
            values[missing.to(values.device)] = fresh
            known[missing] = True
            self._memo[task] = (known, values)
        return values[rows.to(values.device)]


Memo = dict[int, tuple[Tensor, Tensor]]
"""Task → which images are known (n,), and their embeddings (n, width)."""
