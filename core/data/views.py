"""Views of training images: mirror images and random crops, so that few images teach as more would.

The crop is that of Szegedy et al. 2015 (arXiv 1409.4842), as torchvision's `RandomResizedCrop` draws it: a share of the
area and an aspect ratio at random, scaled to a square. Our decisions: an image has a small number of views, all of them
drawn by the run's seed alone. So the frozen blocks see each view once (core/training/encoding.py), and a resumed run
sees the same ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import exp, log, sqrt
from typing import Literal
from zlib import crc32

import numpy as np
from PIL import Image, ImageOps

from core.config import TrainingConfig
from core.data.catalog import known_streams
from core.data.images import ImageSet

Augment = Literal["none", "flip", "crops"]

SMALLEST_AREA = 0.25
"""A crop has at least this share of the image's area (our decision; ImageNet's recipe has 0.08)."""
_ASPECT = 4 / 3
"""A crop is at most so many times wider than high, or higher than wide."""
_TRIES = 10


class ViewedImages(ImageSet):
    """One view of every picture of a set; its crop depends on the picture's content, the view and the seed alone."""

    def __init__(self, images: ImageSet, kind: Literal["flip", "crops"], view: int, seed: int) -> None:
        super().__init__(images._items, images.labels)
        self.kind, self.view, self.seed = kind, view, seed
        self._contents = images.identities
        self.identities = tuple(f"{identity}~{kind}:{view}:{seed}" for identity in images.identities)

    def image(self, index: int) -> Image.Image:
        whole = super().image(index)
        if self.kind == "flip":
            return ImageOps.mirror(whole)
        drawn = np.random.default_rng([self.seed, self.view, crc32(self._contents[index].encode())])
        return random_crop(whole, drawn)

    def subset(self, indices: Sequence[int] | np.ndarray) -> ViewedImages:
        return ViewedImages(super().subset(indices), self.kind, self.view, self.seed)


def views_of(images: ImageSet, kind: Augment, count: int, seed: int) -> list[ImageSet]:
    """The views in which `images` are trained: the images themselves, with their mirror images, or `count` crops."""
    if kind == "flip":
        return [images, ViewedImages(images, "flip", 1, seed)]
    return [ViewedImages(images, "crops", view, seed) for view in range(count)] if kind == "crops" else [images]


def random_crop(image: Image.Image, generator: np.random.Generator) -> Image.Image:
    """A random part of an RGB image, mirrored half the time, scaled to a square as wide as the image's shorter side."""
    side = min(image.size)
    crop = image.resize((side, side), Image.Resampling.BICUBIC, box=_box(image.size, generator))
    return ImageOps.mirror(crop) if generator.random() < 0.5 else crop


def _box(size: tuple[int, int], generator: np.random.Generator) -> tuple[float, float, float, float]:
    """Left, top, right and bottom of a part of an image of `size` (width, height); the middle where none fits."""
    width, height = size
    for _ in range(_TRIES):
        area = generator.uniform(SMALLEST_AREA, 1.0) * width * height
        aspect = exp(generator.uniform(-log(_ASPECT), log(_ASPECT)))
        across, down = sqrt(area * aspect), sqrt(area / aspect)
        if across <= width and down <= height:
            left, top = generator.uniform(0, width - across), generator.uniform(0, height - down)
            return left, top, left + across, top + down
    side = min(size)
    left, top = (width - side) / 2, (height - side) / 2
    return left, top, left + side, top + side


def augmentation(training: TrainingConfig, stream: str) -> tuple[Augment, int]:
    """How the images of a stream are varied, and how many views of each pass through the frozen blocks for it.

    'auto' is 'flip' where the stream is known to hold photographs, and else 'none': a mirrored letter is another one.
    """
    kind: Augment = _by_default(stream) if training.augment == "auto" else training.augment
    if training.epochs == 0:
        return "none", 0
    return kind, {"none": 0, "flip": 1, "crops": training.augment_views}[kind]


def _by_default(stream: str) -> Augment:
    photographs = {known.name for known in known_streams() if known.photographs}
    return "flip" if {part.strip() for part in stream.split("+")} <= photographs else "none"
