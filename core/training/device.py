"""Which device and which precision a run uses."""

from __future__ import annotations

import platform
import time
from typing import Any, Literal

import psutil
import torch

from core.errors import UserError

Precision = Literal["float32", "bfloat16"]


def pick_device(name: str) -> torch.device:
    """The device called `name`; 'auto' is CUDA where there is one.

    Raises UserError when the device is not there.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise UserError(f"device “{name}” is not understood: write auto, cpu, cuda or cuda:0.") from None
    if device.type == "cuda" and not torch.cuda.is_available():
        raise UserError("There is no CUDA device here: leave out --device, or use --device cpu.")
    return device


def pick_precision(name: str, device: torch.device) -> Precision:
    """'auto' is bfloat16 where the device multiplies in it faster than in float32: on a CPU that is measured once."""
    if name != "auto":
        return "bfloat16" if name == "bfloat16" else "float32"
    if device.type == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported() else "float32"
    return "bfloat16" if _product_seconds(torch.bfloat16) < 0.8 * _product_seconds(torch.float32) else "float32"


def _product_seconds(dtype: torch.dtype) -> float:
    """Seconds of one product of a transformer's shape, the best of five."""
    a, b = torch.ones(512, 384, dtype=dtype), torch.ones(384, 384, dtype=dtype)
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        torch.mm(a, b)
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def autocast(device: torch.device, precision: Precision) -> torch.autocast:
    """Mixed precision for a run; does nothing in float32."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bfloat16")


def hardware(device: torch.device, precision: Precision) -> dict[str, Any]:
    """What the run ran on, for the manifest."""
    return {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or "cpu",
        "device_type": device.type,
        "precision": precision,
        "threads": torch.get_num_threads(),
        "cores": psutil.cpu_count(logical=True),
        "memory_bytes": psutil.virtual_memory().total,
        "system": f"{platform.system()} {platform.machine()}",
    }
