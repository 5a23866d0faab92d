"""From candidate pictures to the ones that are used: checked, limited, and compared with each other."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

from core.data.images import Item, UnreadableImage, workers
from core.data.report import Duplicate, Skipped
from core.errors import UserError


@dataclass
class Shelf:
    """The pictures of one class and split: candidates on one side, checked ones on the other."""

    class_name: str
    split: str
    """'training' or 'test'."""
    candidates: Sequence[Item]
    limit: int | None
    kept: list[Item] = field(default_factory=list)
    _next: int = 0

    @property
    def is_limited(self) -> bool:
        return self.limit is not None and self.limit < len(self.candidates)

    def wanted(self) -> Sequence[Item]:
        """The next candidates to check: as many as the limit still has room for."""
        room = len(self.candidates) if self.limit is None else self.limit - len(self.kept)
        batch = self.candidates[self._next : self._next + room]
        self._next += len(batch)
        return batch


def fill(shelves: Sequence[Shelf]) -> list[Skipped]:
    """Check candidates until each shelf holds its limit's worth, or has no more; return the unreadable ones.

    A limit keeps the first readable images in natural order of their names, so that results can be compared between
    machines and between seeds; only those are read. Raises UserError when a shelf stays empty.
    """
    skipped: list[Skipped] = []
    with ThreadPoolExecutor(workers()) as pool:
        while batch := [(shelf, item) for shelf in shelves for item in shelf.wanted()]:
            for (shelf, item), outcome in zip(batch, pool.map(_checked, (item for _, item in batch)), strict=True):
                if isinstance(outcome, Item):
                    shelf.kept.append(outcome)
                else:
                    skipped.append(Skipped(item.name, outcome))
    for shelf in shelves:
        if not shelf.kept:
            raise UserError(
                f"Class “{shelf.class_name}” has no readable {shelf.split} image: replace the broken files "
                f"(such as {shelf.candidates[0].name}) or remove the class."
            )
    return skipped


def _checked(item: Item) -> Item | str:
    """The item with its identity, or why it cannot be used."""
    try:
        return replace(item, identity=item.picture.identity())
    except UnreadableImage as error:
        return str(error)


def duplicates(shelves: Iterable[Shelf]) -> list[Duplicate]:
    """Every kept picture whose content is that of one kept before it."""
    first: dict[str, tuple[Item, Shelf]] = {}
    found: list[Duplicate] = []
    for shelf in shelves:
        for item in shelf.kept:
            if item.identity not in first:
                first[item.identity] = (item, shelf)
                continue
            same, there = first[item.identity]
            found.append(
                Duplicate(item.name, same.name, shelf.split != there.split, shelf.class_name != there.class_name)
            )
    return found
