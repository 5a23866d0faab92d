"""open_clip vision towers as backbones.

open_clip's attention is `nn.MultiheadAttention` with one fused `in_proj_weight`, whose fast path ignores a wrapped
`out_proj`; our Block takes the weights themselves, so every projection can be adapted.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import open_clip
from open_clip.transformer import ResidualAttentionBlock, VisionTransformer
from torch import Tensor, nn

from core.backbones.hub import hub_access
from core.backbones.preprocessing import Preprocessing
from core.backbones.vit import Backbone, Block, Readout, unsupported
from core.errors import UserError, unknown


def load_clip(name: str, pretrained: str | None, image_size: int | None) -> Backbone:
    """The vision tower of open_clip's `name`, a model name or the path of a model configuration (.json).

    `pretrained` is a tag of the hub or a local checkpoint; None is the first tag that open_clip lists.
    Raises UserError for an unknown name or tag, weights that cannot be had, or a tower that is not a plain ViT.
    """
    model, name, pretrained = load_both_towers(name, pretrained, image_size)
    source = "local checkpoint" if Path(pretrained).is_file() else pretrained
    return _backbone(model.visual, f"open_clip/{name}", f"{name} ({source})")


def load_both_towers(name: str, pretrained: str | None, image_size: int | None) -> tuple[Any, str, str]:
    """open_clip's own model, in evaluation mode, with the registered name and the tag or file that it came from.

    Raises UserError as `load_clip` does.
    """
    name, pretrained = resolved(name, pretrained)
    with hub_access(f"open_clip/{name}"):
        model = open_clip.create_model(name, pretrained=pretrained, force_image_size=image_size)
    return model.eval(), name, pretrained


def resolved(name: str, pretrained: str | None) -> tuple[str, str]:
    """The registered name of a model, and the tag or file of its weights. Raises UserError as `load_clip` does."""
    name = _registered(name)
    pretrained = pretrained or _first_tag(name)
    local = Path(pretrained).is_file()
    if not local and ("/" in pretrained or pretrained.endswith((".pt", ".bin", ".safetensors"))):
        raise UserError(f"No checkpoint file at {pretrained}: check backbone.pretrained.")
    if not local and not open_clip.is_pretrained_cfg(name, pretrained):
        raise unknown(f"pretrained tag of {name}", pretrained, open_clip.list_pretrained_tags_by_model(name))
    return name, pretrained


def _registered(name: str) -> str:
    if name.endswith(".json"):
        if not Path(name).is_file():
            raise UserError(f"No open_clip model configuration at {name}: check backbone.name.")
        open_clip.add_model_config(Path(name))
        name = Path(name).stem
    if name not in open_clip.list_models():
        raise unknown("open_clip model", name, [m for m in open_clip.list_models() if m.startswith("ViT")])
    return name


def _first_tag(name: str) -> str:
    tags = open_clip.list_pretrained_tags_by_model(name)
    if not tags:
        raise UserError(f"open_clip has no weights for {name}: give a checkpoint with backbone.pretrained.")
    return str(tags[0])


class _Stem(nn.Module):
    """Patches, class token, positions and ln_pre: everything before the first block."""

    def __init__(self, visual: VisionTransformer) -> None:
        super().__init__()
        visual.transformer.resblocks = nn.ModuleList()
        visual.ln_post, visual.proj = nn.Identity(), None
        self.visual = visual

    def forward(self, images: Tensor) -> Tensor:
        return self.visual._embeds(images)


def _backbone(visual: nn.Module, name: str, title: str) -> Backbone:
    if not isinstance(visual, VisionTransformer):
        raise UserError(f"{name} has a {type(visual).__name__} tower, not a VisionTransformer: choose a ViT.")
    blocks = list(visual.transformer.resblocks)
    fault = unsupported(
        name,
        {
            "blocks of another kind": any(type(block) is not ResidualAttentionBlock for block in blocks),
            "attention pooling": visual.attn_pool is not None,
            "no pooling": visual.pool_type not in ("tok", "avg"),
        },
    )
    if fault:
        raise UserError(fault)
    mean_first = visual.pool_type == "avg" and visual.final_ln_after_pool
    readout = Readout(
        nn.Identity() if mean_first else visual.ln_post,
        "cls" if visual.pool_type == "tok" else "mean",
        visual.ln_post if mean_first else None,
        prefix=1,
    )
    settings = visual.preprocess_cfg
    return Backbone(
        name=name,
        title=title,
        family="open_clip",
        blocks=[_block(block) for block in blocks],
        readout=readout,
        stem=_Stem(visual),
        preprocessing=Preprocessing(
            visual.image_size[0],
            tuple(settings["mean"]),
            tuple(settings["std"]),
            "bilinear" if settings["interpolation"] == "bilinear" else "bicubic",
        ),
    )


def _block(block: ResidualAttentionBlock) -> Block:
    attention = block.attn
    qkv = nn.Linear(attention.embed_dim, 3 * attention.embed_dim)
    qkv.weight, qkv.bias = attention.in_proj_weight, attention.in_proj_bias
    return Block(
        heads=attention.num_heads,
        norm1=block.ln_1,
        norm2=block.ln_2,
        qkv=qkv,
        out=attention.out_proj,
        fc1=block.mlp.c_fc,
        fc2=block.mlp.c_proj,
        activation=block.mlp.gelu,
        scale1=block.ls_1,
        scale2=block.ls_2,
    )
