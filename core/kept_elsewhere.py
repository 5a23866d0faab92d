"""The recorded sweeps of the page Kept elsewhere: `python -m core.kept_elsewhere fashion` trains what one still lacks.

A file assets/kept/NAME.toml says `title`, [base], the keys that all runs share, and [[parts]], the axes of a grid
each, as in a sweep file. All runs are trained in this process, one after another, and share their frozen passes. What
they found is kept in the folder assets/kept/NAME: `rows.json`, with a row for each run, `answers.parquet`, what each of
them answered for every held-out image, and `held_out/0`, `held_out/1`, …, the thumbnails of those, a folder for each
choice of images. A run that is kept there is not trained again, unless `--again` asks for all; nor is one whose
finished folder is in `runs/kept-NAME`.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
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
PICTURES = "held_out"
"""The folder of thumbnails: in a summary one of such folders, which the rows' `pictures` name, in a run the sheets."""
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
_AGAIN = "--again"


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


@dataclass(frozen=True)
class Kept:
    """What is kept of one run."""

    row: Mapping[str, Any]
    """Its entry in rows.json."""
    answers: pa.Table
    """ANSWERS without `row`."""
    sheets: Mapping[str, bytes]
    """The files with the thumbnails of its held-out images."""


def taken(planned: PlannedRun, run: Run) -> Kept:
    """What is kept of a finished run."""
    last = len(run.manifest.tasks) - 1
    gates = dict(run.task(last).gates)
    if isinstance(gates.get("blocks"), dict):
        gates["blocks"] = {key: value for key, value in gates["blocks"].items() if key != "history"}
    # Its own settings alone: the base is in the sweep's file, and is the same for all.
    own = {"name": planned.name, "point": planned.point, "seed": planned.seed, "date": run.manifest.created[:10]}
    measured = {key: run.metrics.get(key) for key in _MEASURED}
    row = {**own, "gates": gates, "metrics": measured}
    return Kept(row, run.held_out().select(list(_OF_EACH)), _sheets(run.folder / PICTURES))


def read_kept(name: str, folder: Path = SWEEPS) -> dict[str, Kept]:
    """A run's name → what a recorded sweep keeps of it; empty before the first is trained. Raises UserError as
    `read_rows` and `read_answers` do."""
    if not (folder / name / "rows.json").exists():
        return {}
    rows, answers = read_rows(name, folder)["rows"], read_answers(name, folder)
    owner = answers["row"].to_numpy()
    return {
        row["name"]: Kept(
            row,
            answers.filter(owner == number).drop_columns("row"),
            _sheets(folder / name / PICTURES / str(row["pictures"])),
        )
        for number, row in enumerate(rows)
    }


def _sheets(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted(folder.glob("*.webp"))}


def computed_by(run: Run) -> dict[str, Any]:
    """What all rows of a summary share, beside what the sweep's file says."""
    return {"precision": run.manifest.hardware.get("precision"), "backbone": run.manifest.backbone.model_dump()}


def check_alike(shared: Mapping[str, Any], run: Run) -> None:
    """Raises UserError when `run` was not computed as the rows were that `shared` is of."""
    own = computed_by(run)
    if own["precision"] != shared["precision"]:
        raise UserError(
            f"{run.folder} was computed in {own['precision']}, and the runs that are kept in {shared['precision']}: "
            f"set PROTEUS_PRECISION={shared['precision']} and remove that folder, or record all of them with --again."
        )
    if own["backbone"] != shared["backbone"]:
        raise UserError(f"{run.folder} has another backbone than the runs that are kept: record all with --again.")


def summarise(facts: Mapping[str, Any], kept: Sequence[Kept], target: Path) -> None:
    """Write what the page reads: rows.json, answers.parquet, and the thumbnails of the held-out images.

    `facts` are `title`, `planned`, and what `computed_by` gives; the rows come in the order of `kept`.
    """
    rows, tables = [], []
    choices: list[Mapping[str, bytes]] = []
    for number, each in enumerate(kept):
        if each.sheets not in choices:  # seeds may ask about different images
            choices.append(each.sheets)
        rows.append({**each.row, "pictures": choices.index(each.sheets)})
        tables.append(each.answers.add_column(0, "row", pa.array([number] * len(each.answers), pa.int32())))
    shutil.rmtree(target / PICTURES, ignore_errors=True)
    for number, sheets in enumerate(choices):
        folder = target / PICTURES / str(number)
        folder.mkdir(parents=True)
        for name, content in sheets.items():
            (folder / name).write_bytes(content)
    with replacing(target / "answers.parquet") as file:
        formats.write_table(file, formats.conform(pa.concat_tables(tables), ANSWERS))
    write_json(target / "rows.json", {**facts, "rows": rows})


def record(name: str, runs: Path, folder: Path = SWEEPS, *, again: bool = False) -> Iterator[Run]:
    """Train the runs that a recorded sweep does not keep, or all of them `again`; gives each run when it is kept.

    Rows of runs that are no longer asked for go. The summary is written after each run, so that a sweep that is stopped
    shows what it has; that takes a moment beside a training. Raises UserError as training does, or where the rows would
    not have been computed alike.
    """
    sweep = read_sweep(name, folder)
    encodings: Encodings = {}
    found = {} if again else read_kept(name, folder)
    kept = {planned.name: found[planned.name] for planned in sweep.runs if planned.name in found}
    shared = {key: read_rows(name, folder)[key] for key in ("precision", "backbone")} if kept else {}

    def save() -> None:
        rows = [kept[planned.name] for planned in sweep.runs if planned.name in kept]
        summarise({"title": sweep.title, "planned": len(sweep.runs), **shared}, rows, folder / name)

    if kept:
        save()  # what the sweep's file asks for may have changed
    for planned in sweep.runs:
        if planned.name in kept:
            continue
        run = train(sweep, runs, encodings, planned)
        shared = shared or computed_by(run)
        check_alike(shared, run)
        kept[planned.name] = taken(planned, run)
        save()
        yield run


def main(arguments: Sequence[str]) -> None:
    """Record the sweeps named, by default all; `SWEEP RUN` trains that run of it alone, into `runs`."""
    names = [argument for argument in arguments if argument != _AGAIN]
    if len(names) == 2 and names[1].startswith("kept-"):
        sweep = read_sweep(names[0])
        named = {run.name: run for run in sweep.runs}
        if names[1] not in named:
            raise unknown("run of this sweep", names[1], named)
        sys.stdout.write(f"{train(sweep, Path('runs'), {}, named[names[1]]).folder}\n")
        return
    for name in names or known():
        trained = 0
        for run in record(name, Path("runs") / f"kept-{name}", again=_AGAIN in arguments):
            trained += 1
            sys.stderr.write(f"{name}, {run.folder.name}: {run.metrics['seconds']:.0f} s\n")
        sys.stderr.write(f"{name}: {trained} of {len(read_sweep(name).runs)} runs were added.\n")


if __name__ == "__main__":
    raise SystemExit(guarded(lambda: main(sys.argv[1:])))
