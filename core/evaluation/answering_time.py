"""What an answer costs on this machine: the frozen backbone, LoRA beside its weights, and LoRA folded into them.

Weights of the adapters are random: costs do not depend on what was learned.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from core.adapters.merge import merged
from core.adapters.sites import Site
from core.adapters.updates import LowRank, Updates
from core.backbones import load_backbone
from core.backbones.vit import Backbone
from core.config import BackboneConfig
from core.evaluation.cost import flops_per_image, milliseconds_per_image
from core.training.device import pick_device

BYTES = 4
"""A stored number: adapters are kept in float32."""


@dataclass(frozen=True)
class AnswerCost:
    """What one image costs."""

    what: str
    flops: float
    ms: float
    """Milliseconds: the median of a few repeats, or the quickest of many rounds (`four_ways`)."""
    bytes: int
    """Of the adapter's tensors; 0 where there is none beside the weights."""
    gap: float | None = None
    """The largest difference to the same model unmerged; None where nothing was merged."""


def random_updates(backbone: Backbone, sites: Sequence[Site], rank: int) -> Updates:
    """Low-rank updates with random weights at the `sites`."""
    generator = torch.Generator().manual_seed(rank)
    device = next(backbone.parameters()).device
    updates: dict[int, dict[str, LowRank]] = {}
    for site in sites:
        width_out, width_in = backbone.site_shape(site.projection)
        down = torch.randn(rank, width_in, generator=generator) / width_in**0.5
        up = torch.randn(width_out, rank, generator=generator) * 0.05 / rank**0.5
        update = LowRank(down.to(device), up.to(device), torch.ones(rank, device=device))
        updates.setdefault(site.block, {})[site.projection] = update
    return updates


def stored_bytes(updates: Updates) -> int:
    """What the low-rank tensors of `updates` take in a file."""
    parts = [part for block in updates.values() for part in block.values() if isinstance(part, LowRank)]
    return BYTES * sum(part.down.numel() + part.up.numel() for part in parts)


def answer_cost(
    what: str, backbone: Backbone, updates: Updates | None, images: Tensor, repeats: int, stored: int = 0
) -> AnswerCost:
    """Measured now, on the device of `images` (n, 3, height, width)."""

    def answer(batch: Tensor) -> Tensor:
        return backbone(batch, updates)

    flops = flops_per_image(answer, images)
    return AnswerCost(what, flops, milliseconds_per_image(answer, images, repeats), stored)


def random_images(backbone: Backbone, count: int) -> Tensor:
    """(count, 3, side, side) noise in the size that the backbone sees, on its device."""
    side = backbone.image_size
    images = torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(0))
    return images.to(next(backbone.parameters()).device)


def four_ways(
    config: BackboneConfig, every: Sequence[Site], opened: Sequence[Site], rank: int, batch: int = 16, rounds: int = 30
) -> dict[str, Any]:
    """`rows`, AnswerCost of the frozen model, LoRA at `every` site ("unmerged"), LoRA at the `opened` ones beside the
    weights ("gated") and folded into them ("merged"); and the `device`, `threads`, `batch` and `rounds`.

    Made for machines that do other things too. The four take turns, and the quickest of each one's rounds counts:
    another program can only make them slower. A CPU answers on one thread, because one that has to wait holds up all
    others. Raises UserError where the backbone cannot be had.
    """
    device = pick_device("auto")
    frozen = load_backbone(config, None, device)
    images = random_images(frozen, batch)
    whole, gated = (random_updates(frozen, sites, rank) for sites in (every, opened))
    folded = merged(frozen, gated)
    with torch.inference_mode():
        gap = float((folded(images) - frozen(images, gated)).abs().max())
    ways: dict[str, tuple[Backbone, Updates | None, int]] = {
        "frozen": (frozen, None, 0),
        "unmerged": (frozen, whole, stored_bytes(whole)),
        "gated": (frozen, gated, stored_bytes(gated)),
        "merged": (folded, None, stored_bytes(gated)),
    }
    taken = dict.fromkeys(ways, math.inf)
    with _one_thread():
        for turn in range(rounds + 1):
            for what, (backbone, updates, _) in ways.items():
                ms = milliseconds_per_image(partial(backbone, updates=updates), images, repeats=1, warm_up=0)
                if turn:  # the first round only warms up
                    taken[what] = min(taken[what], ms)
    rows = [
        AnswerCost(what, flops_per_image(partial(backbone, updates=updates), images), taken[what], stored)
        for what, (backbone, updates, stored) in ways.items()
    ]
    rows[-1] = replace(rows[-1], gap=gap)
    told = {"device": device.type, "threads": 1, "batch": batch, "rounds": rounds}
    return {"rows": [asdict(row) for row in rows], **told}


@contextmanager
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
