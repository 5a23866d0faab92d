"""How an image becomes a backbone's input. The rule is the backbone's own: no image reaches it scaled otherwise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor

_FILTERS = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}


@dataclass(frozen=True)
class Preprocessing:
    """Shorter side to `size / crop` pixels, centre crop to `size`, then channel normalisation."""

    size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    interpolation: Literal["bicubic", "bilinear"] = "bicubic"
    crop: float = 1.0
    """Share of the shorter side that the centre crop keeps."""

    def pixels(self, image: Image.Image) -> np.ndarray:
        """uint8 (3, size, size) of an RGB image of any size."""
        scale = round(self.size / self.crop) / min(image.size)
        width, height = (max(self.size, round(side * scale)) for side in image.size)
        if (width, height) != image.size:
            image = image.resize((width, height), _FILTERS[self.interpolation])
        left, top = (width - self.size) // 2, (height - self.size) // 2
        square = image.crop((left, top, left + self.size, top + self.size))
        return np.asarray(square, dtype=np.uint8).transpose(2, 0, 1).copy()

    def normalise(self, pixels: Tensor) -> Tensor:
        """float32 (n, 3, size, size), normalised, of uint8 pixels; on the pixels' device."""
        mean = torch.tensor(self.mean, device=pixels.device).view(3, 1, 1)
        std = torch.tensor(self.std, device=pixels.device).view(3, 1, 1)
        return (pixels.float() / 255 - mean) / std
