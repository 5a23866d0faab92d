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
from core.adapters.updates import NO_UPDATES, AnyBlockUpdates, AnyUpdate, AnyUpdates
from core.backbones.attention import attend
from core.backbones.frozen_weights import weights
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

    def forward(self, tokens: Tensor, updates: AnyBlockUpdates = NO_UPDATES, *, cls_only: bool = False) -> Tensor:
        """(n, tokens, width) → the same, or (n, 1, width) when only the first row, the class token's, is wanted."""
        kept = tokens[:, :1] if cls_only else tokens
        mix = self._attend_once if cls_only and self._keys_are_linear else self._attend
        mixed = mix(self.norm1(tokens), updates, kept.shape[1])
        kept = kept + self.scale1(_updated(_frozen(self.out, mixed), mixed, updates.get("o")))
        return kept + self.scale2(self._mlp(self.norm2(kept), updates))

    @property
    def _keys_are_linear(self) -> bool:
        return isinstance(self.k_norm, nn.Identity)

    def _attend(self, x: Tensor, updates: AnyBlockUpdates, rows: int) -> Tensor:
        """(n, rows, width): what the first `rows` tokens read from all of x, before the output projection."""
        n, _, width = x.shape
        q, k, v = self._projected(x, updates, rows)
        return attend(q, k, v).transpose(1, 2).reshape(n, rows, width)

    def _projected(self, x: Tensor, updates: AnyBlockUpdates, rows: int) -> tuple[Tensor, Tensor, Tensor]:
        """Queries of the first `rows` tokens, keys and values of all, (n, heads, tokens, width / heads) each."""
        n, _, width = x.shape
        q, k, v = _frozen(self.qkv, x).chunk(3, dim=-1)
        q = _updated(q, x, updates.get("q"))[:, :rows]
        k = _updated(k, x, updates.get("k"))
        v = _updated(v, x, updates.get("v"))

        def per_head(projected: Tensor) -> Tensor:
            return projected.view(n, -1, self.heads, width // self.heads).transpose(1, 2)

        return self.q_norm(per_head(q)), self.k_norm(per_head(k)), per_head(v)

    def class_attention(self, tokens: Tensor, updates: AnyBlockUpdates = NO_UPDATES) -> Tensor:
        """(n, heads, tokens): the share that the first token reads of each of (n, tokens, width); a head's sum to 1."""
        q, k, _ = self._projected(self.norm1(tokens), updates, 1)
        return (q * q.shape[-1] ** -0.5 @ k.transpose(-2, -1)).float().softmax(-1)[:, :, 0]

    def _attend_once(self, x: Tensor, updates: AnyBlockUpdates, rows: int = 1) -> Tensor:
        """`_attend` for one query, without computing a key or a value of any token.

        qᵀ(W_k x_j) = (W_kᵀ q)ᵀ x_j, and Σ_j a_j (W_v x_j) = W_v Σ_j a_j x_j with Σ_j a_j = 1: both projections run once
        per head instead of once per token. The keys' bias adds the same to every score, so it drops out.
        """
        n, _, width = x.shape
        weight, bias = weights(self.qkv)
        weight_q, weight_k, weight_v = weight.chunk(3)
        bias_q, _, bias_v = (None, None, None) if bias is None else bias.chunk(3)
        query = _updated(F.linear(x[:, :1], weight_q, bias_q), x[:, :1], updates.get("q"))
        query = self.q_norm(query.view(n, 1, self.heads, -1).transpose(1, 2))
        own = torch.eye(self.heads, dtype=query.dtype, device=x.device)[:, :, None]
        apart = (query * own).view(n, self.heads, width)  # one row per head, zero outside the head's own part
        key = updates.get("k")
        asked = apart @ weight_k if key is None else apart @ weight_k + key.transposed(apart)
        scores = asked @ x.transpose(1, 2) * (width // self.heads) ** -0.5
        read = scores.softmax(-1).to(x.dtype) @ x
        values = _updated(F.linear(read, weight_v, bias_v), read, updates.get("v"))
        return (values.view(n, self.heads, self.heads, -1) * own).sum(1).view(n, rows, width)

    def _mlp(self, x: Tensor, updates: AnyBlockUpdates) -> Tensor:
        hidden = self.activation(_updated(_frozen(self.fc1, x), x, updates.get("fc1")))
        return _updated(_frozen(self.fc2, hidden), hidden, updates.get("fc2"))


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
        """Tokens per image, class and register tokens included."""
        pixels = torch.zeros(1, 3, self.image_size, self.image_size, device=next(self.parameters()).device)
        with torch.no_grad():
            return int(self.stem(pixels).shape[1])

    def run(
        self, tokens: Tensor, first: int, last: int, updates: AnyUpdates | None = None, *, cls_only: bool = False
    ) -> Tensor:
        """Blocks first … last−1 with `updates`. `cls_only` lets the last of them compute the CLS row alone."""
        updates = updates or {}
        for index in range(first, last):
            tokens = self._block(tokens, index, updates, cls_only and index == last - 1)
        return tokens

    def steps(
        self, tokens: Tensor, first: int, last: int, updates: AnyUpdates | None = None, *, cls_only: bool = False
    ) -> Iterator[Tensor]:
        """The tokens after each of the blocks first … last−1, in turn."""
        for index in range(first, last):
            tokens = self._block(tokens, index, updates or {}, cls_only and index == last - 1)
            yield tokens

    def _block(self, tokens: Tensor, index: int, updates: AnyUpdates, cls_only: bool) -> Tensor:
        after: Tensor = self.blocks[index](tokens, updates.get(index, NO_UPDATES), cls_only=cls_only)
        return after

    def forward(self, images: Tensor, updates: AnyUpdates | None = None) -> Tensor:
        """Embeddings (n, width) of normalised images."""
        return self.readout(self.run(self.stem(images), 0, self.depth, updates, cls_only=self.cls_only))

    def fingerprint(self) -> str:
        """SHA-256 over every weight and the preprocessing, in hexadecimal."""
        digest = hashlib.sha256(repr((self.name, self.preprocessing)).encode())
        for key, value in sorted(self.state_dict().items()):
            digest.update(key.encode())
            digest.update(value.detach().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()


def _frozen(layer: nn.Linear, x: Tensor) -> Tensor:
    return F.linear(x, *weights(layer))


def _updated(projected: Tensor, x: Tensor, update: AnyUpdate | None) -> Tensor:
    return projected if update is None else update.added(projected, x)


def unsupported(model: str, parts: Mapping[str, bool]) -> str | None:
    """One line naming the parts that this forward pass cannot reproduce, or None when there are none."""
    found = [part for part, present in parts.items() if present]
    if not found:
        return None
    return f"{model} uses {', '.join(found)}, which Proteus Lab cannot adapt: choose a plain pre-norm ViT."
