"""A run as one entry of a list, made before any of its tables is read; and a sign of whether its tables changed."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from core.config import read_config
from core.errors import UserError
from core.runs.files import read_json
from core.runs.liveness import ACTIVE, true_status
from core.runs.store import Run
from core.runs.titles import run_title

RECORDED_RUNS = Path(os.environ.get("PROTEUS_DEMOS") or Path(__file__).resolve().parents[2] / "assets" / "runs")
"""The runs that are shipped with the project."""


@dataclass(frozen=True)
class RunCard:
    """A run as one entry of a list, made before any of its tables is read."""

    name: str
    title: str
    """In words; without the stream."""
    method: str
    stream: str
    tasks: int
    """Tasks of the whole stream, also while only some are learned."""
    state: str
    """queued, running, done, failed or cancelled."""
    recorded: bool
    """Shipped with the project, and read-only."""
    folder: Path
    problem: str | None
    """Why it cannot be opened, in one line."""
    created: str = ""
    """ISO 8601, UTC; empty while the run waits for its turn."""
    classes: int = 0
    fingerprint: str = ""
    """Of the images and their tasks: runs that share it learned the same in the same order."""
    backbone: str = ""
    accuracy: float | None = None
    """Final accuracy with the task unknown, the mean over tasks; this and the next two are None before the end."""
    forgetting: float | None = None
    """Chaudhry's, as a share: 0.075 is 7.5 points."""
    retrieval: float | None = None
    """Share of test images that are sent to the right task."""

    @property
    def ready(self) -> bool:
        """Whether its tables are all there."""
        return self.state == "done" and self.problem is None


class _About(NamedTuple):
    """What a run's documents say of it, in the words of RunCard."""

    title: str
    method: str = ""
    stream: str = ""
    tasks: int = 0
    created: str = ""
    classes: int = 0
    fingerprint: str = ""
    backbone: str = ""
    accuracy: float | None = None
    forgetting: float | None = None
    retrieval: float | None = None
    problem: str | None = None


def run_card(folder: Path, recorded: bool) -> RunCard:
    """The card of the run in `folder`; a run that cannot be read says so in its `problem`."""
    about = _about(folder, stamp(folder))
    return RunCard(name=folder.name, state=_state(folder), recorded=recorded, folder=folder, **about._asdict())


def stamp(folder: Path) -> int:
    """Changes whenever the tables of the run in `folder` do, also where the clock was set back in between."""
    parts = ("manifest.json", "metrics.json", "predictions.parquet", "tasks")
    return hash(tuple(_changed(os.path.join(folder, part)) for part in parts))


def _changed(path: str) -> int:
    try:
        return os.stat(path).st_mtime_ns
    except OSError:
        return 0


def _state(folder: Path) -> str:
    path = os.path.join(folder, "status.json")
    return _ended(path, _changed(path)) or str(true_status(folder).get("state", "failed"))


@lru_cache(maxsize=4096)
def _ended(status: str, changed: int) -> str | None:
    """The state of a run that says it is over; one that claims to be active must be looked at again and again."""
    del changed
    try:
        state = read_json(Path(status)).get("state")
    except UserError:
        return None
    return None if state is None or state in ACTIVE else str(state)


@lru_cache(maxsize=4096)
def _about(folder: Path, changed: int) -> _About:
    del changed  # only tells one version from the next
    if not (folder / "manifest.json").exists():
        return _queued(folder)
    run = Run(folder)
    if run.problem:
        return _About(folder.name, problem=run.problem)
    manifest = run.manifest
    return _About(
        _title(manifest.title, manifest.config, f"{manifest.method} on {manifest.stream}"),
        manifest.method,
        manifest.stream,
        len(manifest.tasks),
        manifest.created,
        len(manifest.class_names),
        manifest.stream_fingerprint,
        manifest.backbone.name,
        _number(run.metrics, "final_accuracy"),
        _number(run.metrics, "forgetting"),
        _number(run.metrics, "retrieval_accuracy"),
    )


def _queued(folder: Path) -> _About:
    """A run that waits for its turn: only what it was asked to do is known."""
    try:
        config = read_config(folder / "config.toml")
    except UserError:
        return _About(folder.name)
    method, stream = config.get("method"), config.get("stream")
    name = str(stream.get("name", "")) if isinstance(stream, Mapping) else ""
    kind = str(method.get("name", "")) if isinstance(method, Mapping) else ""
    return _About(run_title(config), kind, Path(name).stem)


def _title(given: str, config: Mapping[str, Any], automatic: str) -> str:
    """`given`, unless it is what earlier versions wrote where nobody gave a title."""
    return run_title(config) if given == automatic else given


def _number(metrics: Mapping[str, Any], key: str) -> float | None:
    value = metrics.get(key)
    return float(value) if isinstance(value, int | float) else None
