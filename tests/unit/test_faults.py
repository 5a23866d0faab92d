"""What goes wrong around a run: kills, no disk, no memory, damage, another process, a clock that jumps.

Real processes of `python -m core train`, forked from one that has imported everything (tests/benchmarks/faults.py).
"""

from __future__ import annotations

import json
import os
import random
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from app.reading import cards
from core.errors import UserError
from core.runs.folders import brief
from core.runs.jobs import format_toml
from core.runs.liveness import true_status
from core.runs.share import import_run
from core.runs.store import Run, RunWriter, list_runs
from tests.benchmarks import faults
from tests.unit import run_folder

pytestmark = pytest.mark.slow

KILLS = 50
DAMAGES = 300


def test_fifty_kills_at_random_lose_nothing(tmp_path: Path) -> None:
    tally = faults.campaign(tmp_path, KILLS, seed=7)
    assert tally.kills >= KILLS
    assert {"prepare", "train", "evaluate"} <= set(tally.where), tally


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> faults.Place:
    folder = tmp_path_factory.mktemp("faults")
    (folder / "run.toml").write_text(format_toml(faults.settings(faults.pictures(folder / "pictures"))))
    return faults.Place(faults.forkserver(), folder / "run.toml", folder / "runs")


@pytest.fixture(scope="module")
def undisturbed(place: faults.Place) -> Run:
    return place.finish("undisturbed")


def test_a_disk_that_takes_no_more_is_one_line_and_resuming_ends_alike(place: faults.Place, undisturbed: Run) -> None:
    process = place.begin("full", limits={resource.RLIMIT_FSIZE: 9_000})
    process.join()
    said = place.log("full").read_text().strip().splitlines()[-1]
    assert process.exitcode == 2
    assert said.startswith("error: The disk is full: ")
    assert "finished tasks are kept" in said
    faults.look_at(place.runs, "full", 0)
    assert faults.outcome(place.finish("full")) == faults.outcome(undisturbed)


@pytest.mark.parametrize("spare_mb", [4, 12])
def test_a_worker_without_memory_leaves_a_run_that_goes_on(
    place: faults.Place, undisturbed: Run, spare_mb: int
) -> None:
    """Little memory may end it in Python, with a line, or in a library that aborts or waits: all are told truly."""
    name = f"starved-{spare_mb}"
    process = place.begin(name, limits={resource.RLIMIT_AS: spare_mb << 20})
    process.join(20)
    process.kill()
    process.join()
    assert process.exitcode != 0
    faults.look_at(place.runs, name, 0)
    if process.exitcode == 2:
        assert "out of memory: use a smaller --batch-size" in place.log(name).read_text()
    assert faults.outcome(place.finish(name)) == faults.outcome(undisturbed)


READERS: dict[str, Callable[[Run], object]] = {
    "manifest": lambda run: run.manifest,
    "status": lambda run: run.status,
    "metrics": lambda run: run.metrics,
    "events": Run.events,
    "predictions": Run.predictions,
    "images": Run.images,
    "projection": Run.projection,
    "embeddings": lambda run: run.embeddings("own"),
    "task": lambda run: (run.task(0).done, run.task(0).gates, run.task(0).predictions),
    "tensors": lambda run: (run.task(0).adapter, run.task(0).head, run.task(0).mixture, run.task(0).embeddings),
    "answer": lambda run: run.answer,
    "brief": lambda run: brief(run.folder),
    "status on disk": lambda run: true_status(run.folder),
    "listed": lambda run: [each.problem for each in list_runs(run.folder.parent)],
}


def damage(folder: Path, rng: random.Random) -> str:
    """One file or folder of a run lost, cut, garbled or turned into the other kind; what was done."""
    found = sorted(path for path in folder.rglob("*") if path.name != "writer.lock")
    target = rng.choice(found)
    how = rng.choice(["lost", "cut", "garbled", "swapped"])
    if target.is_dir():
        shutil.rmtree(target)
        if how == "swapped":
            target.write_bytes(b"a file")
    elif how == "lost":
        target.unlink()
    elif how == "cut":
        os.truncate(target, rng.randrange(target.stat().st_size + 1))
    elif how == "swapped":
        target.unlink()
        target.mkdir()
    else:
        data = bytearray(target.read_bytes())
        for _ in range(rng.randint(1, 8) if data else 0):
            data[rng.randrange(len(data))] = rng.randrange(256)
        target.write_bytes(bytes(data))
    return f"{how}: {target.relative_to(folder)}"


def test_a_damaged_folder_is_read_or_named_in_one_line(tmp_path: Path) -> None:
    whole = run_folder.write_run(tmp_path / "whole")
    rng, refused = random.Random(11), 0
    for number in range(DAMAGES):
        folder = tmp_path / str(number) / "a-run"
        shutil.copytree(whole, folder)
        done = [damage(folder, rng) for _ in range(rng.randint(1, 3)) if any(folder.iterdir())]
        for name, read in READERS.items():
            try:
                read(Run(folder))
            except UserError as error:
                refused += 1
                said = str(error)
            except Exception as error:
                raise AssertionError(f"{done}: {name} raised {error!r}") from error
            else:
                said = ""
            assert "\n" not in said, (done, name)
        shutil.rmtree(folder.parent)
    assert refused > DAMAGES, "damage was noticed"


def test_a_damaged_unfinished_run_resumes_alike_or_says_why(place: faults.Place, undisturbed: Run) -> None:
    rng, alike = random.Random(5), 0
    process = place.begin("half", deadly=45)
    process.join()
    half = place.runs / "half"
    assert 1 <= Run(half).finished_tasks() < faults.TASKS
    for number in range(8):
        copy = place.runs / f"damaged-{number}"
        shutil.copytree(half, copy)
        done = damage(copy, rng)
        if not (copy / "manifest.json").is_file():
            continue
        process = place.begin(copy.name)
        process.join()
        said = place.log(copy.name).read_text()
        assert process.exitcode in (0, 2), f"{done}: {said}"
        if process.exitcode == 0:
            alike += 1
            assert faults.outcome(Run(copy)) == faults.outcome(undisturbed), done
        else:
            assert said.strip().splitlines()[-1].startswith("error: "), done
    assert alike >= 3


_STARTER = """
import sys, time
from pathlib import Path
from core.errors import UserError
from core.runs import jobs
time.sleep(max(0, float(sys.argv[2]) - time.time()))
try:
    print("started", jobs.start({"stream": {"name": sys.argv[3]}, "backbone": {"name": "tiny"}}, Path(sys.argv[1])))
except UserError as error:
    print("refused", error)
"""


def test_of_two_servers_that_start_at_once_one_trains(tmp_path: Path) -> None:
    import time

    moment = str(time.time() + 4)
    words = [sys.executable, "-c", _STARTER, str(tmp_path / "runs"), moment, "no-such-stream"]
    starters = [subprocess.Popen(words, stdout=subprocess.PIPE, text=True, cwd=faults.ROOT) for _ in range(3)]
    said = [starter.communicate(timeout=120)[0] for starter in starters]
    assert sorted(line.split()[0] for line in said) == ["refused", "refused", "started"], said
    assert len([folder for folder in (tmp_path / "runs").iterdir() if folder.is_dir()]) == 1


_HOLDER = """
import sys
from pathlib import Path
from core.runs.store import RunWriter
writer = RunWriter.reopen(Path(sys.argv[1]))
print("writing", flush=True)
sys.stdin.read()
"""


def test_a_run_has_one_writer_also_where_process_numbers_say_nothing(tmp_path: Path) -> None:
    """As in two containers on one volume: each sees the other's process number as nobody's."""
    folder = run_folder.write_run(tmp_path, tasks=1)
    words = [sys.executable, "-c", _HOLDER, str(folder)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=faults.ROOT) as holder:
        assert holder.stdout is not None and holder.stdin is not None
        assert holder.stdout.readline() == "writing\n"
        (folder / "status.json").write_text(json.dumps({"state": "running", "pid": 2**22 + 7, "pid_started": 1.0}))
        assert Run(folder).status.state == "running"
        with pytest.raises(UserError, match="is being trained by another process: wait for it"):
            RunWriter.reopen(folder)
        holder.stdin.close()
        holder.wait(60)
    assert Run(folder).status.state == "failed"
    RunWriter.reopen(folder)


def test_a_clock_that_jumps_changes_nothing_but_the_time_shown(tmp_path: Path) -> None:
    """Files from the next century, then the clock is put right: states stay true, and what is new is seen."""
    folder = run_folder.write_run(tmp_path, created="2124-01-01T00:00:00+00:00")
    other = run_folder.write_run(tmp_path, "other", tasks=1, created="1969-12-31T23:59:59+00:00")
    for path in [folder, *folder.rglob("*")]:
        os.utime(path, (4.9e9, 4.9e9))
    assert Run(folder).status.state == "done"
    assert [run.name for run in list_runs(tmp_path)] == ["a-run", "other"]
    before = cards.stamp(folder)
    (folder / "predictions.parquet").write_bytes((folder / "predictions.parquet").read_bytes())
    assert cards.stamp(folder) != before, "a table written after the clock was put right is read anew"
    os.utime(other / "status.json", (1.0, 1.0))
    assert Run(other).status.state == "cancelled"
    RunWriter.reopen(other)


def test_two_imports_of_one_run_at_once_leave_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from core.runs import share

    exported = share.export_run(Run(run_folder.write_run(tmp_path / "here")), tmp_path / "a.zip")
    checked = share.check_folder

    def slowly(folder: Path):  # while one is being checked, the other arrives
        monkeypatch.setattr(share, "check_folder", checked)
        import_run(exported, tmp_path / "runs")
        return checked(folder)

    monkeypatch.setattr(share, "check_folder", slowly)
    with pytest.raises(UserError, match="already in"):
        import_run(exported, tmp_path / "runs")
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["a-run"]
