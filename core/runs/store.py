"""Writing a run folder so that training may be killed at any moment, and reading one without trusting it."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import pyarrow as pa
from pydantic import ValidationError

from core.errors import UserError
from core.files import is_full, replacing, sync_folder
from core.runs import formats
from core.runs.files import (
    damaged,
    drop_torn_line,
    encode_json,
    now,
    read_json,
    read_lines,
    write_json,
)
from core.runs.folders import check_name, find_folder, new_run_name, run_folders
from core.runs.liveness import ACTIVE, Claim, identity, resume_command, true_status, worker
from core.runs.schema import (
    HELD_OUT_COLUMNS,
    IMAGE_COLUMNS,
    LATER_COLUMNS,
    PREDICTION_COLUMNS,
    PROJECTION_COLUMNS,
    SCHEMA_VERSION,
    Document,
    Manifest,
    Status,
    TaskDone,
)

if TYPE_CHECKING:
    import torch

D = TypeVar("D", bound=Document)

__all__ = ["Run", "RunWriter", "SavedTask", "find_run", "list_runs", "new_run_name"]

TASK_FILES = ("adapter.safetensors", "head.safetensors", "mixture.npz", "gates.json", "done.json")
"""What a finished task is looked at and answers with. Recorded runs have no more of it; its predictions.parquet and
embeddings.npz are for going on with a run, and go into the run's own tables at its end."""


class SavedTask:
    """One finished task of a run. Nothing is read, and torch is not imported, before it is asked for.

    Every attribute raises UserError when its file is missing or damaged.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @cached_property
    def done(self) -> TaskDone:
        return _document(TaskDone, self.folder / "done.json")

    @cached_property
    def gates(self) -> dict[str, Any]:
        return read_json(self.folder / "gates.json")

    @cached_property
    def adapter(self) -> dict[str, torch.Tensor]:
        return formats.read_tensors(self.folder / "adapter.safetensors")

    @cached_property
    def head(self) -> dict[str, torch.Tensor]:
        return formats.read_tensors(self.folder / "head.safetensors")

    @cached_property
    def mixture(self) -> dict[str, np.ndarray]:
        return formats.read_arrays(self.folder / "mixture.npz")

    @cached_property
    def embeddings(self) -> dict[str, np.ndarray]:
        return formats.read_arrays(self.folder / "embeddings.npz")

    @cached_property
    def predictions(self) -> pa.Table:
        return formats.read_table(self.folder / "predictions.parquet", PREDICTION_COLUMNS)


class RunWriter:
    """The only writer of a run folder. A full disk raises UserError; everything that was finished stays whole."""

    def __init__(self, folder: Path) -> None:
        """Raises UserError when another process writes into `folder`, which must exist."""
        self.folder = folder
        self._state: str | None = None
        with self._disk():
            self._claim = Claim(folder)

    @classmethod
    def create(cls, runs: Path, manifest: Manifest) -> RunWriter:
        """Begin the run `runs / manifest.run`; a folder that a job prepared for it (no manifest yet) is taken over.

        Raises UserError when the name is unsafe or taken, or the folder cannot be made.
        """
        folder = runs / check_name(manifest.run)
        with _disk_of(folder):
            folder.mkdir(parents=True, exist_ok=True)
        writer = cls(folder)
        if (folder / "manifest.json").exists():
            raise UserError(f"A run named {manifest.run} is already in {runs}: choose another name, or resume it.")
        with writer._disk():
            for part in ("tasks", "shared", "sprites"):
                (folder / part).mkdir(exist_ok=True)
            write_json(folder / "manifest.json", manifest.model_dump(mode="json"))
        return writer

    @classmethod
    def reopen(cls, folder: Path) -> RunWriter:
        """Go on with a run that stopped: what was left half-written and an old cancel request are cleared away.

        Raises UserError when the folder holds no readable run, or another process is training it.
        """
        read_manifest(folder)
        busy = worker(folder)
        if busy not in (None, os.getpid()):
            raise UserError(f"Run {folder.name} is being trained by process {busy}: wait for it, or cancel it first.")
        writer = cls(folder)
        with writer._disk():
            writer._clear_leftovers()
        return writer

    def _clear_leftovers(self) -> None:
        (self.folder / "cancel").unlink(missing_ok=True)
        for part in ("tasks", "shared", "sprites"):
            (self.folder / part).mkdir(exist_ok=True)
        for left in [*self.folder.glob(".*.part"), *self.folder.glob("*/.*.part")]:
            shutil.rmtree(left) if left.is_dir() else left.unlink()
        whole = self.finished_tasks()
        for task in (self.folder / "tasks").glob("[0-9]*"):
            if int(task.name) >= whole:
                shutil.rmtree(task)
        drop_torn_line(self.folder / "events.jsonl")

    def finished_tasks(self) -> int:
        """How many tasks, counted from the first without a gap, are whole on disk."""
        return finished_tasks(self.folder)

    def status(self, status: Status) -> None:
        """Replace status.json; fills in `pid`, `pid_started` and `updated`."""
        document = status.model_dump() | identity() | {"updated": now()}
        with self._disk():
            # Progress may be lost in a power cut; a change of state may not.
            write_json(self.folder / "status.json", document, durable=status.state != self._state)
        self._state = status.state

    def event(self, kind: str, **fields: Any) -> None:
        """Append one line to events.jsonl, with the time."""
        line = encode_json({"kind": kind, "time": now(), **fields}) + b"\n"
        with self._disk(), (self.folder / "events.jsonl").open("ab", buffering=0) as file:
            whole = file.tell()
            if file.write(line) < len(line):  # what happens at the very end of a disk
                file.truncate(whole)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def save_task(
        self,
        done: TaskDone,
        *,
        adapter: Mapping[str, torch.Tensor],
        head: Mapping[str, torch.Tensor],
        mixture: Mapping[str, np.ndarray],
        gates: Mapping[str, Any],
        predictions: pa.Table,
        embeddings: Mapping[str, np.ndarray],
        shared: Mapping[str, torch.Tensor],
    ) -> None:
        """Keep everything about task `done.task`: it appears whole or not at all.

        `shared` is what the method carries on; it replaces that of earlier tasks once this task is in place.
        Raises UserError when the disk is full, ValueError when `predictions` lacks a column.
        """
        number = f"{done.task:03d}"
        tasks, kept = self.folder / "tasks", self.folder / "shared"
        part = tasks / f".{number}.part"
        rows = formats.conform(predictions, PREDICTION_COLUMNS)
        with self._disk(), _removed_on_failure(part):
            shutil.rmtree(part, ignore_errors=True)
            part.mkdir(parents=True)
            with replacing(part / "adapter.safetensors") as file:
                formats.write_tensors(file, adapter)
            with replacing(part / "head.safetensors") as file:
                formats.write_tensors(file, head)
            with replacing(part / "mixture.npz") as file:
                formats.write_arrays(file, mixture)
            with replacing(part / "embeddings.npz") as file:
                formats.write_arrays(file, embeddings)
            with replacing(part / "predictions.parquet") as file:
                formats.write_table(file, rows)
            write_json(part / "gates.json", dict(gates))
            write_json(part / "done.json", done.model_dump())
            with replacing(kept / f"{number}.safetensors") as file:
                formats.write_tensors(file, shared)
            part.rename(tasks / number)
            sync_folder(tasks)
        for older in kept.glob("*.safetensors"):
            if older.stem != number:
                older.unlink()

    def load_task(self, task: int) -> SavedTask:
        """Finished task `task`. Raises UserError when it is not there."""
        return saved_task(self.folder, task)

    def load_shared(self, task: int) -> dict[str, torch.Tensor]:
        """What the method carried over after task `task`. Raises UserError when it is missing or damaged."""
        return formats.read_tensors(self.folder / "shared" / f"{task:03d}.safetensors")

    def finish(
        self,
        *,
        images: pa.Table,
        embeddings: Mapping[str, np.ndarray],
        projection: pa.Table | None,
        metrics: Mapping[str, Any],
        answer: Mapping[str, torch.Tensor],
        evidence: Mapping[str, np.ndarray] | None = None,
        disturbed: pa.Table | None = None,
        held_out: pa.Table | None = None,
    ) -> None:
        """Write what is known once all tasks are done; metrics.json comes last.

        `held_out` are HELD_OUT_COLUMNS, for a run that has such classes.
        `disturbed` are answers for corrupted test images, added to those of the task folders.
        `answer` is what is needed, beside the task folders, to answer for a new image; `evidence` holds the arrays of
        evidence.npz, if there are any.
        `embeddings` are (images, width) per space, kept as float16. Raises ValueError when rows do not match `images`.
        """
        for space, rows in embeddings.items():
            if len(rows) != images.num_rows:
                raise ValueError(f"embeddings “{space}” have {len(rows)} rows for {images.num_rows} images")
        answers = [self.load_task(task).predictions for task in range(self.finished_tasks())]
        predictions = pa.concat_tables([*answers, *([] if disturbed is None else [disturbed])])
        tables = [("predictions", predictions, PREDICTION_COLUMNS), ("images", images, IMAGE_COLUMNS)]
        if projection is not None:
            tables.append(("projection", projection, PROJECTION_COLUMNS))
        if held_out is not None:
            tables.append(("held_out", held_out, HELD_OUT_COLUMNS))
        with self._disk():
            for name, table, schema in tables:
                with replacing(self.folder / f"{name}.parquet") as file:
                    formats.write_table(file, formats.conform(table, schema))
            with replacing(self.folder / "embeddings.npz") as file:
                formats.write_arrays(file, {space: rows.astype(np.float16) for space, rows in embeddings.items()})
            with replacing(self.folder / "answer.safetensors") as file:
                formats.write_tensors(file, answer)
            if evidence is not None:
                with replacing(self.folder / "evidence.npz") as file:
                    formats.write_arrays(file, evidence)
            write_json(self.folder / "metrics.json", dict(metrics))

    def drop_shared(self) -> None:
        """Remove what only learning another task would need; for a run whose state says that it is done."""
        for sums in (self.folder / "shared").glob("*.safetensors"):
            sums.unlink()

    def cancel_requested(self) -> bool:
        """Whether somebody asked for this run to stop."""
        return (self.folder / "cancel").exists()

    def _disk(self) -> AbstractContextManager[None]:
        return _disk_of(self.folder)


@contextmanager
def _disk_of(folder: Path) -> Iterator[None]:
    """Turn what a disk refuses into one line for the person."""
    try:
        yield
    except OSError as error:
        if is_full(error):
            reason = f"The disk is full: {folder} cannot be written; finished tasks are kept; free some space"
            raise UserError(f"{reason}, then `{resume_command(folder)}`.") from error
        if isinstance(error, PermissionError) or error.errno == errno.EROFS:
            raise UserError(f"{folder} cannot be written ({error.strerror}): choose another --runs.") from None
        raise


class Run:
    """A run folder to read: cheap to make; documents are read when first asked for, `status` every time."""

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)

    @property
    def name(self) -> str:
        return self.folder.name

    @cached_property
    def manifest(self) -> Manifest:
        """Raises UserError when the run has not begun, is damaged, or was written by a newer version."""
        return read_manifest(self.folder)

    @property
    def status(self) -> Status:
        """The true state: a run that claims to be active but whose worker is gone reads as failed."""
        try:
            return Status.model_validate(true_status(self.folder))
        except ValidationError as error:
            return Status(state="failed", message=f"status.json is damaged ({_first_fault(error)})")

    @property
    def active(self) -> bool:
        """Whether a worker is queued or training."""
        return self.status.state in ACTIVE

    @cached_property
    def metrics(self) -> dict[str, Any]:
        """The evaluation's summary with costs; empty before the run is done."""
        path = self.folder / "metrics.json"
        return read_json(path) if path.exists() else {}

    @property
    def problem(self) -> str | None:
        """Why this run cannot be opened, in one line; None when it can."""
        try:
            self.manifest, self.metrics  # noqa: B018
        except UserError as error:
            return str(error)
        return None

    def finished_tasks(self) -> int:
        """How many tasks are whole on disk."""
        return finished_tasks(self.folder)

    def task(self, task: int) -> SavedTask:
        """Finished task `task`, counted from 0. Raises UserError when it is not there."""
        return saved_task(self.folder, task)

    def predictions(self) -> pa.Table:
        """PREDICTION_COLUMNS of all finished tasks, also while the run is going on."""
        whole = self.folder / "predictions.parquet"
        if whole.exists():
            return formats.read_table(whole, PREDICTION_COLUMNS)
        tables = [self.task(task).predictions for task in range(self.finished_tasks())]
        return pa.concat_tables(tables) if tables else PREDICTION_COLUMNS.empty_table()

    def images(self) -> pa.Table:
        """IMAGE_COLUMNS."""
        return formats.read_table(self.folder / "images.parquet", IMAGE_COLUMNS)

    def projection(self) -> pa.Table:
        """PROJECTION_COLUMNS; no rows where the run was made without a map."""
        path = self.folder / "projection.parquet"
        return formats.read_table(path, PROJECTION_COLUMNS) if path.exists() else PROJECTION_COLUMNS.empty_table()

    def held_out(self) -> pa.Table:
        """HELD_OUT_COLUMNS; no rows where no class was held out, or none of its images was recorded."""
        path = self.folder / "held_out.parquet"
        if not path.exists():
            return HELD_OUT_COLUMNS.empty_table()
        return formats.read_table(path, HELD_OUT_COLUMNS, LATER_COLUMNS["held_out"])

    def embeddings(self, space: str) -> np.ndarray:
        """(images, width) float16, aligned with `images()`, mapped from the file: only what is read takes memory.

        Raises UserError when the run has no such space.
        """
        found = formats.map_array(self.folder / "embeddings.npz", space)
        if found is None:
            raise UserError(f"Run {self.name} has no embeddings in the space “{space}”.")
        return found

    @property
    def answer(self) -> dict[str, torch.Tensor]:
        """What is needed, beside the task folders, to answer. Raises UserError when it is missing or damaged."""
        return formats.read_tensors(self.folder / "answer.safetensors")

    def events(self) -> list[dict[str, Any]]:
        """The events of the run, oldest first; a last line that is still being written is left out."""
        return read_lines(self.folder / "events.jsonl")


def find_run(runs: Path, name: str) -> Run:
    """The run called `name`, or the only one whose name starts so. Raises UserError naming the nearest."""
    return Run(find_folder(runs, name))


def list_runs(runs: Path) -> list[Run]:
    """All runs in `runs`, newest first; those that cannot be opened are there too and say why in `problem`."""
    return [Run(folder) for folder in run_folders(runs)]


def read_manifest(folder: Path) -> Manifest:
    """The manifest of the run in `folder`. Raises UserError when there is none, or it is damaged or too new."""
    path = folder / "manifest.json"
    if not path.exists():
        raise UserError(f"{folder} holds no run that has begun: check the name with `python -m core list runs`.")
    values = read_json(path)
    version = values.get("schema_version")
    if isinstance(version, int) and version > SCHEMA_VERSION:
        raise UserError(
            f"Run {folder.name} was written by a newer version of Proteus Lab (run schema {version}, this one reads "
            f"up to {SCHEMA_VERSION}): update Proteus Lab to open it."
        )
    return _document(Manifest, path, values)


def _document(model: type[D], path: Path, values: dict[str, Any] | None = None) -> D:
    try:
        return model.model_validate(read_json(path) if values is None else values)
    except ValidationError as error:
        raise damaged(path, _first_fault(error)) from None


def _first_fault(error: ValidationError) -> str:
    fault = error.errors()[0]
    return f"“{'.'.join(str(part) for part in fault['loc'])}”: {fault['msg']}"


def finished_tasks(folder: Path) -> int:
    """How many tasks in `folder`, counted from the first without a gap, are whole."""
    count = 0
    while _whole(_task_folder(folder, count)):
        count += 1
    return count


def saved_task(folder: Path, task: int) -> SavedTask:
    """Finished task `task` of the run in `folder`. Raises UserError when it is not there."""
    place = _task_folder(folder, task)
    if task < 0 or not _whole(place):
        finished = finished_tasks(folder)
        raise UserError(f"Run {folder.name} has no finished task {task}: {finished} of its tasks are on disk.")
    return SavedTask(place)


def _task_folder(folder: Path, task: int) -> Path:
    return folder / "tasks" / f"{task:03d}"


def _whole(task: Path) -> bool:
    return all((task / name).is_file() for name in TASK_FILES)


@contextmanager
def _removed_on_failure(folder: Path) -> Iterator[None]:
    try:
        yield
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
