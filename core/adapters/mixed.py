"""Low-rank updates of many tasks in one pass: an image of a batch has its own, and units that hardly count go."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from core.adapters.updates import AnyUpdates, LowRank, RowLowRank, Updates

_GRAIN = 16
"""Units are padded to a multiple of it, so that an image's update is the same bit for bit whatever its company."""


def mixed(updates: Sequence[Updates], owner: Tensor) -> AnyUpdates:
    """Updates that give image i of a batch those of `updates[owner[i]]`; `owner` is (n,).

    Where a task has none at a site, its images get zeros. Raises ValueError for an update that is not low-rank.
    """
    sites = {(block, name): None for each in updates for block, at in each.items() for name in at}
    result: dict[int, dict[str, RowLowRank]] = {}
    for block, name in sites:
        result.setdefault(block, {})[name] = _rows([each.get(block, {}).get(name) for each in updates], owner)
    return result


def _rows(updates: Sequence[object], owner: Tensor) -> RowLowRank:
    present: dict[int, LowRank] = {}
    for task, update in enumerate(updates):
        if isinstance(update, LowRank):
            present[task] = update
        elif update is not None:
            raise ValueError("only low-rank updates can be mixed")
    like = next(iter(present.values()))
    empty = LowRank(like.down[:0], like.up[:, :0], like.coefficients[:0])
    chosen = [present.get(task, empty) for task in range(len(updates))]
    sizes = torch.tensor([max(_GRAIN, -(-len(each.down) // _GRAIN) * _GRAIN) for each in chosen], device=owner.device)
    parts = []
    for size in sizes.unique().tolist():
        members = torch.where(sizes == size)[0]
        here = torch.full((len(chosen),), -1, device=owner.device)
        here[members] = torch.arange(len(members), device=owner.device)
        rows = torch.where(sizes[owner] == size)[0]
        downs = torch.stack([_padded(chosen[task].down, size) for task in members.tolist()])
        ups = torch.stack([_padded((chosen[t].up * chosen[t].coefficients).T, size) for t in members.tolist()])
        parts.append((rows, downs[here[owner[rows]]], ups[here[owner[rows]]]))
    return RowLowRank(tuple(parts), like.up.shape[0])


def _padded(units: Tensor, size: int) -> Tensor:
    return F.pad(units, (0, 0, 0, size - len(units)))


@torch.no_grad()
def pruned(updates: Updates, share: float) -> Updates:
    """Low-rank updates without the units that hardly count.

    At each site the smallest units go as long as the norms |c_u| ‖b_u‖ ‖a_u‖ of all that go sum to at most `share` of
    ‖ΔW‖_F: what is left differs from ΔW by no more than that (triangle inequality). Our decision.
    """
    return {
        block: {name: _pruned(update, share) if isinstance(update, LowRank) else update for name, update in at.items()}
        for block, at in updates.items()
    }


def _pruned(update: LowRank, share: float) -> LowRank:
    up = update.up * update.coefficients
    sizes = up.norm(dim=0) * update.down.norm(dim=1)
    squared = ((up.T @ up) * (update.down @ update.down.T)).sum().clamp_min(0)
    order = sizes.argsort()
    goes = sizes[order].cumsum(0) <= share * squared.sqrt()
    kept = order[~goes].sort().values
    return LowRank(
        update.down[kept].detach(), update.up[:, kept].detach().contiguous(), update.coefficients[kept].detach()
    )
