"""How much earlier units could be worth: `python -m tests.benchmarks.composition_ceiling --help`.

For every task but the first of a run of Proteus, an oracle picks the best subset of earlier tasks' units by the loss on
training images of the task that the run did not learn. Earlier tasks are tried alone, then joined one by one, the best
first, as long as there are any; for each subset a new unit and a head are trained as the run trains them, with
coefficients that stay at one for the subset and at zero for the rest. Then the test images are asked with the task
given: of no earlier unit, of all of them, and of what the oracle picked. A task that is measured is not measured again.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import torch.nn.functional as F
import typer
from rich.box import MARKDOWN
from rich.console import Console
from rich.table import Table
from torch import Tensor

from core.config import RunConfig, validate
from core.data.images import ImageSet
from core.data.streams import open_stream
from core.data.tasks import Stream
from core.evaluation.evaluator import Evaluator
from core.methods.base import TaskState
from core.methods.proteus import Proteus
from core.runs.files import read_json, write_json
from core.runs.store import Run
from core.sweep.summary import interval
from core.training.encoding import EncodedImages
from core.training.inference import TrainedModel, load_model
from core.training.loop import train_task

_LEFT = 20
"""Training images per class, at most, whose loss decides."""
COLUMNS = {"none": "no earlier unit", "all": "all earlier units", "oracle": "the oracle's choice"}


@dataclass
class Asked:
    """One task, encoded."""

    task: int
    train: EncodedImages
    left: EncodedImages
    test: EncodedImages
    clusters: Tensor
    """(test images, classes of the task): what the shared space says, which no unit changes."""


def main(
    runs: Annotated[list[Path], typer.Argument(help="finished runs of proteus, one for each seed")],
) -> None:
    """Print accuracies with the task given, means over tasks, and what the oracle gains over no earlier unit."""
    found = [_of_run(run) for run in runs]
    table = Table("task-aware accuracy", *(str(run.name) for run in runs), "mean", box=MARKDOWN)
    means = {key: [float(np.mean([task[key] for task in tasks])) for tasks in found] for key in COLUMNS}
    for key, title in COLUMNS.items():
        table.add_row(title, *(f"{100 * value:.1f}" for value in means[key]), f"{100 * np.mean(means[key]):.1f}")
    for key in ("all", "oracle"):
        gains = [value - bare for value, bare in zip(means[key], means["none"], strict=True)]
        each = (f"{100 * gain:+.1f}" for gain in gains)
        table.add_row(f"{COLUMNS[key]}, more than none", *each, interval(gains).points("+"))
    chosen = [np.mean([task["chosen"] for task in tasks]) for tasks in found]
    table.add_row(
        "earlier tasks that the oracle takes", *(f"{share:.0%}" for share in chosen), f"{np.mean(chosen):.0%}"
    )
    Console(width=160).print(table)


def _of_run(folder: Path) -> list[dict[str, float]]:
    """A row for each task but the first; kept in the run's folder, task by task."""
    kept = folder / "ceiling.json"
    rows: list[dict[str, float]] = read_json(kept)["tasks"] if kept.exists() else []
    run = Run(folder)
    config: RunConfig = validate(RunConfig, run.manifest.config)
    tasks = len(run.manifest.tasks)
    if len(rows) == tasks - 1:
        return rows
    model = load_model(folder)
    stream = open_stream(config.stream, config.seed)
    whole = open_stream(config.stream.model_copy(update={"train_per_class": None}), config.seed)
    for task in range(len(rows) + 1, tasks):
        rows.append(_asked(run, config, model, _encoded(model, stream, whole, task)))
        write_json(kept, {"tasks": rows})
        print(
            f"{folder.name}, task {task + 1}: " + ", ".join(f"{key} {value:.3f}" for key, value in rows[-1].items()),
            flush=True,
        )
    return rows


def _encoded(model: TrainedModel, stream: Stream, whole: Stream, task: int) -> Asked:
    """The images of a task; those it did not learn are left for the oracle."""
    learned = stream.tasks[task].train
    known = set(learned.identities)
    left: list[int] = []
    for label in sorted(set(learned.labels)):
        members = [row for row, each in enumerate(whole.tasks[task].train.labels) if each == label]
        others = [row for row in members if whole.tasks[task].train.identities[row] not in known]
        left += others[:_LEFT]

    def encode(images: ImageSet) -> EncodedImages:
        return model.encoder.encode(images, lambda done: None)

    test = encode(stream.tasks[task].test)
    inputs = Evaluator(model.method, model.precision, lambda done: None).inputs(test, task)
    with torch.no_grad():
        clusters = model.method.class_parts(inputs, task, torch.arange(len(test)))["clusters"]
    return Asked(task, encode(learned), encode(whole.tasks[task].train.subset(left)), test, clusters)


def _asked(run: Run, config: RunConfig, model: TrainedModel, asked: Asked) -> dict[str, float]:
    """Accuracies on the test images with no earlier unit, with all, and with the subset that the oracle picks."""
    tried: dict[frozenset[int], tuple[float, float]] = {}

    def loss(subset: frozenset[int]) -> float:
        if subset not in tried:
            tried[subset] = _trained_with(run, config, model, asked, subset)
        return tried[subset][0]

    none, whole = frozenset[int](), frozenset(range(asked.task))
    ranked = sorted(whole, key=lambda earlier: loss(frozenset({earlier})))
    nested = [frozenset(ranked[:count]) for count in range(asked.task + 1)]
    best = min([*nested, whole], key=loss)
    return {
        "none": tried[none][1],
        "all": tried[whole][1],
        "oracle": tried[best][1],
        "chosen": len(best) / asked.task,
    }


def _trained_with(
    run: Run, config: RunConfig, model: TrainedModel, asked: Asked, subset: frozenset[int]
) -> tuple[float, float]:
    """The loss on images that are left, and the accuracy on test images, of a task trained on the units of `subset`."""
    known = model.method
    method = Proteus(known.backbone, known.features, config, known.device)
    for earlier, info in enumerate(run.manifest.tasks[: asked.task]):
        saved = run.task(earlier)
        method.make_room(earlier, tuple(info.classes), TaskState(saved.adapter, saved.head))
        method.load_trained(earlier, saved.adapter, saved.head)
    generator = torch.Generator().manual_seed(config.seed * 1000 + asked.task)
    method.begin_task(asked.task, tuple(run.manifest.tasks[asked.task].classes), generator)
    owner = torch.tensor([earlier for earlier in range(asked.task) for _ in range(method.bank.adapters[earlier].rank)])
    taken = torch.isin(owner, torch.tensor(sorted(subset), dtype=owner.dtype)).float()
    for s in method.bank.adapters[asked.task].reuse.values():
        s.requires_grad_(False).copy_(taken)
    train_task(method, asked.task, [asked.train], config.training, model.precision, generator, lambda step, parts: None)
    method.eval()
    evaluator = Evaluator(method, model.precision, lambda done: None)
    first = method.classes[asked.task][0]
    with torch.no_grad():
        left, test = (
            method.log_softmax(evaluator.inputs(data, asked.task), asked.task) for data in (asked.left, asked.test)
        )
    assert known.shared_space
    weight = config.retrieval.head_weight * known.shared_space.temperature
    right = (asked.clusters + weight * test).argmax(1) == asked.test.labels - first
    return float(F.nll_loss(left, asked.left.labels - first)), float(right.float().mean())


if __name__ == "__main__":
    typer.run(main)
