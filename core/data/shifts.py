"""Shifts: corruptions of test images at five severities, to see how a model answers images unlike its training images.

The kinds and their strengths at 224 pixels are those of ImageNet-C (Hendrycks and Dietterich, 2019). Blur is scaled to
the side of the image, so that a severity means the same share of the picture at any size.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from io import BytesIO
from zlib import crc32

import numpy as np
from PIL import Image, ImageFilter

from core.data.images import ImageSet
from core.errors import UserError, unknown

SEVERITIES = (1, 2, 3, 4, 5)
_REFERENCE_SIDE = 224

STRENGTHS: dict[str, tuple[float, float, float, float, float]] = {
    "gaussian-noise": (0.08, 0.12, 0.18, 0.26, 0.38),  # standard deviation, as a share of full scale
    "gaussian-blur": (1, 2, 3, 4, 6),  # standard deviation in pixels of an image 224 wide
    "jpeg": (25, 18, 15, 10, 7),  # quality
    "contrast": (0.4, 0.3, 0.2, 0.1, 0.05),  # share of the distance to the mean that is kept
    "pixelate": (0.6, 0.5, 0.4, 0.3, 0.25),  # share of the side that is kept
}
"""Shift → its strength at severities 1 to 5."""


class ShiftedImages(ImageSet):
    """The pictures of a set under one shift. An image's noise is decided by its content alone."""

    def __init__(self, images: ImageSet, name: str, severity: int) -> None:
        """Raises UserError for an unknown shift or a severity outside 1 to 5."""
        super().__init__(images._items, images.labels)
        check_shift(name, severity)
        self.name, self.severity = name, severity
        self.identities = tuple(f"{identity}@{name}:{severity}" for identity in self.identities)

    def image(self, index: int) -> Image.Image:
        return self._shifted(super().image(index))

    def subset(self, indices: Sequence[int] | np.ndarray) -> ShiftedImages:
        return ShiftedImages(super().subset(indices), self.name, self.severity)

    def _shifted(self, image: Image.Image) -> Image.Image:
        return shift_image(image, self.name, self.severity, np.random.default_rng(crc32(image.tobytes())))


def check_shift(name: str, severity: int) -> None:
    """Raises UserError for an unknown shift or a severity outside 1 to 5."""
    if name not in STRENGTHS:
        raise unknown("shift", name, STRENGTHS)
    if severity not in SEVERITIES:
        raise UserError(f"Severity {severity} of “{name}” is not one of 1 to 5.")


def shift_names() -> list[str]:
    """The names that `shift_image` and `shift_pixels` know."""
    return list(STRENGTHS)


def shift_image(image: Image.Image, name: str, severity: int, generator: np.random.Generator) -> Image.Image:
    """A corrupted copy of an RGB image, of the same size. Only noise draws from `generator`.

    Raises UserError for an unknown shift or a severity outside 1 to 5.
    """
    check_shift(name, severity)
    return _SHIFTS[name](image.convert("RGB"), STRENGTHS[name][severity - 1], generator)


def shift_pixels(pixels: np.ndarray, name: str, severity: int, generator: np.random.Generator) -> np.ndarray:
    """`shift_image` of every image in a batch, uint8 (n, 3, height, width) in and out; `pixels` is not changed.

    Images draw from `generator` one after another, so an image's noise does not depend on those that follow it.
    """
    shifted = np.empty_like(pixels)
    for index, each in enumerate(pixels):
        image = Image.fromarray(np.ascontiguousarray(each.transpose(1, 2, 0)))
        shifted[index] = np.asarray(shift_image(image, name, severity, generator)).transpose(2, 0, 1)
    return shifted


def _gaussian_noise(image: Image.Image, deviation: float, generator: np.random.Generator) -> Image.Image:
    values = np.asarray(image, dtype=np.float64)
    return _image(values + generator.normal(0, 255 * deviation, values.shape))


def _gaussian_blur(image: Image.Image, deviation: float, _: np.random.Generator) -> Image.Image:
    return image.filter(ImageFilter.GaussianBlur(deviation * max(image.size) / _REFERENCE_SIDE))


def _jpeg(image: Image.Image, quality: float, _: np.random.Generator) -> Image.Image:
    buffer = BytesIO()
    image.save(buffer, "JPEG", quality=int(quality))
    return Image.open(buffer).convert("RGB")


def _contrast(image: Image.Image, kept: float, _: np.random.Generator) -> Image.Image:
    values = np.asarray(image, dtype=np.float64)
    mean = values.mean(axis=(0, 1), keepdims=True)
    return _image(mean + kept * (values - mean))


def _pixelate(image: Image.Image, kept: float, _: np.random.Generator) -> Image.Image:
    small = (max(1, round(image.width * kept)), max(1, round(image.height * kept)))
    return image.resize(small, Image.Resampling.BOX).resize(image.size, Image.Resampling.NEAREST)


def _image(values: np.ndarray) -> Image.Image:
    return Image.fromarray(np.clip(np.rint(values), 0, 255).astype(np.uint8))


_SHIFTS: dict[str, Callable[[Image.Image, float, np.random.Generator], Image.Image]] = {
    "gaussian-noise": _gaussian_noise,
    "gaussian-blur": _gaussian_blur,
    "jpeg": _jpeg,
    "contrast": _contrast,
    "pixelate": _pixelate,
}
