"""Small real run folders for tests: two tasks of two classes, written by RunWriter."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from PIL import Image

from core.runs.schema import IMAGE_COLUMNS, PREDICTION_COLUMNS, PROJECTION_COLUMNS, Manifest, Status, TaskDone
from core.runs.store import RunWriter

IMAGES = 8
SPACES = ("frozen", "own")


def manifest(name: str = "a-run", seed: int = 0, **changes: object) -> Manifest:
    backbone = {
        "name": "tiny", "title": "Tiny", "family": "timm", "fingerprint": "00", "depth": 2, "width": 4,
        "heads": 1, "tokens": 5, "image_size": 32, "parameters": 10,
    }  # fmt: skip
    tasks = [{"name": f"task {t}", "classes": [2 * t, 2 * t + 1], "train_images": 6, "test_images": 4} for t in (0, 1)]
    config = {"seed": seed, "method": {"name": "lda"}, "stream": {"name": "split-digits", "tasks": 2}}
    values: dict[str, object] = {
        "run": name, "created": f"2026-01-01T00:00:{seed:02d}+00:00", "title": "A run", "config": config,
        "stream": "split-digits", "stream_fingerprint": "ab" * 32, "stream_report": {}, "class_names": list("abcd"),
        "tasks": tasks, "backbone": backbone, "method": "lda", "promises": [], "seed": seed,
        "versions": {"torch": torch.__version__}, "hardware": {},
    }  # fmt: skip
    return Manifest.model_validate(values | changes)


def predictions(after: int) -> pa.Table:
    """All test images of the tasks seen so far; the first image of each task is sent to the wrong one."""
    rows = [
        {
            "after_task": after, "image": image, "task": image // 4, "label": image // 2,
            "retrieved_task": (image // 4 + (image % 4 == 0)) % (after + 1), "predicted": image // 2,
            "predicted_given_task": image // 2, "margin": 0.5, "nearest_component": -1,
            "scores": [0.25] * (after + 1), "split": "test", "shift": "none",
        }
        for image in range(4 * (after + 1))
    ]  # fmt: skip
    return pa.Table.from_pylist(rows)


def images() -> pa.Table:
    rows = [
        {"image": i, "split": "test", "task": i // 4, "label": i // 2, "name": f"{i}.png", "component": -1, "sheet": 0,
         "cell": i} for i in range(IMAGES)
    ]  # fmt: skip
    return pa.Table.from_pylist(rows, schema=IMAGE_COLUMNS)


def projection() -> pa.Table:
    rows = [{"space": "own", "after_task": 1, "image": i, "x": i / 2, "y": -i / 2} for i in range(IMAGES)]
    return pa.Table.from_pylist(rows, schema=PROJECTION_COLUMNS)


def metrics() -> dict[str, object]:
    per_task = [{"task": t, "images": 4, "final_accuracy": 0.5 + t / 4, "forgetting": None} for t in (0, 1)]
    return {
        "final_accuracy": 0.625, "final_accuracy_pooled": 0.625, "task_aware_accuracy": 1.0, "retrieval_accuracy": 0.75,
        "average_incremental_accuracy": 0.8, "forgetting": float("nan"), "per_task": per_task,
        "costs": {"seconds": 75.0, "train_seconds": 60.0, "peak_memory_bytes": 1_500_000, "bytes_per_task": 2048},
    }  # fmt: skip


def save_task(writer: RunWriter, task: int, width: int = 4) -> None:
    generator = torch.Generator().manual_seed(task)
    weight = torch.randn(3, width, generator=generator)
    writer.save_task(
        TaskDone(task=task, train_seconds=1, evaluate_seconds=1, trainable_parameters=12, stored_bytes=48),
        adapter={"0.q.A": weight, "0.q.B": weight.T},
        head={"weight": weight.to(torch.bfloat16)},
        mixture={"means": np.ones((2, width), np.float32)},
        gates={"0.q": 1.0},
        predictions=predictions(task),
        embeddings={"own": np.ones((IMAGES, width), np.float16)},
        shared={"sum": torch.full((width,), float(task), dtype=torch.float64)},
    )


def write_run(runs: Path, name: str = "a-run", seed: int = 0, tasks: int = 2, **changes: object) -> Path:
    """A run in `runs`: done when both tasks are written, otherwise cancelled."""
    writer = RunWriter.create(runs, manifest(name, seed, **changes))
    writer.status(Status(state="running", tasks=2))
    writer.event("start", tasks=2)
    for task in range(tasks):
        save_task(writer, task)
    if tasks == 2:
        Image.new("RGB", (64 * 32, 64)).save(writer.folder / "sprites" / "000.webp")
        arrays = {space: np.arange(IMAGES * 4, dtype=np.float32).reshape(IMAGES, 4) for space in SPACES}
        writer.finish(images=images(), embeddings=arrays, projection=projection(), metrics=metrics(), answer={})
    writer.status(Status(state="done" if tasks == 2 else "cancelled", tasks=2, fraction=tasks / 2))
    writer.event("end")
    return writer.folder


assert set(predictions(0).column_names) == set(PREDICTION_COLUMNS.names)
