"""Where adapters changed the backbone, what they reused and what they cost, read from gates.json and file headers."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import comb
from pathlib import Path
from typing import Any

import numpy as np

from core.runs.schema import BackboneInfo

_SITE = re.compile(r"(\d{1,4})/(\w{1,16})", re.ASCII)
_GATE = re.compile(r"\d{1,4}(/\w{1,16})?", re.ASCII)
_IN_FILE = re.compile(r"(\d{1,4})/\w+$", re.ASCII)
ORDER = ("q", "k", "v", "o", "fc1", "fc2")
"""The projections as they come in a block."""
_LONGEST_HEADER = 16 << 20

Gates = Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class BlockMap:
    """What one task's adapter changed, (projections, depth) each."""

    norm: np.ndarray
    """Frobenius norm of ΔW; NaN where there is none."""
    off: np.ndarray
    """bool: could be adapted, but its gate is off."""

    @property
    def active_blocks(self) -> list[int]:
        """Blocks with a change."""
        return np.flatnonzero((self.norm > 0).any(axis=0)).tolist()

    @property
    def adapted_blocks(self) -> list[int]:
        """Blocks that could have one."""
        return np.flatnonzero((~np.isnan(self.norm) | self.off).any(axis=0)).tolist()


def projections(gates: Sequence[Gates]) -> list[str]:
    """The projections that any task adapts or has gates for, in the order in which they come in a block."""
    found = {site[1] for task in gates for site in _sites(task)}
    found |= {name for task in gates for name in (gate.partition("/")[2] for gate in scores(task)) if name}
    return sorted(found, key=lambda name: (ORDER.index(name) if name in ORDER else len(ORDER), name))


def block_maps(gates: Sequence[Gates], depth: int) -> list[BlockMap]:
    """One for each task; a site beyond the backbone's depth is left out."""
    names = projections(gates)
    return [_block_map(task, names, depth) for task in gates]


def _block_map(task: Gates, names: list[str], depth: int) -> BlockMap:
    norm = np.full((len(names), depth), np.nan)
    for (block, projection), site in _sites(task).items():
        if block < depth:
            norm[names.index(projection), block] = _number(site.get("norm"))
    off = np.zeros(norm.shape, bool)
    active = set(active_by_gate(task) or ())
    for gate in scores(task):
        block, _, projection = gate.partition("/")
        rows = slice(None) if not projection else [row for row, name in enumerate(names) if name == projection]
        off[rows, int(block) : int(block) + 1] = gate not in active
    return BlockMap(np.where(off, np.nan, norm), off)


def scores(task: Gates) -> dict[str, float]:
    """Gate → its score; empty for a method without gates. '8' is the gate of block 8, '8/q' that of its q alone."""
    return {gate: _number(score) for gate, score in _by_gate(_gated(task).get("scores")).items()}


def threshold(task: Gates) -> float:
    """The score from which a gate is on; NaN without gates, and where a budget decides."""
    return _number(_gated(task).get("threshold"))


def budget(task: Gates) -> int | None:
    """How many gates were to end open; None without a budget."""
    wanted = _gated(task).get("budget")
    return wanted if isinstance(wanted, int) else None


def active_by_gate(task: Gates) -> list[str] | None:
    """The gates that are on; None for a method without gates."""
    active = _gated(task).get("active", ())
    known = [str(gate) for gate in active] if isinstance(active, Sequence) else []
    return known if isinstance(task.get("blocks"), Mapping) else None


def history(task: Gates) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Steps (m,) of the task's training, and gate → its scores (m,) then, NaN once a budget had closed it.

    Both are empty where no history was kept.
    """
    kept = _gated(task).get("history")
    kept = kept if isinstance(kept, Mapping) else {}
    steps = kept.get("steps")
    steps = np.array([_number(step) for step in steps] if isinstance(steps, list) else [])
    lines = {
        gate: np.array([_number(score) for score in values])
        for gate, values in _by_gate(kept.get("scores")).items()
        if isinstance(values, list) and len(values) == len(steps) > 0
    }
    return (steps, lines) if lines else (np.array([]), {})


def _gated(task: Gates) -> Mapping[str, Any]:
    gated = task.get("blocks")
    return gated if isinstance(gated, Mapping) else {}


def _by_gate(values: object) -> dict[str, Any]:
    pairs = values.items() if isinstance(values, Mapping) else ()
    return {str(gate): value for gate, value in pairs if _GATE.fullmatch(str(gate))}


def open_sites(task: Gates) -> list[str]:
    """'block/projection' of every weight matrix that the task's adapter changes, in the order of the backbone."""
    moved = [site for site, entry in _sites(task).items() if _number(entry.get("norm")) > 0]
    known = [site for site in moved if site[1] in ORDER]
    return [f"{block}/{name}" for block, name in sorted(known, key=lambda site: (site[0], ORDER.index(site[1])))]


USED = 0.01
"""An earlier task's unit counts as used above this coefficient, where a task's own units count 1 (our decision)."""


def coefficients(gates: Sequence[Gates]) -> np.ndarray:
    """(units,): the size of every coefficient by which a task could take over a unit of an earlier one."""
    sites = [site for task in gates for site in _sites(task).values()]
    return np.array([abs(weight) for site in sites for earlier in site.get("reuse", []) for weight in earlier], float)


def reuse(gates: Sequence[Gates]) -> np.ndarray:
    """(T, T): mean |coefficient| of task j's units (column) in task k (row), whose own units count 1; NaN for none."""
    matrix = np.full((len(gates), len(gates)), np.nan)
    for k, task in enumerate(gates):
        taken = [site["reuse"] for site in _sites(task).values() if isinstance(site.get("reuse"), list)]
        for j in range(k):
            units = [abs(s) for parts in taken if j < len(parts) for s in parts[j]]
            if units:
                matrix[k, j] = float(np.mean(units))
    return matrix


def overlap(gates: Sequence[Gates]) -> np.ndarray:
    """(T, T): cosine overlap of task k's (row) input directions with task j's (column), j < k; NaN for none."""
    matrix = np.full((len(gates), len(gates)), np.nan)
    for k, task in enumerate(gates):
        values = task.get("overlap")
        for j, value in enumerate(values[:k] if isinstance(values, list) else ()):
            matrix[k, j] = _number(value)
    return matrix


def choices_shared(maps: Sequence[BlockMap]) -> np.ndarray:
    """(T, T): the blocks that two tasks both change, as a share of those that either does (Jaccard); 0 for none."""
    chosen = [set(found.active_blocks) for found in maps]
    return np.array([[len(a & b) / max(len(a | b), 1) for b in chosen] for a in chosen]).reshape(len(maps), len(maps))


def chance_shared(counts: Sequence[int], total: int) -> float:
    """What `choices_shared` of two different tasks is in the mean, if each draws its `counts` of `total` blocks by lot.

    Blocks in common are hypergeometric, and their number decides that of all blocks. NaN for fewer than two tasks.
    """
    pairs = [(a, b) for k, a in enumerate(counts) for b in counts[:k]]
    expected = [
        sum(
            comb(a, both) * comb(total - a, b - both) / comb(total, b) * both / max(a + b - both, 1)
            for both in range(min(a, b) + 1)
        )
        for a, b in pairs
    ]
    return float(np.mean(expected)) if expected else float("nan")


def chance_overlap(width: int) -> float:
    """About how much two adapters with random directions overlap in a space of this width."""
    return 1 / width**0.5


def block_flops(backbone: BackboneInfo) -> float:
    """Floating-point operations of one image through one block with an MLP four times as wide; a multiply and an add
    count as two."""
    tokens, width = backbone.tokens, backbone.width
    return 24.0 * tokens * width**2 + 4.0 * tokens**2 * width


@lru_cache(maxsize=64)
def stored_bytes(adapter: Path, changed: int) -> dict[int, int]:
    """Block → bytes of the tensors about it in an adapter file; only the file's header is read. Empty where there is
    none that can be read. `changed` tells one version of the file from the next."""
    del changed
    sizes: dict[int, int] = {}
    for name, start, end in _tensors(adapter):
        found = _IN_FILE.search(name)
        if found:
            sizes[int(found[1])] = sizes.get(int(found[1]), 0) + end - start
    return sizes


def _tensors(path: Path) -> list[tuple[str, int, int]]:
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(length)) if length <= _LONGEST_HEADER else {}
        return [(name, *entry["data_offsets"]) for name, entry in header.items() if name != "__metadata__"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return []


def _sites(task: Gates) -> dict[tuple[int, str], Mapping[str, Any]]:
    """(block, projection) → its entry in gates.json; names that are not sites are left out."""
    kept = task.get("sites")
    pairs = kept.items() if isinstance(kept, Mapping) else ()
    matched = ((_SITE.fullmatch(str(name)), site) for name, site in pairs)
    return {(int(m[1]), m[2]): site for m, site in matched if m and isinstance(site, Mapping)}


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else float("nan")
