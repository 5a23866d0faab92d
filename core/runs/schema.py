"""The run folder, schema version 2: the documents and the columns of the tables in it.

manifest.json        Manifest, written once at the start
status.json          Status, replaced atomically
events.jsonl         one JSON object per line, append only; `kind` says which (EVENT_KINDS)
tasks/000/           complete or absent: adapter.safetensors, head.safetensors, mixture.npz, gates.json,
                     predictions.parquet, embeddings.npz, done.json (TaskDone, written last)
shared/000.safetensors   what a method carries on after task 0 (running sums); removed once the run is done
answer.safetensors   what is needed, beside the task folders, to answer for a new image
predictions.parquet  PREDICTION_COLUMNS, one row per (after_task, test image of a task seen so far); where the run asked
                     for corruptions, also one per corruption and test image, after the last task
images.parquet       IMAGE_COLUMNS, one row per image: all test images, and some training images
embeddings.npz       float16 (images, width), one array per space and LEFT_OUT, aligned with images.parquet
projection.parquet   PROJECTION_COLUMNS, one row per (space, after_task, image)
evidence.npz         core.runs.evidence.RecordedEvidence, one array per field: what in a test image speaks for its true
                     task rather than for another, in nats by patch and by block; for methods with a whitened space,
                     with two tasks or more. Every wrong answer is there, right ones as far as they cost little
sprites/000.webp     1,024 thumbnails per sheet, 32 per row: a thumbnail is as wide as a 32nd of its sheet
held_out.parquet     HELD_OUT_COLUMNS, one row per image of a held-out class that is asked about; only in runs with such
                     classes, and in none made before there was a dial
held_out/000.webp    the thumbnails of those images, on sheets as in sprites
metrics.json         core.evaluation.metrics.summary of the predictions, with costs; `theory` and `retention`, those of
                     TaskDone of every task, null where empty; `shifts`, accuracy under corruptions after the last
                     task; `dial`, core.evaluation.dial.Dial.as_dict, null without held-out classes

Version 1 had no evidence.npz. Such a run still opens; `python -m core explain RUN --all` adds the file.
"""

from __future__ import annotations

from typing import Any, Literal

import pyarrow as pa
from pydantic import BaseModel, ConfigDict

SCHEMA_VERSION = 2
SPRITES_PER_SHEET = 1024
SPRITES_PER_ROW = 32

State = Literal["queued", "running", "done", "failed", "cancelled"]
Phase = Literal["prepare", "train", "evaluate", "project", "finish"]
EVENT_KINDS = ("start", "phase", "loss", "task", "end")


class Document(BaseModel):
    """A JSON document of the run folder; keys of later minor versions are ignored."""

    model_config = ConfigDict(extra="ignore")


class TaskInfo(Document):
    """One task of the stream as the run folder describes it."""

    name: str
    classes: list[int]
    """Positions in `Manifest.class_names`."""
    train_images: int
    test_images: int


class BackboneInfo(Document):
    """The frozen model that was used."""

    name: str
    title: str
    """Its honest name, for people."""
    family: str
    fingerprint: str
    depth: int
    width: int
    heads: int
    tokens: int
    image_size: int
    parameters: int


class Manifest(Document):
    """What was run, on what, with which versions."""

    schema_version: int = SCHEMA_VERSION
    run: str
    created: str
    """ISO 8601, UTC."""
    title: str
    config: dict[str, Any]
    """The resolved RunConfig."""
    stream: str
    stream_fingerprint: str
    stream_report: dict[str, Any]
    """What was read and what was skipped (core.data.report)."""
    class_names: list[str]
    tasks: list[TaskInfo]
    backbone: BackboneInfo
    method: str
    promises: list[str]
    """Properties the method promises, such as 'past_is_frozen'."""
    seed: int
    versions: dict[str, str]
    hardware: dict[str, Any]


class Status(Document):
    """Where a run is now."""

    state: State
    phase: Phase = "prepare"
    task: int = 0
    tasks: int = 0
    step: int = 0
    steps: int = 0
    """Steps of the present phase of the present task."""
    fraction: float = 0.0
    """Share of the whole run that is done, 0 to 1."""
    eta_s: float | None = None
    message: str = ""
    pid: int | None = None
    pid_started: float | None = None
    """When the process began, on its machine's own clock: the system gives process numbers out again."""
    updated: str = ""


class TaskDone(Document):
    """Closes a task folder: its presence means that every file beside it is whole."""

    task: int
    train_seconds: float
    evaluate_seconds: float
    trainable_parameters: int
    stored_bytes: int
    """Bytes that must be kept to answer for this task, beside what all tasks share."""
    theory: dict[str, float | None] = {}
    """What core.evaluation.theory says once this task is learned; empty where nothing is known, and in older runs."""
    retention: dict[str, float] = {}
    """What core.evaluation.retention says once this task is learned; empty without held-out classes, and in older
    runs."""


PREDICTION_COLUMNS = pa.schema(
    [
        ("after_task", pa.int16()),
        ("image", pa.int32()),  # row of images.parquet
        ("task", pa.int16()),
        ("label", pa.int32()),
        ("retrieved_task", pa.int16()),
        ("predicted", pa.int32()),  # class, task unknown
        ("predicted_given_task", pa.int32()),  # class, true task given
        ("margin", pa.float32()),  # best minus second-best task score; 0 while one task is known
        ("nearest_component", pa.int16()),  # of the retrieved task's mixture; -1 where there is none
        ("scores", pa.list_(pa.float32())),  # one per task known at the time, retrieval's own units
        ("split", pa.dictionary(pa.int8(), pa.string())),  # 'test'
        ("shift", pa.dictionary(pa.int8(), pa.string())),  # 'none', or a corruption and its severity: 'jpeg-3'
    ]
)

IMAGE_COLUMNS = pa.schema(
    [
        ("image", pa.int32()),
        ("split", pa.dictionary(pa.int8(), pa.string())),  # 'train' or 'test'
        ("task", pa.int16()),
        ("label", pa.int32()),
        ("name", pa.string()),  # where it came from, for people
        ("component", pa.int16()),  # nearest component of its own task's mixture; -1 where there is none
        ("sheet", pa.int16()),
        ("cell", pa.int16()),
    ]
)

PROJECTION_COLUMNS = pa.schema(
    [
        ("space", pa.dictionary(pa.int8(), pa.string())),
        ("after_task", pa.int16()),
        ("image", pa.int32()),
        ("x", pa.float32()),
        ("y", pa.float32()),
    ]
)

HELD_OUT_COLUMNS = pa.schema(
    [
        ("image", pa.int32()),
        ("label", pa.int32()),  # position in `dial.classes` of metrics.json, as are the answers
        ("name", pa.string()),
        ("sheet", pa.int16()),
        ("cell", pa.int16()),
        # One answer for each of `dial.strengths`, by way of asking (core.evaluation.retention); empty where not asked.
        ("readout", pa.list_(pa.int32())),
        ("knn", pa.list_(pa.int32())),
        ("zero_shot", pa.list_(pa.int32())),
        # What the run itself answers, as it would for a test image: no task is the right one.
        ("retrieved_task", pa.int16()),
        ("predicted", pa.int32()),  # class, one of those that were learned
        ("margin", pa.float32()),  # as in PREDICTION_COLUMNS
    ]
)

LATER_COLUMNS = {"held_out": ("retrieved_task", "predicted", "margin")}
"""By table: columns that runs of the same version lack where they were made before there were such columns."""

EMBEDDING_SPACES = ("frozen", "own", "retrieved", "whitened")
"""frozen: the final CLS embedding without an adapter. own: with the adapters of the image's own task (for one shared
model: with the final model). retrieved: with the adapters of the retrieved task. whitened: the frozen features after
whitening, on the directions in which class means differ."""
LEFT_OUT = "whitened_left_out"
"""Beside the space `whitened`: where images would lie there if it had never seen them (core.retrieval.leave_out), so
test images lie where they do. NaN for a training image that is alone in its class. Not there in runs made before 30
November 2026: they cannot say what other retrieval in that space would do with new images."""
