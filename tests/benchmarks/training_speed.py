"""Training against Hugging Face's peft on the same model, sites, rank, precision and batches.

python -m tests.benchmarks.training_speed --stream ../shared/data/cifar100-subset.zip --per-class 50 --epochs 1,5,20

Ours is what a run does, the filling of its cache included: the frozen pass, then the one training loop. With the method
`sequential`, which like peft's model has one adapter and finds no task, the pass ends at the first adapted block; other
methods need all blocks' features for retrieval, which peft has no use for. Each training is a process of its own, ours
and peft's in turn; images are decoded and resized once in both, inside the time. CPU seconds are printed beside wall
time because they hardly depend on what else the machine does.
"""

from __future__ import annotations

import json
import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from rich.console import Console
from rich.table import Table
from torch import Tensor

from core.adapters.sites import parse_blocks
from core.backbones import load_backbone
from core.backbones.features import FrozenFeatures
from core.config import RunConfig, validate
from core.data.streams import open_stream
from core.data.tasks import Task
from core.evaluation.cost import peak_memory_bytes
from core.methods import method_class
from core.training.device import autocast, pick_device, pick_precision
from core.training.encoding import ENCODE_BATCH, Encoder
from core.training.loop import train_task
from core.training.token_store import TokenCache

SIDES = ("ours", "peft")


def main(
    stream: Annotated[str, typer.Option(help="its first task is learned")] = "split-digits",
    tasks: Annotated[int, typer.Option(help="tasks that the stream is cut into")] = 1,
    per_class: Annotated[int, typer.Option(help="training images per class")] = 12,
    test_per_class: Annotated[int, typer.Option()] = 20,
    epochs: Annotated[str, typer.Option(help="comma-separated")] = "1,5",
    blocks: Annotated[str, typer.Option(help="separated by semicolons")] = "last:4;all",
    rank: Annotated[int, typer.Option()] = 8,
    batch: Annotated[int, typer.Option()] = 64,
    image_size: Annotated[int, typer.Option()] = 98,
    precision: Annotated[str, typer.Option()] = "auto",
    device: Annotated[str, typer.Option()] = "auto",
    method: Annotated[str, typer.Option()] = "sequential",
    output: Annotated[Path | None, typer.Option(help="JSON")] = None,
) -> None:
    """Train both; print seconds, images per second, memory and accuracy, and how many times faster ours is."""
    rows = []
    for where in blocks.split(";"):
        for number in map(int, epochs.split(",")):
            config = {
                "stream": {
                    "name": stream,
                    "tasks": tasks,
                    "train_per_class": per_class,
                    "test_per_class": test_per_class,
                },
                "backbone": {"image_size": image_size},
                "adapters": {"blocks": where, "rank": rank, "first_rank": None},
                "training": {"epochs": number, "batch_size": batch, "precision": precision, "device": device},
                "method": {"name": method},
            }
            found = {side: _apart(side, config) for side in SIDES}
            rows.append({"blocks": where, "epochs": number, **found})
            _show(rows)
    if output:
        output.write_text(json.dumps({"threads": torch.get_num_threads(), "rows": rows}, indent=1))


def _apart(side: str, config: dict[str, Any]) -> dict[str, Any]:
    """One training in a fresh process, so that its memory is its own."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(measure, side, config).result()


def measure(side: str, values: dict[str, Any]) -> dict[str, Any]:
    """Seconds, CPU seconds, peak memory and test accuracy of one training."""
    config = validate(RunConfig, values)
    task = open_stream(config.stream, config.seed).tasks[0]
    before = peak_memory_bytes("cpu")
    train, test = (_ours if side == "ours" else _peft)(config, task)
    began, cpu = time.perf_counter(), time.process_time()
    train()
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    device = pick_device(config.training.device)
    peak = peak_memory_bytes(device)
    return {
        "seconds": seconds,
        "cpu_seconds": cpu,
        "images_per_second": config.training.passes(len(task.train)) * len(task.train) / seconds,
        "peak_memory_bytes": peak,
        "memory_before_bytes": before,
        "accuracy": test(),
    }


def _ours(config: RunConfig, task: Task) -> tuple[Any, Any]:
    """Training and testing by the method, the encoder and the loop of a run."""
    device = pick_device(config.training.device)
    precision = pick_precision(config.training.precision, device)
    backbone = load_backbone(config.backbone, None, device)
    features = FrozenFeatures(backbone, config.retrieval.features)
    method = method_class(config.method.name)(backbone, features.width, config, device)
    method.begin_task(0, task.classes, torch.Generator().manual_seed(config.seed))
    encoder = Encoder(
        backbone,
        features,
        method.first_block,
        precision,
        TokenCache(config.training.cache),
        reads_frozen=method.passes()[0],
    )

    def train() -> None:
        data = encoder.encode(task.train, lambda done: None)
        generator = torch.Generator().manual_seed(config.seed)
        train_task(method, 0, [data], config.training, precision, generator, lambda step, losses: None)

    def logits(pixels: Tensor) -> Tensor:
        return method.heads(method.embed(backbone.run(backbone.stem(pixels), 0, method.first_block), 0), 0)

    return train, lambda: _accuracy(task, backbone.preprocessing, logits, device)


def _peft(config: RunConfig, task: Task) -> tuple[Any, Any]:
    """Training and testing by peft."""
    from tests.benchmarks.peft_lora import peft_model, train_peft

    device = pick_device(config.training.device)
    precision = pick_precision(config.training.precision, device)
    backbone = load_backbone(config.backbone, None, torch.device("cpu"))
    preprocessing, depth = backbone.preprocessing, backbone.depth
    del backbone
    blocks = parse_blocks(config.adapters.blocks, depth)
    torch.manual_seed(config.seed)
    model = peft_model(config, blocks, len(task.classes), preprocessing.size).to(device)

    def train() -> None:
        pixels = torch.from_numpy(task.train.pixels(preprocessing.pixels))
        labels = torch.from_numpy(np.array(task.train.labels)).to(device)
        train_peft(model, pixels, labels, preprocessing, config, precision)

    return train, lambda: _accuracy(task, preprocessing, model, device)


@torch.no_grad()
def _accuracy(task: Task, preprocessing: Any, logits: Any, device: torch.device) -> float:
    right = 0
    for rows in np.array_split(np.arange(len(task.test)), -(-len(task.test) // ENCODE_BATCH)):
        pixels = torch.from_numpy(task.test.pixels(preprocessing.pixels, rows)).to(device)
        with autocast(device, "float32"):
            answers = logits(preprocessing.normalise(pixels)).argmax(1).cpu().numpy()
        right += int((answers == task.test.labels[rows]).sum())
    return right / len(task.test)


def _show(rows: list[dict[str, Any]]) -> None:
    table = Table(
        "blocks", "epochs", "", "seconds", "CPU s", "images/s", "peak MB", "accuracy", "times faster", "by CPU s"
    )
    for row in rows:
        faster, by_cpu = (row["peft"][key] / row["ours"][key] for key in ("seconds", "cpu_seconds"))
        for side in SIDES:
            found = row[side]
            table.add_row(
                row["blocks"],
                str(row["epochs"]),
                side,
                f"{found['seconds']:.1f}",
                f"{found['cpu_seconds']:.1f}",
                f"{found['images_per_second']:.1f}",
                f"{found['peak_memory_bytes'] / 1e6:,.0f}",
                f"{found['accuracy']:.3f}",
                *([f"{faster:.2f}", f"{by_cpu:.2f}"] if side == "ours" else []),
            )
    Console(width=130).print(table)


if __name__ == "__main__":
    typer.run(main)
