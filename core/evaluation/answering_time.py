"""What an answer costs on this machine: the frozen backbone, LoRA beside its weights, and LoRA folded into them.

Weights of the adapters are random: costs do not depend on what was learned.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
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
    """Milliseconds, the median of a few repeats."""
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
    config: BackboneConfig, every: Sequence[Site], opened: Sequence[Site], rank: int, batch: int = 32, repeats: int = 9
) -> dict[str, Any]:
    """`rows`, AnswerCost of the frozen model, LoRA at `every` site, LoRA at the `opened` ones beside the weights
    ("gated") and folded into them ("merged"); and the `device`. Raises UserError where the backbone cannot be had.
    """
    device = pick_device("auto")
    frozen = load_backbone(config, None, device)
    images = random_images(frozen, batch)
    whole, gated = (random_updates(frozen, sites, rank) for sites in (every, opened))
    folded = merged(frozen, gated)
    with torch.inference_mode():
        gap = float((folded(images) - frozen(images, gated)).abs().max())
    rows = [
        asdict(answer_cost("frozen", frozen, None, images, repeats)),
        asdict(answer_cost("unmerged", frozen, whole, images, repeats, stored_bytes(whole))),
        asdict(answer_cost("gated", frozen, gated, images, repeats, stored_bytes(gated))),
        asdict(answer_cost("merged", folded, None, images, repeats, stored_bytes(gated))) | {"gap": gap},
    ]
    return {"rows": rows, "device": device.type, "threads": torch.get_num_threads(), "batch": batch}
