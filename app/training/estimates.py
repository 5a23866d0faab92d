"""How long a run will take, estimated from finished runs: this machine's own where there are any.

A run consists of its start and end (loading, the map, the tables), one frozen pass over all images, and learning. The
last two grow with the number of block passes (one image through one block of the backbone), as in core.training.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from statistics import median
from typing import Any

from app.reading.cards import stamp
from app.shell.run_choice import available
from app.training.presets import configuration, default_choices
from core.backbones import EMBEDDED
from core.config import RunConfig
from core.data.catalog import SPLIT_DIGITS, SPLIT_FASHION, known_streams
from core.data.views import augmentation
from core.errors import UserError
from core.runs.liveness import true_status
from core.runs.schema import Manifest
from core.runs.store import Run

REFERENCES = 5
"""So many of the newest comparable runs are used."""
_LATEST = 60
"""Runs of one's own that are looked at, the newest."""
_STEP_PASSES = 2.5
"""Forward passes that one training image costs, its backward pass included."""
_UNTRAINED = ("lda", "ncm")
_SIDES = {EMBEDDED: 98, "tiny": 16}
_STREAM_SIDES = {SPLIT_DIGITS: 56, SPLIT_FASHION: 56}
_TEST_IMAGES = {SPLIT_FASHION: 600}
"""Of streams with test images of their own; elsewhere a share of each class is split off."""
_USUAL_SIDE, _USUAL_TASKS = 224, 5


@dataclass(frozen=True)
class Images:
    """How many images a stream has."""

    train: int
    test: int


@dataclass(frozen=True)
class Work:
    """What decides how long a run takes."""

    method: str
    backbone: str
    images: Images
    epochs: int
    suffix: float
    """Share of the blocks that have adapters."""
    side: int
    """Side of the square input, in pixels."""
    views: int = 0
    """Views of a training image that pass through the frozen blocks beside it, for augmentation."""

    @property
    def trains(self) -> bool:
        return self.method not in _UNTRAINED and self.epochs > 0

    @property
    def encoding(self) -> float:
        """Work of the frozen pass; one image of one pixel that passes through all blocks counts 1."""
        return (self.images.train + self.images.test) * self.side**2

    @property
    def learning(self) -> float:
        """Work of everything else that grows with the number of images."""
        if not self.trains:
            return float(self.images.train + self.images.test)
        passes = self.images.train * (_STEP_PASSES * self.epochs + 1) + 3 * self.images.test
        views = self.images.train * self.views * (1 - self.suffix)
        return (passes * self.suffix + views) * self.side**2


@dataclass(frozen=True)
class Reference:
    """A finished run and its seconds."""

    work: Work
    total: float
    learning: float
    here: bool
    """Whether it was made on this machine."""


@dataclass(frozen=True)
class Estimate:
    """Seconds that a run will take and, for people, what the estimate rests on."""

    seconds: float
    basis: str

    def __str__(self) -> str:
        return f"about {duration(self.seconds)}"


def duration(seconds: float) -> str:
    """'45 s', '3 min', '2 h 10 min': no more digits than an estimate deserves."""
    if seconds < 10:
        return f"{max(1, round(seconds))} s"
    if seconds < 90:
        return f"{5 * round(seconds / 5)} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(5 * round(minutes / 5), 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def estimate(config: Mapping[str, Any] | None = None, images: Images | None = None) -> Estimate | None:
    """How long `config` (nested keys of a RunConfig; default: the first preset) will take.

    `images` are those of a stream that has no name. None where no comparable run was ever finished, or the images or
    the configuration are not known.
    """
    config = configuration(default_choices()) if config is None else config
    try:
        planned = planned_work(RunConfig.model_validate(dict(config)), images)
    except ValueError:
        return None
    return predict(planned, references()) if planned is not None else None


def planned_work(config: RunConfig, images: Images | None) -> Work | None:
    """The work of a run that has not begun; None for images that nobody has counted."""
    counted = images or named_images(config)
    if counted is None:
        return None
    backbone = config.backbone.name
    suggested = _STREAM_SIDES.get(config.stream.name) or _SIDES.get(backbone, _USUAL_SIDE)
    return Work(
        method=config.method.name,
        backbone=backbone,
        images=counted,
        epochs=config.training.passes(counted.train // (config.stream.tasks or _USUAL_TASKS)),
        suffix=_adapted_share(config.adapters.blocks),
        side=config.backbone.image_size or suggested,
        views=augmentation(config.training, config.stream.name)[1],
    )


def named_images(config: RunConfig) -> Images | None:
    """The images of a stream of the catalogue, within the configuration's limits."""
    info = next((known for known in known_streams() if known.name == config.stream.name), None)
    if info is None:
        return None
    test = _TEST_IMAGES.get(info.name) or round(info.images * config.stream.test_fraction)
    train = info.images - test
    if config.stream.train_per_class:
        train = min(train, config.stream.train_per_class * info.classes)
    if config.stream.test_per_class:
        test = min(test, config.stream.test_per_class * info.classes)
    return Images(train, test)


def _adapted_share(blocks: str, depth: int = 12) -> float:
    """The share of blocks behind the first adapted one."""
    kind, _, number = blocks.partition(":")
    if kind == "last" and number.isdigit():
        return min(1.0, int(number) / depth)
    numbers = [int(part) for part in blocks.split(",") if part.strip().isdigit()]
    return max(1, depth - min(numbers)) / depth if numbers else 1.0


def predict(planned: Work, known: tuple[Reference, ...]) -> Estimate | None:
    """From comparable runs: of this machine if there are any, and of the same method if there are any.

    The median of this machine's, which says how busy it usually is. Of the recorded ones the least: what else that
    machine did meanwhile could only add to them.
    """
    for here in (True, False):
        comparable = [one for one in known if one.here == here and one.work.backbone == planned.backbone]
        trained = [one for one in comparable if one.work.trains]
        alike = [one for one in comparable if one.work.trains == planned.trains]
        same = [one for one in alike if one.work.method == planned.method]
        # What a run without training takes is also part of a run with it.
        chosen = (same or alike or ([] if planned.trains else trained))[:REFERENCES]
        if chosen:
            usual = median if here else min
            rate = usual(one.learning / one.work.learning for one in trained) if trained else 0.0
            return Estimate(usual(_scaled(one, planned, rate) for one in chosen), _basis(len(chosen), here))
    return None


def _basis(count: int, here: bool) -> str:
    if not here:
        return "from the recorded runs, made on another machine"
    return f"from {count} finished runs on this machine" if count > 1 else "from one finished run on this machine"


def _scaled(one: Reference, planned: Work, rate: float) -> float:
    """The seconds of `planned`, had it been made where `one` was; `rate` is in seconds per unit of passes."""
    rest = one.total - one.learning
    encoding = min(rate * one.work.encoding, 0.9 * rest)
    seconds = rest - encoding + encoding * planned.encoding / max(one.work.encoding, 1.0)
    if one.work.trains != planned.trains:
        return seconds
    return seconds + one.learning * planned.learning / max(one.work.learning, 1.0)


def references() -> tuple[Reference, ...]:
    """Finished runs that say how long they took, the newest of this machine first."""
    ready = [card for card in available() if card.ready]
    cards = [card for card in ready if card.recorded] + [card for card in ready if not card.recorded][:_LATEST]
    found = [_reference(card.folder, card.recorded, stamp(card.folder)) for card in cards]
    return tuple(one for one in found if one is not None)


@lru_cache(maxsize=256)
def _reference(folder: Path, recorded: bool, changed: int) -> Reference | None:
    run = Run(folder)
    try:
        manifest, metrics, status = run.manifest, run.metrics, true_status(folder)
        config = RunConfig.model_validate(manifest.config)
        total = float(metrics["seconds"])
        learning = float(metrics["train_seconds"]) + float(metrics["evaluate_seconds"])
    except (UserError, ValueError, KeyError, TypeError):
        return None
    if not 0 < learning <= total:  # a resumed run counts only its last stretch
        return None
    images = Images(sum(task.train_images for task in manifest.tasks), sum(task.test_images for task in manifest.tasks))
    planned = planned_work(config, images)
    if planned is None:
        return None
    work = replace(planned, side=manifest.backbone.image_size)
    # An imported run names no process of ours.
    here = not recorded and status.get("pid") is not None and _same_machine(manifest)
    return Reference(work, _waited(folder, status, total), learning, here)


def _same_machine(manifest: Manifest) -> bool:
    made_on = manifest.hardware
    system = f"{platform.system()} {platform.machine()}"
    return made_on.get("cores") in (None, os.cpu_count()) and made_on.get("system") in (None, system)


def _waited(folder: Path, status: Mapping[str, Any], total: float) -> float:
    """Seconds from the click to the end; of a run from the command line only the seconds of its work are known."""
    try:
        began = (folder / "config.toml").stat().st_mtime
        waited = datetime.fromisoformat(str(status.get("updated"))).timestamp() - began
    except (OSError, ValueError):
        return total
    return waited if total <= waited <= total + 60 else total
