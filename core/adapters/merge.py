"""Folding updates into the weights that they change: the same function at the cost of the plain backbone."""

from __future__ import annotations

from copy import deepcopy

import torch

from core.adapters.updates import BlockUpdates, Updates
from core.backbones.vit import Backbone, Block


@torch.no_grad()
def merged(backbone: Backbone, updates: Updates) -> Backbone:
    """A backbone whose plain pass is `backbone`'s pass with `updates`.

    W x + ΔW x = (W + ΔW) x (Hu et al. 2021, section 4.1), added in float32. Blocks without an update are `backbone`'s
    own, not copies.
    """
    blocks = [
        _merged_block(block, updates[index]) if updates.get(index) else block
        for index, block in enumerate(backbone.blocks)
    ]
    return Backbone(
        name=backbone.name,
        title=backbone.title,
        family=backbone.family,
        stem=backbone.stem,
        blocks=blocks,
        readout=backbone.readout,
        preprocessing=backbone.preprocessing,
    )


def _merged_block(block: Block, updates: BlockUpdates) -> Block:
    changed = deepcopy(block)
    width = changed.out.weight.shape[0]
    rows = {name: changed.qkv.weight[place * width : (place + 1) * width] for place, name in enumerate("qkv")}
    weights = {**rows, "o": changed.out.weight, "fc1": changed.fc1.weight, "fc2": changed.fc2.weight}
    for projection, update in updates.items():
        weight: torch.Tensor = weights[projection]
        weight.copy_(weight.float() + update.matrix().float())
    return changed
