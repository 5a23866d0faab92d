"""timm VisionTransformers as backbones, the embedded DINOv2 and the tiny test model among them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import timm
import torch
from timm.layers import Attention, Mlp, resample_abs_pos_embed
from timm.models.vision_transformer import Block as TimmBlock
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from core.backbones.hub import hub_access
from core.backbones.preprocessing import Preprocessing
from core.backbones.vit import Backbone, Block, Readout, unsupported
from core.backbones.weights import load_dinov2_s14
from core.config import BackboneConfig
from core.errors import UserError, unknown

DINOV2_TITLE = "dinov2-s14 (saliency-tuned)"
_DINOV2_PATCH = 14
_DINOV2_SIZE = 98
"""Our decision: a quarter of the cost of 224 px, and no worse on small images."""
_IMAGENET_MEAN, _IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def is_timm(name: str) -> bool:
    """Whether timm knows a model of this name (a tag after a dot is allowed)."""
    return timm.is_model(name.partition(".")[0])


def stock_model(config: BackboneConfig, image_size: int | None) -> VisionTransformer:
    """timm's own model with the weights of the backbone that `config` names, for adapters that are used elsewhere.

    Raises UserError as the loaders below do, and for a backbone that is not timm's.
    """
    size = config.image_size or image_size
    if config.name == "tiny":
        return _stock_tiny(size).eval()
    if config.name == "dinov2-s14":
        return _stock_dinov2(size).eval()
    if config.name.startswith("open_clip/"):
        raise UserError(f"{config.name} is open_clip's model: make it with open_clip.create_model.")
    return _stock_timm(config.name.removeprefix("timm/"), config.pretrained, size).eval()


def load_timm(name: str, pretrained: str | None, image_size: int | None) -> Backbone:
    """A timm ViT with its hub weights, or with those of a local checkpoint file.

    Raises UserError for an unknown name, weights that cannot be had, or an architecture that is not a plain ViT.
    """
    return _backbone(_stock_timm(name, pretrained, image_size), f"timm/{name}", f"timm/{name}")


def _stock_timm(name: str, pretrained: str | None, image_size: int | None) -> VisionTransformer:
    if not is_timm(name):
        raise unknown("timm model", name, timm.list_models("vit_*"))
    settings: dict[str, Any] = {"num_classes": 0}
    if image_size:
        settings["img_size"] = image_size
    if pretrained:
        path = Path(pretrained)
        if not path.is_file():
            raise UserError(f"No checkpoint file at {path}: check backbone.pretrained.")
        settings["pretrained_cfg_overlay"] = {"file": str(path)}
    with hub_access(f"timm/{name}"):
        return timm.create_model(name, pretrained=True, **settings)


def load_dinov2(image_size: int | None) -> Backbone:
    """The embedded default backbone. The side of its images must be a multiple of the 14-pixel patch."""
    preprocessing = Preprocessing(image_size or _DINOV2_SIZE, _IMAGENET_MEAN, _IMAGENET_STD)
    return _backbone(_stock_dinov2(image_size), "dinov2-s14", DINOV2_TITLE, preprocessing)


def _stock_dinov2(image_size: int | None) -> VisionTransformer:
    size = image_size or _DINOV2_SIZE
    _check_side(size, _DINOV2_PATCH)
    model = timm.create_model("vit_small_patch14_dinov2", pretrained=False, num_classes=0, img_size=size)
    weights = load_dinov2_s14()
    grid = size // _DINOV2_PATCH
    weights["pos_embed"] = resample_abs_pos_embed(weights["pos_embed"], new_size=[grid, grid], num_prefix_tokens=1)
    model.load_state_dict(weights, strict=True)
    return model


def load_tiny(image_size: int | None) -> Backbone:
    """A random ViT, always the same one: 4 blocks, width 32, 4-pixel patches."""
    preprocessing = Preprocessing(image_size or 16, (0.5,) * 3, (0.5,) * 3)
    return _backbone(_stock_tiny(image_size), "tiny", "tiny (random)", preprocessing)


def _stock_tiny(image_size: int | None) -> VisionTransformer:
    _check_side(image_size or 16, 4)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = VisionTransformer(
            img_size=image_size or 16, patch_size=4, embed_dim=32, depth=4, num_heads=2, num_classes=0
        )
        for parameter in model.parameters():
            if parameter.dim() > 1:
                nn.init.normal_(parameter, std=parameter.shape[-1] ** -0.5)
    return model


def _check_side(size: int, patch: int) -> None:
    if size % patch:
        below = max(1, size // patch) * patch
        raise UserError(
            f"image size {size} does not divide into {patch}-pixel patches: use {below} or {below + patch}."
        )


class _Stem(nn.Module):
    """Patches, class and register tokens, positions: everything before the first block."""

    def __init__(self, model: VisionTransformer) -> None:
        super().__init__()
        model.blocks = nn.Sequential()
        model.norm = model.head = model.fc_norm = nn.Identity()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        tokens = self.model._pos_embed(self.model.patch_embed(images))
        return self.model.norm_pre(tokens)


def _backbone(model: nn.Module, name: str, title: str, preprocessing: Preprocessing | None = None) -> Backbone:
    if not isinstance(model, VisionTransformer):
        raise UserError(f"{name} is a {type(model).__name__}, not a VisionTransformer: choose a plain ViT.")
    fault = unsupported(
        name,
        {
            "blocks of another kind": any(type(block) is not TimmBlock for block in model.blocks),
            "attention pooling": getattr(model, "attn_pool", None) is not None,
            f"{model.global_pool} pooling": model.global_pool not in ("token", "avg"),
        },
    )
    if fault:
        raise UserError(fault)
    return Backbone(
        name=name,
        title=title,
        family="timm",
        blocks=[_block(block, name) for block in model.blocks],
        readout=Readout(
            model.norm, "cls" if model.global_pool == "token" else "mean", model.fc_norm, model.num_prefix_tokens
        ),
        stem=_Stem(model),
        preprocessing=preprocessing or _preprocessing(model),
    )


def _block(block: TimmBlock, name: str) -> Block:
    attention, mlp = block.attn, block.mlp
    fault = unsupported(
        name,
        {
            f"{type(attention).__name__} attention": type(attention) is not Attention,
            f"a {type(mlp).__name__} MLP": type(mlp) is not Mlp,
            "gated attention": getattr(attention, "gate", None) is not None,
            "a norm inside attention": not isinstance(getattr(attention, "norm", nn.Identity()), nn.Identity),
            "a norm inside the MLP": not isinstance(getattr(mlp, "norm", nn.Identity()), nn.Identity),
        },
    )
    if fault:
        raise UserError(fault)
    return Block(
        heads=attention.num_heads,
        norm1=block.norm1,
        norm2=block.norm2,
        qkv=attention.qkv,
        out=attention.proj,
        fc1=mlp.fc1,
        fc2=mlp.fc2,
        activation=mlp.act,
        scale1=block.ls1,
        scale2=block.ls2,
        q_norm=attention.q_norm,
        k_norm=attention.k_norm,
    )


def _preprocessing(model: VisionTransformer) -> Preprocessing:
    config = timm.data.resolve_data_config(model=model)
    size = model.patch_embed.img_size[0]
    interpolation: Literal["bilinear", "bicubic"] = "bilinear" if config["interpolation"] == "bilinear" else "bicubic"
    return Preprocessing(size, tuple(config["mean"]), tuple(config["std"]), interpolation, float(config["crop_pct"]))
