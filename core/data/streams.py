"""Streams of tasks: `open_stream` turns a configuration into the images of each task.

A stream's name is resolved in this order: a name of `known_streams`, an existing folder or zip file, several of these
joined by '+'. The parts of a mixed stream follow one another; `tasks`, `task_by` and the limits then count for each
part by itself, classes of the same name are told apart by their part's name, and `task_classes` may mix parts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from core.data.catalog import StreamInfo, known_streams

if TYPE_CHECKING:
    from pathlib import Path

    from core.config import StreamConfig
    from core.data.tasks import Stream

__all__ = ["StreamInfo", "known_streams", "open_stream"]


def open_stream(config: StreamConfig, seed: int, cache: Path | None = None) -> Stream:
    """The stream that `config` describes. The same configuration, seed and images give the same stream.

    `seed` draws the order of the classes and, where there is no test folder, the test images of each class. Limits keep
    the first readable images in natural order of their names, whatever the seed. `cache` is where downloaded sets are
    kept; by default the `data` folder of the user's cache, or of PROTEUS_CACHE.

    Raises UserError, one line, when the images cannot be had or cannot be divided as asked.
    """
    from core.data.building import build, read_parts

    return build(config, read_parts(config.name, cache), seed)
