"""Training in the background: one detached process per run, one at a time in a folder of runs, talking through files.

The process outlives whoever started it. `runs/.lock` is locked by the starter and handed to the worker, so the lock is
held for exactly as long as the worker lives; the file says which run that is.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from core.config import RunConfig, validate
from core.errors import UserError
from core.light import cannot, is_light
from core.runs.files import encode_json, now, read_json, write_json
from core.runs.folders import brief, check_name, find_folder, new_run_name
from core.runs.liveness import ACTIVE, identity, process_started, true_status, worker

_ROOT = Path(__file__).resolve().parents[2]
_POLL_S = 0.05
CLUSTER = "PROTEUS_RAY"
"""Environment: the address of the Ray cluster on which background work is executed."""
SWEEPS = "sweeps"
"""Folder, inside a runs folder, of the sweeps."""


def start(config: Mapping[str, Any], runs: Path, title: str | None = None) -> str:
    """Train `config` (the nested keys of a RunConfig) in the background; the name of the new run, at once.

    Raises UserError when the configuration is wrong, or another job of `runs` is training (names it).
    """
    checked: RunConfig = validate(RunConfig, dict(config))
    name = new_run_name(checked.method.name, checked.stream.name)
    folder = runs / name
    with job_lock(runs, name) as lock:
        folder.mkdir()
        try:
            prepare(folder, config)
            launch(folder, flags(folder, title), lock)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
    return name


def resume(name: str, runs: Path) -> str:
    """Go on with a stopped run in the background; its full name.

    Raises UserError when there is no such run, it is done or still going, or another job of `runs` is training.
    """
    folder = find_folder(runs, name)
    state = true_status(folder)["state"]
    if state in (*ACTIVE, "done"):
        raise UserError(f"Run {folder.name} is {state}: there is nothing to resume.")
    if not (folder / "manifest.json").exists():
        raise UserError(f"Run {folder.name} stopped before it began: start it again (its log is {folder / 'log.txt'}).")
    with job_lock(runs, folder.name) as lock:
        (folder / "cancel").unlink(missing_ok=True)
        launch(folder, flags(folder), lock)
    return folder.name


def prepare(folder: Path, config: Mapping[str, Any]) -> None:
    """Make `folder` for a run that is to begin with `config`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.toml").write_text(format_toml(config), encoding="utf-8")


def flags(folder: Path, title: str | None = None) -> list[str]:
    """What `train` is told to begin the run prepared in `folder`, or to go on with it."""
    if (folder / "manifest.json").exists():
        return ["--resume", folder.name]
    titled = ["--title", title] if title else []
    return ["--config", str(folder.resolve() / "config.toml"), "--name", folder.name, *titled]


def running(runs: Path) -> str | None:
    """The name of the run that a job of `runs` is training, or None."""
    try:
        name = check_name((runs / ".lock").read_text().strip())
    except (OSError, ValueError, UserError):
        return None
    return name if worker(runs / name) is not None else None


def sweeping(runs: Path) -> str | None:
    """The name of the sweep that a job of `runs` executes, or None."""
    try:
        folder, _, name = (runs / ".lock").read_text().strip().partition("/")
        return name if folder == SWEEPS and worker(runs / SWEEPS / check_name(name)) is not None else None
    except (OSError, ValueError, UserError):
        return None


def request_cancel(name: str, runs: Path) -> None:
    """Ask a run to stop at its next step; returns at once. Raises UserError when there is no such run."""
    (find_folder(runs, name) / "cancel").touch()


def cancel(name: str, runs: Path, grace: float = 10.0) -> None:
    """Stop a run: ask it, send SIGTERM after `grace` seconds, and kill its whole process group after as many again.

    Returns when the worker is gone (at once, if it is this very process). Finished tasks are kept, and the run can be
    resumed.
    Raises UserError when there is no such run.
    """
    folder = find_folder(runs, name)
    pid = worker(folder)
    if pid is None:
        return
    began = process_started(pid)

    def gone() -> bool:
        return process_started(pid) != began

    (folder / "cancel").touch()
    if pid == os.getpid():
        return
    for force in (signal.SIGTERM, signal.SIGKILL):
        if _until(gone, grace):
            break
        _signal(pid, force)
    else:
        _until(gone, 5.0)
    mark(folder, "cancelled", "cancelled; finished tasks are kept")


def _until(met: Callable[[], bool], seconds: float) -> bool:
    end = time.monotonic() + seconds
    while not met():
        if time.monotonic() > end:
            return False
        time.sleep(_POLL_S)
    return True


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        # A job leads a group of its own; a run typed into a terminal may share its group with other commands.
        if os.getpgid(pid) == pid and os.getsid(pid) == pid:
            os.killpg(pid, number)
        else:
            os.kill(pid, number)
    except ProcessLookupError:
        pass


def mark(folder: Path, state: str, message: str) -> None:
    """Write how a run ended where its own worker could not; nothing changes unless it still claims to be active."""
    try:
        said = read_json(folder / "status.json")
    except UserError:
        said = {"state": "running"}
    if said.get("state") in ACTIVE and worker(folder) in (None, os.getpid()):
        said |= {"state": state, "message": message, "eta_s": None, "updated": now()}
        write_json(folder / "status.json", said)


def announce(folder: Path) -> None:
    """The worker calls this before anything slow: from then on status.json names this process."""
    write_json(folder / "status.json", _queued(os.getpid()))


def _queued(pid: int) -> dict[str, Any]:
    return {"state": "queued", "message": "starting", "updated": now(), **identity(pid)}


def launch(
    folder: Path, words: list[str], lock: IO[str] | None = None, environment: Mapping[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """Start `python -m core train` for the run in `folder`, on the cluster that PROTEUS_RAY names where it is set."""
    return spawn(folder, ["train", *words, *cluster_flags()], folder.parent, lock, environment)


def cluster_flags() -> list[str]:
    """Where background work is executed: on this machine, or on the cluster that the environment names."""
    address = os.environ.get(CLUSTER)
    return ["--ray", address] if address else []


def spawn(
    folder: Path, words: list[str], runs: Path, lock: IO[str] | None, environment: Mapping[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """Start `python -m core` in a session of its own; it inherits `lock`, and nothing else of ours.

    `folder` gets its log, and a first status that names it.
    """
    (folder / "status.json").unlink(missing_ok=True)
    command = [sys.executable, "-m", "core", "--debug", *words, "--runs", str(runs.resolve())]
    paths = [str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    with (folder / "log.txt").open("ab") as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=[lock.fileno()] if lock else [],
            env={**os.environ, **(environment or {}), "PYTHONPATH": os.pathsep.join(paths), "PYTHONUNBUFFERED": "1"},
        )
    threading.Thread(target=process.wait, daemon=True).start()  # no zombie stays behind
    _first_word(folder / "status.json", _queued(process.pid))
    return process


def _first_word(path: Path, value: Mapping[str, Any]) -> None:
    """Write `path` whole, unless the worker already has."""
    beside = path.with_name(f".{path.name}.first.part")
    beside.write_bytes(encode_json(value))
    try:
        os.link(beside, path)
    except FileExistsError:
        pass
    except OSError:  # a file system without links
        if not path.exists():
            beside.replace(path)
    beside.unlink(missing_ok=True)


@contextmanager
def job_lock(runs: Path, name: str) -> Iterator[IO[str]]:
    """The locked lock file of `runs`, saying `name`; closed in this process afterwards, so only a child keeps it.

    Raises UserError in a light installation, and while another job of `runs` goes on.
    """
    if is_light() and not os.environ.get(CLUSTER):
        raise UserError(cannot("Training"))
    runs.mkdir(parents=True, exist_ok=True)
    with (runs / ".lock").open("a+") as lock:
        # A worker that has written its last status needs a moment more to end.
        if not _until(
            lambda: _locked(lock) or running(runs) is not None or sweeping(runs) is not None, 5.0
        ) or not _locked(lock):
            raise UserError(f"{_busy(runs)}: wait for it, or cancel it first.")
        lock.truncate(0)
        lock.write(name)
        lock.flush()
        yield lock


def _locked(lock: IO[str]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _busy(runs: Path) -> str:
    name = running(runs)
    sweep = sweeping(runs)
    if sweep is not None:
        return f"The sweep {sweep} is going on in {runs}"
    if name is None:
        return f"Another job in {runs} is starting or ending"
    row = brief(runs / name)
    return f"Run {name} is {row['state']} ({round(100 * float(row['fraction'] or 0))}% done) in {runs}"


def format_toml(values: Mapping[str, Any], prefix: str = "") -> str:
    """Nested `values` as TOML, one dotted key per line; keys that are None are left out."""
    lines = ""
    for key, value in values.items():
        path = prefix + json.dumps(str(key), ensure_ascii=False)
        if isinstance(value, Mapping):
            lines += format_toml(value, f"{path}.")
        elif value is not None:
            # JSON's strings, numbers, booleans and lists are TOML's too.
            lines += f"{path} = {json.dumps(value, ensure_ascii=False, allow_nan=False)}\n".replace("\x7f", "\\u007f")
    return lines
