"""The recorded runs that are shipped with the project: `python -m core.demos` trains them anew (minutes).

Each is a real run of the defaults on the built-in digits, kept without what only learning on would need.
"""

from __future__ import annotations

import re
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from core.errors import UserError
from core.failures import guarded
from core.runs.schema import Status

STREAM = "split-digits"
TITLES = {
    "proteus": "Proteus",
    "sequential": "One model, no protection",
    "lda": "Frozen features, statistics only",
    "selective-lora": "Selective LoRA",
}
"""Method to title."""
MAX_BYTES = 15_000_000
"""Of all recorded runs together."""
_DEFAULT_FOLDER = Path(__file__).resolve().parents[1] / "assets" / "runs"
_KEPT = re.compile(
    r"(manifest|status|metrics)\.json|events\.jsonl|answer\.safetensors|(predictions|images|projection)\.parquet"
    r"|(embeddings|evidence)\.npz|sprites/\d+\.webp|tasks/\d+/\w+\.\w+"
)


def record(method: str, target: Path) -> Path:
    """Train `method` on the built-in digits and put the run, trimmed, in place of `target / NAME`; its folder.

    Raises UserError as training does.
    """
    from core.config import RunConfig, validate
    from core.training.run import start_run

    name = f"{method}-{STREAM}"
    config: RunConfig = validate(RunConfig, {"stream": {"name": STREAM}, "method": {"name": method}})
    with tempfile.TemporaryDirectory() as runs:
        folder = start_run(config, Path(runs), _quiet, title=TITLES.get(method, method), name=name)
        return trim(folder, target / name)


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
    """Record the methods named, by default all. Raises UserError when they grow too large to ship."""
    for method in arguments or TITLES:
        sys.stderr.write(f"recording {method} …\n")
        folder = record(method, _DEFAULT_FOLDER)
        sys.stderr.write(f"  {folder}: {folder_bytes(folder) / 1e6:.1f} MB\n")
    total = folder_bytes(_DEFAULT_FOLDER)
    if total > MAX_BYTES:
        raise UserError(f"{_DEFAULT_FOLDER} holds {total / 1e6:.1f} MB, more than {MAX_BYTES / 1e6:.0f}: trim more.")


def _quiet(status: Status) -> None:
    """Progress is not shown: a run takes a minute or two."""


if __name__ == "__main__":
    raise SystemExit(guarded(lambda: main(sys.argv[1:])))
