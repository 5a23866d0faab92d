"""Evidence in words: which part of an image most of it lies in, and which blocks it comes from. Our own words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from core.runs.evidence import Apart, Evidence

_MOST = 2 / 3
"""What counts as most of it."""
TERM_NAMES = {
    "adapter": "first task's adapter",
    "head": "tasks' heads",
    "weights": "sizes of components",
    "others": "other components",
}
"""Term of `Evidence` → what people call it beside the blocks."""

_Range = tuple[float, float]
_FIRST, _SECOND, _THIRD = (0.0, 1 / 3), (1 / 3, 2 / 3), (2 / 3, 1.0)
_HALVES: tuple[_Range, _Range] = (0.0, 0.5), (0.5, 1.0)
_WHOLE, _CENTRAL = (0.0, 1.0), (0.25, 0.75)
_PARTS: tuple[tuple[str, _Range, _Range], ...] = (
    ("in the upper left corner", _FIRST, _FIRST),
    ("in the middle of the top", _FIRST, _SECOND),
    ("in the upper right corner", _FIRST, _THIRD),
    ("in the middle of the left side", _SECOND, _FIRST),
    ("right in the middle", _SECOND, _SECOND),
    ("in the middle of the right side", _SECOND, _THIRD),
    ("in the lower left corner", _THIRD, _FIRST),
    ("in the middle of the bottom", _THIRD, _SECOND),
    ("in the lower right corner", _THIRD, _THIRD),
    ("in the upper left quarter", _HALVES[0], _HALVES[0]),
    ("in the upper right quarter", _HALVES[0], _HALVES[1]),
    ("in the lower left quarter", _HALVES[1], _HALVES[0]),
    ("in the lower right quarter", _HALVES[1], _HALVES[1]),
    ("in the middle", _CENTRAL, _CENTRAL),
    ("in the upper third", _FIRST, _WHOLE),
    ("in the band across the middle", _SECOND, _WHOLE),
    ("in the lower third", _THIRD, _WHOLE),
    ("in the left third", _WHOLE, _FIRST),
    ("in the column down the middle", _WHOLE, _SECOND),
    ("in the right third", _WHOLE, _THIRD),
    ("in the upper half", _HALVES[0], _WHOLE),
    ("in the lower half", _HALVES[1], _WHOLE),
    ("in the left half", _WHOLE, _HALVES[0]),
    ("in the right half", _WHOLE, _HALVES[1]),
)
"""Words → rows and columns, as shares of the image's height and width."""
_RIM = 1 / 6
"""How wide the edge of an image is, as a share of its width."""


@dataclass(frozen=True)
class Place:
    """A part of an image."""

    words: str
    """Such as “in the upper third of the image”."""
    share: float
    """Of what speaks, that lies there."""


def place(speaking: np.ndarray) -> Place | None:
    """The smallest named part that holds two thirds of `speaking` (rows, columns); negative values say nothing.

    Of parts of one size the one that holds most. A patch that lies across a border counts by its area on either side.
    None where nothing speaks.
    """
    speaking = np.clip(speaking, 0, None)
    total = speaking.sum()
    if total <= 0:
        return None
    inner = (_RIM, 1 - _RIM)
    found = [(_area(rows, columns), _held(speaking, rows, columns), words) for words, rows, columns in _PARTS]
    found.append((1 - _area(inner, inner), total - _held(speaking, inner, inner), "along the edge"))
    enough = [(round(area, 6), -held, words) for area, held, words in found if held >= _MOST * total * (1 - 1e-9)]
    if not enough:
        return Place("all over the image", 1.0)
    _, held, words = min(enough)
    return Place(f"{words} of the image", float(-held / total))


def _area(rows: _Range, columns: _Range) -> float:
    return (rows[1] - rows[0]) * (columns[1] - columns[0])


def _held(values: np.ndarray, rows: _Range, columns: _Range) -> float:
    return float(_inside(values.shape[0], rows) @ values @ _inside(values.shape[1], columns))


def _inside(patches: int, part: _Range) -> np.ndarray:
    """(patches,): the share of each of the equal pieces of 0 to 1 that lies in `part`."""
    starts = np.arange(patches) / patches
    shared = np.minimum(starts + 1 / patches, part[1]) - np.maximum(starts, part[0])
    return np.asarray(np.clip(shared, 0, None) * patches)


def sentence(evidence: Evidence, own: str, against: str) -> str:
    """What the evidence says, in two or three sentences; `own` and `against` are what people call the two sides."""
    leads = 1 if evidence.difference >= 0 else -1
    winner, loser = (own, against) if leads > 0 else (against, own)
    said = [f"{winner} leads {loser} by {abs(evidence.difference):.1f} nats."]
    where = place(leads * evidence.heat) if evidence.heat.size else None
    if where is not None:
        measured = "" if evidence.patches.size else ", measured by occlusion,"
        much = "What patches say for it" if where.share == 1 else f"{where.share:.0%} of what patches say for it"
        said.append(f"{much}{measured} {'comes from' if where.share == 1 else 'lies'} {where.words}.")
    if evidence.by_block.size:
        said.append(_decisive(evidence, leads))
    return " ".join(said)


def apart_sentence(found: Apart, names: tuple[str, str]) -> str:
    """How far two images are apart, where in each of them that comes from, and in which blocks."""
    said = [f"Squared distance {found.squared:.1f}, so {max(found.squared, 0) ** 0.5:.1f} apart."]
    where = [place(values) for values in found.patches] if found.patches.size else []
    parts = [each.words.replace("the image", name) for each, name in zip(where, names, strict=False) if each]
    if len(parts) == 2:
        said.append(f"What sets them apart lies mostly {parts[0]}, and {parts[1]}.")
    if found.by_block.size and found.adapter > found.by_block.sum():
        said.append(f"The {TERM_NAMES['adapter']} gives it {found.adapter:.1f}{_rest(found.squared - found.adapter)}.")
    elif found.by_block.size:
        first, last = _run(found.by_block)
        worth = float(found.by_block[first:last].sum())
        said.append(f"{_named(found.blocks, first, last)} it {worth:.1f}{_rest(found.squared - worth)}.")
    return " ".join(said)


def _decisive(evidence: Evidence, leads: int) -> str:
    """Which neighbouring blocks the lead comes from, or which other term where that says more than all blocks."""
    blocks, lead = leads * evidence.by_block, abs(evidence.difference)
    terms = {name: leads * getattr(evidence, term) for term, name in TERM_NAMES.items()}
    strongest = max(terms, key=lambda name: terms[name])
    if terms[strongest] > blocks.sum():
        return f"The {strongest} {_gives(strongest)} it {terms[strongest]:.1f} nats{_rest(lead - terms[strongest])}."
    first, last = _run(blocks)
    worth = float(blocks[first:last].sum())
    return f"{_named(evidence.blocks, first, last)} it {worth:.1f} nats{_rest(lead - worth)}."


def _named(blocks: np.ndarray, first: int, last: int) -> str:
    """“Blocks 9 to 11 give”."""
    names = [str(block + 1) for block in blocks[first:last]]
    if len(names) == 1:
        return f"Block {names[0]} gives"
    if len(names) == len(blocks):
        return "All blocks together give"
    return f"Blocks {names[0]} {'and' if len(names) == 2 else 'to'} {names[-1]} give"


def _gives(name: str) -> str:
    return "give" if name.endswith(("heads", "components")) else "gives"


def _rest(left: float) -> str:
    """What all the rest adds to the lead, or takes back."""
    if abs(left) < 0.05:
        return ""
    return f", all the rest {left:.1f}" if left > 0 else f", of which all the rest takes {-left:.1f} back"


def _run(blocks: np.ndarray) -> tuple[int, int]:
    """The fewest neighbouring values that sum to two thirds of all of them, as (first, last + 1); of equally few the
    largest sum. Their sum is positive."""
    sums = np.concatenate([[0.0], np.cumsum(blocks)])
    for length in range(1, len(blocks) + 1):
        worth = sums[length:] - sums[:-length]
        if worth.max() >= _MOST * sums[-1]:
            first = int(worth.argmax())
            return first, first + length
    return 0, len(blocks)
