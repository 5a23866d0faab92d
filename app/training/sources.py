"""Which images to train on, as the URL says: `?data=` names an upload, `?folder=` a folder or zip of this machine,
`?stream=` a stream of the catalogue; `?tasks=`, `?by=` and `?limit=` say how they are cut into tasks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.shell import demo
from app.shell.address import parameter
from app.training import datasets
from app.training.presets import stream_choices
from core.data.catalog import SPLIT_FASHION, known_streams

KEYS = ("data", "folder", "stream")
DIVISION_KEYS = ("tasks", "by", "limit")


@dataclass(frozen=True)
class Source:
    """Images that can be trained on."""

    key: str
    """One of KEYS."""
    value: str
    """The value of that key in the URL."""
    name: str
    """For people."""
    stream: str
    """`stream.name` of the configuration."""
    network: bool = False
    """Downloaded on first use."""

    @property
    def parameters(self) -> dict[str, str | None]:
        """The URL keys that choose this source and no other."""
        return {**dict.fromkeys(KEYS), self.key: self.value}


def default() -> Source:
    """The source that is always there."""
    return Source("stream", SPLIT_FASHION, SPLIT_FASHION, SPLIT_FASHION)


def catalogue() -> list[Source]:
    """The streams that have names."""
    return [Source("stream", info.name, info.name, info.name, info.network) for info in known_streams()]


def built_in() -> list[Source]:
    """The streams that need no download."""
    return [source for source in catalogue() if not source.network]


def uploaded() -> list[Source]:
    """The zips that were uploaded, newest first; none in a demo."""
    return [] if demo.enabled() else [_upload(found) for found in datasets.kept()]


def _upload(found: datasets.Dataset) -> Source:
    return Source("data", found.identity, found.name, str(found.path.resolve()))


def own() -> Source | None:
    """The person's own images that the URL names; None where it names none, and in a demo."""
    if demo.enabled():
        return None
    if identity := parameter("data", ""):
        found = datasets.find(identity)
        return _upload(found) if found is not None else None
    if folder := parameter("folder", "").strip():
        try:
            path = Path(folder).expanduser().resolve()
        except (OSError, ValueError, RuntimeError):  # no path at all, such as ~nobody
            return None
        name = path.stem if path.suffix == ".zip" else path.name
        return Source("folder", folder, name or folder, str(path))
    return None


def inspected() -> Source | None:
    """The images that Your data looks into: the person's own, or a built-in stream that the URL names."""
    named = parameter("stream", "")
    return own() or next((source for source in built_in() if source.value == named), None)


def chosen() -> Source:
    """The source that the URL names, else the default."""
    named = parameter("stream", SPLIT_FASHION)
    return own() or next((source for source in catalogue() if source.value == named), default())


def is_missing() -> bool:
    """Whether the URL names images of the person's own that are not here."""
    named = bool(parameter("data", "") or parameter("folder", "").strip())
    return named and not demo.enabled() and own() is None


def number(key: str, low: int, high: int) -> int | None:
    """`?key=` as a whole number between `low` and `high`; None where it is anything else."""
    text = parameter(key, "")
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 12 and low <= int(text) <= high else None


def division() -> dict[str, Any]:
    """How the URL says that the classes are cut into tasks, as arguments of `stream_choices`."""
    by = parameter("by", "", ("classes", "prefix")) or None
    return {"tasks": number("tasks", 1, 1000), "by": by, "limit": number("limit", 1, 1_000_000)}


def choices() -> dict[str, Any]:
    """The chosen stream, cut as the URL says, as dotted keys of a RunConfig."""
    return stream_choices(chosen().stream, **division())
