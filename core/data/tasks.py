"""What a stream is: tasks in their order, each with its classes and images, and the classes that no task learns."""

from __future__ import annotations

from dataclasses import dataclass

from core.data.images import ImageSet
from core.data.report import Report


@dataclass(frozen=True)
class Task:
    """One step of a stream: a few classes, with their training and test images."""

    index: int
    name: str
    classes: tuple[int, ...]
    """Positions in `Stream.class_names`."""
    train: ImageSet
    test: ImageSet


@dataclass(frozen=True)
class HeldOut:
    """Classes that no task learns: they measure how much the model keeps of what it knew.

    Labels are positions in `class_names`.
    """

    class_names: tuple[str, ...]
    train: ImageSet
    test: ImageSet


@dataclass(frozen=True)
class Stream:
    """Tasks in the order in which they are learnt. Classes are numbered in the order in which tasks introduce them."""

    name: str
    class_names: tuple[str, ...]
    tasks: tuple[Task, ...]
    image_size: int | None
    """Suggested side of the backbone's input in pixels; None leaves the choice to the backbone."""
    fingerprint: str
    """sha256 over names, labels, contents and the division into tasks: equal on every machine with the same images."""
    report: Report
    held_out: HeldOut | None = None
