"""A run's thumbnails as bytes that a page can hold, where no server is asked for them."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from functools import lru_cache, partial

import numpy as np
from PIL import Image

from app.reading.cards import RunCard
from app.reading.tables import images
from core.runs.sprites import cut, read_sheet

_BLUE, _ORANGE = (0, 114, 178), (213, 94, 0)


class Pictures:
    """Thumbnails of one run; a sheet is read once for all that are cut out of it."""

    def __init__(self, card: RunCard) -> None:
        self.folder, self.images = card.folder / "sprites", images(card)
        self._sheet = lru_cache(maxsize=4)(partial(read_sheet, self.folder))

    def one(self, image: int) -> Image.Image:
        """The thumbnail of an image, RGB. Raises UserError where its sheet is missing or damaged."""
        sheet, cell = int(self.images.sheet[image]), int(self.images.cell[image])
        return cut(self._sheet(sheet), cell, self.folder)

    def mean(self, chosen: Sequence[int]) -> Image.Image:
        """The mean of some images (one or more), pixel by pixel."""
        total = sum(np.asarray(self.one(image), np.float64) for image in chosen)
        return Image.fromarray(np.uint8(np.rint(total / len(chosen))))


def data_url(picture: Image.Image) -> str:
    """A picture as an address that holds it."""
    target = io.BytesIO()
    picture.save(target, "PNG")
    return f"data:image/png;base64,{base64.b64encode(target.getvalue()).decode()}"


def overlay(values: np.ndarray, most: float, *, negative: bool = False) -> str:
    """A picture with one pixel per patch of `values` (rows, columns), as an address: blue, the stronger the larger.

    With `negative`, what lies below 0 is orange. `most` has the strongest colour.
    """
    strength = np.clip(np.abs(values) / max(most, 1e-12), 0, 1)
    pixels = np.empty((*values.shape, 4), np.uint8)
    pixels[..., :3] = np.where((negative & (values < 0))[..., None], _ORANGE, _BLUE)
    pixels[..., 3] = np.rint(225 * strength)
    return data_url(Image.fromarray(pixels, "RGBA"))
