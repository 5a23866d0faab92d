"""What there is to choose from, and the runs so far. It must answer at once, so nothing heavy is imported here."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core import terminal
from core.errors import unknown

if TYPE_CHECKING:
    from core.runs.store import Run

LISTS = ("streams", "backbones", "methods", "runs")
RUNS_VARIABLE, DEFAULT_RUNS = "PROTEUS_RUNS", "runs"


def quick(arguments: Sequence[str]) -> tuple[str | None, Path, bool] | None:
    """(what, runs, as_json) of a plain `list` command; None for any other, and for one that needs an explanation.

    Typer takes half a second to build its commands, which is too long for this one.
    """
    words = list(arguments)
    if words[:1] != ["list"]:
        return None
    what, runs, as_json = None, os.environ.get(RUNS_VARIABLE) or DEFAULT_RUNS, False
    rest = iter(words[1:])
    for word in rest:
        if word in LISTS and what is None:
            what = word
        elif word == "--json":
            as_json = True
        elif word == "--runs" and (value := next(rest, None)):
            runs = value
        else:
            return None
    return what, Path(runs), as_json


def show_lists(what: str | None, runs: Path, as_json: bool) -> None:
    """Print one list of LISTS, or all. Raises UserError when `what` is none of them."""
    if what is not None and what not in LISTS:
        raise unknown("list", what, LISTS)
    listed = {kind: _listed(kind, runs) for kind in (LISTS if what is None else (what,))}
    if as_json:
        terminal.show_json(listed if what is None else listed[what])
        return
    for kind, rows in listed.items():
        _show_list(kind, rows, runs)


def _listed(kind: str, runs: Path) -> list[dict[str, Any]]:
    """The rows of one list."""
    if kind == "streams":
        from core.data.catalog import known_streams

        return [_fields(stream) for stream in known_streams()]
    if kind == "backbones":
        from core.backbones import known_backbones

        return [{"name": name, "summary": summary} for name, summary in known_backbones().items()]
    if kind == "methods":
        from core.methods import method_names

        return [{"name": name, "summary": summary} for name, summary in method_names().items()]
    from core.runs.folders import brief, run_folders

    return [brief(folder) for folder in run_folders(runs)]


def _fields(info: Any) -> dict[str, Any]:
    if is_dataclass(info) and not isinstance(info, type):
        return asdict(info)
    return dict(info._asdict()) if hasattr(info, "_asdict") else dict(vars(info))


def _show_list(kind: str, rows: Sequence[dict[str, Any]], runs: Path) -> None:
    if kind != "runs":
        columns = [key for key in (rows[0] if rows else {"name": ""}) if key != "summary"] + ["summary"]
        cells = [[_cell(row.get(column)) for column in columns] for row in rows]
        terminal.show_table(kind, columns, cells, numbers=("tasks", "images"))
        return
    if not rows:
        terminal.show_line(f"No runs in {runs} yet: `python -m core train` makes one.")
        return
    columns = ["run", "state", "method", "stream", "final accuracy", "note"]
    cells = [
        [row["run"], _state(row), *(row[key] or "–" for key in ("method", "stream")), score, _note(row)]
        for row, score in zip(rows, (terminal.share(row["final_accuracy"]) for row in rows), strict=True)
    ]
    terminal.show_table(f"runs in {runs}", columns, cells, numbers=("final accuracy",))


def _note(row: dict[str, Any]) -> str:
    return row["problem"] or (row["message"] if row["state"] in ("failed", "cancelled") else row["title"]) or ""


def _cell(value: Any) -> str:
    return {True: "yes", False: ""}[value] if isinstance(value, bool) else terminal.plain(value)


def _state(row: dict[str, Any]) -> str:
    return f"running {100 * (row['fraction'] or 0):.0f}%" if row["state"] == "running" else str(row["state"])


def show_presets(as_json: bool) -> None:
    """Print the papers' protocols: what each is, what it costs on a GPU, what its paper reports, what it needs."""
    from core.presets import PRESETS

    rows = [
        {
            "name": each.name,
            "summary": each.summary,
            "gpu_minutes": round(each.gpu_minutes, 1),
            "reported": each.reported,
            "needs": each.needs,
        }
        for each in PRESETS
    ]
    if as_json:
        terminal.show_json([row | {"config": each.config} for row, each in zip(rows, PRESETS, strict=True)])
        return
    columns = ["preset", "what it is", "on a GPU, estimated", "the papers' own numbers", "needs"]
    cells = [
        [each.name, each.summary, terminal.seconds(60 * each.gpu_minutes), each.reported, each.needs]
        for each in PRESETS
    ]
    terminal.show_table("presets", columns, cells)
    terminal.show_line(
        "`python -m core train --preset NAME` runs one; with --smoke on a handful of digits and the tiny backbone. "
        "“reported” was not measured here."
    )


def named_run(runs: Path, name: str) -> Run:
    """A run by its name, or by the path of its folder as a shell completes it."""
    from core.runs.store import Run, find_run

    if os.sep in name and (Path(name) / "manifest.json").is_file():
        return Run(Path(name.rstrip(os.sep)))
    return find_run(runs, name)
