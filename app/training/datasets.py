"""People's own images: zips that were uploaded and folders of this machine, and what is in them.

Uploads are kept in the folder of runs, since a run that is resumed reads its images again. Images are only ever opened
in a process of their own.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import streamlit as st

from app.shell.run_choice import runs_folder
from core.errors import UserError

_ROOT = Path(__file__).resolve().parents[2]
_IDENTITY = re.compile(r"[0-9a-f]{12}")
_CHUNK = 1 << 20
_REPORTS = 16


@dataclass(frozen=True)
class Dataset:
    """A zip that was uploaded."""

    identity: str
    """12 hexadecimal digits of its content's sha256."""
    path: Path

    @property
    def name(self) -> str:
        return self.path.stem

    @property
    def size(self) -> int:
        return self.path.stat().st_size


def uploads_folder() -> Path:
    """Where uploads are kept; no run can have this name."""
    return runs_folder() / ".uploads"


def keep(name: str, file: IO[bytes]) -> Dataset:
    """Keep an uploaded zip after a look at its list of files; the same content is kept once.

    Raises UserError when it is no safe zip of class folders, or there is no room; nothing is left behind then.
    """
    from core.data.folders import read_folder_or_zip

    folder = uploads_folder()
    stem = safe_stem(name)
    folder.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(prefix=".part-", dir=folder))
    try:
        path = beside / f"{stem}.zip"
        identity = _copy(file, path)
        read_folder_or_zip(path)
        place = folder / identity
        if not place.is_dir():
            beside.rename(place)
    except UserError as error:
        raise UserError(str(error).replace(str(beside / f"{stem}.zip"), f"{stem}.zip")) from None
    except OSError as error:
        raise UserError(f"{stem}.zip cannot be kept in {folder} ({error.strerror}): free some space.") from None
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    found = find(identity)
    if found is None:
        raise UserError(f"{stem}.zip vanished from {folder} while it was being kept: upload it again.")
    return found


def safe_stem(name: str) -> str:
    """A short plain name made of any file name: letters, digits, '-' and '_'."""
    stem = re.sub(r"[^A-Za-z0-9_-]+", "-", Path(name.replace("\\", "/")).stem).strip("-")
    return stem[:40].strip("-") or "images"


def _copy(file: IO[bytes], path: Path) -> str:
    digest = hashlib.sha256()
    file.seek(0)
    with path.open("wb") as target:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
            target.write(chunk)
    return digest.hexdigest()[:12]


def find(identity: str) -> Dataset | None:
    """The upload of that identity, or None where it is malformed or there is none."""
    if not _IDENTITY.fullmatch(identity):
        return None
    path = next((uploads_folder() / identity).glob("*.zip"), None)
    return Dataset(identity, path) if path is not None else None


def kept() -> list[Dataset]:
    """All uploads, newest first."""
    folder = uploads_folder()
    if not folder.is_dir():
        return []
    places = sorted(folder.iterdir(), key=lambda place: place.stat().st_mtime, reverse=True)
    return [found for place in places if (found := find(place.name)) is not None]


@st.cache_resource(max_entries=1)
def _reports() -> OrderedDict[str, dict[str, Any]]:
    """The reports that were made lately, the newest last."""
    return OrderedDict()


def inspected(stream: Mapping[str, Any], seed: int = 0) -> dict[str, Any] | None:
    """What `inspect` found lately for the same unchanged images and division; None where it was not asked."""
    return _reports().get(_question(stream, seed))


def inspect(stream: Mapping[str, Any], tick: Callable[[float], None], seed: int = 0) -> dict[str, Any]:
    """What `app.workers.inspect_images` says of a stream; calls `tick` with the seconds so far while it reads.

    `tick` may raise, which stops the reading. Raises UserError when the images cannot be had or divided as asked.
    """
    key = _question(stream, seed)
    reports = _reports()
    if key not in reports:
        reports[key] = _read(stream, tick, seed)
        while len(reports) > _REPORTS:
            reports.popitem(last=False)
    return reports[key]


def _question(stream: Mapping[str, Any], seed: int) -> str:
    path = Path(str(stream.get("name", "")))
    try:
        changed = path.stat().st_mtime_ns
    except (OSError, ValueError):
        changed = 0
    return json.dumps([dict(stream), seed, changed], sort_keys=True)


def _read(stream: Mapping[str, Any], tick: Callable[[float], None], seed: int) -> dict[str, Any]:
    paths = [str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    with tempfile.TemporaryFile() as question, tempfile.TemporaryFile() as reply, tempfile.TemporaryFile() as log:
        question.write(json.dumps({"stream": dict(stream), "seed": seed}).encode())
        question.seek(0)
        process = subprocess.Popen(
            [sys.executable, "-m", "app.workers.inspect_images"],
            stdin=question,
            stdout=reply,
            stderr=log,
            start_new_session=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        )
        _wait(process, tick)
        reply.seek(0)
        try:
            found: dict[str, Any] = json.load(reply)
        except ValueError:
            log.seek(0)
            words = log.read().decode("utf-8", "replace").strip().splitlines()
            why = words[-1][:300] if words else "it left no message; it may have run out of memory"
            raise UserError(f"Reading the images failed ({why}).") from None
    if "error" in found:
        raise UserError(str(found["error"]))
    return found


def _wait(process: subprocess.Popen[bytes], tick: Callable[[float], None]) -> None:
    began = time.monotonic()
    try:
        while True:
            try:
                process.wait(0.2)
            except subprocess.TimeoutExpired:
                tick(time.monotonic() - began)
            else:
                return
    finally:
        process.kill()
        process.wait()
