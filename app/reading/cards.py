"""A run as one entry of a list, made before any of its tables is read; and a sign of whether its tables changed."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from core.runs.liveness import true_status
from core.runs.store import Run

RECORDED_RUNS = Path(os.environ.get("PROTEUS_DEMOS") or Path(__file__).resolve().parents[2] / "assets" / "runs")
"""The runs that are shipped with the project."""


@dataclass(frozen=True)
class RunCard:
    """A run as one entry of a list, made before any of its tables is read."""

    name: str
    title: str
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

    @property
    def ready(self) -> bool:
        """Whether its tables are all there."""
        return self.state == "done" and self.problem is None


def run_card(folder: Path, recorded: bool) -> RunCard:
    """The card of the run in `folder`; a run that cannot be read says so in its `problem`."""
    title, method, stream, tasks, problem = _about(folder, stamp(folder))
    state = str(true_status(folder).get("state", "failed"))
    return RunCard(folder.name, title, method, stream, tasks, state, recorded, folder, problem)


def stamp(folder: Path) -> int:
    """Changes whenever the tables of the run in `folder` do, also where the clock was set back in between."""
    parts = ("manifest.json", "metrics.json", "predictions.parquet", "tasks")
    return hash(tuple(_changed(folder / part) for part in parts))


def _changed(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


@lru_cache(maxsize=512)
def _about(folder: Path, changed: int) -> tuple[str, str, str, int, str | None]:
    """Title, method, stream, number of tasks, problem."""
    del changed  # only tells one version from the next
    if not (folder / "manifest.json").exists():
        return folder.name, "", "", 0, None  # queued
    run = Run(folder)
    if run.problem:
        return folder.name, "", "", 0, run.problem
    manifest = run.manifest
    return manifest.title, manifest.method, manifest.stream, len(manifest.tasks), None
