"""The prefix cache: tokens that enter the first adapted block, kept so that frozen blocks run once an image.

A store belongs to one (backbone, preprocessing, image set, block) and lives only while that is in use, so nothing in it
can be stale.
"""

from __future__ import annotations

import shutil
import tempfile
import weakref
from pathlib import Path
from typing import Literal

import numpy as np
import psutil
import torch
from torch import Tensor

Place = Literal["memory", "disk", "off"]
_SHARE = 0.25
"""Of free memory, and of free disk, that one store may take."""


def place_for(wanted: str, size: int) -> Place:
    """Where `size` bytes of tokens go: `wanted` itself, or for 'auto' memory, then disk, then off (our decision)."""
    if wanted in ("memory", "disk", "off"):
        return wanted  # type: ignore[return-value]
    if size <= _SHARE * psutil.virtual_memory().available:
        return "memory"
    return "disk" if size <= _SHARE * psutil.disk_usage(tempfile.gettempdir()).free else "off"


class TokenStore:
    """(n, tokens, width) kept in memory, or in a memory-mapped temporary file that goes with the store."""

    def __init__(self, place: Literal["memory", "disk"], shape: tuple[int, int, int], dtype: torch.dtype) -> None:
        self.place = place
        if place == "memory":
            self.values = torch.empty(shape, dtype=dtype)
            return
        folder = tempfile.mkdtemp(prefix="proteus-tokens-")
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        # NumPy has no bfloat16, so 16-bit tokens are mapped as integers and read back through a view.
        carrier, view = (np.int16, dtype) if dtype == torch.bfloat16 else (np.float32, torch.float32)
        mapped = np.memmap(Path(folder) / "tokens", dtype=carrier, mode="w+", shape=shape)
        self.values = torch.from_numpy(mapped).view(view)

    @classmethod
    def of(cls, values: Tensor) -> TokenStore:
        """A store in memory that holds `values`, (n, tokens, width)."""
        images, tokens, width = values.shape
        store = cls("memory", (images, tokens, width), values.dtype)
        store.write(0, values)
        return store

    def write(self, start: int, tokens: Tensor) -> None:
        """Keep a batch of images' tokens, from row `start` on."""
        self.values[start : start + len(tokens)] = tokens.to(self.values.dtype).cpu()

    def read(self, rows: Tensor) -> Tensor:
        """(len(rows), tokens, width) on the CPU."""
        return self.values[rows]
