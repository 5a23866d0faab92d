"""What each part of Proteus is worth on one stream: `python -m tests.benchmarks.ablations --help`.

Three tables. Training: orthogonality and composition, each on and off, and the same images in 5, 10 and 20 tasks.
Clustering: from the full run's stored embeddings, all training images kept, DP-GMM against k-means, one Gaussian per
task and class means. Batches: images judged together, which is transductive and printed apart.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from core.config import RunConfig, merge, validate
from core.evaluation.metrics import batch_retrieval
from core.retrieval.answering import answer, read
from core.retrieval.questions import Settings
from core.runs.store import Run
from core.training.encoding import Encodings
from core.training.run import start_run

_PARTS: dict[str, dict[str, Any]] = {
    "Proteus": {},
    "without orthogonality": {"method": {"orthogonality": 0.0}},
    "without composition": {"method": {"compose": False}},
    "without either": {"method": {"orthogonality": 0.0, "compose": False}},
    "without the first task's adapter in retrieval": {"retrieval": {"first_adapter": False}},
}
_CLUSTERINGS = {
    "DP-GMM seeded by class (default)": {"mixture": "class-seeded"},
    "class means": {"mixture": "means"},
    "k-means, 20 per task": {"mixture": "kmeans"},
    "DP-GMM per task, full covariance": {"mixture": "dp-gmm"},
    "DP-GMM per task, tied covariance": {"mixture": "dp-gmm", "covariance": "tied"},
    "one Gaussian per task, full covariance": {"mixture": "gaussian"},
}
_BATCHES = (1, 5, 10, 30)


def main(
    stream: Annotated[str, typer.Option()] = "split-digits",
    tasks: Annotated[str, typer.Option(help="numbers of tasks, comma-separated; the first is the full run's")] = "5",
    train_per_class: Annotated[int | None, typer.Option()] = None,
    image_size: Annotated[int | None, typer.Option()] = None,
    epochs: Annotated[int, typer.Option()] = 5,
    seed: Annotated[int, typer.Option()] = 0,
    views: Annotated[int, typer.Option()] = 1,
    runs: Annotated[Path, typer.Option()] = Path("runs"),
) -> None:
    """Train the variants and print what each costs or gains."""
    numbers = [int(number) for number in tasks.split(",")]
    base = {
        "seed": seed,
        "stream": {"name": stream, "tasks": numbers[0], "train_per_class": train_per_class},
        "backbone": {"image_size": image_size},
        "method": {"name": "proteus"},
        "training": {"epochs": epochs},
        "retrieval": {"views": views},
        "record": {"projection": False, "train_per_class": 10_000},
    }
    encodings: Encodings = {}
    rows: list[tuple[str, Run]] = []
    for name, change in _variants(numbers).items():
        print(f"{name} …", file=sys.stderr, flush=True)
        rows.append(
            (name, Run(start_run(validate(RunConfig, merge(base, change)), runs, _silent, encodings=encodings)))
        )
        _show_training(rows)
    _show_clusterings(rows[0][1])
    _show_batches(rows[0][1])


def _variants(numbers: list[int]) -> Mapping[str, dict[str, Any]]:
    return _PARTS | {f"in {number} tasks": {"stream": {"tasks": number}} for number in numbers[1:]}


def _silent(status: object) -> None:
    """Progress is told a run at a time."""


def _show_training(rows: list[tuple[str, Run]]) -> None:
    keys = ("final_accuracy", "task_aware_accuracy", "retrieval_accuracy", "forgetting", "bytes_per_task")
    table = Table("trained", "class-incremental", "task-aware", "retrieval", "forgetting", "bytes per task")
    for name, run in rows:
        values = [run.metrics[key] for key in keys]
        table.add_row(name, *(f"{value:.3f}" for value in values[:-1]), f"{values[-1]:,.0f}")
    Console(width=120).print(table)


def _show_clusterings(run: Run) -> None:
    table = Table(
        "clustering of the same embeddings", "retrieval", "class-incremental", "components per task", "fit, score s"
    )
    recorded = read(run)
    for name, settings in _CLUSTERINGS.items():
        found = answer(recorded, Settings(**settings))
        shares = (found.after.retrieval, found.after.accuracy)
        components = float(np.mean([len(each) for each in found.components]))
        table.add_row(name, *(f"{share:.3f}" for share in shares), f"{components:.0f}", f"{found.seconds:.1f}")
    Console(width=120).print(table)


def _show_batches(run: Run) -> None:
    predictions = run.predictions()
    last = predictions.column("after_task").to_numpy() == len(run.manifest.tasks) - 1
    scores = np.stack(predictions.filter(last).column("scores").to_numpy(zero_copy_only=False))
    tasks = predictions.column("task").to_numpy()[last]
    table = Table("images judged together (transductive above 1)", *map(str, _BATCHES))
    table.add_row("retrieval", *(f"{batch_retrieval(scores, tasks, size):.3f}" for size in _BATCHES))
    Console(width=120).print(table)


if __name__ == "__main__":
    typer.run(main)
