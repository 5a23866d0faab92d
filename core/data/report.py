"""What was read of a stream's images, what was left out, and what a person should know of it before training."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

LISTED = 50
TINY_CLASS = 5
"""A class with fewer training images than this is reported as tiny."""


@dataclass(frozen=True)
class Skipped:
    """A file that is not used, and why."""

    name: str
    reason: str


@dataclass(frozen=True)
class Duplicate:
    """An image whose content is that of an earlier one."""

    name: str
    same_as: str
    across_splits: bool
    """One is a training image and the other a test image, so the test accuracy comes out too high."""
    across_classes: bool
    """The same picture carries two labels."""


@dataclass(frozen=True)
class ClassCount:
    """Images used of one class."""

    name: str
    train: int
    test: int


@dataclass(frozen=True)
class Report:
    """What a stream is made of. Lists hold the first `LISTED` entries; the counts are of all."""

    classes: tuple[ClassCount, ...]
    train_images: int
    test_images: int
    skipped: tuple[Skipped, ...]
    skipped_count: int
    tiny_classes: tuple[str, ...]
    unused_classes: tuple[str, ...]
    duplicates: tuple[Duplicate, ...]
    duplicate_count: int
    duplicates_across_splits: int
    duplicates_across_classes: int
    limits: dict[str, int | float]
    """Limits that left images out: train_per_class, test_per_class; test_fraction where a test set was split off."""

    @property
    def images(self) -> int:
        return self.train_images + self.test_images

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready, for the run's manifest."""
        return {"images": self.images, **asdict(self)}
