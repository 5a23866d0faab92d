"""What a task's adapter adds to the weights, read from the run folder without torch: the two thin matrices of a site.

A site is a projection of a block, such as 10/q. Its update is ΔW = B·diag(c)·A (Hu et al. 2021, arXiv 2106.09685,
section 4.1; c are the coefficients of units, 1 for a unit of the task's own).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from safetensors import SafetensorError, safe_open

_UNREADABLE = (OSError, SafetensorError, KeyError, ValueError, TypeError)
"""TypeError: numpy has no bfloat16, in which no adapter and no head of ours is kept."""

_DOWN = re.compile(r"(?:bank\.adapters\.(\d+)\.)?down\.(\d+/\w+)")


@dataclass(frozen=True, eq=False)
class SiteUpdate:
    """What one site learned."""

    site: str
    down: np.ndarray
    """A (rank, in) of the newest units."""
    up: np.ndarray
    """B (out, rank) of the newest units."""
    delta: np.ndarray
    """ΔW (out, in) of all units together, before α, the factor that all units share."""
    earlier: tuple[np.ndarray, ...] = ()
    """For each earlier task the coefficients (units,) of its units, as recorded; empty where a method reuses none."""


def site_update(tasks: Path, task: int, site: str) -> SiteUpdate | None:
    """The update of `site` after `task`; None where the folder `tasks` of the run keeps no units for it."""
    try:
        return _update(tasks, task, site)
    except _UNREADABLE:
        return None


def stored_sites(tasks: Path, task: int) -> list[str]:
    """The sites at which the file of `task` keeps units, from the first block on; empty without such a file."""
    try:
        with safe_open(_file(tasks, task), framework="numpy") as file:
            found = [match[2] for key in file.keys() if (match := _DOWN.fullmatch(key))]  # noqa: SIM118
    except (OSError, SafetensorError):
        return []
    return sorted(set(found), key=lambda site: (int(site.partition("/")[0]), site))


def _update(tasks: Path, task: int, site: str) -> SiteUpdate:
    with safe_open(_file(tasks, task), framework="numpy") as file:
        names = set(file.keys())
        if f"down.{site}" not in names:
            return _shared(file, names, site)
        down, up = file.get_tensor(f"down.{site}"), file.get_tensor(f"up.{site}")
        reuse = file.get_tensor(f"reuse.{site}") if f"reuse.{site}" in names else np.zeros(0, np.float32)
    delta, earlier, first = up @ down, [], 0
    for other in range(task if len(reuse) else 0):
        past = _units(_file(tasks, other), site)
        coefficients = reuse[first : first + past.count]
        first += past.count
        if past.down is not None and past.up is not None:
            delta = delta + (past.up * coefficients) @ past.down
        earlier.append(coefficients)
    if first != len(reuse):
        raise ValueError(f"{site}: {len(reuse)} coefficients for {first} units")
    return SiteUpdate(site, down, up, delta, tuple(earlier))


class _Units(NamedTuple):
    """What an earlier task kept at a site; without matrices its coefficients are there all the same, and zero."""

    count: int
    down: np.ndarray | None
    up: np.ndarray | None


def _units(path: Path, site: str) -> _Units:
    with safe_open(path, framework="numpy") as file:
        names = [name for name in file.keys() if name.startswith("down.")]  # noqa: SIM118
        if f"down.{site}" in names:
            down = file.get_tensor(f"down.{site}")
            return _Units(len(down), down, file.get_tensor(f"up.{site}"))
        return _Units(file.get_slice(names[0]).get_shape()[0] if names else 0, None, None)


def _shared(file: safe_open, names: set[str], site: str) -> SiteUpdate:
    """One model of all tasks: its file has the adapters of every task so far, or the one that all go on training."""
    found = {int(match[1]) for name in names if (match := _DOWN.fullmatch(name)) and match[1] and match[2] == site}
    if not found:
        raise KeyError(site)
    prefixes = [f"bank.adapters.{number}" for number in sorted(found)]
    pairs = [(file.get_tensor(f"{p}.down.{site}"), file.get_tensor(f"{p}.up.{site}")) for p in prefixes]
    key = f"magnitudes.{site}"
    magnitudes = file.get_tensor(key) if key in names else np.ones(len(pairs), np.float32)
    parts = [magnitude * (up @ down) for magnitude, (down, up) in zip(magnitudes, pairs, strict=True)]
    down, up = pairs[-1]
    return SiteUpdate(site, down, up, np.sum(parts, axis=0))


def head_scores(tasks: Path, task: int, embedding: np.ndarray) -> np.ndarray | None:
    """(classes,) logits of the head stored with `task` for one embedding (width,); None where no linear head is kept.

    A model that all tasks share keeps the heads of all tasks: their classes follow each other in the order of tasks.
    """
    try:
        with safe_open(tasks / f"{task:03d}" / "head.safetensors", framework="numpy") as file:
            names = set(file.keys())
            prefixes = [""] if "weight" in names else _heads(names)
            parts = [(file.get_tensor(f"{p}weight"), file.get_tensor(f"{p}bias")) for p in prefixes]
    except _UNREADABLE:
        return None
    if not parts or any(weight.ndim != 2 or weight.shape[1] != len(embedding) for weight, _ in parts):
        return None
    vector = embedding.astype(np.float32)
    return np.concatenate([weight @ vector + bias for weight, bias in parts])


def _heads(names: set[str]) -> list[str]:
    found = {int(match[1]) for name in names if (match := re.fullmatch(r"heads\.heads\.(\d+)\.weight", name))}
    return [f"heads.heads.{number}." for number in sorted(found)]


def shrunk(matrix: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """At most (rows, columns) cells, each with the value of the largest size in it: a mean would wash signs out."""
    for axis, most in ((0, rows), (1, columns)):
        count = matrix.shape[axis]
        if count > most:
            starts = np.linspace(0, count, most, endpoint=False).astype(int)
            high = np.maximum.reduceat(matrix, starts, axis=axis)
            low = np.minimum.reduceat(matrix, starts, axis=axis)
            matrix = np.where(high >= -low, high, low)
    return matrix


def _file(tasks: Path, task: int) -> Path:
    return tasks / f"{task:03d}" / "adapter.safetensors"
