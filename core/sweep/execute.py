"""Executing a sweep: runs start as soon as there is room for them, and whatever stops it leaves runs that can resume.

The folder `RUNS/sweeps/NAME` holds plan.json, status.json (which process executes it, and how far it is) and the
summary; the runs themselves are ordinary folders in RUNS.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from core.errors import UserError
from core.runs import jobs
from core.runs.files import now, read_json, write_json
from core.runs.liveness import ACTIVE, Claim, identity, true_status
from core.sweep.plan import Plan, plan_from

_POLL_S = 0.2
_SAY_EVERY_S = 1.0


class Handle(Protocol):
    """A run that was started."""

    def ended(self) -> bool: ...
    def cancel(self) -> None: ...
    def stop(self) -> None: ...


class Executor(Protocol):
    """Where runs are executed."""

    def room(self, going: int) -> bool: ...
    def start(self, folder: Path, title: str) -> Handle: ...
    def close(self) -> None: ...


@dataclass
class Row:
    """One run of the sweep as people see it."""

    name: str
    group: str
    seed: int
    state: str = "waiting"
    fraction: float = 0.0
    eta_s: float | None = None
    message: str = ""
    accuracy: float | None = None
    seconds: float | None = None
    """The whole run, once it is done."""


@dataclass
class Progress:
    """The sweep as a whole."""

    rows: list[Row]
    eta_s: float | None = None

    @property
    def done(self) -> int:
        return sum(row.state == "done" for row in self.rows)

    @property
    def failed(self) -> list[Row]:
        return [row for row in self.rows if row.state == "failed"]


Listener = Callable[[Progress], None]


def sweep_folder(runs: Path, name: str) -> Path:
    """Where the sweep `name` keeps its plan and its summary."""
    return runs / jobs.SWEEPS / name


def saved_plan(folder: Path) -> Plan:
    """The plan of the sweep in `folder`. Raises UserError when it is missing or damaged."""
    try:
        return plan_from(read_json(folder / "plan.json"))
    except (KeyError, TypeError):
        raise UserError(f"{folder / 'plan.json'} is damaged: start the sweep again from its file.") from None


def rows_of(plan: Plan, runs: Path) -> list[Row]:
    """Every run of the plan as it is on disk now."""
    return [read_row(Row(run.name, run.group, run.seed), runs / run.name) for run in plan.runs]


def read_row(row: Row, folder: Path) -> Row:
    """`row`, brought up to date with the run's folder."""
    if not folder.is_dir():
        return row
    said = true_status(folder)
    row.state, row.message = str(said.get("state", "failed")), str(said.get("message", ""))
    row.fraction, row.eta_s = float(said.get("fraction") or 0.0), said.get("eta_s")
    if row.state == "done":
        measured = read_json(folder / "metrics.json")
        row.fraction, row.accuracy, row.seconds = 1.0, measured.get("final_accuracy"), measured.get("seconds")
    return row


class Sweep:
    """One execution of a plan."""

    def __init__(
        self, plan: Plan, runs: Path, executor: Callable[[], Executor], listener: Listener, resume: bool = False
    ) -> None:
        """Raises UserError when another process executes this sweep, or runs of it exist and `resume` is not given."""
        self.plan, self.runs, self.listener = plan, runs, listener
        self.folder = sweep_folder(runs, plan.name)
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            self._claim = Claim(self.folder)
        except UserError:
            raise UserError(f"Sweep {plan.name} is being executed by another process: wait, or cancel it.") from None
        there = [run.name for run in plan.runs if (runs / run.name).exists()]
        if there and not resume:
            known = f"{len(there)} of its {len(plan.runs)} runs are in {runs} already"
            raise UserError(f"Sweep {plan.name}: {known}: add --resume to go on with them, or give it another name.")
        (self.folder / "cancel").unlink(missing_ok=True)
        write_json(self.folder / "plan.json", plan.as_dict())
        self.progress = Progress(rows_of(plan, runs))
        self._rows = {row.name: row for row in self.progress.rows}
        self._going: dict[str, Handle] = {}
        self._said_at = 0.0
        self.executor = executor()
        self._say("running")

    def run(self) -> Progress:
        """All runs that are not done. Raises KeyboardInterrupt when cancelled: the runs can be resumed."""
        waiting = [run for run in self.plan.runs if self._rows[run.name].state != "done"]
        for run in waiting:
            if self._rows[run.name].state not in ACTIVE:
                self._rows[run.name].state = "waiting"
        try:
            while waiting or self._going:
                while waiting and self.executor.room(len(self._going)):
                    self._start(waiting.pop(0).name)
                self._look()
                if (self.folder / "cancel").exists():
                    raise KeyboardInterrupt
                time.sleep(_POLL_S)
        except BaseException:
            self._stop()
            raise
        finally:
            self.executor.close()
        state = "failed" if self.progress.failed else "done"
        self._say(state)
        return self.progress

    def _start(self, name: str) -> None:
        folder = self.runs / name
        if self._rows[name].state in ACTIVE:  # its executor was killed, or somebody resumed it by hand
            self._going[name] = _Elsewhere(folder)
            return
        run = next(run for run in self.plan.runs if run.name == name)
        if (folder / "manifest.json").exists():
            (folder / "cancel").unlink(missing_ok=True)
        else:
            shutil.rmtree(folder, ignore_errors=True)
            jobs.prepare(folder, run.config)
        self._going[name] = self.executor.start(folder, f"{run.group}, seed {run.seed}")
        self._rows[name].state = "queued"

    def _look(self) -> None:
        """Bring the rows up to date, and tell the listener about every change of state, and otherwise now and then."""
        before = [row.state for row in self.progress.rows]
        for name, handle in list(self._going.items()):
            ended = handle.ended()
            read_row(self._rows[name], self.runs / name)
            if ended:
                del self._going[name]
        changed = before != [row.state for row in self.progress.rows]
        if changed or time.monotonic() - self._said_at > _SAY_EVERY_S:
            self._say("running")

    def _say(self, state: str) -> None:
        self._said_at = time.monotonic()
        self.progress.eta_s = _left(self.progress.rows, max(1, len(self._going))) if state == "running" else None
        done, count = self.progress.done, len(self.progress.rows)
        said: dict[str, Any] = {"state": state, "done": done, "runs": count, "eta_s": self.progress.eta_s}
        said |= {"message": f"{done} of {count} runs are done", "updated": now(), **identity()}
        write_json(self.folder / "status.json", said)
        self.listener(self.progress)

    def _stop(self) -> None:
        """Cancel what is going on; finished tasks are kept."""
        for handle in self._going.values():
            handle.cancel()
        for name, handle in self._going.items():
            handle.stop()
            read_row(self._rows[name], self.runs / name)
        self._going = {}
        self._say("cancelled")


class _Elsewhere:
    """A run that another process is training already."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def ended(self) -> bool:
        return true_status(self.folder).get("state") not in ACTIVE

    def cancel(self) -> None:
        (self.folder / "cancel").touch()

    def stop(self) -> None:
        jobs.cancel(self.folder.name, self.folder.parent)


def _left(rows: list[Row], at_once: int) -> float | None:
    """About how many seconds it takes until all runs are done: the rest of those that are training, and the mean time
    of a run for each one that waits."""
    known = [row.seconds for row in rows if row.seconds]
    going = [row.eta_s for row in rows if row.state == "running" and row.eta_s is not None]
    known += [
        row.eta_s / (1 - row.fraction) for row in rows if row.state == "running" and row.eta_s and row.fraction < 1
    ]
    if not known:
        return None
    waiting = sum(row.state in ("waiting", "queued") for row in rows)
    return max([(sum(going) + waiting * sum(known) / len(known)) / at_once, *going])


def as_document(progress: Progress) -> list[dict[str, Any]]:
    """The rows for machines."""
    return [asdict(row) for row in progress.rows]
