"""One frozen pass over a set of images: frozen features of all of them, and the tokens that adapters start from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

from core.adapters.updates import NO_UPDATES, AnyUpdates
from core.backbones.features import FrozenFeatures, Piece
from core.backbones.vit import Backbone
from core.data.images import ArrayPicture, ImageSet, Item
from core.training.device import Precision, autocast
from core.training.token_store import TokenCache, TokenStore

ENCODE_BATCH = 64
"""Images per frozen pass. It is fixed and counted from the start of a set, so a resumed run sees the same batches.

On a CPU an image's result is the same bit for bit whatever else is in its batch (tested). A GPU may choose another
kernel for another batch size, so batches are filled up to this size there.
"""

Advance = Callable[[int], None]
"""Called with the number of images just done."""


class EncodedImages:
    """n images after the frozen pass: `frozen` (n, features) float32 on the device, empty where no method reads it."""

    def __init__(
        self,
        encoder: Encoder,
        images: ImageSet,
        frozen: Tensor,
        embedding: Tensor | None,
        store: TokenStore | None,
        pixels: TokenStore | None = None,
    ) -> None:
        """Without an `embedding` the pass ended at the first adapted block, and goes on when it is asked for.

        `pixels` are the decoded images, kept where their tokens are not.
        """
        self.images, self.frozen, self._embedding = images, frozen, embedding
        self.pixels = pixels
        self.labels = torch.tensor(images.labels).to(frozen.device)
        self._encoder, self.store = encoder, store

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def embedding(self) -> Tensor:
        """Final embedding of the frozen backbone, (n, width) float32 on the device."""
        if self._embedding is None:
            parts = [torch.empty(0, self._encoder.backbone.width, device=self.frozen.device)]
            for start in range(0, len(self), ENCODE_BATCH):
                rows = torch.arange(start, min(start + ENCODE_BATCH, len(self)))
                parts.append(self._encoder.finish(self.tokens(rows)))
            self._embedding = torch.cat(parts)
        return self._embedding

    def tokens(self, rows: Tensor) -> Tensor:
        """(len(rows), tokens, width) entering the first adapted block, on the device. `rows` is on the CPU.

        They come from the cache, or are computed afresh where there is none: the numbers are the same.
        """
        if self.store is not None:
            return self.store.read(rows).to(self.frozen.device)
        decoded = self._encoder.decoded(self.images, rows) if self.pixels is None else self.pixels.read(rows)
        return self._encoder.prefix(decoded)

    def subset(self, rows: Tensor) -> EncodedImages:
        """Those images alone, their tokens copied, so that the rest can be let go. `rows` is on the CPU."""
        store, pixels = (None if kept is None else TokenStore.of(kept.read(rows)) for kept in (self.store, self.pixels))
        here = rows.to(self.frozen.device)
        images = self.images.subset(rows.numpy())
        embedding = None if self._embedding is None else self._embedding[here]
        return EncodedImages(self._encoder, images, self.frozen[here], embedding, store, pixels)


@dataclass
class KnownImages:
    """What has been encoded already, image by image."""

    rows: dict[str, int] = field(default_factory=dict)
    """Where an image is in the lists, by its identity."""
    frozen: list[Tensor] = field(default_factory=list)
    embedding: list[Tensor] = field(default_factory=list)
    tokens: list[Tensor] = field(default_factory=list)
    """Empty where no method asked for tokens."""

    def add(self, identities: Sequence[str], data: EncodedImages) -> None:
        """Remember freshly encoded images."""
        for identity in identities:
            self.rows[identity] = len(self.rows)
        self.frozen += data.frozen
        self.embedding += data.embedding
        if data.store is not None:
            self.tokens += data.store.read(torch.arange(len(data)))


Encodings = dict[tuple[str, ...], KnownImages]
"""Frozen passes that several runs of one process share, by what decides their result. All are kept in memory."""


class Encoder:
    """Runs images through the frozen backbone, for a method whose adapters start at `first_block`."""

    def __init__(
        self,
        backbone: Backbone,
        features: FrozenFeatures,
        first_block: int,
        precision: Precision,
        cache: TokenCache,
        shared: Encodings | None = None,
        views: int = 1,
        reads_frozen: bool = True,
    ) -> None:
        """Without `reads_frozen` a pass ends at `first_block`: no frozen features, embeddings only when asked for.

        `shared` keeps every pass in memory and looks there first.

        With two `views` the frozen features are the mean of the image's and its mirror image's; adapters see the image.
        """
        self.shared = shared
        self._wants_frozen = reads_frozen
        self.reads_frozen = reads_frozen or shared is not None
        self.views = views if self.reads_frozen else 1
        self.backbone, self.features, self.first_block = backbone, features, first_block
        self.precision: Precision = precision
        self.cache = cache if shared is None else TokenCache("memory")
        self.device = next(backbone.parameters()).device
        self.fills_batches = self.device.type == "cuda"
        self.tokens_per_image = backbone.tokens()

    def encode(self, images: ImageSet, advance: Advance) -> EncodedImages:
        """The frozen pass over `images`, in batches of ENCODE_BATCH."""
        if self.shared is None:
            return self._encode(images, advance)
        known = self._known(self.shared)
        identities = images.identities
        new = {identity: row for row, identity in enumerate(identities) if identity not in known.rows}
        if new:
            known.add(list(new), self._encode(images.subset(list(new.values())), advance))
        advance(len(images) - len(new))
        rows = [known.rows[identity] for identity in identities]
        frozen = torch.stack([known.frozen[row] for row in rows])
        # A method that reads no frozen features ends the pass early and goes on from its tokens, as when it runs alone.
        embedding = torch.stack([known.embedding[row] for row in rows]) if self._wants_frozen else None
        store = None
        if self._keeps_tokens:
            store = TokenStore.of(torch.stack([known.tokens[row] for row in rows]))
        return EncodedImages(self, images, frozen, embedding, store)

    def encode_view(self, images: ImageSet, advance: Advance) -> EncodedImages:
        """The pass over `images` as far as `first_block`: for training alone, so without frozen features."""
        return self._encode(images, advance, frozen=False)

    def _known(self, shared: Encodings) -> KnownImages:
        features = f"{self.features.states} of {self.views}"
        deciding = (self.backbone.fingerprint(), str(self.backbone.image_size), features, self.precision)
        # Passes that kept tokens also serve a method that wants none.
        for block in () if self._keeps_tokens else range(self.backbone.depth):
            if (*deciding, str(block)) in shared:
                return shared[*deciding, str(block)]
        return shared.setdefault((*deciding, str(self.first_block)), KnownImages())

    @property
    def _keeps_tokens(self) -> bool:
        return self.first_block < self.backbone.depth

    def _encode(self, images: ImageSet, advance: Advance, frozen: bool | None = None) -> EncodedImages:
        reads_frozen = self.reads_frozen if frozen is None else frozen
        store = self._store(len(images)) if len(images) else None
        pixels = self._pixel_store(len(images)) if len(images) and store is None else None
        width = self.features.width if reads_frozen else 0
        collected = [torch.empty(0, width, device=self.device)]  # there may be no images at all
        embeddings = [torch.empty(0, self.backbone.width, device=self.device)]
        for start, decoded in self._batches(images):
            entering, features, embedding = self._pass(decoded, reads_frozen)
            if store:
                store.write(start, entering)
            if pixels:
                pixels.write(start, decoded)
            collected.append(features)
            embeddings += [] if embedding is None else [embedding]
            advance(len(decoded))
        embedding = torch.cat(embeddings) if reads_frozen else None
        return EncodedImages(self, images, torch.cat(collected), embedding, store, pixels)

    def _batches(self, images: ImageSet) -> Iterator[tuple[int, Tensor]]:
        """The start of each batch and its decoded images; the next batch is read while this one is used."""
        every = [
            torch.arange(start, min(start + ENCODE_BATCH, len(images))) for start in range(0, len(images), ENCODE_BATCH)
        ]
        with ThreadPoolExecutor(1) as ahead:
            coming = [ahead.submit(self.decoded, images, rows) for rows in every[:1]]
            for place, rows in enumerate(every):
                decoded = coming.pop().result()
                coming = [ahead.submit(self.decoded, images, following) for following in every[place + 1 : place + 2]]
                yield int(rows[0]), decoded

    @torch.no_grad()
    def _pass(self, decoded: Tensor, reads_frozen: bool) -> tuple[Tensor, Tensor, Tensor | None]:
        """Tokens entering `first_block`, frozen features and, where the pass goes that far, final embedding."""
        if not reads_frozen:
            tokens = self.prefix(decoded)
            return tokens, torch.empty(len(tokens), 0, device=self.device), None
        with autocast(self.device, self.precision):
            pixels = self._normalised(decoded)
            entering, features, embedding = self._view(pixels)
            if self.views == 2:
                _, mirrored, _ = self._view(pixels.flip(-1))
                features = (features + mirrored) / 2
        images = len(decoded)
        return entering[:images].to(self.token_type), features[:images], embedding[:images]

    def _view(self, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        entering = tokens = self.backbone.stem(pixels)
        states: dict[int, Tensor] = {}
        for state, after in enumerate(self.backbone.steps(entering, 0, self.backbone.depth), start=1):
            tokens = after
            if state == self.first_block:
                entering = tokens
            if state in self.features.states:
                states[state] = tokens
        embedding = self.backbone.readout(tokens)
        return entering, self.features(states, embedding).float(), embedding.float()

    def pieces(self, decoded: Tensor) -> Iterator[tuple[int, Piece, Tensor]]:
        """What the frozen features of at most ENCODE_BATCH uint8 images average, as (view, piece, (n, m, width)).

        Tokens come as the pass goes on, one piece at a time; view 1 is the mirror image.
        """
        pixels = self._normalised(decoded)
        for view in range(self.views):
            with torch.no_grad(), autocast(self.device, self.precision):
                tokens = self.backbone.stem(pixels.flip(-1) if view else pixels)
            for block in range(self.backbone.depth):
                with torch.no_grad(), autocast(self.device, self.precision):
                    tokens = self.backbone.run(tokens, block, block + 1)
                for piece in self.features.pieces:
                    if piece.block == block:
                        with torch.no_grad(), autocast(self.device, self.precision):
                            averaged = self.features.averaged(piece, tokens)
                        yield view, piece, averaged[: len(decoded)]

    @torch.no_grad()
    def class_attention(self, decoded: Tensor, block: int, updates: AnyUpdates) -> Tensor:
        """(n, heads, tokens): what the class tokens of at most ENCODE_BATCH uint8 images read in a block."""
        with autocast(self.device, self.precision):
            tokens = self.backbone.run(self.backbone.stem(self._normalised(decoded)), 0, block, updates)
            shares = self.backbone.blocks[block].class_attention(tokens, updates.get(block, NO_UPDATES))
        return shares[: len(decoded)]

    def encoded(self, decoded: Tensor, frozen: bool) -> EncodedImages:
        """Images that exist only as pixels, uint8 (n, 3, size, size), in memory; with frozen features where asked."""
        parts = decoded.split(ENCODE_BATCH)
        pictures = [ArrayPicture(image) for image in decoded.permute(0, 2, 3, 1).numpy()]
        made = ImageSet([Item("", picture) for picture in pictures], [0] * len(pictures))
        if not (frozen and self.reads_frozen):
            empty = torch.empty(len(decoded), 0, device=self.device)
            return EncodedImages(self, made, empty, None, TokenStore.of(self.prefix(decoded)))
        entering, features, embeddings = zip(*(self._pass(part, True) for part in parts), strict=True)
        return EncodedImages(self, made, torch.cat(features), torch.cat(embeddings), TokenStore.of(torch.cat(entering)))

    @torch.no_grad()
    def prefix(self, decoded: Tensor) -> Tensor:
        """Tokens entering `first_block` of uint8 images, computed afresh, rounded as a cache would keep them."""
        parts = [torch.empty(0, self.tokens_per_image, self.backbone.width, device=self.device, dtype=self.token_type)]
        for batch in decoded.split(ENCODE_BATCH):
            with autocast(self.device, self.precision):
                entering = self.backbone.run(self.backbone.stem(self._normalised(batch)), 0, self.first_block)
            parts.append(entering[: len(batch)].to(self.token_type))
        return torch.cat(parts)

    @torch.no_grad()
    def finish(self, tokens: Tensor) -> Tensor:
        """Final embedding (n, width) of tokens that enter `first_block`."""
        with autocast(self.device, self.precision):
            last = self.backbone.run(tokens, self.first_block, self.backbone.depth, cls_only=self.backbone.cls_only)
            return self.backbone.readout(last).float()

    def decoded(self, images: ImageSet, rows: Tensor) -> Tensor:
        """uint8 (len(rows), 3, size, size): images read and resized as the backbone wants them, on the CPU."""
        return torch.from_numpy(images.pixels(self.backbone.preprocessing.pixels, rows.numpy()))

    @property
    def token_type(self) -> torch.dtype:
        """The type of the tokens that adapters are given: they never see more digits than a cache would keep."""
        return torch.bfloat16 if self.precision == "bfloat16" else torch.float32

    def _normalised(self, decoded: Tensor) -> Tensor:
        """(n, 3, size, size) on the device; where batches are filled up, followed by empty images."""
        missing = ENCODE_BATCH - len(decoded) if self.fills_batches else 0
        return self.backbone.preprocessing.normalise(F.pad(decoded.to(self.device), (0, 0) * 3 + (0, missing)))

    def _pixel_store(self, images: int) -> TokenStore | None:
        if not self._keeps_tokens:
            return None
        side = self.backbone.image_size
        return self.cache.pixels((images, 3, side, side))

    def _store(self, images: int) -> TokenStore | None:
        if not self._keeps_tokens:
            return None
        shape = (images, self.tokens_per_image, self.backbone.width)
        return self.cache.store(shape, self.token_type)
