"""Seconds of a what-if answer for 5,000 images of ten tasks, by space and mixture: `python -m tests.benchmarks.whatif`.

There are 100 classes, each a random cluster of 384 dimensions with 20 kept training images (`--train-per-class 100`:
ten tasks of 1,000) and 30 test images. A row is timed after a first answer that imports what it needs; reading the run
folder, which happens once per run and not once per answer, is left out. An idle machine takes the processor seconds.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from typing import Annotated

import numpy as np
import pyarrow as pa
import typer

from core.retrieval.answering import Recorded, answer
from core.retrieval.questions import SPHERES, Settings
from core.runs.formats import conform
from core.runs.schema import PREDICTION_COLUMNS

TASKS, CLASSES, TEST, WIDTH = 10, 100, 30, 384


def main(train_per_class: Annotated[int, typer.Option(help="kept training images")] = 20) -> None:
    """Print one row per setting."""
    made = recorded(train_per_class)
    answer(made, Settings())
    answer(made, Settings(mixture="dp-gmm"))
    print(f"{len(made.task):,} images; load of the machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    print("space            mixture       covariance retrieved expected  seconds  processor    of it expecting")
    for settings in every():
        began, used = time.perf_counter(), time.process_time()
        found = answer(made, settings)
        seconds, used = time.perf_counter() - began, time.process_time() - used
        began = time.process_time()
        answer(made, settings.model_copy(update={"expect": False}))
        expecting = used - (time.process_time() - began)
        covariance = "" if settings.mixture in SPHERES else settings.covariance
        what = f"{settings.space:<16} {settings.mixture:<13} {covariance:<10}"
        shares = f"{found.after.retrieval:9.3f} {found.expected_error:8.3f}"
        print(f"{what} {shares} {seconds:8.2f} {used:10.2f} {expecting:18.2f}")


def every() -> Iterator[Settings]:
    """All spaces with all mixtures, and their covariances."""
    for space in ("whitened", "frozen", "frozen-whitened"):
        for mixture in ("class-seeded", "means", "kmeans"):
            yield Settings(space=space, mixture=mixture)
        for mixture in ("dp-gmm", "gaussian"):
            for covariance in ("full", "diagonal", "tied")[: 3 if mixture == "dp-gmm" else 2]:
                yield Settings(space=space, mixture=mixture, covariance=covariance)


def recorded(train_per_class: int = 20, seed: int = 0) -> Recorded:
    """A run of random images as `whatif.read` gives it."""
    rng = np.random.default_rng(seed)
    label = np.repeat(np.arange(CLASSES), train_per_class + TEST)
    train = np.tile(np.arange(train_per_class + TEST) >= TEST, CLASSES)
    frozen = rng.normal(size=(CLASSES, WIDTH))[label] + 3 * rng.normal(size=(len(label), WIDTH))
    task = label // (CLASSES // TASKS)
    tests = np.flatnonzero(~train)
    return Recorded(
        task=task,
        label=label,
        train=train,
        spaces={"frozen": frozen.astype(np.float32), "whitened": frozen[:, : CLASSES - 1].astype(np.float32) / 3},
        left_out=frozen[:, : CLASSES - 1].astype(np.float32) / 3,
        predictions=_predictions(tests, task[tests], label[tests]),
        train_images=(CLASSES // TASKS * 100,) * TASKS,
        seed=seed,
    )


def _predictions(image: np.ndarray, task: np.ndarray, label: np.ndarray) -> pa.Table:
    """All right."""
    n = len(image)
    columns = {"after_task": np.full(n, TASKS - 1), "image": image, "task": task, "retrieved_task": task}
    columns |= dict.fromkeys(("label", "predicted", "predicted_given_task"), label)
    columns |= {"margin": np.zeros(n), "nearest_component": np.zeros(n), "scores": list(np.eye(TASKS)[task])}
    columns |= {"split": ["test"] * n, "shift": ["none"] * n}
    arrays = {name: pa.array(values) for name, values in columns.items()}
    return conform(pa.table(arrays), PREDICTION_COLUMNS)


if __name__ == "__main__":
    typer.run(main)
