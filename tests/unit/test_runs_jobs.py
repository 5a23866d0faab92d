"""Background jobs with real processes: detached, one at a time, cancelled in good time, truthful when they die."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import UserError
from core.runs import jobs
from core.runs.liveness import identity, process_started, true_status, worker
from core.runs.store import Run
from tests.unit import run_folder
from tests.waiting import wait_until

ROOT = Path(__file__).resolve().parents[2]

_WORKER = '''
"""Stands in for the command line: a worker that can be told how to behave."""
import json, os, signal, sys, time
from pathlib import Path
sys.path.insert(0, {root!r})
from core.runs.jobs import announce
from core.runs.files import write_json
from core.runs.liveness import identity

words = sys.argv[1:]
assert words[:2] == ["--debug", "train"], words
flags = dict(zip(words[2::2], words[3::2]))
folder = Path(flags["--runs"]) / (flags.get("--name") or flags["--resume"])
announce(folder)
print("hello from the worker", flags.get("--title"))
if {stubborn}:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
write_json(folder / "status.json", {{"state": "running", "fraction": 0.25, **identity()}})
while not ((folder / "cancel").exists() and {polite}):
    time.sleep(0.02)
write_json(folder / "status.json", {{"state": "cancelled", **identity()}})
'''


@pytest.fixture
def behave(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Replaces what `python -m core` runs in jobs of this test."""

    def choose(polite: bool = True, stubborn: bool = False) -> None:
        package = tmp_path / "stand-in" / "core"
        package.mkdir(parents=True, exist_ok=True)
        (package / "__init__.py").write_text(f"__path__.append({str(ROOT / 'core')!r})\n__version__ = '0'\n")
        (package / "__main__.py").write_text(_WORKER.format(root=str(ROOT), polite=polite, stubborn=stubborn))
        monkeypatch.setattr(jobs, "_ROOT", package.parent)
        monkeypatch.chdir(tmp_path)

    return choose


@pytest.fixture
def runs(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "runs"
    yield folder
    for status in folder.glob("*/status.json"):
        pid = worker(status.parent)
        if pid is not None and pid != os.getpid():
            os.kill(pid, signal.SIGKILL)


def test_a_job_starts_detached_and_stops_when_asked(runs: Path, behave: Callable[..., None]) -> None:
    behave()
    name = jobs.start({"method": {"name": "lda"}, "stream": {"tasks": 2}}, runs, title="Two words")
    assert Run(runs / name).status.state in ("queued", "running")
    wait_until(lambda: Run(runs / name).status.state == "running")

    pid = worker(runs / name)
    assert pid is not None
    assert os.getsid(pid) == pid != os.getsid(0)
    assert jobs.running(runs) == name
    assert tomllib.loads((runs / name / "config.toml").read_text()) == {
        "method": {"name": "lda"},
        "stream": {"tasks": 2},
    }

    jobs.cancel(name, runs, grace=10)
    assert process_started(pid) is None
    assert Run(runs / name).status.state == "cancelled"
    assert jobs.running(runs) is None
    assert "hello from the worker Two words" in (runs / name / "log.txt").read_text()
    jobs.cancel(name, runs)  # nothing left to do


def test_a_second_job_is_refused_by_the_name_of_the_first_even_after_a_restart(
    runs: Path, behave: Callable[..., None]
) -> None:
    behave()
    starter = f"import sys; sys.path[:0] = [{str(ROOT)!r}]; from core.runs import jobs; from pathlib import Path;"
    starter += f"jobs._ROOT = Path({str(jobs._ROOT)!r}); print(jobs.start({{}}, Path({str(runs)!r})))"
    command = [sys.executable, "-c", starter]
    name = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    # The process that started it has ended; the job goes on.
    wait_until(lambda: Run(runs / name).status.state == "running")
    with pytest.raises(UserError, match=rf"Run {name} is running \(25% done\)"):
        jobs.start({}, runs)
    assert [folder.name for folder in runs.iterdir() if folder.is_dir()] == [name]

    jobs.cancel(name, runs, grace=10)
    second = jobs.start({}, runs)
    jobs.cancel(second, runs, grace=10)


def test_two_runs_folders_do_not_wait_for_each_other(tmp_path: Path, runs: Path, behave: Callable[..., None]) -> None:
    behave()
    names = [jobs.start({}, runs), jobs.start({}, tmp_path / "others")]
    for name, place in zip(names, (runs, tmp_path / "others"), strict=True):
        jobs.cancel(name, place, grace=10)


@pytest.mark.parametrize("stubborn", [False, True])
def test_a_job_that_does_not_listen_is_stopped_by_force(
    runs: Path, behave: Callable[..., None], stubborn: bool
) -> None:
    behave(polite=False, stubborn=stubborn)
    name = jobs.start({}, runs)
    wait_until(lambda: Run(runs / name).status.state == "running")
    pid = worker(runs / name)
    assert pid is not None
    jobs.cancel(name, runs, grace=0.3)
    assert process_started(pid) is None
    assert Run(runs / name).status.state == "cancelled"


def test_a_job_that_is_killed_reads_as_failed_and_frees_the_lock(runs: Path, behave: Callable[..., None]) -> None:
    behave()
    name = jobs.start({}, runs)
    wait_until(lambda: Run(runs / name).status.state == "running")
    pid = worker(runs / name)
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: Run(runs / name).status.state == "failed")
    assert "log.txt" in Run(runs / name).status.message
    jobs.cancel(jobs.start({}, runs), runs, grace=10)


def test_a_stopped_run_is_resumed_and_others_are_not(runs: Path, behave: Callable[..., None]) -> None:
    behave()
    folder = run_folder.write_run(runs, "half", tasks=1)
    (folder / "cancel").touch()
    assert jobs.resume("ha", runs) == "half"
    wait_until(lambda: Run(folder).status.state == "running")
    with pytest.raises(UserError, match="half is running: there is nothing to resume"):
        jobs.resume("half", runs)
    jobs.request_cancel("half", runs)
    wait_until(lambda: not Run(folder).active)
    run_folder.write_run(runs, "whole")
    with pytest.raises(UserError, match="whole is done"):
        jobs.resume("whole", runs)
    with pytest.raises(UserError, match="No run “none”"):
        jobs.resume("none", runs)


def test_a_wrong_configuration_is_refused_before_anything_starts(runs: Path) -> None:
    with pytest.raises(UserError, match=r"unknown key “stream.taks”. Did you mean “tasks”"):
        jobs.start({"stream": {"taks": 3}}, runs)
    assert not runs.exists()


@pytest.mark.slow
def test_an_error_of_the_real_worker_is_in_status_and_log(runs: Path) -> None:
    name = jobs.start({"stream": {"name": "no-such-stream"}, "backbone": {"name": "tiny"}}, runs)
    wait_until(lambda: not Run(runs / name).active, 60)
    status = Run(runs / name).status
    assert status.state == "failed"
    assert "no-such-stream" in status.message
    wait_until(lambda: "no-such-stream" in (runs / name / "log.txt").read_text())


def test_a_run_in_this_process_is_never_killed(tmp_path: Path) -> None:
    folder = run_folder.write_run(tmp_path, tasks=1)
    (folder / "status.json").write_text(json.dumps({"state": "running"} | identity()))
    jobs.cancel("a-run", tmp_path, grace=0)
    assert (folder / "cancel").exists()
    assert Run(folder).status.state == "running"


def test_the_last_word_of_a_worker_stands(tmp_path: Path) -> None:
    folder = run_folder.write_run(tmp_path)
    jobs.mark(folder, "cancelled", "too late")
    assert true_status(folder)["state"] == "done"


scalars = st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False, allow_infinity=False)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
values = scalars | texts | st.lists(st.lists(texts, max_size=2), max_size=2)


@given(st.dictionaries(texts, values | st.dictionaries(texts, values, min_size=1, max_size=3), max_size=4))
def test_any_configuration_survives_toml(config: dict[str, object]) -> None:
    assert tomllib.loads(jobs.format_toml(config)) == config
