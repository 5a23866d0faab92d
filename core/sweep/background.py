"""Sweeps that outlive whoever started them: each is a detached process, and a folder of runs has one job at a time."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from core.errors import UserError
from core.runs import jobs
from core.runs.files import read_json
from core.runs.liveness import ACTIVE, true_status
from core.sweep.execute import sweep_folder
from core.sweep.plan import make_plan


def start(values: Mapping[str, Any], runs: Path, at_once: int = 1) -> str:
    """Execute the sweep that the keys of a sweep file describe, in the background; returns its name.

    Raises UserError when the file is wrong, the name is taken by other runs, or another job of `runs` is going on.
    """
    plan = make_plan(values)
    folder = sweep_folder(runs, plan.name)
    if folder.exists():
        raise UserError(f"There is a sweep {plan.name} in {runs} already: resume it, or choose another name.")
    with jobs.job_lock(runs, f"{jobs.SWEEPS}/{plan.name}") as lock:
        folder.mkdir(parents=True)
        try:
            (folder / "sweep.toml").write_text(jobs.format_toml(values), encoding="utf-8")
            (folder / "jobs").write_text(str(at_once))
            jobs.spawn(folder, _words(folder), runs, lock)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
    return plan.name


def resume(name: str, runs: Path) -> None:
    """Go on with a sweep that stopped. Raises UserError when it is going on, or another job is."""
    folder = sweep_folder(runs, name)
    if not (folder / "sweep.toml").exists():
        raise UserError(f"Sweep {name} was started from a file: go on with `python -m core sweep FILE --resume`.")
    if state(name, runs)["state"] in ACTIVE:
        raise UserError(f"Sweep {name} is going on already.")
    with jobs.job_lock(runs, f"{jobs.SWEEPS}/{name}") as lock:
        (folder / "cancel").unlink(missing_ok=True)
        jobs.spawn(folder, _words(folder), runs, lock)


def _words(folder: Path) -> list[str]:
    at_once = (folder / "jobs").read_text().strip() if (folder / "jobs").exists() else "1"
    return ["sweep", str((folder / "sweep.toml").resolve()), "--resume", "--jobs", at_once, *jobs.cluster_flags()]


def request_cancel(name: str, runs: Path) -> None:
    """Ask a sweep to stop, and return at once; what is finished is kept."""
    (sweep_folder(runs, name) / "cancel").touch()


def state(name: str, runs: Path) -> dict[str, Any]:
    """The sweep's status; one whose process is gone reads as failed."""
    said = true_status(sweep_folder(runs, name))
    if said["state"] == "failed" and said.get("pid") is not None and said.get("done") != said.get("runs"):
        said |= {"message": "it stopped before all runs were done; what is finished is kept"}
    return said


def names(runs: Path) -> list[str]:
    """The sweeps of `runs`, the one that changed last first."""
    folders = [path.parent for path in (runs / jobs.SWEEPS).glob("*/plan.json")]
    changed = {
        folder.name: str(read_json(folder / "status.json").get("updated", "")) for folder in folders if _told(folder)
    }
    return sorted(changed, key=lambda name: changed[name], reverse=True)


def _told(folder: Path) -> bool:
    try:
        return bool(read_json(folder / "status.json"))
    except UserError:
        return False
