"""What an answer costs as tasks grow, on adapters made at random: `python -m tests.benchmarks.inference_speed`.

    naive       a whole forward pass per image and task, every unit of every composition computed
    exhaustive  shared blocks once, then the adapted blocks for all tasks of an image in joint passes (shortlist = T)
    shortlist   the frozen space names one task, whose adapted blocks alone run (the default)

Adapters are synthetic: random directions as large as trained ones, with four earlier units per site reused and the rest
at 10⁻⁵, as the penalties leave them. Images are synthetic too, with two classes per task: a random pattern with noise.
Heads, clusters, whitening and every pass are the real ones. The naive loop is measured on a few tasks and multiplied.
CPU time is printed beside wall time because it hardly depends on what else the machine does.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import torch.nn.functional as F
import typer
from rich.console import Console
from rich.table import Table
from torch import Tensor

from core.backbones import load_backbone
from core.backbones.features import FrozenFeatures
from core.config import RunConfig, validate
from core.data.images import ArrayPicture, ImageSet, Item
from core.evaluation.cost import peak_memory_bytes
from core.evaluation.evaluator import Evaluator
from core.evaluation.metrics import task_ranks
from core.methods.proteus import Proteus
from core.training.device import Precision, autocast, pick_device, pick_precision
from core.training.encoding import ENCODE_BATCH, EncodedImages, Encoder
from core.training.token_store import TokenCache

_CLASSES = 2
_NAIVE_TASKS = 3
_WAYS = ("naive", "exhaustive", "shortlist")


def main(
    tasks: Annotated[str, typer.Option(help="numbers of tasks, ascending, comma-separated")] = "1,5,10,20",
    images: Annotated[int, typer.Option(help="test images at each number of tasks")] = 64,
    train: Annotated[int, typer.Option(help="training images per class")] = 6,
    noise: Annotated[float, typer.Option(help="of the images, beside patterns of size 1")] = 1.0,
    image_size: Annotated[int, typer.Option()] = 98,
    blocks: Annotated[str, typer.Option()] = "last:4",
    features: Annotated[str, typer.Option()] = "last:2",
    device: Annotated[str, typer.Option()] = "auto",
    output: Annotated[Path | None, typer.Option(help="JSON")] = None,
) -> None:
    """Add tasks one by one; at each number asked for, answer for the same number of images in all three ways."""
    bench = Bench(image_size, blocks, features, device, noise)
    rows = []
    for wanted in map(int, tasks.split(",")):
        while bench.method.tasks < wanted:
            bench.add_task(train)
        rows.append(bench.measure(images))
        _show(rows)
    if output:
        output.write_text(json.dumps({"threads": torch.get_num_threads(), "rows": rows}, indent=1))


class Bench:
    """A method that gains synthetic tasks."""

    def __init__(self, image_size: int, blocks: str, features: str, device: str, noise: float) -> None:
        self.device = pick_device(device)
        self.precision: Precision = pick_precision("auto", self.device)
        values = {
            "backbone": {"image_size": image_size},
            "adapters": {"blocks": blocks},
            "retrieval": {"features": features},
        }
        self.config = validate(RunConfig, values)
        self.backbone = load_backbone(self.config.backbone, None, self.device)
        frozen = FrozenFeatures(self.backbone, features)
        self.method = Proteus(self.backbone, frozen.width, self.config, self.device).eval()
        self.encoder = Encoder(self.backbone, frozen, self.method.first_block, self.precision, TokenCache("memory"))
        self.noise = noise
        self.random = np.random.default_rng(0)
        self.patterns: list[np.ndarray] = []
        self.generator = torch.Generator().manual_seed(0)

    def add_task(self, per_class: int) -> None:
        """A task with a random adapter, fitted to its images."""
        task = self.method.tasks
        classes = tuple(range(task * _CLASSES, (task + 1) * _CLASSES))
        self.patterns += [self.random.normal(size=(7, 7, 3)) for _ in classes]
        self.method.begin_task(task, classes, self.generator)
        self._draw_adapter(task)
        data = self._encoded(np.repeat(classes, per_class))
        with torch.no_grad():
            inputs = Evaluator(self.method, self.precision, _silent).inputs(data, task)
            self._fit_head(task, inputs.embedding(task), data.labels - classes[0])
            self.method.end_task(task, inputs)

    def _draw_adapter(self, task: int) -> None:
        """Norms as in the recorded runs: ‖ΔW‖ about 0.3, earlier units that are reused at a third of their size."""
        adapter = self.method.bank.adapters[task]
        for name, up in adapter.up.items():
            up.data = torch.randn(up.shape, generator=self.generator).to(self.device)
            up.data *= 0.3 / float((up @ adapter.down[name]).detach().norm())
        for reuse in adapter.reuse.values():
            drawn = 1e-5 * torch.randn(reuse.shape, generator=self.generator)
            chosen = torch.randperm(len(reuse), generator=self.generator)[:4]
            drawn[chosen] = 0.3 * torch.randn(len(chosen), generator=self.generator)
            reuse.data = drawn.to(self.device)

    def _fit_head(self, task: int, embedding: Tensor, labels: Tensor) -> None:
        """Ridge regression onto the classes."""
        head = self.method.heads.heads[task]
        mean = embedding.mean(0)
        centred, targets = embedding - mean, F.one_hot(labels, _CLASSES).float() - 1 / _CLASSES
        ridge = centred.square().sum() / len(centred) * torch.eye(len(centred), device=self.device)
        weights = centred.T @ torch.linalg.solve(centred @ centred.T + ridge, targets)
        head.weight.data, head.bias.data = 10 * weights.T.contiguous(), -10 * mean @ weights

    def pictures(self, labels: np.ndarray) -> ImageSet:
        """One image per label: the class's pattern plus equally coarse noise, enlarged."""
        items = []
        for number, label in enumerate(labels):
            coarse = self.patterns[label] + self.noise * self.random.normal(size=(7, 7, 3))
            pixels = np.clip(128 + 40 * np.kron(coarse, np.ones((14, 14, 1))), 0, 255).astype(np.uint8)
            items.append(Item(str(number), ArrayPicture(pixels), str(number)))
        return ImageSet(items, labels)

    def _encoded(self, labels: np.ndarray) -> EncodedImages:
        return self.encoder.encode(self.pictures(labels), _silent)

    def measure(self, count: int) -> dict[str, Any]:
        """Milliseconds per image in the three ways, accuracy and recall of the two that are ours, and bytes."""
        tasks = self.method.tasks
        labels = np.linspace(0, tasks * _CLASSES - 1, count).round().astype(int)
        images = self.pictures(labels)
        wall, cpu = self._naive(images)
        row: dict[str, Any] = {"tasks": tasks, "images": count, "naive_ms": tasks * wall, "naive_cpu_ms": tasks * cpu}
        for name, shortlist in (("exhaustive", tasks), ("shortlist", 1)):
            retrieval = self.config.retrieval.model_copy(update={"shortlist": shortlist})
            self.method.config = self.config.model_copy(update={"retrieval": retrieval})
            wall, cpu, (scores, predicted) = _fastest(lambda: self._answers(images), 2 if shortlist > 1 else 3)
            ranks = task_ranks(scores.cpu().numpy(), labels // _CLASSES)
            row |= {f"{name}_ms": 1000 * wall / count, f"{name}_cpu_ms": 1000 * cpu / count}
            row[f"{name}_accuracy"] = float((predicted.cpu().numpy() == labels).mean())
            row[f"{name}_recall"] = {k: float((ranks < k).mean()) for k in (1, 2, 5)}
        stored = [self.method.task_state(task).stored_bytes() for task in range(tasks)]
        row |= {"stored_bytes": sum(stored), "peak_memory_bytes": peak_memory_bytes(self.device)}
        return row

    @torch.no_grad()
    def _answers(self, images: ImageSet) -> tuple[Tensor, Tensor]:
        """All that answering takes: the frozen pass, retrieval, the adapted passes and the classes."""
        data = self.encoder.encode(images, _silent)
        inputs = Evaluator(self.method, self.precision, _silent, whole_batches=False).inputs(data, 0)
        scores = self.method.task_scores(inputs)
        return scores, self.method.classify(inputs, scores.argmax(1))

    @torch.no_grad()
    def _naive(self, images: ImageSet) -> tuple[float, float]:
        """Milliseconds of wall and CPU time per image and task of whole passes: the mean over tasks spread over all."""
        preprocessing = self.backbone.preprocessing
        pixels = torch.from_numpy(images.pixels(preprocessing.pixels, range(min(len(images), ENCODE_BATCH))))
        batch = preprocessing.normalise(pixels.to(self.device))
        chosen = np.unique(np.linspace(0, self.method.tasks - 1, _NAIVE_TASKS).round().astype(int)).tolist()
        times = []
        for task in chosen:
            updates = everything(self.method, task)
            with autocast(self.device, self.precision):
                times.append(_fastest(lambda updates=updates: self.backbone(batch, updates), 3)[:2])
        wall, cpu = 1000 * np.mean(times, axis=0) / len(batch)
        return float(wall), float(cpu)


def everything(method: Proteus, task: int) -> Any:
    """The updates of `task` as they are composed in training, negligible units included."""
    method.train()
    updates = method.updates(task)
    method.eval()
    return updates


def _fastest(function: Callable[[], Any], repeats: int) -> tuple[float, float, Any]:
    """Least seconds and least CPU seconds of some calls, and what the last returned."""
    times, result = [], None
    for _ in range(repeats):
        began, cpu = time.perf_counter(), time.process_time()
        result = function()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        times.append((time.perf_counter() - began, time.process_time() - cpu))
    return *np.min(times, axis=0).tolist(), result


def _silent(done: int) -> None:
    """Nobody watches."""


def _show(rows: list[dict[str, Any]]) -> None:
    table = Table(
        "tasks", "naive ms", "exhaustive", "shortlist", "naive CPU ms", "exhaustive", "shortlist", "exhaustive ×",
        "shortlist × (CPU)", "accuracy exh.", "shortlist", "recall@1", "recall@5", "stored MB", "peak MB",
    )  # fmt: skip
    for row in rows:
        table.add_row(
            str(row["tasks"]),
            *(f"{row[f'{way}_{unit}']:,.1f}" for unit in ("ms", "cpu_ms") for way in _WAYS),
            *(f"{row['naive_cpu_ms'] / row[f'{way}_cpu_ms']:.1f}" for way in _WAYS[1:]),
            *(f"{row[f'{way}_accuracy']:.3f}" for way in ("exhaustive", "shortlist")),
            *(f"{row['shortlist_recall'][k]:.3f}" for k in (1, 5)),
            *(f"{row[key] / 1e6:,.1f}" for key in ("stored_bytes", "peak_memory_bytes")),
        )
    Console(width=170).print(table)


if __name__ == "__main__":
    typer.run(main)
