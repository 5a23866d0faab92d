"""JSON documents in files that are whole or absent. Standard library only: listing runs stays quick."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from core.errors import UserError
from core.files import replacing


def now() -> str:
    """The present moment, ISO 8601, UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def encode_json(value: Any, indent: int | None = None) -> bytes:
    """`value` as strict JSON: numbers that are not finite become null, numpy's scalars and arrays become plain ones."""
    return json.dumps(_plain(value), ensure_ascii=False, allow_nan=False, indent=indent).encode()


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    return value


def write_json(path: Path, value: Any, durable: bool = True) -> None:
    """Replace `path` by `value` as JSON."""
    with replacing(path, durable) as file:
        file.write(encode_json(value, indent=1) + b"\n")


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in `path`.

    Raises UserError when the file is missing, cut short or not an object.
    """
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise damaged(path, error) from None
    if not isinstance(value, dict):
        raise damaged(path, ValueError("not a JSON object"))
    return value


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The JSON objects in `path`, one per line; a last line that was cut short is left out, a missing file has none.

    Raises UserError when any other line is not a JSON object.
    """
    try:
        lines = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return []
    except OSError as error:
        raise damaged(path, error) from None
    found = []
    for number, line in enumerate(lines[:-1], start=1):
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise damaged(path, f"line {number}: {error}") from None
        if not isinstance(value, dict):
            raise damaged(path, f"line {number} is not a JSON object")
        found.append(value)
    return found


def drop_torn_line(path: Path) -> None:
    """Cut `path` back to its last whole line, so that appending starts a new one."""
    if not path.exists():
        return
    with path.open("rb+") as file:
        file.truncate(file.read().rfind(b"\n") + 1)


def damaged(path: Path, why: BaseException | str) -> UserError:
    """The error for a file of a run folder that cannot be read."""
    if isinstance(why, FileNotFoundError):
        return UserError(f"{path} is missing: restore the run folder from a copy, or train the run again.")
    reason = " ".join(str(why).split()).rstrip(".") or type(why).__name__
    return UserError(f"{path} is damaged ({reason[:160]}): restore the run folder from a copy, or train the run again.")
