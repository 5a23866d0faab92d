"""What timm, open_clip and transformers call the sites: which of ours a module of theirs is."""

from __future__ import annotations

import re

from core.adapters.sites import Site

FUSED = ("q", "k", "v")
"""Projections that timm and open_clip keep in one matrix, in this order."""
_QKV = "qkv"
_NUMBER = r"(?:^|\.)%s\.(\d+)\."
_ATTENTION = r"attention\.(?:attention\.)?"
_READ: tuple[tuple[str, str, str], ...] = (
    # timm
    ("blocks", r"attn\.qkv", _QKV),
    ("blocks", r"attn\.proj", "o"),
    ("blocks", r"mlp\.(fc[12])", ""),
    # open_clip; peft wraps the output projection together with the attention
    ("resblocks", r"attn", _QKV),
    ("resblocks", r"attn(?:\.base_layer)?\.out_proj", "o"),
    ("resblocks", r"mlp\.c_fc", "fc1"),
    ("resblocks", r"mlp\.c_proj", "fc2"),
    # transformers, before and since its version 5
    *(("layers?", f"{_ATTENTION}(?:{name[0]}_proj|{name})", name[0]) for name in ("query", "key", "value")),
    ("layers?", r"attention\.(?:output\.dense|o_proj)", "o"),
    ("layers?", r"(?:intermediate\.dense|mlp\.fc1)", "fc1"),
    ("layers?", r"(?:output\.dense|mlp\.fc2)", "fc2"),
)
_PATTERNS = [(re.compile(_NUMBER % stem + part + r"\Z"), projection) for stem, part, projection in _READ]


def sites_of_module(module: str) -> tuple[Site, ...]:
    """The site that a module is, or the three of a fused q, k, v; none where it is no projection of a ViT's block."""
    for pattern, projection in _PATTERNS:
        if found := pattern.search(module):
            block = int(found[1])
            if projection == _QKV:
                return tuple(Site(block, name) for name in FUSED)
            return (Site(block, projection or found[2]),)
    return ()
