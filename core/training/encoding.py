"""One frozen pass over a set of images: frozen features of all of them, and the tokens that adapters start from."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from core.backbones.features import FrozenFeatures
from core.backbones.vit import Backbone
from core.data.images import ImageSet
from core.training.device import Precision, autocast
from core.training.token_store import TokenStore, place_for

ENCODE_BATCH = 64
"""Images a frozen pass. Fixed, and counted from the start of a set: a resumed run sees the very same batches."""

Advance = Callable[[int], None]
"""Called with the number of images just done."""


class EncodedImages:
    """n images after the frozen pass: `frozen` (n, features) and `embedding` (n, width) float32 on the device."""

    def __init__(
        self,
        encoder: Encoder,
        images: ImageSet,
        frozen: Tensor,
        embedding: Tensor,
        store: TokenStore | None,
    ) -> None:
        self.images, self.frozen, self.embedding = images, frozen, embedding
        self.labels = torch.tensor(images.labels).to(frozen.device)
        self._encoder, self._store = encoder, store

    def __len__(self) -> int:
        return len(self.labels)

    def tokens(self, rows: Tensor) -> Tensor:
        """(len(rows), tokens, width) entering the first adapted block, on the device. `rows` is on the CPU.

        From the cache where there is one.
        """
        if self._store is None:
            return self._encoder.prefix(self.images, rows)
        return self._store.read(rows).to(self.frozen.device)

    def subset(self, rows: Tensor) -> EncodedImages:
        """Those images alone, their tokens copied, so that the rest can be let go. `rows` is on the CPU."""
        store = None
        if self._store is not None:
            values = self._store.read(rows)
            store = TokenStore("memory", tuple(values.shape), values.dtype)  # type: ignore[arg-type]
            store.write(0, values)
        here = rows.to(self.frozen.device)
        images = self.images.subset(rows.numpy())
        return EncodedImages(self._encoder, images, self.frozen[here], self.embedding[here], store)


Encodings = dict[tuple[str, ...], EncodedImages]
"""Frozen passes that several runs of one process share, by what decides them."""


class Encoder:
    """Runs the frozen backbone for a method whose adapters start at `first_block`."""

    def __init__(
        self,
        backbone: Backbone,
        features: FrozenFeatures,
        first_block: int,
        precision: Precision,
        cache: str,
        shared: Encodings | None = None,
        views: int = 1,
    ) -> None:
        """`shared` keeps every pass in memory and looks there first.

        With two `views` the frozen features are the mean of the image's and its mirror image's; adapters see the image.
        """
        self.views = views
        self.shared = shared
        self.backbone, self.features, self.first_block = backbone, features, first_block
        self.precision: Precision = precision
        self.cache = cache
        self.device = next(backbone.parameters()).device
        self.tokens_per_image = backbone.tokens()

    def encode(self, images: ImageSet, advance: Advance) -> EncodedImages:
        """The frozen pass over `images`, in batches of ENCODE_BATCH."""
        if self.shared is None:
            return self._encode(images, advance)
        features = f"{self.features.states} of {self.views}"
        deciding = (self.backbone.fingerprint(), images.fingerprint, features, self.precision)
        # A pass that kept tokens also serves a method that wants none.
        for block in {self.first_block, *range(self.backbone.depth)} if not self._keeps_tokens else {self.first_block}:
            if found := self.shared.get((*deciding, str(block))):
                advance(len(images))
                return found
        return self.shared.setdefault((*deciding, str(self.first_block)), self._encode(images, advance))

    @property
    def _keeps_tokens(self) -> bool:
        return self.first_block < self.backbone.depth

    def _encode(self, images: ImageSet, advance: Advance) -> EncodedImages:
        store = self._store(len(images))
        frozen, embeddings = [], []
        for start in range(0, len(images), ENCODE_BATCH):
            rows = torch.arange(start, min(start + ENCODE_BATCH, len(images)))
            entering, features, embedding = self._pass(images, rows)
            if store:
                store.write(start, entering)
            frozen.append(features)
            embeddings.append(embedding)
            advance(len(rows))
        return EncodedImages(self, images, torch.cat(frozen), torch.cat(embeddings), store)

    @torch.no_grad()
    def _pass(self, images: ImageSet, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Tokens entering `first_block`, frozen features and final embedding of some images."""
        with autocast(self.device, self.precision):
            pixels = self._pixels(images, rows)
            entering, features, embedding = self._view(pixels)
            if self.views == 2:
                _, mirrored, _ = self._view(pixels.flip(-1))
                features = (features + mirrored) / 2
            return entering, features, embedding

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

    @torch.no_grad()
    def prefix(self, images: ImageSet, rows: Tensor) -> Tensor:
        """Tokens entering `first_block`, computed afresh."""
        with autocast(self.device, self.precision):
            return self.backbone.run(self.backbone.stem(self._pixels(images, rows)), 0, self.first_block)

    def _pixels(self, images: ImageSet, rows: Tensor) -> Tensor:
        """(len(rows), 3, height, width) as the backbone wants them, on the device."""
        preprocessing = self.backbone.preprocessing
        pixels = torch.from_numpy(images.pixels(preprocessing.pixels, rows.numpy())).to(self.device)
        return preprocessing.normalise(pixels)

    def _store(self, images: int) -> TokenStore | None:
        if not self._keeps_tokens:
            return None
        dtype = torch.bfloat16 if self.precision == "bfloat16" else torch.float32
        shape = (images, self.tokens_per_image, self.backbone.width)
        place = place_for(self.cache, dtype.itemsize * shape[0] * shape[1] * shape[2])
        return None if place == "off" else TokenStore(place, shape, dtype)
