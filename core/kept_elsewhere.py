"""The recorded sweeps of the page Kept elsewhere: `python -m core.kept_elsewhere fashion` trains one anew.

A file assets/kept/NAME.toml says `title`, [base], the keys that all runs share, and [[parts]], the axes of a grid
each, as in a sweep file. All runs are trained in this process, one after another, and share their frozen passes. What
they found is kept in the folder assets/kept/NAME: `rows.json`, with a row for each run, `answers.parquet`, what each of
them answered for every held-out image, and the thumbnails of those. Finished runs stay in `runs/kept-NAME`, and are not
trained again.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from core.config import RunConfig, read_config, validate
from core.errors import UserError, unknown
from core.failures import guarded
from core.files import replacing
from core.runs import formats
from core.runs.files import read_json, write_json
from core.runs.schema import HELD_OUT_COLUMNS
from core.runs.store import Run
from core.sweep.plan import PlannedRun, make_plan

if TYPE_CHECKING:
    from core.training.encoding import Encodings

SWEEPS = Path(__file__).resolve().parents[1] / "assets" / "kept"
_OF_EACH = ("image", "label", "name", "sheet", "cell", "readout", "knn", "zero_shot")
ANSWERS = pa.schema([("row", pa.int32()), *(HELD_OUT_COLUMNS.field(name) for name in _OF_EACH)])
"""Columns of HELD_OUT_COLUMNS of every run, `row` counted as in rows.json."""
_MEASURED = (
    "final_accuracy",
    "task_aware_accuracy",
    "flops_per_image",
    "bytes_per_task",
    "dial",
    "retention",
    "shifts",
)
"""What a row keeps of metrics.json."""


@dataclass(frozen=True)
class Sweep:
    """One recorded sweep: what was asked for."""

    name: str
    title: str
    runs: tuple[PlannedRun, ...]


def known(folder: Path = SWEEPS) -> list[str]:
    """The names of the sweeps that `folder` has files for."""
    return sorted(file.stem for file in folder.glob("*.toml"))


def read_sweep(name: str, folder: Path = SWEEPS) -> Sweep:
    """The sweep of that name. Raises UserError when there is none, or its file is not as it must be."""
    if name not in known(folder):
        raise unknown("recorded sweep", name, known(folder))
    file = folder / f"{name}.toml"
    values = read_config(file)
    title, base, parts = values.pop("title", None), values.pop("base", {}), values.pop("parts", None)
    if values or not isinstance(title, str) or not isinstance(parts, list):
        raise UserError(f"{file} must hold a title, a table [base] and tables [[parts]], and nothing else.")
    return Sweep(name, title, tuple(_planned(name, base, parts, str(file))))


def _planned(name: str, base: dict[str, Any], parts: list[dict[str, Any]], where: str) -> Iterator[PlannedRun]:
    for axes in parts:
        yield from make_plan({"base": base, "axes": axes}, where, f"kept-{name}").runs


def train(sweep: Sweep, runs: Path, encodings: Encodings, run: PlannedRun) -> Run:
    """The finished run, trained now unless it was before. Raises UserError as training does."""
    from core.training.run import start_run

    folder = runs / run.name
    if not (folder / "metrics.json").exists():
        shutil.rmtree(folder, ignore_errors=True)  # what was cut short is begun again: a run takes less than a minute
        config: RunConfig = validate(RunConfig, run.config, run.name)
        start_run(config, runs, lambda status: None, name=run.name, encodings=encodings)
    return Run(folder)


def read_rows(name: str, folder: Path = SWEEPS) -> dict[str, Any]:
    """rows.json of a recorded sweep, as `summarise` writes it. Raises UserError where it is missing or damaged."""
    found = read_json(folder / name / "rows.json")
    if not isinstance(found.get("rows"), list) or not found["rows"]:
        raise UserError(f"{folder / name / 'rows.json'} holds no runs: run `python -m core.kept_elsewhere {name}`.")
    return found


def read_answers(name: str, folder: Path = SWEEPS) -> pa.Table:
    """ANSWERS of a recorded sweep. Raises UserError where the file is missing or damaged."""
    return formats.read_table(folder / name / "answers.parquet", ANSWERS)


def row(planned: PlannedRun, run: Run) -> dict[str, Any]:
    """What is kept of one run."""
    last = len(run.manifest.tasks) - 1
    gates = dict(run.task(last).gates)
    if isinstance(gates.get("blocks"), dict):
        gates["blocks"] = {key: value for key, value in gates["blocks"].items() if key != "history"}
    measured = {key: run.metrics.get(key) for key in _MEASURED}
    # Its own settings alone: the base is in the sweep's file, and is the same for all.
    return {"name": planned.name, "point": planned.point, "seed": planned.seed, "gates": gates, "metrics": measured}


def summarise(sweep: Sweep, runs: Sequence[tuple[PlannedRun, Run]], target: Path) -> None:
    """Write what the page reads: rows.json, answers.parquet, and the thumbnails of the held-out images."""
    first = runs[0][1]
    tables = []
    for number, (_, run) in enumerate(runs):
        answers = run.held_out().select(list(_OF_EACH))
        tables.append(answers.add_column(0, "row", pa.array([number] * len(answers), pa.int32())))
    target.mkdir(parents=True, exist_ok=True)
    with replacing(target / "answers.parquet") as file:
        formats.write_table(file, formats.conform(pa.concat_tables(tables), ANSWERS))
    shutil.rmtree(target / "held_out", ignore_errors=True)
    shutil.copytree(first.folder / "held_out", target / "held_out")  # the same images for every run and seed
    about = {
        "title": sweep.title,
        "planned": len(sweep.runs),
        "date": first.manifest.created[:10],
        "precision": first.manifest.hardware.get("precision"),
        "backbone": first.manifest.backbone.model_dump(),
        "seconds": sum(run.metrics["seconds"] for _, run in runs),
    }
    rows = [row(planned, run) for planned, run in runs]
    write_json(target / "rows.json", {**about, "rows": rows})


def main(arguments: Sequence[str]) -> None:
    """Train the sweeps named, by default all; `SWEEP RUN` trains that run of it alone, into `runs`."""
    encodings: Encodings = {}
    if len(arguments) == 2 and arguments[1].startswith("kept-"):
        sweep = read_sweep(arguments[0])
        named = {run.name: run for run in sweep.runs}
        if arguments[1] not in named:
            raise unknown("run of this sweep", arguments[1], named)
        sys.stdout.write(f"{train(sweep, Path('runs'), encodings, named[arguments[1]]).folder}\n")
        return
    for name in arguments or known():
        sweep = read_sweep(name)
        done: list[tuple[PlannedRun, Run]] = []
        for number, planned in enumerate(sweep.runs, start=1):
            run = train(sweep, Path("runs") / f"kept-{name}", encodings, planned)
            sys.stderr.write(f"{number} of {len(sweep.runs)}: {planned.name}, {run.metrics['seconds']:.0f} s\n")
            done.append((planned, run))
            summarise(sweep, done, SWEEPS / name)


if __name__ == "__main__":
    raise SystemExit(guarded(lambda: main(sys.argv[1:])))
