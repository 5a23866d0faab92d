"""The prefix cache: tokens that enter the first adapted block are kept, so frozen blocks run once per image.

Where there is no room for tokens there may be room for decoded images: at 98 px they take a third of the bytes of
float32 tokens.

A store belongs to one (backbone, preprocessing, image set, block) and lives only while that is in use, so nothing in it
can be out of date. All stores of a run share one budget. An image that is trained in several views
(core/data/views.py) has a set of tokens for each.
"""

from __future__ import annotations

import shutil
import tempfile
import weakref
from math import prod
from pathlib import Path
from typing import Any, Literal

import numpy as np
import psutil
import torch
from torch import Tensor

Place = Literal["memory", "disk", "off"]
Shape = tuple[int, ...]
_CARRIERS: dict[torch.dtype, type[np.generic]] = {
    torch.bfloat16: np.int16,  # NumPy has no bfloat16: such tokens are mapped as integers and read back through a view
    torch.float32: np.float32,
    torch.uint8: np.uint8,
}
_SHARE = 0.25
"""The share of free memory, and of free disk, that the stores may take by default."""


class TokenStore:
    """Tokens (n, tokens, width), or uint8 pixels (n, 3, size, size), in memory or in a memory-mapped temporary file.

    The file is removed with the store.
    """

    def __init__(self, place: Literal["memory", "disk"], shape: Shape, dtype: torch.dtype) -> None:
        self.place = place
        if place == "memory":
            self.values = torch.empty(shape, dtype=dtype)
            return
        folder = tempfile.mkdtemp(prefix="proteus-tokens-")
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        mapped = np.memmap(Path(folder) / "values", dtype=_CARRIERS[dtype], mode="w+", shape=shape)
        self.values = torch.from_numpy(mapped).view(dtype)

    @classmethod
    def of(cls, values: Tensor) -> TokenStore:
        """A store in memory that holds `values`."""
        store = cls("memory", tuple(values.shape), values.dtype)
        store.write(0, values)
        return store

    def write(self, start: int, values: Tensor) -> None:
        """Keep the values of a batch of images, from row `start` on."""
        self.values[start : start + len(values)] = values.to(self.values.dtype).cpu()

    def read(self, rows: Tensor) -> Tensor:
        """The values of images `rows`, on the CPU."""
        return self.values[rows]


class TokenCache:
    """Hands out stores within a budget that all stores alive at one time share."""

    def __init__(self, wanted: str, memory_mb: int | None = None) -> None:
        """`wanted` is 'memory', 'disk' or 'off', or 'auto': memory, then disk, then off (our decision).

        The budget of 'auto' is `memory_mb` megabytes (10⁶ bytes) of memory, or a quarter of what is free now where that
        is None, and a quarter of the disk that is free now.
        """
        self.wanted = wanted
        memory = _SHARE * psutil.virtual_memory().available if memory_mb is None else 1e6 * memory_mb
        self.budget = {"memory": int(memory), "disk": int(_SHARE * psutil.disk_usage(tempfile.gettempdir()).free)}
        self.used = {"memory": 0, "disk": 0}
        self.most = {"memory": 0, "disk": 0}
        """The most that was in use at one time."""
        self.without = 0
        """Bytes of tokens for which there was no room; they are computed again whenever they are needed."""

    def store(self, shape: Shape, dtype: torch.dtype) -> TokenStore | None:
        """Room for the tokens (n, tokens, width) of n images; None where there is none."""
        size = prod(shape) * dtype.itemsize
        place = self.place(size)
        if place == "off":
            self.without += size
            return None
        return self._made(place, shape, dtype)

    def pixels(self, shape: Shape) -> TokenStore | None:
        """Room for decoded images, uint8 (n, 3, size, size), where tokens found none; None where there is none either.

        Only 'auto' keeps decoded images.
        """
        place = self._free(prod(shape)) if self.wanted == "auto" else "off"
        return None if place == "off" else self._made(place, shape, torch.uint8)

    def _made(self, place: Literal["memory", "disk"], shape: Shape, dtype: torch.dtype) -> TokenStore:
        size = prod(shape) * dtype.itemsize
        store = TokenStore(place, shape, dtype)
        self.used[place] += size
        self.most[place] = max(self.most[place], self.used[place])
        weakref.finalize(store, self._give_back, place, size)
        return store

    def place(self, size: int) -> Place:
        """Where `size` more bytes of tokens are kept."""
        if self.wanted in ("memory", "disk", "off"):
            return self.wanted  # type: ignore[return-value]
        return self._free(size)

    def _free(self, size: int) -> Place:
        if size <= self.budget["memory"] - self.used["memory"]:
            return "memory"
        return "disk" if size <= self.budget["disk"] - self.used["disk"] else "off"

    def _give_back(self, place: str, size: int) -> None:
        self.used[place] -= size

    def described(self) -> dict[str, Any]:
        """What was asked for and what was chosen, in bytes, for metrics.json."""
        limits = {f"{place}_budget_bytes": size for place, size in self.budget.items()}
        chosen = {f"{place}_bytes": size for place, size in self.most.items()}
        return {"wanted": self.wanted, **(limits if self.wanted == "auto" else {}), **chosen, "off_bytes": self.without}
