"""Low-rank updates of many tasks in one pass: each image of a batch has its own, and negligible units are left out."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from core.adapters.updates import AnyUpdates, LowRank, RowLowRank, Updates


def mixed(updates: Sequence[Updates], owner: Tensor) -> AnyUpdates:
    """Updates that give image i of a batch those of `updates[owner[i]]`; `owner` is (n,).

    Where a task has none at a site, its images get zeros. Raises ValueError for an update that is not low-rank.
    """
    sites = {(block, name): None for each in updates for block, at in each.items() for name in at}
    owners = owner.tolist()
    result: dict[int, dict[str, RowLowRank]] = {}
    for block, name in sites:
        result.setdefault(block, {})[name] = _rows([each.get(block, {}).get(name) for each in updates], owners)
    return result


def _rows(updates: Sequence[object], owners: list[int]) -> RowLowRank:
    present: dict[int, LowRank] = {}
    for task, update in enumerate(updates):
        if isinstance(update, LowRank):
            present[task] = update
        elif update is not None:
            raise ValueError("only low-rank updates can be mixed")
    like = next(iter(present.values()))
    empty = LowRank(like.down[:0], like.up[:, :0], like.coefficients[:0])
    units = [present.get(task, empty).stackable for task in range(len(updates))]
    alike: dict[int, list[int]] = {}
    for row, task in enumerate(owners):
        alike.setdefault(len(units[task][0]), []).append(row)
    parts = [
        (
            torch.tensor(rows, device=like.down.device),
            torch.stack([units[owners[row]][0] for row in rows]),
            torch.stack([units[owners[row]][1] for row in rows]),
        )
        for _, rows in sorted(alike.items())
    ]
    return RowLowRank(tuple(parts))


@torch.no_grad()
def pruned(updates: Updates, share: float) -> Updates:
    """Low-rank updates without their negligible units.

    At each site the smallest units are left out as long as their norms |c_u| ‖b_u‖ ‖a_u‖ sum to at most `share` of
    ‖ΔW‖_F: what remains differs from ΔW by no more than that (triangle inequality). Our decision.
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
