"""The steps behind `open_stream`: read the parts, divide their classes, select the images, number the classes."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from core.config import StreamConfig
from core.data.catalog import SPLIT_DIGITS, SPLIT_FASHION, known_streams
from core.data.collection import Collection, candidates
from core.data.division import Part, by_count, by_list, by_prefix
from core.data.images import ImageSet, Item
from core.data.report import LISTED, TINY_CLASS, ClassCount, Report, Skipped
from core.data.selection import Shelf, duplicates, fill
from core.data.tasks import HeldOut, Stream, Task
from core.errors import UserError, nearest
from core.files import cache_folder


@dataclass(frozen=True)
class _Source:
    """Where a class of the stream comes from: a collection and the class's own name in it."""

    collection: Collection
    name: str


def read_parts(name: str, cache: Path | None) -> list[Collection]:
    """The collection behind each part of a stream's name; parts of the same short name are numbered.

    Raises UserError when one cannot be found or read, or is given twice.
    """
    whole = name.strip()
    texts = [whole] if _path(whole).exists() else [part.strip() for part in whole.split("+")]
    if repeated := next((text for text, count in Counter(texts).items() if count > 1), None):
        raise UserError(f"“{repeated}” is twice in the stream “{name}”: keep it once.")
    parts = [_read(text, cache) for text in texts]
    names = [part.name for part in parts]
    earlier = [names[:index].count(name) for index, name in enumerate(names)]
    return [replace(part, name=f"{part.name}-{n + 1}") if n else part for part, n in zip(parts, earlier, strict=True)]


def _read(text: str, cache: Path | None) -> Collection:
    if text == SPLIT_DIGITS:
        from core.data.digits import read_digits

        return read_digits()
    if text == SPLIT_FASHION:
        from core.data.fashion import read_fashion

        return read_fashion()
    known = [info.name for info in known_streams()]
    if text in known:
        from core.data.torchvision_sets import read_torchvision

        return read_torchvision(text, cache or cache_folder() / "data")
    path = _path(text)
    if text and path.exists():
        from core.data.folders import read_folder_or_zip

        return read_folder_or_zip(path)
    if any(mark in text for mark in "/\\~") or text.endswith(".zip"):
        raise UserError(f"No folder or zip file at {text}: check the path.")
    raise UserError(
        f"Unknown stream “{text}”.{nearest(text, known)} Give the path of a folder or zip of class folders, or one of: "
        f"{', '.join(known)}."
    )


def _path(text: str) -> Path:
    return Path(text).expanduser()


def build(config: StreamConfig, parts: Sequence[Collection], seed: int) -> Stream:
    """The stream made of `parts`; see `core.data.streams.open_stream`."""
    sources = _sources(parts)
    _require_two(list(sources), parts)
    apart = _apart(config, list(sources), seed)
    division = _divide(config, parts, {name: source for name, source in sources.items() if name not in apart}, seed)
    class_names = [name for part in division for name in part.classes]
    _require_two(class_names, parts)
    shelves = _shelves(config, sources, class_names, seed, mixed=len(parts) > 1)
    skipped = [entry for part in parts for entry in part.skipped] + fill(shelves)
    kept = {(shelf.class_name, shelf.split): shelf.kept for shelf in shelves}
    numbers = {name: number for number, name in enumerate(class_names)}

    def images(names: Sequence[str], split: str) -> ImageSet:
        rows = [(item, numbers[name]) for name in names for item in kept[name, split]]
        return ImageSet([item for item, _ in rows], [number for _, number in rows])

    tasks = tuple(
        Task(
            index,
            part.name,
            tuple(numbers[name] for name in part.classes),
            images(part.classes, "training"),
            images(part.classes, "test"),
        )
        for index, part in enumerate(division)
    )
    held_out = _held_out(config, sources, apart, seed) if apart else None
    sizes = {part.image_size for part in parts}
    return Stream(
        name="+".join(part.name for part in parts),
        class_names=tuple(class_names),
        tasks=tasks,
        image_size=sizes.pop() if len(sizes) == 1 else None,
        fingerprint=_fingerprint(class_names, tasks, held_out),
        report=_report(config, parts, [n for n in sources if n not in numbers and n not in apart], shelves, skipped),
        held_out=held_out,
    )


def _apart(config: StreamConfig, names: list[str], seed: int) -> list[str]:
    """The classes that no task may learn: drawn by the seed from those that no list of tasks names."""
    listed = {name for task in config.task_classes or () for name in task}
    free = [name for name in names if name not in listed]
    most = len(free) if listed else len(free) - 2
    if config.held_out > most:
        raise UserError(f"held_out is {config.held_out}, but at most {max(most, 0)} classes can be spared: lower it.")
    order = np.random.default_rng(seed).permutation(len(free))
    return [free[index] for index in sorted(order[len(free) - config.held_out :])]


def _held_out(config: StreamConfig, sources: dict[str, _Source], names: Sequence[str], seed: int) -> HeldOut:
    limit = config.held_out_per_class
    limited = config.model_copy(update={"train_per_class": limit, "test_per_class": limit})
    shelves = _shelves(limited, sources, names, seed, mixed=False)
    fill(shelves)
    half = len(names)
    parts = [
        ImageSet(
            [item for shelf in side for item in shelf.kept],
            [number for number, shelf in enumerate(side) for _ in shelf.kept],
        )
        for side in (shelves[:half], shelves[half:])
    ]
    return HeldOut(tuple(names), *parts)


def _require_two(class_names: Sequence[str], parts: Sequence[Collection]) -> None:
    if len(class_names) < 2:
        where = " and ".join(part.where for part in parts)
        raise UserError(f"The stream from {where} has only the class “{class_names[0]}”: it needs at least two.")


def _sources(parts: Sequence[Collection]) -> dict[str, _Source]:
    """Class name in the stream → where it comes from; names that several parts share are prefixed."""
    shared = {name for name, count in Counter(name for part in parts for name in part.class_names).items() if count > 1}
    return {
        f"{part.name}/{name}" if name in shared else name: _Source(part, name)
        for part in parts
        for name in part.class_names
    }


def _divide(config: StreamConfig, parts: Sequence[Collection], sources: dict[str, _Source], seed: int) -> list[Part]:
    if config.task_classes is not None:
        return by_list(list(sources), config.task_classes)
    division: list[Part] = []
    for collection in parts:
        shown = {source.name: name for name, source in sources.items() if source.collection is collection}
        if config.task_by == "prefix":
            own = by_prefix(list(shown), config.tasks, collection.where)
        else:
            count = config.tasks if config.tasks is not None else collection.tasks
            order_seed = seed if collection.order is None else None
            own = by_count(list(shown), count, order_seed, collection.where)
        prefix = f"{collection.name}: " if len(parts) > 1 else ""
        division += [Part(prefix + part.name, tuple(shown[name] for name in part.classes)) for part in own]
    return division


def _shelves(
    config: StreamConfig, sources: dict[str, _Source], class_names: Sequence[str], seed: int, mixed: bool
) -> list[Shelf]:
    """The shelves of every used class, training before test: of two copies the test image is the one reported."""
    training: list[Shelf] = []
    test: list[Shelf] = []
    for name in class_names:
        source = sources[name]
        part = source.collection
        train_items, test_items = candidates(part, source.name, config.test_fraction, seed)
        if mixed:
            train_items, test_items = _prefixed(part.name, train_items), _prefixed(part.name, test_items)
        training.append(Shelf(name, "training", train_items, config.train_per_class))
        test.append(Shelf(name, "test", test_items, config.test_per_class))
    return training + test


def _prefixed(part: str, items: Sequence[Item]) -> list[Item]:
    return [replace(item, name=f"{part}/{item.name}") for item in items]


def _fingerprint(class_names: Sequence[str], tasks: Sequence[Task], held_out: HeldOut | None) -> str:
    digest = hashlib.sha256("\0".join(class_names).encode())
    for task in tasks:
        digest.update(f"\n{task.name}\0{task.classes}\0{task.train.fingerprint}\0{task.test.fingerprint}".encode())
    if held_out:
        digest.update(f"\n{held_out.class_names}\0{held_out.train.fingerprint}\0{held_out.test.fingerprint}".encode())
    return digest.hexdigest()


def _report(
    config: StreamConfig,
    parts: Sequence[Collection],
    unused: Sequence[str],
    shelves: Sequence[Shelf],
    skipped: Sequence[Skipped],
) -> Report:
    training = [shelf for shelf in shelves if shelf.split == "training"]
    test = [shelf for shelf in shelves if shelf.split == "test"]
    limits: dict[str, int | float] = {}
    if config.train_per_class is not None and any(shelf.is_limited for shelf in training):
        limits["train_per_class"] = config.train_per_class
    if config.test_per_class is not None and any(shelf.is_limited for shelf in test):
        limits["test_per_class"] = config.test_per_class
    if any(part.test is None for part in parts):
        limits["test_fraction"] = config.test_fraction
    copies = duplicates(shelves)
    return Report(
        classes=tuple(ClassCount(a.class_name, len(a.kept), len(b.kept)) for a, b in zip(training, test, strict=True)),
        train_images=sum(len(shelf.kept) for shelf in training),
        test_images=sum(len(shelf.kept) for shelf in test),
        skipped=tuple(skipped[:LISTED]),
        skipped_count=len(skipped),
        tiny_classes=tuple(shelf.class_name for shelf in training if len(shelf.candidates) < TINY_CLASS),
        unused_classes=tuple(unused),
        duplicates=tuple(copies[:LISTED]),
        duplicate_count=len(copies),
        duplicates_across_splits=sum(copy.across_splits for copy in copies),
        duplicates_across_classes=sum(copy.across_classes for copy in copies),
        limits=limits,
    )
