"""Few gates, the start of the head, and the strength: a full factorial of three causes, and what each of them does.

The cells are LoRA on every block and a budget of learned gates, with heads that start at zero or from a discriminant,
asked at full strength and at a share of it. An effect is the mean, over the four settings of the other two causes, of
what changes when the one is switched on: the main effect of a 2 x 2 x 2 design (Fisher 1935, The Design of
Experiments, chapter VI). It is taken for each seed by itself, since all cells of a seed share it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product

from app.reading.kept_elsewhere import Comparison, Setting, Spread, Trained, spread

CAUSES = ("few gates", "head start", "strength")
Cell = tuple[bool, bool, bool]
"""Which of CAUSES are switched on."""
CELLS: tuple[Cell, ...] = tuple((a, b, c) for a, b, c in product((False, True), repeat=3))
"""The first is LoRA as published: every gate, head at zero, whole updates."""


@dataclass(frozen=True)
class Outcome:
    """What one cell reached."""

    accuracy: Spread
    """On the learned classes."""
    lost: Spread
    """On the held-out ones."""


@dataclass(frozen=True)
class Factorial:
    """The whole design."""

    gates: float
    """How many gates the budget leaves open."""
    total: int
    strength: float
    seeds: tuple[int, ...]
    cells: Mapping[Cell, Outcome]
    accuracy: Mapping[str, Spread]
    """Cause → what it does to accuracy."""
    lost: Mapping[str, Spread]
    """Cause → what it does to the loss on held-out classes; negative where it keeps more."""

    def ratio(self, cell: Cell, beside: Cell) -> float:
        """A cell's loss as a multiple of another's."""
        return self.cells[cell].lost.mean / self.cells[beside].lost.mean


def factorial(found: Comparison, probe: str, strength: float, budget: str = "4") -> Factorial | None:
    """Of a recorded sweep; None where a cell is missing, or nothing was asked at that strength."""
    settings = {setting.key: setting for setting in found.settings}
    wanted = {
        (few, head): settings.get(f"{f'learned-{budget}' if few else 'lora'}-{'discriminant' if head else 'zero'}")
        for few, head in product((False, True), repeat=2)
    }
    known = {place: setting for place, setting in wanted.items() if setting is not None}
    if len(known) < len(wanted) or strength not in found.strengths or strength == 1.0:
        return None
    seeds = sorted(set.intersection(*(set(setting.seeds) for setting in known.values())))
    if not seeds:
        return None
    accuracy, lost = {}, {}
    for cell, seed in product(CELLS, seeds):
        run, at = _run(known[cell[:2]], seed), strength if cell[2] else 1.0
        accuracy[cell, seed] = run.at("class_incremental", at)
        lost[cell, seed] = run.at(probe, 0.0) - run.at(probe, at)
    cells = {
        cell: Outcome(spread([accuracy[cell, seed] for seed in seeds]), spread([lost[cell, seed] for seed in seeds]))
        for cell in CELLS
    }
    active, total = known[True, True].open_gates()
    effects = [
        {cause: spread([_effect(values, place, seed) for seed in seeds]) for place, cause in enumerate(CAUSES)}
        for values in (accuracy, lost)
    ]
    return Factorial(active, total, strength, tuple(seeds), cells, *effects)


def _run(setting: Setting, seed: int) -> Trained:
    return next(run for run in setting.runs if run.seed == seed)


def _effect(values: Mapping[tuple[Cell, int], float], place: int, seed: int) -> float:
    """The mean over the other causes of on minus off."""
    signs = [(1 if cell[place] else -1) * values[cell, seed] for cell in CELLS]
    return sum(signs) / (len(CELLS) / 2)


def cell_title(cell: Cell, found: Factorial) -> str:
    """A cell in words."""
    few, head, gentle = cell
    gates = f"{found.gates:g} of {found.total} gates" if few else f"all {found.total}"
    share = f"{found.strength:.0%} of updates" if gentle else "whole updates"
    return f"{gates}, head {'fitted first' if head else 'at zero'}, {share}"


def in_words(found: Factorial) -> str:
    """Which cause does what, in plain sentences (markdown)."""
    said = []
    for cause in CAUSES:
        gain, lost = 100 * found.accuracy[cause].mean, 100 * found.lost[cause].mean
        keeps = f"keeps {-lost:.1f} points more" if lost < 0 else f"loses {lost:.1f} points more"
        unsure = " (seeds disagree on the sign)" if found.lost[cause].low < 0 < found.lost[cause].high else ""
        said.append(
            f"**{cause.capitalize()}** {keeps} of the held-out classes{unsure} and changes accuracy by {gain:+.1f}."
        )
    return " ".join(said)
