"""Zero-shot classification with open_clip's text tower: class names in sentences are compared with an image.

Published: CLIP (Radford et al. 2021, section 3.1). The score is the cosine similarity of the projected image and the
class's text features, which are the normalised mean, over sentence templates, of normalised features.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import open_clip
import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from core.backbones.clip_vit import load_both_towers, resolved
from core.files import cache_folder, replacing

_BATCH = 64


@dataclass(frozen=True)
class ZeroShot:
    """A classifier of class names. `text` (classes, dimensions) is normalised; `projection` is (width, dimensions)."""

    text: Tensor
    projection: Tensor
    scale: Tensor

    def logits(self, embedding: Tensor) -> Tensor:
        """(n, classes) of a backbone's embeddings (n, width): those of open_clip's own forward pass."""
        image = F.normalize(embedding.float() @ self.projection, dim=1)
        return self.scale * image @ self.text.T

    def to(self, device: torch.device) -> ZeroShot:
        return ZeroShot(self.text.to(device), self.projection.to(device), self.scale.to(device))


def zero_shot(
    name: str,
    pretrained: str | None,
    class_names: Sequence[str],
    templates: Sequence[str],
    cache: Path | None = None,
) -> ZeroShot:
    """The classifier for `class_names` of open_clip's `name`, on the CPU.

    Text features are kept in `cache` (by default the folder `text` of the user's cache), so that the text tower runs
    once for a model, its weights, the names and the templates. Raises UserError as `load_clip` does.
    """
    name, pretrained = resolved(name, pretrained)
    file = (cache or cache_folder() / "text") / f"{_key(name, pretrained, class_names, templates)}.safetensors"
    kept = _kept(file)
    if kept is None:
        kept = _computed(name, pretrained, class_names, templates)
        with contextlib.suppress(OSError):  # a cache that cannot be written costs time, not the run
            _keep(file, kept)
    return kept


@torch.no_grad()
def _computed(name: str, pretrained: str, class_names: Sequence[str], templates: Sequence[str]) -> ZeroShot:
    model, _, _ = load_both_towers(name, pretrained, None)
    tokenizer = open_clip.get_tokenizer(name)
    total: Tensor | int = 0
    for template in templates:
        sentences = [template.replace("{}", spoken(class_name)) for class_name in class_names]
        parts = [model.encode_text(tokens, normalize=True) for tokens in tokenizer(sentences).split(_BATCH)]
        total = total + torch.cat(parts).float()
    text = F.normalize(torch.as_tensor(total) / len(templates), dim=1)
    projection = model.visual.proj
    if projection is None:
        projection = torch.eye(text.shape[1])
    return ZeroShot(text, projection.detach().float(), model.logit_scale.exp().detach().float())


def spoken(class_name: str) -> str:
    """A class's name as it is said: 'maple_tree' becomes 'maple tree', and a task's prefix is left out."""
    return " ".join(class_name.rpartition("--")[2].replace("_", " ").split())


def _key(name: str, pretrained: str, class_names: Sequence[str], templates: Sequence[str]) -> str:
    """SHA-256 of all that decides the features; a local checkpoint counts by its content."""
    source = pretrained
    if Path(pretrained).is_file():
        with open(pretrained, "rb") as file:
            source = hashlib.file_digest(file, "sha256").hexdigest()
    return hashlib.sha256(repr((name, source, tuple(class_names), tuple(templates))).encode()).hexdigest()


def _kept(file: Path) -> ZeroShot | None:
    """The features that were kept; None where the file is missing or damaged."""
    try:
        kept = load_file(file)
        return ZeroShot(kept["text"], kept["projection"], kept["scale"])
    except (OSError, SafetensorError, KeyError):
        return None


def _keep(file: Path, made: ZeroShot) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    tensors = {"text": made.text, "projection": made.projection, "scale": made.scale}
    with replacing(file) as target:
        target.write(save({key: value.contiguous() for key, value in tensors.items()}))
