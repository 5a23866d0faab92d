"""Streams of tasks: `open_stream` turns a configuration into the images of each task.

A stream's name is resolved in this order: a name of `known_streams`, an existing folder or zip file, several of these
joined by '+'. The parts of a mixed stream follow one another; `tasks`, `task_by` and the limits then count for each
part by itself, classes of the same name are told apart by their part's name, and `task_classes` may mix parts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from core.data.catalog import StreamInfo, known_streams

if TYPE_CHECKING:
    from pathlib import Path

    from core.config import StreamConfig
    from core.data.images import ImageSet
    from core.data.report import Report

__all__ = ["HeldOut", "Stream", "StreamInfo", "Task", "known_streams", "open_stream"]


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
    """Classes that no task learns: what is left of what the model knew. Labels are positions in `class_names`."""

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
    """Suggested side of the backbone's input in pixels; None leaves it to the backbone."""
    fingerprint: str
    """sha256 over names, labels, contents and the division into tasks: equal on every machine with the same images."""
    report: Report
    held_out: HeldOut | None = None


def open_stream(config: StreamConfig, seed: int, cache: Path | None = None) -> Stream:
    """The stream that `config` describes. The same configuration, seed and images give the same stream.

    `seed` draws the order of the classes and, where there is no test folder, the test images of each class. Limits keep
    the first readable images in natural order of their names, whatever the seed. `cache` is where downloaded sets are
    kept; by default the `data` folder of the user's cache, or of PROTEUS_CACHE.

    Raises UserError, one line, when the images cannot be had or cannot be divided as asked.
    """
    from core.data.building import build, read_parts

    return build(config, read_parts(config.name, cache), seed)
