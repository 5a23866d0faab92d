"""The one forward pass of every backbone: pre-norm ViT blocks written functionally, so that an update of any
projection (q, k, v, o, fc1, fc2) can be added where it belongs, whatever the family's own layers look like.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.adapters.module_list import ModulesOf
from core.adapters.updates import NO_UPDATES, BlockUpdates, Update, Updates
from core.backbones.preprocessing import Preprocessing


class Block(nn.Module):
    """A frozen transformer block: x + ls1(attention(norm1 x)), then x + ls2(mlp(norm2 x))."""

    def __init__(
        self,
        *,
        heads: int,
        norm1: nn.Module,
        norm2: nn.Module,
        qkv: nn.Linear,
        out: nn.Linear,
        fc1: nn.Linear,
        fc2: nn.Linear,
        activation: nn.Module,
        scale1: nn.Module | None = None,
        scale2: nn.Module | None = None,
        q_norm: nn.Module | None = None,
        k_norm: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = norm1, norm2
        self.qkv, self.out, self.fc1, self.fc2 = qkv, out, fc1, fc2
        self.activation = activation
        self.scale1, self.scale2 = scale1 or nn.Identity(), scale2 or nn.Identity()
        self.q_norm, self.k_norm = q_norm or nn.Identity(), k_norm or nn.Identity()

    def forward(self, tokens: Tensor, updates: BlockUpdates = NO_UPDATES, rows: int | None = None) -> Tensor:
        """(n, tokens, width) → the same, or (n, rows, width) when only the first `rows` tokens are wanted.

        Keys and values always see all tokens; with `rows` the queries, the output and the MLP are computed for those
        rows alone, which is all that a CLS readout of the last block needs.
        """
        kept = tokens if rows is None else tokens[:, :rows]
        kept = kept + self.scale1(self._attention(self.norm1(tokens), updates, kept.shape[1]))
        return kept + self.scale2(self._mlp(self.norm2(kept), updates))

    def _attention(self, x: Tensor, updates: BlockUpdates, rows: int) -> Tensor:
        n, tokens, width = x.shape
        queried = x[:, :rows]
        if rows == tokens:
            q, k, v = F.linear(x, self.qkv.weight, self.qkv.bias).chunk(3, dim=-1)
        else:
            bias: Tensor | None = self.qkv.bias  # timm allows none, whatever nn.Linear's annotation says
            bias_q, bias_kv = (None, None) if bias is None else bias.split([width, 2 * width])
            q = F.linear(queried, self.qkv.weight[:width], bias_q)
            k, v = F.linear(x, self.qkv.weight[width:], bias_kv).chunk(2, dim=-1)
        q = _updated(q, queried, updates.get("q"))
        k = _updated(k, x, updates.get("k"))
        v = _updated(v, x, updates.get("v"))

        def per_head(projected: Tensor) -> Tensor:
            return projected.view(n, -1, self.heads, width // self.heads).transpose(1, 2)

        q, k = self.q_norm(per_head(q)), self.k_norm(per_head(k))
        mixed = F.scaled_dot_product_attention(q, k, per_head(v)).transpose(1, 2).reshape(n, rows, width)
        return _updated(self.out(mixed), mixed, updates.get("o"))

    def _mlp(self, x: Tensor, updates: BlockUpdates) -> Tensor:
        hidden = self.activation(_updated(self.fc1(x), x, updates.get("fc1")))
        return _updated(self.fc2(hidden), hidden, updates.get("fc2"))


class Readout(nn.Module):
    """Tokens of the last block → the image's embedding: norm, then the CLS token or the mean patch token."""

    def __init__(self, norm: nn.Module, pool: Literal["cls", "mean"], after: nn.Module | None, prefix: int) -> None:
        super().__init__()
        self.norm, self.after = norm, after or nn.Identity()
        self.pool, self.prefix = pool, prefix

    def forward(self, tokens: Tensor) -> Tensor:
        """(n, tokens, width) → (n, width)."""
        if self.pool == "cls":
            return self.after(self.norm(tokens[:, 0]))
        return self.after(self.norm(tokens)[:, self.prefix :].mean(dim=1))


class Backbone(nn.Module):
    """A frozen ViT: `stem` → blocks 0 … depth−1 → `readout`. Images are (n, 3, image_size, image_size), normalised."""

    def __init__(
        self,
        *,
        name: str,
        title: str,
        family: Literal["timm", "open_clip"],
        stem: nn.Module,
        blocks: list[Block],
        readout: Readout,
        preprocessing: Preprocessing,
    ) -> None:
        super().__init__()
        self.name, self.title, self.family = name, title, family
        self.stem = stem
        self.blocks: ModulesOf[Block] = ModulesOf(blocks)
        self.readout = readout
        self.preprocessing = preprocessing
        self.eval().requires_grad_(False)

    @property
    def depth(self) -> int:
        return len(self.blocks)

    @property
    def width(self) -> int:
        return int(self.blocks[0].out.weight.shape[0])

    @property
    def heads(self) -> int:
        return int(self.blocks[0].heads)

    @property
    def image_size(self) -> int:
        return self.preprocessing.size

    @property
    def cls_only(self) -> bool:
        """Whether the embedding reads nothing but the CLS token of the last block."""
        return self.readout.pool == "cls"

    def site_shape(self, projection: str) -> tuple[int, int]:
        """(out features, in features) of a block's projection."""
        block = self.blocks[0]
        if projection in ("fc1", "fc2"):
            out, width = getattr(block, projection).weight.shape
            return int(out), int(width)
        return self.width, self.width

    def tokens(self) -> int:
        """Tokens an image, class and register tokens included."""
        pixels = torch.zeros(1, 3, self.image_size, self.image_size, device=next(self.parameters()).device)
        with torch.no_grad():
            return int(self.stem(pixels).shape[1])

    def run(
        self, tokens: Tensor, first: int, last: int, updates: Updates | None = None, *, cls_only: bool = False
    ) -> Tensor:
        """Blocks first … last−1 with `updates`. `cls_only` lets the last of them compute the CLS row alone."""
        updates = updates or {}
        for index in range(first, last):
            tokens = self._block(tokens, index, updates, cls_only and index == last - 1)
        return tokens

    def steps(
        self, tokens: Tensor, first: int, last: int, updates: Updates | None = None, *, cls_only: bool = False
    ) -> Iterator[Tensor]:
        """The tokens after each of the blocks first … last−1, in turn."""
        for index in range(first, last):
            tokens = self._block(tokens, index, updates or {}, cls_only and index == last - 1)
            yield tokens

    def _block(self, tokens: Tensor, index: int, updates: Updates, cls_only: bool) -> Tensor:
        after: Tensor = self.blocks[index](tokens, updates.get(index, NO_UPDATES), 1 if cls_only else None)
        return after

    def forward(self, images: Tensor, updates: Updates | None = None) -> Tensor:
        """Embeddings (n, width) of normalised images."""
        return self.readout(self.run(self.stem(images), 0, self.depth, updates, cls_only=self.cls_only))

    def fingerprint(self) -> str:
        """SHA-256 over every weight and the preprocessing, in hexadecimal."""
        digest = hashlib.sha256(repr((self.name, self.preprocessing)).encode())
        for key, value in sorted(self.state_dict().items()):
            digest.update(key.encode())
            digest.update(value.detach().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()


def _updated(projected: Tensor, x: Tensor, update: Update | None) -> Tensor:
    return projected if update is None else projected + update(x)


def unsupported(model: str, parts: Mapping[str, bool]) -> str | None:
    """One line naming the parts that this forward pass cannot reproduce, or None when there are none."""
    found = [part for part, present in parts.items() if present]
    if not found:
        return None
    return f"{model} uses {', '.join(found)}, which Proteus Lab cannot adapt: choose a plain pre-norm ViT."
