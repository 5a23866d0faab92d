"""A sweep file as a list of runs: the base configuration with every combination of the axes laid on top.

name = "three-methods"            # the file's name by default
[base]                            # keys as for `python -m core train --config`
stream.name = "split-digits"
[axes]
method.name = ["proteus", "lda"]  # a list; its members may be tables: method = [{ name = "lda" }, ...]
adapters.rank = { from = 2, to = 8, step = 2 }   # a range, its end included
seeds = 3                         # short for seed = [0, 1, 2]
"""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from core.config import RunConfig, merge, read_config, validate
from core.errors import UserError, nearest, unknown
from core.methods import method_names

MOST_RUNS = 10_000
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,39}\Z")
_RANGE = {"from", "to", "step"}
SEED = "seed"


class SweepFile(BaseModel):
    """The keys of a sweep file; the name may be left out."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = ""
    base: dict[str, Any] = {}
    axes: dict[str, Any] = Field(min_length=1)


@dataclass(frozen=True)
class PlannedRun:
    """One run of a sweep, not begun."""

    name: str
    """The name of its folder. It is made of the configuration, so a longer sweep finds the same run again."""
    point: dict[str, Any]
    """Axis → its value."""
    config: dict[str, Any]
    """The nested keys of its RunConfig."""

    @property
    def seed(self) -> int:
        return int(self.config.get(SEED, 0))

    @property
    def group(self) -> str:
        """In words, what sets this run apart beside its seed; runs that differ by seed alone share these words."""
        others = [f"{axis_title(axis)} {said(value)}" for axis, value in self.point.items() if axis != SEED]
        methods = [said(value) for axis, value in self.point.items() if axis in ("method.name", "method")]
        if methods and len(others) == 1:
            return methods[0]
        return ", ".join(others) or "all"


@dataclass(frozen=True)
class Plan:
    """A whole sweep."""

    name: str
    axes: dict[str, list[Any]]
    runs: tuple[PlannedRun, ...]

    def as_dict(self) -> dict[str, Any]:
        """What plan.json holds."""
        runs = [{"name": run.name, "point": run.point, "config": run.config} for run in self.runs]
        return {"name": self.name, "axes": self.axes, "runs": runs}


def plan_from(values: Mapping[str, Any]) -> Plan:
    """What `Plan.as_dict` gave."""
    return Plan(values["name"], dict(values["axes"]), tuple(PlannedRun(**run) for run in values["runs"]))


def read_plan(file: Path) -> Plan:
    """The sweep that a TOML file describes, every run checked.

    Raises UserError for a file that is missing or wrong; the error names the key.
    """
    return make_plan(read_config(file), str(file), _slug(Path(file).stem)[:40])


def make_plan(values: Mapping[str, Any], where: str = "sweep", name: str = "sweep") -> Plan:
    """The sweep that the keys of a sweep file describe. Raises UserError for the first fault."""
    file = _checked(values, where)
    name = file.name or name
    if not _NAME.match(name):
        raise UserError(f"{where}: “{name[:60]}” is no name of a sweep: use small letters, digits and '-', at most 40.")
    axes = dict(_axes(file.axes, where))
    count = 1
    for listed in axes.values():
        count *= len(listed)
    if count > MOST_RUNS:
        raise UserError(f"{where}: {count:,} runs are more than {MOST_RUNS:,}: shorten an axis.")
    methods = method_names()
    points = (dict(zip(axes, point, strict=True)) for point in itertools.product(*axes.values()))
    runs = tuple(_run(name, file.base, point, methods) for point in points)
    names = [run.name for run in runs]
    if len(set(names)) < len(names):
        raise UserError(f"{where}: two runs would be the same: an axis has a value twice.")
    return Plan(name, axes, runs)


def _checked(values: Mapping[str, Any], where: str) -> SweepFile:
    for key in values:
        if key not in SweepFile.model_fields:
            known = list(SweepFile.model_fields)
            raise UserError(f"{where}: unknown key “{key}”.{nearest(str(key), known)} Valid here: {', '.join(known)}.")
    try:
        return SweepFile.model_validate(dict(values))
    except ValidationError as error:
        fault = error.errors()[0]
        raise UserError(f"{where}: “{'.'.join(map(str, fault['loc']))}”: {fault['msg'].lower()}.") from None


def _axes(values: Mapping[str, Any], where: str, prefix: str = "") -> Iterable[tuple[str, list[Any]]]:
    """Dotted axis → its values, in the file's order."""
    for key, value in values.items():
        path = f"{prefix}{key}"
        if path == "seeds" and isinstance(value, int):
            yield SEED, list(range(value)) if value > 0 else _no_axis(where, path)
        elif isinstance(value, list) and value:
            yield path, list(value)
        elif isinstance(value, Mapping) and value and set(value) <= _RANGE:
            yield path, _range(value, f"{where}: axes.{path}")
        elif isinstance(value, Mapping) and value:
            yield from _axes(value, where, f"{path}.")
        else:
            _no_axis(where, path)


def _no_axis(where: str, path: str) -> list[Any]:
    raise UserError(f"{where}: “axes.{path}” must be a list with a value, a range {{from, to, step}}, or seeds = N.")


def _range(given: Mapping[str, Any], where: str) -> list[Any]:
    first, last, step = given.get("from"), given.get("to"), given.get("step", 1)
    for value in (first, last, step):
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise UserError(f"{where}: a range is {{ from = 1, to = 5, step = 1 }}, in numbers.")
    assert first is not None and last is not None
    steps = round((last - first) / step, 9) if step else -1
    if steps < 0 or steps > MOST_RUNS:
        raise UserError(f"{where}: from {first} to {last} by {step} is no range.")
    return [
        first + index * step if isinstance(step, int) else round(first + index * step, 12)
        for index in range(int(steps) + 1)
    ]


def _run(sweep: str, base: Mapping[str, Any], point: dict[str, Any], methods: Collection[str]) -> PlannedRun:
    config = dict(base)
    for path, value in point.items():
        nested: Any = value
        for key in reversed(path.split(".")):
            nested = {key: nested}
        config = merge(config, nested)
    words = " ".join(f"{axis_title(axis)} {said(value)}" for axis, value in point.items())
    checked: RunConfig = validate(RunConfig, config, f"sweep {sweep}, {words}")
    if checked.method.name not in methods:
        raise unknown("method", checked.method.name, methods)
    whole = json.dumps(checked.model_dump(mode="json"), sort_keys=True).encode()
    digest = hashlib.sha256(whole).hexdigest()[:8]
    slug = "-".join(
        _slug(f"{axis.rpartition('.')[2] if axis == SEED else ''}{said(value)}") for axis, value in point.items()
    )
    return PlannedRun(f"{sweep}-{slug[:60].strip('-')}-{digest}", point, config)


def axis_title(axis: str) -> str:
    """'adapters.rank' as 'rank', 'method.name' as 'method'."""
    return axis.removesuffix(".name").rpartition(".")[2]


def said(value: Any) -> str:
    """A value of an axis in words."""
    if isinstance(value, Mapping):
        return " ".join(said(each) for each in value.values())
    if isinstance(value, list | tuple):
        return "+".join(said(each) for each in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:30].strip("-") or "x"
