"""Pictures that are decoded only when asked for, and sets of them."""

from __future__ import annotations

import errno
import hashlib
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from core.errors import UserError

SUFFIXES = (".png", ".jpg", ".jpeg", ".jfif", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".avif", ".ppm", ".pgm", ".pbm")
MAX_PIXELS = 50_000_000
# Only these decoders ever see a stranger's bytes; others in Pillow call programs or are rarely exercised.
_FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "AVIF", "PPM")

_SCARCE = (errno.ENOMEM, errno.EMFILE, errno.ENFILE)  # what the machine lacks says nothing about the picture

T = TypeVar("T")


class UnreadableImage(Exception):
    """A picture that cannot be decoded; the message is a short reason."""


class Picture(Protocol):
    """One picture, wherever it lives."""

    def image(self) -> Image.Image:
        """The RGB image. Raises UnreadableImage."""

    def identity(self) -> str:
        """A text that differs between different contents. Raises UnreadableImage when the content is broken."""


class EncodedPicture(ABC):
    """A picture kept as the bytes of an image file."""

    __slots__ = ()

    @abstractmethod
    def read(self) -> bytes:
        """The file's bytes. Raises UnreadableImage."""

    def image(self) -> Image.Image:
        return decode(self.read())

    def identity(self) -> str:
        data = self.read()
        check(data)
        return hashlib.sha256(data).hexdigest()


@dataclass(frozen=True, slots=True)
class FilePicture(EncodedPicture):
    """A picture that is a file of its own."""

    path: Path

    def read(self) -> bytes:
        try:
            return self.path.read_bytes()
        except OSError as error:
            if error.errno in _SCARCE:
                raise
            raise UnreadableImage(error.strerror or "cannot be read") from None


@dataclass(frozen=True, slots=True)
class ArrayPicture:
    """A picture held in memory: uint8, (height, width) or (height, width, 3)."""

    pixels: np.ndarray

    def image(self) -> Image.Image:
        return Image.fromarray(self.pixels).convert("RGB")

    def identity(self) -> str:
        digest = hashlib.sha256(str(self.pixels.shape).encode())
        digest.update(np.ascontiguousarray(self.pixels).tobytes())
        return digest.hexdigest()


def decode(data: bytes) -> Image.Image:
    """The RGB image in the bytes of an image file: upright, first frame, 8 bits, transparency on white.

    Raises UnreadableImage for anything else than a whole image of at most MAX_PIXELS; MemoryError where there is none.
    """
    return _guarded(data, lambda image: to_rgb(ImageOps.exif_transpose(image)))


def check(data: bytes) -> None:
    """Read the whole image, as cheaply as its format allows, to see that it is not cut short or broken.

    Raises UnreadableImage.
    """

    def load(image: Image.Image) -> None:
        image.draft("RGB", (1, 1))  # a JPEG is then decoded at an eighth of its size, though all of it is parsed
        image.load()

    _guarded(data, load)


def _guarded(data: bytes, use: Callable[[Image.Image], T]) -> T:
    if not data:
        raise UnreadableImage("empty file")
    Image.init()  # makes every decoder known; without it a list of formats fails
    try:
        with Image.open(BytesIO(data), formats=[name for name in _FORMATS if name in Image.OPEN]) as image:
            if image.width * image.height > MAX_PIXELS:
                raise UnreadableImage(_too_large(image.width * image.height))
            return use(image)
    except UnreadableImage:
        raise
    except Image.DecompressionBombError:
        raise UnreadableImage(_too_large(None)) from None
    except UnidentifiedImageError:
        raise UnreadableImage("not an image that can be read") from None
    except Exception as error:  # decoders raise nearly anything when bytes are broken, or memory is short
        if _starved():
            raise MemoryError("too little memory to read a picture") from error
        raise UnreadableImage(f"broken image ({' '.join(str(error).split()) or type(error).__name__})") from None


def _starved() -> bool:
    """Whether the machine lacks the memory of the largest picture; where it does not, the picture is at fault."""
    try:
        np.empty(4 * MAX_PIXELS, dtype=np.uint8)  # asked for, and given back untouched
    except MemoryError:
        return True
    return False


def _too_large(pixels: int | None) -> str:
    size = f"{pixels / 1e6:.0f} megapixels" if pixels else "far too many pixels"
    return f"{size}, at most {MAX_PIXELS // 1_000_000} million are read"


def to_rgb(image: Image.Image) -> Image.Image:
    """Any Pillow image as RGB with 8 bits a channel; what is transparent becomes white.

    Deep grey images hold 16-bit values, so they are divided by 257 unless they all fit 8 bits; floating-point images
    are taken as 0 to 1, or as 0 to 255 when they go beyond 1.
    """
    if image.mode.startswith("I"):
        deep = np.asarray(image)
        image = _grey(deep if deep.max(initial=0) <= 255 else deep / 257)
    elif image.mode == "F":
        values = np.nan_to_num(np.asarray(image))
        image = _grey(values if values.max(initial=0) > 1 else values * 255)
    if image.has_transparency_data:
        layered = image.convert("RGBA")
        white = Image.new("RGBA", layered.size, "white")
        return Image.alpha_composite(white, layered).convert("RGB")
    return image.convert("RGB")


def _grey(values: np.ndarray) -> Image.Image:
    return Image.fromarray(np.clip(np.rint(values), 0, 255).astype(np.uint8))


@dataclass(frozen=True, slots=True)
class Item:
    """A picture with the name people know it by; `identity` is filled once its content was checked."""

    name: str
    picture: Picture
    identity: str = ""


class ImageSet:
    """An immutable list of labelled pictures, decoded only when asked for.

    labels: int64, (n,), global class ids. names: one per picture, such as 'train/apple/001.png'.
    identities: one per picture, equal where the contents are.
    """

    def __init__(self, items: Sequence[Item], labels: Sequence[int] | np.ndarray) -> None:
        self._items = tuple(items)
        self.labels = np.array(labels, dtype=np.int64)
        self.labels.flags.writeable = False
        if self.labels.shape != (len(self._items),):
            raise ValueError(f"{len(self._items)} pictures but labels of shape {self.labels.shape}")
        self.names = tuple(item.name for item in self._items)
        self.identities = tuple(item.identity for item in self._items)

    @classmethod
    def joined(cls, sets: Sequence[ImageSet]) -> ImageSet:
        """The pictures of several sets, one set after another."""
        items = [item for each in sets for item in each._items]
        return cls(items, [label for each in sets for label in each.labels.tolist()])

    def __len__(self) -> int:
        return len(self._items)

    def subset(self, indices: Sequence[int] | np.ndarray) -> ImageSet:
        """The pictures at `indices` (integers, or a boolean mask), in that order."""
        chosen = np.arange(len(self))[np.asarray(indices, dtype=None if len(indices) else np.int64)]
        return ImageSet([self._items[index] for index in chosen], self.labels[chosen])

    def image(self, index: int) -> Image.Image:
        """One RGB image.

        Raises UserError when the file changed or vanished after the stream was opened.
        """
        item = self._items[index]
        try:
            return item.picture.image()
        except UnreadableImage as error:
            raise UserError(f"{item.name} can no longer be read: {error}. Restore the data and resume.") from None

    def pixels(
        self, transform: Callable[[Image.Image], np.ndarray], indices: Sequence[int] | np.ndarray | None = None
    ) -> np.ndarray:
        """uint8 (n, 3, size, size): `transform` of each RGB image, decoded by a pool of threads.

        `transform` maps an RGB image to uint8 (3, size, size). Raises UserError as `image` does.
        """
        chosen = range(len(self)) if indices is None else [int(index) for index in indices]
        if not len(chosen):
            return np.empty((0, *transform(Image.new("RGB", (8, 8))).shape), dtype=np.uint8)
        with ThreadPoolExecutor(workers()) as pool:
            return np.stack(list(pool.map(lambda index: transform(self.image(index)), chosen)))

    @cached_property
    def fingerprint(self) -> str:
        """sha256 of names, labels and contents, in hex: the same on every machine that holds the same images."""
        digest = hashlib.sha256()
        for item, label in zip(self._items, self.labels.tolist(), strict=True):
            digest.update(f"{item.name}\0{label}\0{item.identity}\n".encode())
        return digest.hexdigest()


def workers() -> int:
    """Threads for reading and decoding."""
    return min(8, os.cpu_count() or 1)
