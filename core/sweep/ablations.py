"""Recorded ablations: what a method gains or loses, seed by seed, when one of its parts is taken away or exchanged.

A study is a file assets/ablations/NAME.json, which `python -m tests.benchmarks.ablations` writes cell by cell; the page
Sweep and docs/results.md show it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from core.errors import UserError, unknown
from core.runs.files import read_json, write_json
from core.sweep.summary import Interval, interval

RECORDED = Path(__file__).resolve().parents[2] / "assets" / "ablations"
FULL = "Proteus"
"""The variant from which nothing is taken away."""
WITHOUT_COMPOSITION = "without composition"
_NUMBERED = re.compile(r"in \d+ tasks instead of \d+")
MEASURES = {
    "task_aware_accuracy": "task-aware",
    "final_accuracy": "class-incremental",
    "retrieval_accuracy": "retrieval",
    "forgetting": "forgetting",
}
"""Keys of metrics.json → their names for people."""


@dataclass(frozen=True)
class Cell:
    """What one variant measured on one seed."""

    variant: str
    seed: int
    measured: Mapping[str, float]
    """A value, as a fraction, for each of MEASURES."""


@dataclass
class Study:
    """One table of ablations, finished or not."""

    name: str
    title: str
    about: str
    """The images and the settings, in a sentence."""
    command: str
    """What measures it."""
    precision: str
    cells: list[Cell] = field(default_factory=list)

    def cell(self, variant: str, seed: int) -> Cell | None:
        """None where it was not measured yet."""
        return next((cell for cell in self.cells if (cell.variant, cell.seed) == (variant, seed)), None)


def numbered(number: int, instead: int) -> str:
    """The name of the variant that cuts the same classes into another number of tasks."""
    return f"in {number} tasks instead of {instead}"


@dataclass(frozen=True)
class Row:
    """One variant over all of its seeds."""

    variant: str
    means: Mapping[str, Interval]
    """Of each of MEASURES."""
    differences: Mapping[str, Interval]
    """This variant minus the full method on the same seeds; of nothing for the full method itself."""

    def points(self, *, whole: bool = False) -> dict[str, str]:
        """Names of MEASURES → differences in points; the full method as it is, and with `whole` every variant."""
        values, sign = (self.means, "") if whole or self.variant == FULL else (self.differences, "+")
        return {name: values[key].points(sign) for key, name in MEASURES.items()}

    @property
    def seeds(self) -> int:
        """How many were measured."""
        return self.means["final_accuracy"].n

    @property
    def is_part(self) -> bool:
        """Whether a part of the method differs, and not the stream."""
        return self.variant != FULL and not _NUMBERED.fullmatch(self.variant)


def known(folder: Path = RECORDED) -> list[str]:
    """The names of the studies that were recorded."""
    return sorted(file.stem for file in folder.glob("*.json"))


def read(name: str, folder: Path = RECORDED) -> Study:
    """A recorded study. Raises UserError when there is none of that name, or its file is damaged."""
    if name not in known(folder):
        raise unknown("recorded study", name, known(folder))
    try:
        values = read_json(folder / f"{name}.json")
        cells = [Cell(str(cell["variant"]), int(cell["seed"]), cell["measured"]) for cell in values.pop("cells")]
        return Study(**values, cells=cells)
    except (KeyError, TypeError, ValueError):
        raise UserError(f"{folder / name}.json is damaged: measure it again, or restore the file.") from None


def write(study: Study, folder: Path = RECORDED) -> None:
    """Keep the study, finished or not."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / f"{study.name}.json", asdict(study))


def rows(study: Study) -> list[Row]:
    """The variants in the order in which they were first measured, the full method first."""
    variants = list(dict.fromkeys([FULL, *(cell.variant for cell in study.cells)]))
    return [row(study, variant) for variant in variants]


def row(study: Study, variant: str) -> Row:
    """One variant; of no seeds where it was not measured."""
    members = [cell for cell in study.cells if cell.variant == variant]
    full = {cell.seed: cell.measured for cell in study.cells if cell.variant == FULL}
    pairs = [(cell.measured, full[cell.seed]) for cell in members if cell.seed in full and variant != FULL]
    return Row(
        variant,
        {key: interval([cell.measured[key] for cell in members]) for key in MEASURES},
        {key: interval([measured[key] - whole[key] for measured, whole in pairs]) for key in MEASURES},
    )
