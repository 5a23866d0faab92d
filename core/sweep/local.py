"""Runs of a sweep as processes on this machine, their threads divided so that they do not fight for its cores."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from core.runs import jobs

_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")


def cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def threads(count: int) -> dict[str, str]:
    """The environment that keeps a process to `count` threads, or to fewer where it says so already."""
    return {name: str(min(count, _told(os.environ.get(name), count))) for name in _THREADS}


def _told(value: str | None, otherwise: int) -> int:
    return int(value) if value and value.isdigit() and int(value) else otherwise


class LocalRun:
    """A run in a process of its own."""

    def __init__(self, folder: Path, title: str, environment: Mapping[str, str]) -> None:
        self.folder = folder
        self._process = jobs.spawn(folder, ["train", *jobs.flags(folder, title)], folder.parent, None, environment)

    def ended(self) -> bool:
        """Whether the process is gone."""
        return self._process.poll() is not None

    def cancel(self) -> None:
        """Ask it to stop; returns at once."""
        (self.folder / "cancel").touch()

    def stop(self) -> None:
        """Make it stop; returns when it has."""
        jobs.cancel(self.folder.name, self.folder.parent)


class Local:
    """Up to `jobs` runs at once on this machine."""

    def __init__(self, jobs: int) -> None:
        self.jobs = jobs
        self._environment = threads(max(1, cores() // jobs))

    def room(self, going: int) -> bool:
        """Whether one more run may start beside `going` others."""
        return going < self.jobs

    def start(self, folder: Path, title: str) -> LocalRun:
        """Begin the run that is prepared in `folder`, or go on with it."""
        return LocalRun(folder, title, self._environment)

    def close(self) -> None:
        """Nothing is kept open."""
