"""Names for the places that can be adapted: (block, projection). Maps, gates, configuration and files all use them."""

from __future__ import annotations

import re
from typing import NamedTuple

from core.errors import UserError

PROJECTIONS = ("q", "k", "v", "o", "fc1", "fc2")


class Site(NamedTuple):
    """A projection of a block, blocks counted from 0."""

    block: int
    projection: str

    @property
    def name(self) -> str:
        """'8/q': the form used in files and in `state_dict` (which forbids dots)."""
        return f"{self.block}/{self.projection}"

    @classmethod
    def parse(cls, name: str) -> Site:
        """The site called `name`. Raises ValueError when it is not one."""
        block, _, projection = name.partition("/")
        if not block.isdigit() or projection not in PROJECTIONS:
            raise ValueError(f"“{name}” is not a site: write block/projection, such as 8/q")
        return cls(int(block), projection)


def parse_blocks(text: str, depth: int) -> tuple[int, ...]:
    """Block numbers, ascending, of 'all', 'last:N', 'first:N', '8-11' or '8,9,11' in a backbone of `depth` blocks.

    Raises UserError when the text is not of that form or names a block that is not there.
    """
    text = text.replace(" ", "")
    if text == "all":
        return tuple(range(depth))
    if match := re.fullmatch(r"(last|first):(\d+)", text):
        count = int(match[2])
        if not 1 <= count <= depth:
            raise UserError(f"blocks “{text}”: this backbone has {depth} blocks, so N is 1 to {depth}.")
        return tuple(range(depth - count, depth) if match[1] == "last" else range(count))
    if not re.fullmatch(r"\d+(-\d+)?(,\d+(-\d+)?)*", text):
        raise UserError(f"blocks “{text}” is not understood: write all, last:4, first:4 or a list such as 8,9,11.")
    blocks: set[int] = set()
    for part in text.split(","):
        first, _, last = part.partition("-")
        blocks.update(range(int(first), int(last or first) + 1))
    if not blocks or max(blocks) >= depth:
        raise UserError(f"blocks “{text}”: this backbone's blocks are 0 to {depth - 1}.")
    return tuple(sorted(blocks))


def sites_of(blocks: tuple[int, ...], projections: tuple[str, ...]) -> tuple[Site, ...]:
    """Every (block, projection), ordered by block and then as PROJECTIONS."""
    ordered = [projection for projection in PROJECTIONS if projection in projections]
    return tuple(Site(block, projection) for block in blocks for projection in ordered)
