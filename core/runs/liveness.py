"""The true status of a run: whether the process that its status names is still alive, and still the same process."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Any

from core.errors import UserError
from core.runs.files import read_json

ACTIVE = ("queued", "running")
LOCK = "writer.lock"
"""Locked by whoever writes into a run folder, for as long as that process lives."""


def process_started(pid: int) -> float | None:
    """When process `pid` began, on its machine's own clock; None when there is none, or only a zombie.

    A number and a start together name one process: the number alone is given out again.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return None if Path("/proc/self/stat").exists() else _portable_start(pid)
    return None if fields[0] in "ZX" else float(fields[19])


def _portable_start(pid: int) -> float | None:
    import psutil

    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else float(process.create_time())
    except psutil.Error:
        return None


def identity(pid: int | None = None) -> dict[str, Any]:
    """The status fields that name process `pid`, by default this one."""
    pid = os.getpid() if pid is None else pid
    return {"pid": pid, "pid_started": process_started(pid)}


def worker(folder: Path) -> int | None:
    """The live process that is training the run in `folder`, or None."""
    try:
        said = read_json(folder / "status.json")
    except UserError:
        return None
    return said["pid"] if said.get("state") in ACTIVE and _alive(said) else None


class Claim:
    """The right to write into the run in `folder`, for as long as this object lives; one process may have it twice.

    Raises UserError when another process has it, on this machine or in another container.
    """

    def __init__(self, folder: Path) -> None:
        self._lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        if not _locked(self._lock, fcntl.LOCK_EX):
            raise UserError(f"Run {folder.name} is being trained by another process: wait for it, or cancel it first.")

    def __del__(self) -> None:
        if hasattr(self, "_lock"):
            os.close(self._lock)


def _claimed(folder: Path) -> bool:
    """Whether a process other than this one writes into `folder`."""
    try:
        with (folder / LOCK).open("rb") as lock:
            return not _locked(lock.fileno(), fcntl.LOCK_SH)
    except OSError:
        return False


def _locked(lock: int, kind: int) -> bool:
    try:
        fcntl.lockf(lock, kind | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    except OSError:  # a file system without locks
        return True
    return True


def true_status(folder: Path) -> dict[str, Any]:
    """The status document of the run in `folder`; one that claims a dead worker, or is unreadable, reads as failed."""
    for _ in range(2):  # the worker may write its last word between our two looks
        try:
            said = read_json(folder / "status.json")
        except UserError:
            return {"state": "failed", "message": f"status.json is missing or damaged; {_remedy(folder)}"}
        # Process numbers of another container mean nothing here, but its lock is seen.
        if said.get("state") not in ACTIVE or _alive(said) or _claimed(folder):
            return said
    return said | {"state": "failed", "eta_s": None, "message": f"the worker stopped; {_remedy(folder)}"}


def _alive(said: dict[str, Any]) -> bool:
    pid, started = said.get("pid"), said.get("pid_started")
    if not isinstance(pid, int) or pid <= 0 or not isinstance(started, int | float):
        return False
    return process_started(pid) == started


def _remedy(folder: Path) -> str:
    if (folder / "manifest.json").exists():
        return f"resume with `{resume_command(folder)}`"
    return f"see {folder / 'log.txt'} and train it again" if (folder / "log.txt").exists() else "train it again"


def resume_command(folder: Path) -> str:
    """What to type to go on with the run in `folder`."""
    return f"python -m core train --resume {folder.name}"
