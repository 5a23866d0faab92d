"""Workers of several folders train one after another, and a waiting one can be cancelled."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from core.runs import turns
from core.runs.files import read_json
from tests.waiting import wait_until

ROOT = Path(__file__).resolve().parents[2]


_WORKER = """
import sys, time
from pathlib import Path
from core.runs.turns import turn
folder = Path(sys.argv[1])
try:
    with turn(folder):
        (folder / "began").write_text(str(time.monotonic()))
        time.sleep(0.2)
        (folder / "ended").write_text(str(time.monotonic()))
except KeyboardInterrupt:
    (folder / "cancelled").touch()
"""


def _worker(folder: Path, lock: Path) -> subprocess.Popen[bytes]:
    environment = {**os.environ, turns.VARIABLE: str(lock)}
    return subprocess.Popen([sys.executable, "-c", _WORKER, str(folder)], cwd=ROOT, env=environment)


@pytest.fixture
def places(tmp_path: Path) -> list[Path]:
    folders = [tmp_path / f"run-{number}" for number in range(3)]
    for folder in folders:
        folder.mkdir()
    return folders


def test_without_turns_nobody_waits(places: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(turns.VARIABLE, raising=False)
    with turns.turn(places[0]):
        assert not list(places[0].iterdir())


def test_one_at_a_time(places: list[Path], tmp_path: Path) -> None:
    for worker in [_worker(folder, tmp_path / "turn") for folder in places]:
        assert worker.wait(60) == 0
    spans = sorted((float((f / "began").read_text()), float((f / "ended").read_text())) for f in places)
    assert all(ended <= began for (_, ended), (began, _) in pairwise(spans))


def test_who_waits_says_so_and_can_be_cancelled(places: list[Path], tmp_path: Path) -> None:
    folder, lock = places[0], tmp_path / "turn"
    with lock.open("ab") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        worker = _worker(folder, lock)
        wait_until((folder / "status.json").exists)
        said = read_json(folder / "status.json")
        assert (said["state"], said["message"], said["pid"]) == ("queued", turns.WAITING, worker.pid)
        (folder / "cancel").touch()
        assert worker.wait(60) == 0
    assert (folder / "cancelled").exists() and not (folder / "began").exists()
