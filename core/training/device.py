"""Which device and which precision a run uses."""

from __future__ import annotations

import platform
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
    """'auto' is bfloat16 where the device has instructions for its products, as far as torch can tell.

    Asked of the processor, not timed: a busy moment must not change what a run computes (our decision).
    """
    if name != "auto":
        return "bfloat16" if name == "bfloat16" else "float32"
    if device.type == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported() else "float32"
    can: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()
    return "bfloat16" if can.get("amx_bf16") or can.get("avx512_bf16") else "float32"


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
