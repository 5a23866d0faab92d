"""A hundred tasks: one class of CIFAR-100 each, or Omniglot's characters. What evaluating costs after task t.

python -m tests.benchmarks.hundred_tasks                        # tiny backbone, a few images per class
python -m tests.benchmarks.hundred_tasks --backbone dinov2-s14 --image-size 56 --train-per-class 20 --test-per-class 10

After task t there are t tasks' images to answer for. Evaluation may therefore grow linearly in t: the exponent of
t in the fitted cost is printed. Then the app's pages are opened on the run.
"""

from __future__ import annotations

import logging
import os
import tempfile
import time
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from core.config import RunConfig, validate
from core.evaluation.cost import peak_memory_bytes
from core.runs.store import Run
from core.training.run import start_run

STREAM = Path(__file__).resolve().parents[3] / "shared" / "data" / "cifar100-subset.zip"
DEMO = "proteus-split-digits"
PAGES = ("map", "forgetting", "blocks", "errors", "whatif", "compare")


def main(
    stream: Annotated[str, typer.Option()] = str(STREAM),
    tasks: Annotated[int, typer.Option()] = 100,
    method: Annotated[str, typer.Option()] = "proteus",
    backbone: Annotated[str, typer.Option()] = "tiny",
    image_size: Annotated[int | None, typer.Option()] = None,
    train_per_class: Annotated[int, typer.Option()] = 10,
    test_per_class: Annotated[int, typer.Option()] = 5,
    blocks: Annotated[str, typer.Option()] = "last:2",
    epochs: Annotated[int, typer.Option()] = 1,
    runs: Annotated[Path | None, typer.Option(help="Keep the run here.")] = None,
    pages: Annotated[bool, typer.Option(help="Open the app's pages on it.")] = True,
) -> None:
    """Train, print what evaluation cost after each task, and time the pages."""
    values = {
        "stream": {
            "name": stream, "tasks": tasks, "train_per_class": train_per_class, "test_per_class": test_per_class,
        },
        "backbone": {"name": backbone, "image_size": image_size},
        "adapters": {"blocks": blocks, "rank": 2, "first_rank": 4},
        "training": {"epochs": epochs},
        "method": {"name": method},
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        began = time.monotonic()
        run = Run(start_run(validate(RunConfig, values), runs or Path(folder), lambda status: None))
        print(f"{tasks} tasks in {time.monotonic() - began:.0f} s, peak {peak_memory_bytes('cpu') / 1e9:.2f} GB")
        _evaluation(run)
        if pages:
            _pages(run)


def _evaluation(run: Run) -> None:
    done = [run.task(task).done for task in range(run.finished_tasks())]
    seconds = np.array([task.evaluate_seconds for task in done])
    train = np.array([task.train_seconds for task in done])
    at = np.arange(1, len(seconds) + 1)
    table = Table("after task", "evaluate s", "ms per task seen", "train s")
    for task in sorted({1, 2, 5, 10, 20, 50, len(done)} & set(at.tolist())):
        near = slice(max(0, task - 3), task + 2)
        spent = float(np.median(seconds[near]))
        table.add_row(str(task), f"{spent:.3f}", f"{1000 * spent / task:.1f}", f"{np.median(train[near]):.3f}")
    Console(width=100).print(table)
    late = at >= max(5, len(at) // 10)
    exponent = np.polyfit(np.log(at[late]), np.log(seconds[late]), 1)[0]
    print(
        f"evaluation grows as t^{exponent:.2f} (1 is linear); {seconds.sum():.1f} s of it, {train.sum():.1f} s training"
    )
    keys = ("final_accuracy", "task_aware_accuracy", "retrieval_accuracy", "forgetting", "bytes_per_task")
    print(", ".join(f"{key} {run.metrics[key]:.4g}" for key in keys if run.metrics.get(key) is not None))


def _pages(run: Run) -> None:
    """Seconds that a page of the app takes without a browser, first and again, in a server that has shown a demo."""
    os.environ["PROTEUS_RUNS"] = str(run.folder.parent)
    logging.disable(logging.WARNING)  # streamlit's, that there is no browser
    table = Table("page", "first s", "again s")
    for page in PAGES:
        _opened(DEMO, page)
        first, again, said = _opened(run.name, page)
        table.add_row(page + said, f"{first:.2f}", f"{again:.2f}")
    Console(width=100).print(table)


def _opened(run: str, page: str) -> tuple[float, float, str]:
    """Seconds for opening a page twice, and its error if it has one."""
    from streamlit.testing.v1 import AppTest

    test = AppTest.from_function(_script, default_timeout=120, args=(page,))
    test.query_params["run"] = run
    spent = []
    for _ in range(2):
        began = time.monotonic()
        test.run()
        spent.append(time.monotonic() - began)
    return spent[0], spent[1], f"  {test.exception[0].value}" if test.exception else ""


def _script(page: str) -> None:
    from importlib import import_module

    import streamlit as st

    from app.shell import navigation

    st.navigation([navigation.page(path) for path in navigation.entries()], position="hidden")
    import_module(f"app.views.{page}").render()


if __name__ == "__main__":
    typer.run(main)
