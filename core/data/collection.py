"""A collection: classes and their candidate pictures, before anything was checked, limited or cut into tasks."""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from core.data.images import Item
from core.data.report import Skipped
from core.errors import UserError, nearest

Classes = dict[str, list[Item]]
"""Class name → its pictures in natural order of their names."""


@dataclass(frozen=True)
class Collection:
    """What a source of images holds.

    `test` is None where the source has no test images: they are then split off each class. `order` is the source's own
    order of its classes; where it has one, the seed draws none. `tasks` and `image_size` are its own suggestions.
    """

    name: str
    """Short, for prefixes and run names."""
    where: str
    """For messages: the path, or the name."""
    train: Classes
    test: Classes | None
    skipped: tuple[Skipped, ...] = ()
    tasks: int | None = None
    image_size: int | None = None
    order: tuple[str, ...] | None = None

    @property
    def class_names(self) -> list[str]:
        """All classes, whether or not both splits have them: in the source's own order, or else in natural order."""
        if self.order is not None:
            return list(self.order)
        return sorted({*self.train, *(self.test or {})}, key=natural)


def natural(text: str) -> tuple[list[str | int], str]:
    """Sorting key under which 'item 9' comes before 'item 10', whatever the case."""
    pieces = re.split(r"([0-9]+)", text.casefold())
    return [int(piece) if index % 2 else piece for index, piece in enumerate(pieces)], text


def candidates(
    source: Collection, name: str, test_fraction: float, generator_seed: int
) -> tuple[list[Item], list[Item]]:
    """Training and test pictures of class `name`, in natural order.

    Raises UserError when one of the two would be empty: the class is missing from a folder, or has a single image and
    there is no test folder.
    """
    train = source.train.get(name, [])
    if source.test is None:
        if len(train) < 2:
            raise UserError(
                f"Class “{name}” in {source.where} has a single image, which cannot be split into training and test: "
                "add images to it, remove it, or provide train and test folders."
            )
        return split(train, test_fraction, _class_generator(name, generator_seed))
    test = source.test.get(name, [])
    if not train:
        raise _one_sided(source, name, "test", "training", source.train)
    if not test:
        raise _one_sided(source, name, "training", "test", source.test)
    return train, test


def split(items: Sequence[Item], test_fraction: float, generator: np.random.Generator) -> tuple[list[Item], list[Item]]:
    """`items` (two or more) parted at random into training and test, each keeping its order and at least one image."""
    count = min(max(round(len(items) * test_fraction), 1), len(items) - 1)
    chosen = set(generator.permutation(len(items))[:count].tolist())
    train = [item for index, item in enumerate(items) if index not in chosen]
    return train, [items[index] for index in sorted(chosen)]


def _class_generator(name: str, seed: int) -> np.random.Generator:
    """One generator per class, so that adding a class to a folder leaves the split of the others as it was."""
    return np.random.default_rng([seed, zlib.crc32(name.encode())])


def _one_sided(source: Collection, name: str, has: str, lacks: str, others: Classes) -> UserError:
    return UserError(
        f"Class “{name}” in {source.where} has {has} images but no {lacks} images.{nearest(name, others)} "
        f"Add {lacks} images for it, or remove the class."
    )
