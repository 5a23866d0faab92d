"""What each part of Proteus is worth: `python -m tests.benchmarks.ablations --help`.

One part is taken away or exchanged at a time and compared with the full method on the same seed. What changes training
is trained: orthogonality, composition, both, the number of tasks. What changes retrieval and answering alone is asked
of the full method's own adapters: the first task's adapter, the mixture, the weight of the head. A run that is
finished is not trained again, and a cell that is recorded is not measured again, so the command goes on where it was
stopped. The page *Sweep* shows what is recorded. Printed apart, and not recorded: retrieval when images of a task are
judged together, which tells the model more than it may know.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.box import MARKDOWN
from rich.console import Console
from rich.table import Table

from app.figures.ablations import sheet
from core.config import RunConfig, merge, validate
from core.evaluation.metrics import batch_retrieval
from core.files import replacing
from core.runs.store import Run
from core.sweep.ablations import (
    FULL,
    MEASURES,
    RECORDED,
    WITHOUT_COMPOSITION,
    Cell,
    Row,
    Study,
    known,
    numbered,
    read,
    rows,
    write,
)
from core.training.encoding import Encodings
from tests.benchmarks.composition import related_tasks
from tests.benchmarks.methods import finished
from tests.benchmarks.retrieved_anew import retrieved_anew


@dataclass(frozen=True)
class Plan:
    """What a study is about."""

    title: str
    about: str
    per_class: int
    numbers: tuple[int, ...]
    """Of tasks; the full method learns the first."""


PLANS = {
    "cifar-10": Plan(
        "CIFAR-100, 10 images per class",
        "10 training and 30 test images of each of 100 classes at 56 px, ten tasks that share superclasses.",
        10,
        (10, 5, 20, 50),
    ),
    "cifar-100": Plan(
        "CIFAR-100, 100 images per class",
        "100 training and 30 test images of each of 100 classes at 56 px, ten tasks that share superclasses.",
        100,
        (10, 5, 20, 50),
    ),
    "fashion": Plan(
        "Split-Fashion, 200 images per class",
        "200 training and 60 test images of each of ten kinds of clothes at 56 px, five tasks.",
        200,
        (5, 2),
    ),
}
TRAINED: dict[str, dict[str, Any]] = {
    FULL: {},
    "without orthogonality": {"method": {"orthogonality": 0.0}},
    WITHOUT_COMPOSITION: {"method": {"compose": False}},
    "without either": {"method": {"orthogonality": 0.0, "compose": False}},
}
ANSWERED: dict[str, dict[str, Any]] = {
    "retrieval without the first task's adapter": {"first_adapter": False},
    "class means instead of a DP-GMM": {"mode": "means"},
    "k-means, 20 per task, instead of a DP-GMM": {"mode": "kmeans"},
    "means of clusters drawn in": {"draw_in": True},
    "clusters alone inside a task": {"head_weight": 0.0},
    "head weighed four times inside a task": {"head_weight": 2.0},
    "head alone inside a task": {"head_weight": 1e6},
}
_BATCHES = (1, 5, 10, 30)


def main(
    name: Annotated[str, typer.Argument(help=", ".join(PLANS))],
    stream: Annotated[str, typer.Option(help="CIFAR-100, as a folder or zip of class folders")] = "cifar100-subset.zip",
    seeds: Annotated[str, typer.Option(help="comma-separated")] = "0,1,2",
    numbers: Annotated[bool, typer.Option(help="also other numbers of tasks, which takes longest")] = True,
    runs: Annotated[Path, typer.Option()] = Path("runs/ablations"),
    record: Annotated[Path, typer.Option(help="the folder of recorded studies")] = RECORDED,
) -> None:
    """Measure what is missing, record it, and print every variant beside the full method."""
    if name not in PLANS:
        raise typer.BadParameter(f"there is no study “{name}”: choose one of {', '.join(PLANS)}.")
    study = _Measured(name, stream, runs, record)
    chosen = [int(seed) for seed in seeds.split(",")]
    first, *others = PLANS[name].numbers
    for seed in chosen:
        study.train(seed, dict.fromkeys(TRAINED, first))
        study.ask(seed)
    for seed in chosen if numbers else ():
        study.train(seed, {numbered(number, first): number for number in others})
    show(study.found)
    with replacing(record / f"{name}.svg") as file:
        file.write(sheet(study.found).encode())
    if study.folder(FULL, chosen[-1]).exists():
        _show_batches(Run(study.folder(FULL, chosen[-1])))


class _Measured:
    """A study while it is measured: every cell is recorded as soon as it is known."""

    def __init__(self, name: str, stream: str, runs: Path, record: Path) -> None:
        self.name, self.plan, self.stream, self.runs, self.record = name, PLANS[name], stream, runs, record
        given = " --stream cifar100-subset.zip" if name.startswith("cifar") else ""
        command = f"python -m tests.benchmarks.ablations {name}{given}"
        new = Study(name, self.plan.title, self.plan.about, command, "")
        self.found = read(name, record) if name in known(record) else new
        self._encodings: Encodings = {}

    def folder(self, variant: str, seed: int) -> Path:
        return self.runs / f"{self.name}-{variant.lower().replace(' ', '-')}-{seed}"

    def train(self, seed: int, variants: Mapping[str, int]) -> None:
        """Variants that differ in training, each with its number of tasks."""
        for variant, number in variants.items():
            if not self.found.cell(variant, seed):
                self._add(variant, seed, self._run(variant, seed, number).metrics)

    def ask(self, seed: int) -> None:
        """Variants that differ in retrieval alone, of the full method's own adapters."""
        missing = [variant for variant in ANSWERED if not self.found.cell(variant, seed)]
        if not missing:
            return
        full = self._run(FULL, seed, self.plan.numbers[0])
        for variant in missing:
            print(f"{variant}, seed {seed}", file=sys.stderr, flush=True)
            self._add(variant, seed, retrieved_anew(full, ANSWERED[variant], self._encodings))

    def _run(self, variant: str, seed: int, number: int) -> Run:
        config = configuration(self.plan, self.stream, seed, number, TRAINED.get(variant, {}))
        run = finished(config, self.runs, self.folder(variant, seed).name, self._encodings)
        self.found.precision = str(run.manifest.hardware.get("precision"))
        return run

    def _add(self, variant: str, seed: int, metrics: Mapping[str, Any]) -> None:
        self.found.cells.append(Cell(variant, seed, {key: metrics[key] for key in MEASURES}))
        write(self.found, self.record)


def configuration(plan: Plan, stream: str, seed: int, number: int, change: dict[str, Any]) -> RunConfig:
    """Of a run of the study on so many tasks, with the keys that a variant changes."""
    images: dict[str, Any] = {"name": "split-fashion", "tasks": number}
    if plan.title.startswith("CIFAR"):
        classes = list(chain(*related_tasks(seed)))
        each = len(classes) // number
        of_tasks = [classes[start : start + each] for start in range(0, len(classes), each)]
        images = {"name": stream, "task_classes": of_tasks, "train_per_class": plan.per_class}
    values = {
        "seed": seed,
        "stream": images,
        "backbone": {"image_size": 56},
        "method": {"name": "proteus"},
        "record": {"projection": False, "train_per_class": 0},
    }
    return validate(RunConfig, merge(values, change))


def show(study: Study) -> None:
    """The full method as it is, and how many points more every variant has; then other numbers of tasks."""
    full, *found = rows(study)
    _print(study.title, [full, *(row for row in found if row.is_part)])
    others = [row for row in found if not row.is_part]
    if others:
        _print(f"{study.title}, numbers of tasks", [full, *others], whole=True)


def _print(title: str, shown: Iterable[Row], *, whole: bool = False) -> None:
    table = Table(title, *MEASURES.values(), "seeds", box=MARKDOWN)
    for row in shown:
        table.add_row(row.variant, *row.points(whole=whole).values(), str(row.seeds))
    Console(width=160).print(table)


def _show_batches(run: Run) -> None:
    predictions = run.predictions()
    last = predictions.column("after_task").to_numpy() == len(run.manifest.tasks) - 1
    scores = np.stack(predictions.filter(last).column("scores").to_numpy(zero_copy_only=False))
    tasks = predictions.column("task").to_numpy()[last]
    table = Table("images judged together (transductive above 1)", *map(str, _BATCHES), box=MARKDOWN)
    table.add_row("retrieval", *(f"{100 * batch_retrieval(scores, tasks, size):.1f}" for size in _BATCHES))
    Console(width=160).print(table)


if __name__ == "__main__":
    typer.run(main)
