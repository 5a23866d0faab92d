"""Which device and which precision a run uses, and why."""

from __future__ import annotations

import os
import platform
from typing import Any, Literal

import psutil
import torch

from core.errors import UserError

Precision = Literal["float32", "bfloat16"]
OVERRIDE = "PROTEUS_PRECISION"
"""Environment variable that says what 'auto' means, so that one machine can compute as the other kind does."""


DEVICE_OVERRIDE = "PROTEUS_DEVICE"
"""Environment variable that says which device 'auto' is."""


def pick_device(name: str) -> torch.device:
    """The device called `name`; 'auto' is CUDA where there is one.

    Raises UserError when the device is not there.
    """
    name = (os.environ.get(DEVICE_OVERRIDE) or name) if name == "auto" else name
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
    """The precision called `name`; see `explained_precision` for what 'auto' means."""
    return explained_precision(name, device)[0]


def explained_precision(name: str, device: torch.device) -> tuple[Precision, str]:
    """The precision called `name`, and the reason for it in a few words.

    'auto' is what PROTEUS_PRECISION says; without it, bfloat16 where the device has instructions for its products, as
    far as torch can tell. The processor is asked, not timed: a busy moment must not change what a run computes (our
    decision). Raises UserError when PROTEUS_PRECISION is neither float32 nor bfloat16.
    """
    if name != "auto":
        return _called(name), "the configuration asks for it"
    wanted = os.environ.get(OVERRIDE, "")
    if wanted not in ("", "auto", "float32", "bfloat16"):
        raise UserError(f"{OVERRIDE} is “{wanted}”: set it to float32, bfloat16 or auto, or unset it.")
    if wanted in ("float32", "bfloat16"):
        return _called(wanted), f"{OVERRIDE} asks for it"
    if device.type == "cuda":
        can, what = torch.cuda.is_bf16_supported(), "the GPU"
    else:
        found: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()
        can, what = bool(found.get("amx_bf16") or found.get("avx512_bf16")), "the processor"
    return _called("bfloat16" if can else "float32"), f"{what} has {'' if can else 'no '}instructions for bfloat16"


def _called(name: str) -> Precision:
    return "bfloat16" if name == "bfloat16" else "float32"


def autocast(device: torch.device, precision: Precision) -> torch.autocast:
    """Mixed precision for a run; does nothing in float32."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bfloat16")


def hardware(device: torch.device, precision: Precision, reason: str) -> dict[str, Any]:
    """What the run ran on and why in this precision, for the manifest."""
    return {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or "cpu",
        "device_type": device.type,
        "precision": precision,
        "precision_reason": reason,
        "threads": torch.get_num_threads(),
        "cores": psutil.cpu_count(logical=True),
        "memory_bytes": psutil.virtual_memory().total,
        "system": f"{platform.system()} {platform.machine()}",
    }
