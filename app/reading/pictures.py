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
