"""The recorded runs that come with the project: `python -m core.demos` trains them anew, which takes minutes for each.

Each file assets/demos/NAME.toml says one run: `title`, and under [config] the keys of a RunConfig. The run is kept as
assets/runs/NAME without what only further learning needs.
"""

from __future__ import annotations

import re
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.config import RunConfig, read_config, validate
from core.errors import UserError, unknown
from core.failures import guarded
from core.runs.schema import Status

if TYPE_CHECKING:
    from core.training.encoding import Encodings

MAX_BYTES = 30_000_000
"""Of all recorded runs together."""
ASSETS = Path(__file__).resolve().parents[1] / "assets"
_KEPT = re.compile(
    r"(manifest|status|metrics)\.json|events\.jsonl|answer\.safetensors|(predictions|images|projection|held_out)\.parquet"
    r"|(embeddings|evidence)\.npz|(sprites|held_out)/\d+\.webp"
    r"|tasks/\d+/(adapter\.safetensors|head\.safetensors|mixture\.npz|gates\.json|done\.json)"
)


@dataclass(frozen=True)
class Demo:
    """One run to record."""

    name: str
    title: str
    config: RunConfig


def known(folder: Path = ASSETS / "demos") -> list[str]:
    """The names of the runs that `folder` has files for."""
    return sorted(file.stem for file in folder.glob("*.toml"))


def read_demo(name: str, folder: Path = ASSETS / "demos") -> Demo:
    """The demo of that name. Raises UserError when there is none, or its file is not as it must be."""
    if name not in known(folder):
        raise unknown("recorded run", name, known(folder))
    file = folder / f"{name}.toml"
    values: dict[str, Any] = read_config(file)
    title, config = values.pop("title", None), values.pop("config", {})
    if values or not isinstance(title, str):
        raise UserError(f"{file} must hold a title and a table [config], and nothing else.")
    return Demo(name, title, validate(RunConfig, config, str(file)))


def record(demo: Demo, target: Path, encodings: Encodings | None = None) -> Path:
    """Train the demo and put the run, trimmed, in place of `target / NAME`; its folder.

    `encodings` lets several recordings share their frozen passes. Raises UserError as training does.
    """
    from core.training.run import start_run

    with tempfile.TemporaryDirectory() as runs:
        folder = start_run(demo.config, Path(runs), _quiet, title=demo.title, name=demo.name, encodings=encodings)
        return trim(folder, target / demo.name)


def trim(run: Path, target: Path) -> Path:
    """Copy what looking at a run and asking it takes, replacing `target`; the copy cannot be trained further."""
    shutil.rmtree(target, ignore_errors=True)
    for file in sorted(run.rglob("*")):
        inside = file.relative_to(run).as_posix()
        if file.is_file() and _KEPT.fullmatch(inside):
            copy = target / inside
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, copy)
    return target


def folder_bytes(folder: Path) -> int:
    """Bytes of all files in `folder`."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def main(arguments: Sequence[str]) -> None:
    """Record the demos named, by default all. Raises UserError when they grow too large to ship."""
    runs = ASSETS / "runs"
    encodings: Encodings = {}
    for demo in [read_demo(name) for name in arguments or known()]:
        sys.stderr.write(f"recording {demo.name} …\n")
        folder = record(demo, runs, encodings)
        sys.stderr.write(f"  {folder}: {folder_bytes(folder) / 1e6:.1f} MB\n")
    total = folder_bytes(runs)
    if total > MAX_BYTES:
        raise UserError(f"{runs} holds {total / 1e6:.1f} MB, more than {MAX_BYTES / 1e6:.0f}: trim more.")


def _quiet(status: Status) -> None:
    """Progress is not shown: a run takes a few minutes."""


if __name__ == "__main__":
    raise SystemExit(guarded(lambda: main(sys.argv[1:])))
