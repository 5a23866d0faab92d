"""The error of picking the task that is expected of new images beside the measured one, after every task, as a table.

python -m tests.benchmarks.expected_error               # four streams; CIFAR-100 takes most of the time
python -m tests.benchmarks.expected_error --streams split-digits,split-fashion --method lda
python -m tests.benchmarks.expected_error --what-if     # other retrieval, asked of the recorded runs; a minute

CIFAR-100 and Omniglot are read from the folder of shared data (see its README).
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from core.config import RunConfig, validate
from core.retrieval.answering import answer, read
from core.retrieval.questions import Settings
from core.runs.store import Run
from core.training.run import start_run
from tests.benchmarks.methods import Told

RECORDED = Path(__file__).resolve().parents[2] / "assets" / "runs"
ASKED = ("proteus-split-digits", "proteus-split-fashion", "lda-split-digits", "lda-split-fashion")
STREAMS = {
    "split-digits": ({}, None),
    "split-fashion": ({}, None),
    "omniglot": ({"name": "omniglot-small.zip", "task_by": "prefix"}, 56),
    "cifar100": ({"name": "cifar100-subset.zip", "tasks": 10, "train_per_class": 100}, 98),
}
"""Keys of [stream] and the side of an image in pixels (None: the stream's own)."""


def main(
    streams: Annotated[str, typer.Option(help="comma-separated")] = ",".join(STREAMS),
    data: Annotated[Path, typer.Option(help="the folder of the zip files")] = Path("../shared/data"),
    method: Annotated[str, typer.Option()] = "proteus",
    seed: Annotated[int, typer.Option()] = 0,
    what_if: Annotated[bool, typer.Option(help="Ask the recorded runs instead of training.")] = False,
) -> None:
    """Train each stream with default settings and print what its metrics.json holds."""
    if what_if:
        _what_if()
        return
    rows = []
    with tempfile.TemporaryDirectory() as runs:
        for name in streams.split(","):
            metrics = Run(start_run(_config(name, data, method, seed), Path(runs), Told(name))).metrics
            for after, entry in enumerate(metrics["theory"]):
                if entry and after:
                    rows.append((name, str(after + 1), *(_share(entry[key]) for key in KEYS)))
            table = Table("stream", "tasks", *KEYS.values())
            for row in rows:
                table.add_row(*row)
            Console(width=100).print(table)


def _what_if() -> None:
    """Print expected / measured for every mixture of What if in every space, at the end of the recorded runs."""
    runs = {name: read(Run(RECORDED / name)) for name in ASKED}
    table = Table("space", "mixture", *runs)
    for space in ("whitened", "frozen-whitened", "frozen"):
        for mixture in ("class-seeded", "means", "kmeans", "gaussian", "dp-gmm"):
            found = [answer(recorded, Settings(space=space, mixture=mixture)) for recorded in runs.values()]
            shares = [f"{_share(each.expected_error)} / {_share(1 - each.after.retrieval)}" for each in found]
            table.add_row(space, mixture, *shares)
    Console(width=120).print(table)


KEYS = {"expected_error": "expected", "measured_error": "measured", "bound": "bound", "sampled_error": "sampled"}


def _config(name: str, data: Path, method: str, seed: int) -> RunConfig:
    keys, size = STREAMS[name]
    stream = {**keys, "name": str(data / keys["name"]) if "name" in keys else name}
    values = {"seed": seed, "stream": stream, "backbone": {"image_size": size}, "method": {"name": method}}
    return validate(RunConfig, {**values, "record": {"projection": False}})


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


if __name__ == "__main__":
    typer.run(main)
