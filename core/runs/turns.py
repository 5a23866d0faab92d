"""One training at a time over several folders of runs: a worker that is given a lock file waits for its lock."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from core.runs.files import now, write_json
from core.runs.liveness import identity

VARIABLE = "PROTEUS_TURN"
"""Environment variable of a worker: the file whose lock is the right to train."""
WAITING = "waiting for another training to end"
_POLL_S = 0.5


@contextmanager
def turn(folder: Path) -> Iterator[None]:
    """Wait until this process may train the run in `folder`; returns at once where no turns are taken.

    Raises KeyboardInterrupt when the run is cancelled meanwhile.
    """
    path = os.environ.get(VARIABLE)
    if not path:
        yield
        return
    with open(path, "ab") as lock:
        if not _locked(lock.fileno()):
            said = {"state": "queued", "message": WAITING, "updated": now(), **identity()}
            write_json(folder / "status.json", said)
            while not _locked(lock.fileno()):
                if (folder / "cancel").exists():
                    raise KeyboardInterrupt
                time.sleep(_POLL_S)
        yield


def _locked(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
