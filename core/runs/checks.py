"""Checks of a stranger's run, unpacked: every document, table and array must be what it claims, or it stays out."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from core.runs import formats
from core.runs.evidence import KINDS, evidence_file, read_evidence
from core.runs.files import damaged, read_json, read_lines
from core.runs.schema import (
    HELD_OUT_COLUMNS,
    IMAGE_COLUMNS,
    LATER_COLUMNS,
    PREDICTION_COLUMNS,
    PROJECTION_COLUMNS,
    SPRITES_PER_SHEET,
    Manifest,
)
from core.runs.store import Run, read_manifest

MAX_BYTES = 8 << 30
"""At most so many bytes, unpacked, in all files of a run together."""
MAX_ROWS = 50_000_000
MAX_SHEETS = 1000
MAX_SHEET_SIDE = 8192

_TABLES = {
    "predictions": PREDICTION_COLUMNS,
    "images": IMAGE_COLUMNS,
    "projection": PROJECTION_COLUMNS,
    "held_out": HELD_OUT_COLUMNS,
}
_NUMBERS = (
    *("final_accuracy", "final_accuracy_pooled", "task_aware_accuracy", "task_aware_accuracy_pooled"),
    *("retrieval_accuracy", "retrieval_accuracy_pooled", "average_incremental_accuracy", "forgetting"),
    *("backward_transfer", "oracle_gap", "images", "mistakes", "mistakes_from_wrong_task", "seconds"),
    *("train_seconds", "evaluate_seconds", "peak_memory_bytes", "bytes_per_task", "shared_bytes"),
    *("flops_per_image", "milliseconds_per_image"),
)


def check_folder(folder: Path) -> Manifest:
    """The manifest of an unpacked run. Raises UserError for the first document or table that is not as it must be."""
    manifest = read_manifest(folder)
    checks: dict[str, Callable[[Path], Any]] = {
        ".json": read_json,
        ".jsonl": read_lines,
        ".parquet": _check_table,
        ".npz": _check_arrays,
        ".safetensors": _check_tensors,
        ".webp": _check_sheet,
    }
    for file in sorted(file for file in folder.rglob("*") if file.is_file()):
        checks[file.suffix](file)
    run = Run(folder)
    for task in range(run.finished_tasks()):
        run.task(task).done  # noqa: B018
    _check_manifest(folder / "manifest.json", manifest)
    _check_metrics(folder / "metrics.json", run.metrics)
    _check_events(folder / "events.jsonl", run.events(), len(manifest.tasks))
    _check_rows(run)
    _check_held_out(run)
    return manifest


def _check_table(path: Path) -> None:
    """Sizes are checked first, because a small parquet file can claim an enormous table."""
    try:
        about = pq.ParquetFile(path).metadata
        groups = [about.row_group(index) for index in range(about.num_row_groups)]
        columns = [group.column(index) for group in groups for index in range(group.num_columns)]
    except (OSError, ValueError, pa.ArrowException) as error:
        raise damaged(path, error) from None
    values, size = sum(column.num_values for column in columns), sum(c.total_uncompressed_size for c in columns)
    if about.num_rows > MAX_ROWS or values > 50 * MAX_ROWS or size > MAX_BYTES:
        raise damaged(path, f"{about.num_rows:,} rows, {size:,} bytes")
    formats.read_table(path, _TABLES[path.stem], LATER_COLUMNS.get(path.stem, ()))


def _check_arrays(path: Path) -> None:
    """An npz file as we write it is not compressed, so the arrays in it are no larger than the file."""
    try:
        with zipfile.ZipFile(path) as archive:
            inside = archive.infolist()
    except formats.BROKEN_ZIP as error:
        raise damaged(path, error) from None
    if sum(member.file_size for member in inside) > path.stat().st_size:
        raise damaged(path, "there is more inside than its size allows")
    for name, array in formats.read_arrays(path).items():
        if not isinstance(array, np.ndarray):
            raise damaged(path, f"“{name}” is not an array")


def _check_tensors(path: Path) -> None:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            file.keys()
    except (OSError, SafetensorError, ValueError) as error:
        raise damaged(path, error) from None


def _check_sheet(path: Path) -> None:
    from PIL import Image

    try:
        with Image.open(path, formats=["WEBP"]) as sheet:
            size = sheet.size
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise damaged(path, error) from None
    if max(size) > MAX_SHEET_SIDE:
        raise damaged(path, f"{size[0]} × {size[1]} pixels")


def _check_rows(run: Run) -> None:
    """Rows may name only images, tasks and classes that exist, because pages use the numbers as positions."""
    if not (run.folder / "images.parquet").exists():
        return
    images = run.images()
    count, limits = images.num_rows, _limits(run.manifest)
    _check_columns(run.folder / "images.parquet", images, {**limits, "image": (0, count - 1)})
    if not np.array_equal(images["image"].to_numpy(), np.arange(count)):
        raise damaged(run.folder / "images.parquet", "its images are not numbered from 0")
    for table, file in ((run.predictions(), "predictions"), (run.projection(), "projection")):
        _check_columns(run.folder / f"{file}.parquet", table, {**limits, "image": (0, count - 1)})
    arrays = run.folder / "embeddings.npz"
    if arrays.exists():
        for space, rows in formats.read_arrays(arrays).items():
            if rows.ndim != 2 or len(rows) != count or rows.dtype.kind != "f":
                raise damaged(arrays, f"“{space}” does not match the {count} images")
    _check_evidence(run, count)


def _check_held_out(run: Run) -> None:
    """Its classes are named in metrics.json, and each image has an answer for every strength, or none."""
    table, path = run.held_out(), run.folder / "held_out.parquet"
    if not len(table):
        return
    dial = run.metrics.get("dial")
    names, strengths = (dial.get(key) if isinstance(dial, dict) else None for key in ("classes", "strengths"))
    if not isinstance(names, list) or not isinstance(strengths, list) or not _are_numbers(strengths):
        raise damaged(path, "metrics.json names neither its classes nor its strengths")
    label = (0, len(names) - 1)
    unasked = [name for name in LATER_COLUMNS["held_out"] if table[name].null_count == len(table)]
    limits = {**_limits(run.manifest), "label": label, "image": (0, len(table) - 1)}
    _check_columns(path, table.drop_columns(unasked), limits)
    for probe in ("readout", "knn", "zero_shot"):
        lengths = set(pc.list_value_length(table[probe]).to_pylist())
        answers = pc.list_flatten(table[probe])
        if lengths - {0, len(strengths)} or answers.null_count:
            raise damaged(path, f"“{probe}” has not one answer for each of the {len(strengths)} strengths")
        if len(answers) and not 0 <= pc.min(answers).as_py() <= pc.max(answers).as_py() <= label[1]:
            raise damaged(path, f"“{probe}” names classes beyond the {len(names)} there are")


def _check_evidence(run: Run, images: int) -> None:
    """Its rows name images, tasks and classes that are there."""
    found = read_evidence(run)
    if found is None:
        return
    names = {"task": len(run.manifest.tasks), "class": len(run.manifest.class_names)}
    within = [(found.image, images), (found.blocks, run.manifest.backbone.depth)]
    for kind in KINDS:
        rows = found.rows(kind)
        within += [(found.own[rows], names[kind]), (found.against[rows], names[kind])]
    if any(len(values) and not 0 <= values.min() <= values.max() < count for values, count in within):
        raise damaged(evidence_file(run), "names images, tasks, classes or blocks beyond those there are")


def _limits(manifest: Manifest) -> dict[str, tuple[int, int]]:
    """Least and largest value of the columns that hold positions."""
    task, label = (0, len(manifest.tasks) - 1), (0, len(manifest.class_names) - 1)
    cells = {"sheet": (0, MAX_SHEETS - 1), "cell": (0, SPRITES_PER_SHEET - 1)}
    components = {"component": (-1, 2**15 - 1), "nearest_component": (-1, 2**15 - 1)}
    tasks = dict.fromkeys(("after_task", "task", "retrieved_task"), task)
    classes = dict.fromkeys(("label", "predicted", "predicted_given_task"), label)
    return {**tasks, **classes, **cells, **components}


def _check_columns(path: Path, table: pa.Table, limits: Mapping[str, tuple[int, int]]) -> None:
    for name in table.column_names:
        column = table[name]
        if column.null_count:
            raise damaged(path, f"“{name}” has rows without a value")
        if name not in limits or not len(column):
            continue
        found, (low, high) = pc.min_max(column).as_py(), limits[name]
        if not low <= found["min"] <= found["max"] <= high:
            what = "images" if name == "image" else name
            raise damaged(path, f"names {what} beyond the {high + 1} there are")
    if "scores" in table.column_names:
        _check_scores(path, table["scores"], limits["task"][1] + 1)


def _check_scores(path: Path, scores: pa.ChunkedArray, tasks: int) -> None:
    lengths = pc.list_value_length(scores)
    if len(scores) and (pc.max(lengths).as_py() > tasks or pc.list_flatten(scores).null_count):
        raise damaged(path, f"has scores of more than the {tasks} tasks there are, or without a value")


def _check_manifest(path: Path, manifest: Manifest) -> None:
    """Each class number must be a position in the list of class names."""
    classes = [label for task in manifest.tasks for label in task.classes]
    if not manifest.tasks or not all(0 <= label < len(manifest.class_names) for label in classes):
        raise damaged(path, "it has no tasks, or a task with a class that has no name")


def _check_metrics(path: Path, metrics: Mapping[str, Any]) -> None:
    """Every value that pages use as a number must be a number, or be absent."""
    for key in _NUMBERS:
        if not isinstance(metrics.get(key), int | float | None) or isinstance(metrics.get(key), bool):
            raise damaged(path, f"“{key}” is not a number")


def _check_events(path: Path, events: Sequence[Mapping[str, Any]], tasks: int) -> None:
    """The events that are drawn as curves (losses by step, accuracies by task) must hold the numbers for it."""
    for event in events:
        kind = event.get("kind")
        if kind not in ("loss", "task"):
            continue
        numbers = [event.get("step"), event.get("steps", 0)] if kind == "loss" else []
        whole = all(type(number) is int and 0 <= number < 2**53 for number in numbers)
        values = [event.get("loss")] if kind == "loss" else event.get("accuracy") or []
        if (
            type(event.get("task")) is not int
            or not 0 <= event["task"] < tasks
            or not whole
            or not _are_numbers(values)
        ):
            raise damaged(path, f"an event of kind “{kind}” lacks a number that it must have")


def _are_numbers(values: Any) -> bool:
    return isinstance(values, list) and all(value is None or type(value) in (int, float) for value in values)
