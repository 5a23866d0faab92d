"""Adapters of a finished run as PEFT folders, and the configuration of a run whose adapters come from such folders."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from core.adapters.peft_files import PeftAdapter, read_adapter, write_adapter
from core.adapters.sites import PROJECTIONS
from core.config import merge
from core.errors import UserError
from core.methods.base import PAST_IS_FROZEN
from core.training.inference import TrainedModel, load_model

HEAD = "head.safetensors"
"""weight (classes, width) and bias (classes,) of a task's linear head, its classes in the order of proteus.json."""


@torch.no_grad()
def export_adapters(run: Path, to: Path) -> list[Path]:
    """Write the adapters of the finished run in the folder `run` into `to`, one PEFT folder per task; returns those.

    Each holds all that the task adds to the backbone as it answers: for Proteus the units that it takes from earlier
    tasks too, at the strength that the run answers with. A method with one model for all tasks gives one folder.
    Raises UserError for a run without low-rank adapters, or a folder that is already there.
    """
    model = load_model(run, "cpu")
    tasks = _chosen(model)
    made = [to / (f"task-{task:03d}" if PAST_IS_FROZEN in model.method.promises else "all-tasks") for task in tasks]
    there = next((folder for folder in made if folder.exists()), None)
    if there is not None:
        raise UserError(f"{there} is already there: choose another folder with --to, or remove it.")
    try:
        for task, folder in zip(tasks, made, strict=True):
            _write(model, task, folder)
    except BaseException:
        for folder in made:
            shutil.rmtree(folder, ignore_errors=True)
        raise
    return made


def _chosen(model: TrainedModel) -> list[int]:
    """The tasks that have an adapter. Raises UserError where none has."""
    if not any(model.method.updates(task) for task in range(model.method.tasks)):
        raise UserError(
            f"Run {model.run.name} ({model.manifest.method}) has no adapters: its backbone stays as it was."
        )
    if PAST_IS_FROZEN not in model.method.promises:
        return [model.method.tasks - 1]
    return [task for task in range(model.method.tasks) if model.method.updates(task)]


def _write(model: TrainedModel, task: int, folder: Path) -> None:
    from safetensors.torch import save_file

    manifest, backbone = model.manifest, model.encoder.backbone
    shared = PAST_IS_FROZEN not in model.method.promises
    labels = [label for info in manifest.tasks for label in info.classes] if shared else manifest.tasks[task].classes
    about = {
        "run": manifest.run,
        "title": manifest.title,
        "method": manifest.method,
        "task": "all tasks" if shared else manifest.tasks[task].name,
        "classes": [manifest.class_names[label] for label in labels],
        "backbone": manifest.backbone.title,
        "image_size": backbone.image_size,
        "mean": list(backbone.preprocessing.mean),
        "std": list(backbone.preprocessing.std),
        "fingerprint": manifest.backbone.fingerprint,
    }
    write_adapter(folder, model.method.updates(task), backbone.family, backbone.name, about)
    head = model.run.task(task).head
    if set(head) == {"weight", "bias"}:
        save_file({name: value.float().contiguous() for name, value in head.items()}, folder / HEAD)


def assembly(folders: Sequence[Path], values: dict[str, Any]) -> dict[str, Any]:
    """The configuration of a run over adapters in PEFT folders, one per task; `values` (nested keys) override it.

    The adapters stay as they are: one head per task is learned on top, and retrieval is built as for any run. Sites are
    those that any adapter changes; the backbone is the one that they name; tasks are as many as adapters, with the
    classes of adapters that were exported here.
    Raises UserError for a folder that cannot be taken, or a backbone that must be named.
    """
    if not folders:
        raise UserError(
            "assemble needs adapters: --adapters FOLDER FOLDER …, one per task, as peft's save_pretrained writes."
        )
    found = [read_adapter(folder) for folder in folders]
    sites = {site for adapter in found for site in adapter.units}
    config: dict[str, Any] = {
        "method": {"name": "proteus", "compose": False, "orthogonality": 0.0, "negligible": 0.0},
        "adapters": {
            "given": [os.path.abspath(folder) for folder in folders],
            "blocks": ",".join(map(str, sorted({site.block for site in sites}))),
            "projections": [name for name in PROJECTIONS if any(site.projection == name for site in sites)],
            "rank": max(adapter.rank for adapter in found),
        },
        "stream": _tasks(found, values.get("stream", {})),
        "backbone": _backbone(found, values.get("backbone", {})),
    }
    return merge(config, values)


def _tasks(found: Sequence[PeftAdapter], stream: dict[str, Any]) -> dict[str, Any]:
    if any(stream.get(key) for key in ("tasks", "task_classes")) or stream.get("task_by") == "prefix":
        return {}
    classes = [adapter.about.get("classes") for adapter in found]
    if all(isinstance(own, list) and own for own in classes):
        return {"task_classes": classes}
    return {"tasks": len(found)}


def _backbone(found: Sequence[PeftAdapter], backbone: dict[str, Any]) -> dict[str, Any]:
    from core.backbones.timm_vit import is_timm

    size = {adapter.about.get("image_size") for adapter in found}
    settings = {"image_size": size.pop()} if len(size) == 1 and None not in size else {}
    if backbone.get("name"):
        return settings
    bases = {adapter.base for adapter in found}
    if len(bases) > 1:
        raise UserError(f"The adapters name different models ({', '.join(sorted(bases))}): name one with --backbone.")
    base = bases.pop()
    if base in ("tiny", "dinov2-s14") or base.startswith(("timm/", "open_clip/")):
        return settings | {"name": base}
    if base and is_timm(base):
        return settings | {"name": f"timm/{base}"}
    raise UserError(
        f"The adapters name “{base[:80] or 'no model'}”, which is called otherwise here: give the same model with "
        "--backbone timm/MODEL, and its file with --set backbone.pretrained=FILE where there is no hub."
    )
