"""Where runs are and what they are called, and a run's main facts without reading its tables. Standard library only."""

from __future__ import annotations

import os
import re
import secrets
import stat
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from core.errors import UserError, nearest
from core.runs.files import read_json
from core.runs.liveness import true_status

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,119}\Z")


def new_run_name(method: str, stream: str) -> str:
    """A new name such as '2026-11-21-0430-proteus-split-digits-3fa0' (UTC): safe on every file system."""
    moment = datetime.now(UTC).strftime("%Y-%m-%d-%H%M")
    return f"{moment}-{_slug(method)}-{_slug(Path(stream).name)}-{secrets.token_hex(2)}"


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:40].strip("-") or "x"


def check_name(name: str) -> str:
    """`name` itself. Raises UserError when it could be anything but a plain folder name."""
    if not _NAME.match(name):
        raise UserError(f"“{name[:80]}” is not a run name: use letters, digits, '.', '_' and '-', at most 120.")
    return name


def run_folders(runs: Path) -> list[Path]:
    """The folders in `runs` that hold a run, begun or queued; newest first."""
    try:
        names = [entry.name for entry in os.scandir(runs) if _NAME.match(entry.name) and not entry.is_symlink()]
    except FileNotFoundError:
        return []
    dated = [(created, name) for name in names if (created := _created(os.path.join(runs, name))) is not None]
    return [runs / name for _, name in sorted(dated, reverse=True)]


def _created(folder: str) -> str | None:
    """When the run in `folder` was begun; None where there is none."""
    for name in ("manifest.json", "status.json"):
        path = os.path.join(folder, name)
        try:
            found = os.stat(path)
        except OSError:
            continue
        if stat.S_ISREG(found.st_mode):
            said = _said_created(path, found.st_mtime_ns) if name == "manifest.json" else None
            return said or datetime.fromtimestamp(os.stat(folder).st_mtime, UTC).isoformat(timespec="seconds")
    return None


@lru_cache(maxsize=4096)
def _said_created(manifest: str, changed: int) -> str | None:
    """What the manifest says; read again when it has changed, as a list of hundreds of runs is made at every click."""
    del changed
    try:
        created = read_json(Path(manifest)).get("created")
    except UserError:
        return None
    return str(created) if created else None


def find_folder(runs: Path, name: str) -> Path:
    """The folder of the run called `name`, or of the only run whose name starts so.

    Raises UserError when the name is unsafe, unknown (the error names the nearest) or the beginning of several.
    """
    check_name(name)
    names = [folder.name for folder in run_folders(runs)]
    matches = [name] if name in names else [known for known in names if known.startswith(name)]
    if len(matches) == 1:
        return runs / matches[0]
    if matches:
        raise UserError(f"“{name}” is short for {len(matches)} runs: {', '.join(matches[:4])}: type more of it.")
    known = f" Newest: {', '.join(names[:3])}." if names else " There is none yet: `python -m core train` makes one."
    raise UserError(f"No run “{name}” in {runs}.{nearest(name, names)}{known}")


def brief(folder: Path) -> dict[str, Any]:
    """A run's facts for one row of a list: run, title, created, method, stream, state, fraction, message,
    final_accuracy, problem."""
    row: dict[str, Any] = {"run": folder.name}
    try:
        manifest = read_json(folder / "manifest.json") if (folder / "manifest.json").exists() else {}
        metrics = read_json(folder / "metrics.json") if (folder / "metrics.json").exists() else {}
        row["problem"] = None
    except UserError as error:
        manifest, metrics, row["problem"] = {}, {}, str(error)
    status = true_status(folder)
    row |= {key: manifest.get(key) for key in ("title", "created", "method", "stream")}
    row |= {key: status.get(key) for key in ("state", "fraction", "message")}
    return row | {"final_accuracy": metrics.get("final_accuracy")}
