"""Every method on one stream with the same settings, as a table.

python -m tests.benchmarks.methods --stream ../shared/data/cifar100-subset.zip --tasks 10 --train-per-class 100 \
    --image-size 98 --blocks last:4 --runs runs

Each image goes through the frozen model once, for all methods and seeds.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.box import MARKDOWN
from rich.console import Console
from rich.table import Table

from core.config import RunConfig, validate
from core.methods import method_names
from core.runs.schema import Status
from core.runs.store import Run
from core.sweep.summary import Interval, interval
from core.training.encoding import Encodings
from core.training.run import resume_run, start_run

COLUMNS = {
    "final_accuracy": "class-incremental",
    "task_aware_accuracy": "task-aware",
    "retrieval_accuracy": "retrieval",
    "average_incremental_accuracy": "average incremental",
    "forgetting": "forgetting",
    "train_seconds": "train s",
    "bytes_per_task": "bytes per task",
}


def main(
    stream: Annotated[str, typer.Option()] = "split-digits",
    tasks: Annotated[int | None, typer.Option()] = None,
    task_by: Annotated[str, typer.Option()] = "classes",
    train_per_class: Annotated[int | None, typer.Option()] = None,
    test_per_class: Annotated[int | None, typer.Option()] = None,
    image_size: Annotated[int | None, typer.Option()] = None,
    blocks: Annotated[str, typer.Option()] = "last:4",
    epochs: Annotated[int, typer.Option()] = 5,
    seeds: Annotated[str, typer.Option(help="comma-separated")] = "0",
    views: Annotated[int, typer.Option(help="2 adds the mirror image to the frozen features")] = 1,
    backbone: Annotated[str, typer.Option()] = "dinov2-s14",
    methods: Annotated[str, typer.Option(help="comma-separated; all by default")] = "",
    runs: Annotated[Path, typer.Option()] = Path("runs"),
) -> None:
    """Train each method and print a table in Markdown, best first: means over the seeds and their 95% intervals."""
    encodings: Encodings = {}
    names = methods.split(",") if methods else sorted(method_names(), key=lambda name: name != "proteus")
    rows = []
    for name in names:
        values = {
            "stream": {
                "name": stream,
                "tasks": tasks,
                "task_by": task_by,
                "train_per_class": train_per_class,
                "test_per_class": test_per_class,
            },
            "backbone": {"name": backbone, "image_size": image_size},
            "adapters": {"blocks": blocks},
            "training": {"epochs": epochs},
            "method": {"name": name},
            "retrieval": {"views": views},
            "record": {"projection": False},
        }
        found = []
        for seed in seeds.split(","):
            config = validate(RunConfig, {"seed": int(seed), **values})
            folder = start_run(config, runs, Told(f"{name}, seed {seed}"), encodings=encodings)
            found.append(Run(folder).metrics)
        rows.append((name, {key: _over_seeds([metrics[key] for metrics in found]) for key in COLUMNS}))
        _show(rows)


class Told:
    """Print a line on standard error for each new task of a method."""

    def __init__(self, name: str) -> None:
        self.name, self.task = name, -1

    def __call__(self, status: Status) -> None:
        if status.task != self.task:
            self.task = status.task
            print(f"{self.name}: task {status.task + 1} of {status.tasks}", file=sys.stderr, flush=True)


def finished(config: RunConfig, runs: Path, name: str, encodings: Encodings) -> Run:
    """The run `name`, trained as far as its folder does not hold it already."""
    told = Told(name)
    if (runs / name).exists():
        return Run(resume_run(runs / name, told))
    return Run(start_run(config, runs, told, name=name, encodings=encodings))


def _show(rows: list[tuple[str, dict[str, Interval]]]) -> None:
    table = Table("method", *COLUMNS.values(), box=MARKDOWN)
    for name, found in sorted(rows, key=lambda row: -row[1]["final_accuracy"].mean):
        table.add_row(name, *(str(found[key]) for key in COLUMNS))
    Console(width=180).print(table)


def _over_seeds(values: list[float | None]) -> Interval:
    return interval([value for value in values if value is not None])


if __name__ == "__main__":
    typer.run(main)
