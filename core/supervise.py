"""One training that a command watches over: how it begins, is resumed or sent to a cluster, and how it ends."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import typer

from core import report, terminal
from core.errors import UserError
from core.failures import CANCELLED, complain, said
from core.listing import named_run

Work = Callable[[terminal.Listener], Path]


def begun(values: dict[str, Any], runs: Path, title: str | None, name: str | None) -> tuple[Path, Work]:
    """The folder of a new run, and the function that trains it. Raises UserError for wrong values or a taken name."""
    from core.config import RunConfig, validate
    from core.runs.folders import check_name, new_run_name
    from core.runs.jobs import announce

    config: RunConfig = validate(RunConfig, values)
    name = check_name(name or new_run_name(config.method.name, config.stream.name))
    folder = runs / name
    if (folder / "manifest.json").exists():
        raise UserError(f"A run named {name} is already in {runs}: choose another name, or resume it.")
    if folder.is_dir():
        announce(folder)

    def work(listener: terminal.Listener) -> Path:
        from core.training.run import start_run

        return start_run(config, runs, listener, title=title, name=name)

    return folder, work


def resumed(name: str, runs: Path) -> tuple[Path, Work]:
    """The folder of a run that stopped, and the function that resumes it. Raises UserError where it cannot resume."""
    from core.runs.jobs import announce
    from core.runs.liveness import worker

    run = named_run(runs, name)
    busy = worker(run.folder)
    if busy not in (None, os.getpid()):
        raise UserError(f"Run {run.name} is being trained by process {busy}: wait for it, or cancel it first.")
    if run.status.state == "done":
        raise UserError(f"Run {run.name} is done: there is nothing to resume. `python -m core show {run.name}`.")
    run.manifest  # noqa: B018  a folder that holds no readable run is said before anything in it changes
    announce(run.folder)

    def work(listener: terminal.Listener) -> Path:
        from core.training.run import resume_run

        return resume_run(run.folder, listener)

    return run.folder, work


def sent(folder: Path, title: str | None, ray: str, cpus: float, gpus: float) -> Work:
    """The function that trains the run in `folder` on a Ray cluster."""

    def work(listener: terminal.Listener) -> Path:
        from core.sweep.cluster import follow

        return follow(folder, title, ray, cpus, gpus, listener)

    return work


def supervise(folder: Path, work: Work, quiet: bool) -> None:
    """Train in this process; whatever ends the training, the run's status says how."""
    from core.runs.turns import turn

    with terminable():
        try:
            with turn(folder), terminal.progress(quiet) as listener:
                work(listener)
        except KeyboardInterrupt:
            _mark(folder, "cancelled", "cancelled; finished tasks are kept")
        except Exception as error:
            _mark(folder, "failed", said(error))
            raise


@contextlib.contextmanager
def terminable() -> Iterator[None]:
    """Inside, SIGTERM is what Ctrl-C is: a KeyboardInterrupt. Only a process's main thread is told of signals."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def _mark(folder: Path, state: str, message: str) -> None:
    from core.runs.jobs import mark

    if folder.is_dir():
        with contextlib.suppress(OSError):  # on a full disk the run reads as failed anyway: its worker is gone
            mark(folder, state, message)


def conclude(folder: Path, as_json: bool) -> None:
    """Print what came out. Raises UserError for a run that failed, Exit(130) for one that was cancelled."""
    from core.runs.liveness import resume_command
    from core.runs.store import Run

    run = Run(folder)
    if not (folder / "manifest.json").exists():
        raise typer.Exit(complain("cancelled before the run began.", CANCELLED))
    state = run.status.state
    if state == "cancelled":
        finished = f"{run.finished_tasks()} of {len(run.manifest.tasks)} tasks are finished"
        raise typer.Exit(complain(f"cancelled: {finished}; go on with `{resume_command(folder)}`.", CANCELLED))
    if state != "done":
        raise UserError(f"Run {run.name} is {state}: {run.status.message}.")
    if as_json:
        terminal.show_json(report.result(run))
        return
    report.show_results(run)
    terminal.show_line(
        f"Run {run.name} in {run.folder.parent}. See it with `python -m core show {run.name}`, or in the app."
    )
