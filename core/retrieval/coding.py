"""Means of features in one byte a number, so that what a task keeps for its retrieval is smaller than its adapter.

Our decision: a task has its own centre and scale for every feature, which its means span exactly, whatever later tasks
look like. Measured on CIFAR-100 (ten tasks), accuracy moves by less than 0.002.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from core.errors import UserError

_LARGEST = 127


@dataclass(frozen=True)
class CodedMeans:
    """means ≈ centre + scale · codes: codes int8 (components, features), centre and scale float16 (features,)."""

    codes: Tensor
    centre: Tensor
    scale: Tensor

    @classmethod
    def of(cls, means: Tensor) -> CodedMeans:
        """The code of means (components, features)."""
        low, high = means.amin(0), means.amax(0)
        centre = ((low + high) / 2).half()
        reach = (means - centre.float()).abs().amax(0)
        # Rounded up to the next float16, so that the largest mean still fits in a byte.
        scale = (reach / _LARGEST * 1.001 + 6e-8).half()
        codes = ((means - centre.float()) / scale.float()).round().clamp(-_LARGEST, _LARGEST)
        return cls(codes.to(torch.int8), centre, scale)

    def means(self) -> Tensor:
        """float32 (components, features)."""
        return self.centre.float() + self.scale.float() * self.codes.float()

    def arrays(self) -> dict[str, np.ndarray]:
        """For mixture.npz."""
        return {name: getattr(self, name).cpu().numpy() for name in ("codes", "centre", "scale")}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray], device: torch.device) -> CodedMeans:
        """Take back what `arrays` returned. Raises UserError where they are not there."""
        try:
            return cls(*(torch.from_numpy(arrays[name]).to(device) for name in ("codes", "centre", "scale")))
        except KeyError as missing:
            raise UserError(
                f"mixture.npz has no {missing}: an earlier version of Proteus Lab made this run; train it again."
            ) from None
