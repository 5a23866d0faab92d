"""Opening a large run with the app's own loading code, no browser: `python -m tests.benchmarks.big_run`.

The run folder is synthetic and written by RunWriter: `images` images of ten tasks, five in six of them test images,
with answers after every task, all spaces and one map per task. Then a process that has loaded nothing opens it as the
pages do. Printed: seconds of each step the first time and again, the memory that the process keeps, and its peak.
"""

from __future__ import annotations

import json
import multiprocessing
import shutil
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
import typer
from PIL import Image
from rich.console import Console
from rich.table import Table

from core.evaluation.metrics import summary
from core.runs.schema import EMBEDDING_SPACES, IMAGE_COLUMNS, PREDICTION_COLUMNS, SPRITES_PER_SHEET, Status, TaskDone
from core.runs.store import RunWriter
from tests.unit.run_folder import manifest

TASKS, CLASSES, WIDTH = 10, 10, 384


def main(
    images: Annotated[int, typer.Option()] = 60_000,
    output: Annotated[Path | None, typer.Option(help="JSON")] = None,
) -> None:
    """Write the run, open it in a process of its own and print the table."""
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        write(Path(folder), images)
        written = time.perf_counter() - began
        size = sum(file.stat().st_size for file in Path(folder).rglob("*") if file.is_file())
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
            steps = pool.submit(opened, Path(folder)).result()
    table = Table("step", "seconds", "again", "memory MB", "peak MB")
    for step in steps:
        cells = (f"{step['seconds']:.3f}", f"{step['again']:.4f}", f"{step['memory'] / 1e6:,.0f}")
        table.add_row(step["step"], *cells, f"{step['peak'] / 1e6:,.0f}")
    console = Console(width=100)
    console.print(f"{images:,} images, {size / 1e6:,.0f} MB on disk, written in {written:.1f} s")
    console.print(table)
    total = sum(step["seconds"] for step in steps[1:])
    console.print(f"opened in {total:.2f} s, {(steps[-1]['peak'] - steps[0]['peak']) / 1e6:,.0f} MB more at most")
    if output:
        output.write_text(json.dumps({"images": images, "bytes": size, "seconds": total, "steps": steps}, indent=1))


def write(runs: Path, images: int, classes: int = CLASSES) -> None:
    """A finished run of `images` images, one in six a training image, with `classes` classes in each task."""
    random = np.random.default_rng(0)
    label = np.sort(np.arange(images) % (TASKS * classes))
    task, test = label // classes, np.arange(images) % 6 > 0
    counts = [(int((test & (task == t)).sum()), int((~test & (task == t)).sum())) for t in range(TASKS)]
    tasks = [
        {
            "name": f"task {t + 1}",
            "classes": list(range(t * classes, (t + 1) * classes)),
            "train_images": train,
            "test_images": tested,
        }
        for t, (tested, train) in enumerate(counts)
    ]
    names = [f"class {c}" for c in range(TASKS * classes)]
    writer = RunWriter.create(runs, manifest("big", class_names=names, tasks=tasks, method="proteus"))
    places = random.normal(size=(images, 2)).astype(np.float32) + 4 * task[:, None]
    rows, points = [], []
    for after in range(TASKS):
        seen = np.flatnonzero(test & (task <= after))
        rows.append(_answers(random, after, seen, task[seen], label[seen], classes))
        points += [_frame(space, after, np.flatnonzero(task <= after), places) for space in EMBEDDING_SPACES]
        writer.save_task(
            TaskDone(task=after, train_seconds=1, evaluate_seconds=1, trainable_parameters=1, stored_bytes=1),
            adapter={}, head={}, mixture={}, gates={"sites": {}}, predictions=rows[-1],
            embeddings={}, shared={},
        )  # fmt: skip
    sprites = writer.folder / "sprites"
    Image.new("RGB", (64 * 32, 64 * 32)).save(sprites / "000.webp")
    for sheet in range(1, -(-images // SPRITES_PER_SHEET)):
        shutil.copy(sprites / "000.webp", sprites / f"{sheet:03d}.webp")
    writer.finish(
        images=_images(test, task, label),
        embeddings={s: random.normal(size=(images, WIDTH)).astype(np.float16) for s in EMBEDDING_SPACES},
        projection=pa.concat_tables(points),
        metrics=summary(pa.concat_tables(rows), TASKS),
        answer={},
    )
    writer.status(Status(state="done", tasks=TASKS, fraction=1))


def _answers(
    random: np.random.Generator, after: int, seen: np.ndarray, task: np.ndarray, label: np.ndarray, classes: int
) -> pa.Table:
    """PREDICTION_COLUMNS: nine in ten to the right task, and nine in ten of those to the right class."""
    count = len(seen)
    scores = random.normal(size=(count, after + 1)).astype(np.float32)
    scores[np.arange(count), task] += 4
    retrieved = scores.argmax(1)
    given = np.where(random.random(count) < 0.9, label, task * classes)
    best = np.sort(scores, axis=1)
    columns = {
        "after_task": np.full(count, after),
        "image": seen,
        "task": task,
        "label": label,
        "retrieved_task": retrieved,
        "predicted": np.where(retrieved == task, given, retrieved * classes),
        "predicted_given_task": given,
        "margin": best[:, -1] - best[:, -2] if after else np.zeros(count),
        "nearest_component": np.arange(count) % 20,
        "scores": pa.FixedSizeListArray.from_arrays(scores.ravel(), after + 1),
        "split": np.full(count, "test"),
        "shift": np.full(count, "none"),
    }
    return _table(columns, PREDICTION_COLUMNS)


def _images(test: np.ndarray, task: np.ndarray, label: np.ndarray) -> pa.Table:
    number = np.arange(len(test))
    columns = {
        "image": number,
        "split": np.where(test, "test", "train"),
        "task": task,
        "label": label,
        "name": [f"picture-{i}.png" for i in number],
        "component": number % 20,
        "sheet": number // SPRITES_PER_SHEET,
        "cell": number % SPRITES_PER_SHEET,
    }
    return _table(columns, IMAGE_COLUMNS)


def _frame(space: str, after: int, shown: np.ndarray, places: np.ndarray) -> pa.Table:
    """One space's map after one task, of the images known then."""
    x, y = places[shown].T
    columns = {
        "space": pa.array([space]).dictionary_encode().take(pa.array(np.zeros(len(shown), np.int8))),
        "after_task": pa.array(np.full(len(shown), after, np.int16)),
        "image": pa.array(shown.astype(np.int32)),
        "x": pa.array(x.copy()),
        "y": pa.array(y.copy()),
    }
    return pa.table(columns)


def _table(columns: dict[str, Any], schema: pa.Schema) -> pa.Table:
    arrays = []
    for field in schema:
        array = pa.array(columns[field.name])
        array = array.dictionary_encode() if pa.types.is_dictionary(field.type) else array
        arrays.append(array.cast(field.type))
    return pa.table(arrays, schema=schema)


def opened(runs: Path) -> list[dict[str, Any]]:
    """Each step of opening, twice: seconds of both, memory of the process after it, and the most until then."""
    import os

    import psutil

    from app.components.point_map import run_points
    from app.reading import tables
    from app.shell import run_choice
    from core.evaluation.cost import peak_memory_bytes

    os.environ["PROTEUS_RUNS"] = str(runs)
    card = next(card for card in run_choice.available() if card.name == "big")
    steps: dict[str, Callable[[], Any]] = {
        "nothing yet": lambda: None,
        "list of runs": run_choice.available,
        "manifest, metrics": lambda: (tables.manifest(card), tables.metrics(card)),
        "images": lambda: tables.images(card),
        "answers": lambda: tables.predictions(card),
        "answers after the last task": lambda: tables.predictions(card).after(TASKS - 1),
        "task scores as a matrix": lambda: tables.predictions(card).after(TASKS - 1).score_matrix(),
        "maps": lambda: tables.maps(card, "own"),
        "map as it is sent": lambda: run_points.build(card, "own", "task", TASKS - 1),
        "map by component, outlined": lambda: run_points.build(card, "whitened", "component", TASKS - 1, True),
        "embeddings of a space": lambda: tables.embeddings(card, "own"),
    }
    found = []
    for name, step in steps.items():
        times = []
        for _ in range(2):
            began = time.perf_counter()
            step()
            times.append(time.perf_counter() - began)
        memory, peak = psutil.Process().memory_info().rss, peak_memory_bytes("cpu")
        found.append({"step": name, "seconds": times[0], "again": times[1], "memory": memory, "peak": peak})
    return found


if __name__ == "__main__":
    typer.run(main)
