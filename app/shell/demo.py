"""A public demo (PROTEUS_DEMO=1): visitors can explore every run; their small trainings wait in a short queue.

Each visitor has a folder of runs of their own, named after a cookie that only their browser knows
(app/shell/access.py), so nobody can see or cancel another's job. The operator's runs (PROTEUS_RUNS) and the recorded
ones are read-only.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from core.backbones import EMBEDDED
from core.config import RunConfig, validate
from core.data.catalog import known_streams
from core.errors import UserError
from core.runs import jobs, turns

COOKIE = "proteus_visitor"
QUEUE = 4
"""Trainings at most, one of them training and the others waiting."""
RUNS_EACH = 5
"""Runs that a visitor may have."""
KEPT_S = 24 * 3600.0
"""Seconds after their last training for which a visitor's runs are kept."""
LARGEST_UPLOAD_MB = 5
LIMITS = {
    "stream.train_per_class": 1000,
    "training.epochs": 5,
    "training.batch_size": 256,
    "adapters.rank": 32,
    "backbone.image_size": 98,
}
"""The largest values that a visitor may train with."""
_TOKEN = re.compile(r"[0-9a-f]{32}")


def enabled() -> bool:
    """Whether this server is a public demo."""
    return os.environ.get("PROTEUS_DEMO", "").lower() in ("1", "true", "yes")


def operators_runs() -> Path:
    """PROTEUS_RUNS, by default `runs` in the working directory: in a demo only to be looked at."""
    return Path(os.environ.get("PROTEUS_RUNS") or "runs")


def is_token(text: str) -> bool:
    """Whether `text` can be what names a visitor."""
    return bool(_TOKEN.fullmatch(text))


def visitors_folder(token: str) -> Path:
    """The runs of the visitor with that token; who can list folders still does not learn the token."""
    if not is_token(token):
        raise ValueError("not a visitor's token")
    return _visitors() / hashlib.sha256(token.encode()).hexdigest()[:24]


def _visitors() -> Path:
    return operators_runs() / ".visitors"


def start(config: Mapping[str, Any], runs: Path) -> str:
    """Train `config` in the visitor's folder `runs`, when it is their turn; the name of the new run.

    Raises UserError when it is no small training, the visitor has as many runs as allowed, or the queue is full.
    """
    check(config)
    with _alone():
        _sweep(time.time())
        if len(list(runs.glob("*/status.json"))) >= RUNS_EACH:
            raise UserError(f"This demo keeps {RUNS_EACH} runs per visitor: look at yours, or install Proteus Lab.")
        _check_queue()
        return jobs.start(config, runs)


def resume(name: str, runs: Path) -> str:
    """Go on with a visitor's run when it is their turn. Raises UserError as `start` and `jobs.resume` do."""
    with _alone():
        _check_queue()
        return jobs.resume(name, runs)


def check(config: Mapping[str, Any]) -> None:
    """Raises UserError for what a visitor may not train: other people's files, downloads, and large models."""
    wanted: RunConfig = validate(RunConfig, dict(config))
    streams = [stream.name for stream in known_streams() if not stream.network]
    if wanted.stream.name not in streams:
        raise UserError(f"This demo trains on {', '.join(streams)} only: install Proteus Lab for your own images.")
    if wanted.backbone.name not in (EMBEDDED, "tiny") or wanted.backbone.pretrained:
        raise UserError(f"This demo has the backbones {EMBEDDED} and tiny only.")
    if wanted.method.options:
        raise UserError(f"This demo takes no options of a method: leave out {', '.join(wanted.method.options)}.")
    values = wanted.model_dump()
    for path, most in LIMITS.items():
        section, key = path.split(".")
        value = values[section][key]
        if value is not None and value > most:
            raise UserError(f"This demo trains small runs: {path} is at most {most}, not {value}.")


def without_paths(text: str) -> str:
    """`text` without the folders of this machine, which are no visitor's business."""
    if not enabled():
        return text
    for folder in (operators_runs().resolve(), operators_runs(), Path(__file__).resolve().parents[2]):
        text = re.sub(re.escape(str(folder)) + r"(/\.visitors/[0-9a-f]{24})?/?", "", text)
    return text


def _check_queue() -> None:
    waiting = sum(jobs.running(folder) is not None for folder in _folders())
    if waiting >= QUEUE:
        raise UserError(f"{waiting} trainings are under way or waiting, and no more are taken: try again in a while.")


def _folders() -> list[Path]:
    return [folder for folder in _visitors().glob("[0-9a-f]*") if folder.is_dir()]


def _sweep(moment: float) -> None:
    """Delete the runs of visitors who have not trained for a day."""
    for folder in _folders():
        if moment - folder.stat().st_mtime > KEPT_S and jobs.running(folder) is None:
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _alone() -> Iterator[None]:
    """Only one session at a time counts the trainings and starts another, which then waits for its turn."""
    _visitors().mkdir(parents=True, exist_ok=True)
    os.environ[turns.VARIABLE] = str((_visitors() / ".turn").resolve())
    with (_visitors() / ".lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
