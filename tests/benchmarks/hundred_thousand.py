"""A hundred thousand images through evaluation, the map and the app: seconds and peak memory of each.

python -m tests.benchmarks.hundred_thousand --images 100000

Features are synthetic, one cloud per class; what reads them is real: `lda` learns ten tasks of ten classes, the
evaluator answers for all images after the last one, the map is fitted on landmarks and the rest is placed, and the app
opens a run of so many images. Each part runs in a process of its own, so that its peak memory is its own.
"""

from __future__ import annotations

import multiprocessing
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from core.evaluation.cost import peak_memory_bytes

TASKS, CLASSES = 10, 10
LIMIT = 4e9
"""Bytes that no part may take."""


def main(
    images: Annotated[int, typer.Option()] = 10_000,
    width: Annotated[int, typer.Option(help="Of the features; 384 is the embedded backbone's embedding.")] = 384,
) -> None:
    """Print one row per part; the exit status is 1 when a part took 4 GB or more."""
    table = Table("part", "seconds", "peak GB", "what came out")
    peaks = []
    parts: tuple[Callable[..., dict[str, Any]], ...] = (evaluated, drawn, opened)
    for part in parts:
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
            said = pool.submit(part, images, width).result()
        peaks.append(said["peak"])
        table.add_row(said["part"], f"{said['seconds']:.1f}", f"{said['peak'] / 1e9:.2f}", said["note"])
    console = Console(width=110)
    console.print(f"{images:,} images")
    console.print(table)
    if max(peaks) >= LIMIT:
        raise typer.Exit(1)


def _features(images: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """float32 (images, width) and labels (images,), one cloud per class, the classes in order."""
    random = np.random.default_rng(0)
    labels = np.sort(np.arange(images) % (TASKS * CLASSES))
    centres = random.normal(size=(TASKS * CLASSES, width)).astype(np.float32)
    features = random.standard_normal((images, width), dtype=np.float32)
    features += 0.35 * centres[labels]
    return features, labels


class _Encoded:
    """Images that went through the frozen model, as the evaluator reads them."""

    def __init__(self, frozen: Any, labels: Any) -> None:
        self.frozen = self.embedding = frozen
        self.labels = labels

    def __len__(self) -> int:
        return len(self.labels)


def evaluated(images: int, width: int) -> dict[str, Any]:
    """Learn, answer for every image after the last task, and sum up."""
    import torch

    from core.backbones.timm_vit import load_tiny
    from core.config import RunConfig, validate
    from core.evaluation.evaluator import Evaluator
    from core.evaluation.metrics import summary
    from core.methods import method_class

    features, labels = _features(images, width)
    config = validate(RunConfig, {"method": {"name": "lda"}, "retrieval": {"features": "final"}})
    method = method_class("lda")(load_tiny(None), width, config, torch.device("cpu")).eval()
    evaluator = Evaluator(method, "float32", lambda count: None)
    began, first = time.perf_counter(), 0
    for task in range(TASKS):
        rows = np.flatnonzero(labels // CLASSES == task)
        data: Any = _Encoded(torch.from_numpy(features[rows]), torch.from_numpy(labels[rows]))
        method.begin_task(task, tuple(range(task * CLASSES, (task + 1) * CLASSES)), torch.Generator())
        with torch.no_grad():
            method.end_task(task, evaluator.inputs(data, task))
        evaluator.watch(task, data, first)
        first += len(rows)
    answers = evaluator.predictions(TASKS - 1)
    found = summary(answers, TASKS)
    note = f"accuracy {found['final_accuracy']:.3f} of {answers.num_rows:,} answers"
    return {
        "part": "evaluation",
        "seconds": time.perf_counter() - began,
        "note": note,
        "peak": peak_memory_bytes("cpu"),
    }


def drawn(images: int, width: int) -> dict[str, Any]:
    """The map's coordinates, and how often the nearest point on it is of the same class."""
    from sklearn.neighbors import NearestNeighbors

    from core.projection import LANDMARKS, method_name, project

    features, labels = _features(images, width)
    began = time.perf_counter()
    places = project(features, seed=0)
    seconds = time.perf_counter() - began
    some = np.random.default_rng(1).choice(images, min(images, 5000), replace=False)
    nearest = NearestNeighbors(n_neighbors=2).fit(places).kneighbors(places[some], return_distance=False)[:, 1]
    same = float((labels[nearest] == labels[some]).mean())
    note = f"{method_name()}, {min(images, LANDMARKS):,} landmarks; {same:.0%} have a neighbour of their class"
    return {"part": "map coordinates", "seconds": seconds, "note": note, "peak": peak_memory_bytes("cpu")}


def opened(images: int, width: int) -> dict[str, Any]:
    """The app opens a run of so many images: its answers, its maps, the map as it is sent."""
    from tests.benchmarks import big_run

    with tempfile.TemporaryDirectory() as folder:
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
            pool.submit(big_run.write, Path(folder), images).result()
        steps = big_run.opened(Path(folder))
    slowest = max(steps, key=lambda step: step["seconds"])
    note = f"slowest: {slowest['step']}, {slowest['seconds']:.2f} s, {slowest['again']:.3f} s again"
    seconds = sum(step["seconds"] for step in steps)
    return {"part": "the app's pages", "seconds": seconds, "note": note, "peak": max(step["peak"] for step in steps)}


if __name__ == "__main__":
    typer.run(main)
