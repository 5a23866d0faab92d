"""What can be trained with one click, and how a person's choices become a configuration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from core.backbones import EMBEDDED
from core.data.catalog import SPLIT_FASHION


@dataclass(frozen=True)
class Preset:
    """One card: a method, and the question that it answers."""

    method: str
    title: str
    why: str


PRESETS = (
    Preset("proteus", "One adapter per task", "Proteus: what was learned stays frozen; a clustering finds the task."),
    Preset("sequential", "Watch it forget", "One adapter is trained on every task in turn and loses the earlier ones."),
    Preset("lda", "No training at all", "The frozen model with a linear classifier: how hard is the stream really?"),
    Preset(
        "joint",
        "All tasks at once",
        "One adapter sees all images together: what learning in sequence is measured against.",
    ),
)

Choices = Mapping[str, Any]
"""Dotted keys of a RunConfig, such as 'training.epochs', with values; None leaves the default."""


def configuration(choices: Choices) -> dict[str, Any]:
    """The nested keys of a RunConfig, without those that are None."""
    nested: dict[str, Any] = {}
    for path, value in choices.items():
        if value is None:
            continue
        *sections, key = path.split(".")
        place = nested
        for section in sections:
            place = place.setdefault(section, {})
        place[key] = value
    return nested


def stream_choices(
    name: str, *, tasks: int | None = None, by: str | None = None, limit: int | None = None
) -> dict[str, Any]:
    """The choices that decide which images and tasks there are; `limit` is in training images per class."""
    return {
        "stream.name": name,
        "stream.tasks": tasks if by != "prefix" else None,
        "stream.task_by": by,
        "stream.train_per_class": limit,
    }


def default_choices(method: str = PRESETS[0].method) -> dict[str, Any]:
    """The built-in clothes with `method`: what the first card trains."""
    return {"stream.name": SPLIT_FASHION, "method.name": method, "backbone.name": EMBEDDED}
