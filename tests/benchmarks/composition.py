"""What composed adapters are worth: `python -m tests.benchmarks.composition --help`.

CIFAR-100 in an order in which every task after the first shares superclasses with earlier ones: ten tasks of ten
classes, two groups of five superclasses each. Proteus learns it with earlier units (`with`), without (`without`), and
without but with a unit more (`one unit more`): coefficients are one number in a hundred of what a task trains, a unit
is a quarter. With `--by-prefix` another stream is cut as its names say, such as Omniglot by alphabet. A run that is
finished is not trained again, so the command goes on where it was stopped.
"""

from __future__ import annotations

import random
import sys
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.box import MARKDOWN
from rich.console import Console
from rich.table import Table

from core.config import RunConfig, merge, validate
from core.runs.store import Run
from core.sweep.summary import interval
from core.training.encoding import Encodings
from tests.benchmarks.methods import finished

SUPERCLASSES = """beaver dolphin otter seal whale
aquarium_fish flatfish ray shark trout
orchid poppy rose sunflower tulip
bottle bowl can cup plate
apple mushroom orange pear sweet_pepper
clock keyboard lamp telephone television
bed chair couch table wardrobe
bee beetle butterfly caterpillar cockroach
bear leopard lion tiger wolf
bridge castle house road skyscraper
cloud forest mountain plain sea
camel cattle chimpanzee elephant kangaroo
fox porcupine possum raccoon skunk
crab lobster snail spider worm
baby boy girl man woman
crocodile dinosaur lizard snake turtle
hamster mouse rabbit shrew squirrel
maple_tree oak_tree palm_tree pine_tree willow_tree
bicycle bus motorcycle pickup_truck train
lawn_mower rocket streetcar tank tractor"""
"""Of CIFAR-100 (Krizhevsky 2009), a line each."""

_QUARTERS = [(task % 4, (task + 1) % 4) for task in range(9)] + [(2, 3)]
"""Which two quarters of the superclasses a task takes a class each from: every quarter comes five times."""
_VARIANTS: dict[str, dict[str, Any]] = {
    "with": {},
    "without": {"method": {"compose": False}},
    "one unit more": {"method": {"compose": False}, "adapters": {"rank": 5}},
}
_SHARES = {
    "task_aware_accuracy": "task-aware",
    "final_accuracy": "class-incremental",
    "retrieval_accuracy": "retrieval",
}


def related_tasks(seed: int) -> list[list[str]]:
    """Ten tasks of ten classes, every one after the first with superclasses of earlier ones."""
    draw = random.Random(seed)
    left = [draw.sample(line.split(), 5) for line in draw.sample(SUPERCLASSES.splitlines(), 20)]
    return [[left[5 * quarter + place].pop() for quarter in two for place in range(5)] for two in _QUARTERS]


def main(
    stream: Annotated[str, typer.Option(help="CIFAR-100, as a folder or zip of class folders")],
    per_class: Annotated[str, typer.Option(help="training images per class, comma-separated")] = "10",
    by_prefix: Annotated[
        bool, typer.Option("--by-prefix", help="not CIFAR-100: a task of each prefix of names")
    ] = False,
    seeds: Annotated[str, typer.Option(help="comma-separated")] = "0,1,2",
    image_size: Annotated[int, typer.Option()] = 98,
    variants: Annotated[str, typer.Option(help="comma-separated")] = ",".join(_VARIANTS),
    epochs: Annotated[int | None, typer.Option()] = None,
    learning_rate: Annotated[float | None, typer.Option()] = None,
    runs: Annotated[Path, typer.Option()] = Path("runs/composition"),
) -> None:
    """Train what is missing, and print accuracies and their paired differences to the runs without earlier units."""
    chosen = variants.split(",")
    for images in map(int, per_class.split(",")):
        found: dict[str, list[Run]] = {name: [] for name in chosen}
        for seed in map(int, seeds.split(",")):
            encodings: Encodings = {}
            for name in chosen:
                division = {"task_by": "prefix"} if by_prefix else {"task_classes": related_tasks(seed)}
                values: dict[str, Any] = {
                    "seed": seed,
                    "stream": {"name": stream, "train_per_class": images, **division},
                    "backbone": {"image_size": image_size},
                    "training": {"epochs": epochs, "learning_rate": learning_rate},
                    "method": {"name": "proteus"},
                    "record": {"projection": False, "train_per_class": 0},
                }
                config = validate(RunConfig, merge(values, _VARIANTS[name]))
                label = f"{name.replace(' ', '-')}-{images}-seed{seed}"
                found[name].append(finished(config, runs, label, encodings))
            _show(found, images)


def used_share(run: Run) -> float:
    """Of the earlier units offered to all tasks, those whose coefficient is not exactly zero."""
    sites = [site for task in range(len(run.manifest.tasks)) for site in run.task(task).gates.get("sites", {}).values()]
    weights = [weight for site in sites for earlier in site.get("reuse", []) for weight in earlier]
    return float(np.mean([weight != 0 for weight in weights])) if weights else float("nan")


def _show(found: dict[str, list[Run]], images: int) -> None:
    table = Table(f"{images} images per class", *_SHARES.values(), "earlier units in use", "runs", box=MARKDOWN)
    for name, done in found.items():
        used = float(np.mean([used_share(run) for run in done]))
        shares = [interval([run.metrics[key] for run in done]).points() for key in _SHARES]
        table.add_row(name, *shares, "–" if np.isnan(used) else f"{used:.0%}", str(len(done)))
    bare = found.get("without", [])
    for name, done in found.items():
        if pairs := [] if name == "without" else list(zip(done, bare, strict=False)):
            gains = [
                interval([run.metrics[key] - other.metrics[key] for run, other in pairs]).points("+") for key in _SHARES
            ]
            table.add_row(f"{name}, more than without", *gains, "", str(len(pairs)))
    Console(width=160).print(table)
    sys.stdout.flush()


if __name__ == "__main__":
    typer.run(main)
