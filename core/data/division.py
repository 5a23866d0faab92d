"""Division of classes into tasks: pure functions of names and a seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from core.data.catalog import default_tasks
from core.data.collection import natural
from core.errors import UserError, nearest

SEPARATOR = "--"


@dataclass(frozen=True)
class Part:
    """A task before it has images: its name and its classes, in order."""

    name: str
    classes: tuple[str, ...]


def by_count(classes: Sequence[str], tasks: int | None, seed: int | None, where: str) -> list[Part]:
    """`classes` cut into `tasks` parts whose sizes differ by at most one, the larger ones first.

    `seed` draws the order of the classes; None keeps the order given. Raises UserError for more tasks than classes.
    """
    count = default_tasks(len(classes)) if tasks is None else tasks
    if count > len(classes):
        raise UserError(
            f"{where} has {len(classes)} classes, too few for {count} tasks: set tasks to {len(classes)} or fewer."
        )
    order = np.arange(len(classes)) if seed is None else np.random.default_rng(seed).permutation(len(classes))
    groups = [tuple(classes[index] for index in group) for group in np.array_split(order, count)]
    return [Part(task_name(group), group) for group in groups]


def by_prefix(classes: Sequence[str], tasks: int | None, where: str) -> list[Part]:
    """One task for each `Prefix--` of the class names, named after the prefix, in natural order.

    Raises UserError when a class has no prefix, or when `tasks` is given and is not the number of prefixes.
    """
    groups: dict[str, list[str]] = {}
    for name in classes:
        prefix, separator, rest = name.partition(SEPARATOR)
        if not (prefix and separator and rest):
            raise UserError(
                f"Class “{name}” in {where} has no task in its name: rename it to Task{SEPARATOR}{name}, "
                "or use task_by = 'classes'."
            )
        groups.setdefault(prefix, []).append(name)
    if tasks is not None and tasks != len(groups):
        raise UserError(
            f"{where} has {len(groups)} prefixes, so {len(groups)} tasks, but tasks = {tasks}: leave tasks out."
        )
    return [Part(prefix, tuple(groups[prefix])) for prefix in sorted(groups, key=natural)]


def by_list(classes: Sequence[str], lists: Sequence[Sequence[str]]) -> list[Part]:
    """The tasks that a person wrote down. Classes that are not listed are left out.

    Raises UserError for an unknown class, for a class that is listed twice, and for a task without classes.
    """
    known, seen = set(classes), set[str]()
    for index, names in enumerate(lists):
        if not names:
            raise UserError(f"task_classes: task {index + 1} has no classes; list some or remove it.")
        for name in names:
            if name not in known:
                few = f"{', '.join(classes[:10])}{', …' if len(classes) > 10 else ''}"
                raise UserError(f"task_classes: unknown class “{name}”.{nearest(name, known)} Known: {few}.")
            if name in seen:
                raise UserError(f"task_classes: class “{name}” is listed twice; keep it in one task.")
            seen.add(name)
    return [Part(task_name(names), tuple(names)) for names in lists]


def task_name(classes: Sequence[str]) -> str:
    """A short name for a task: '0, 1', or 'apple + 9 more'."""
    return ", ".join(classes) if len(classes) < 3 else f"{classes[0]} + {len(classes) - 1} more"
