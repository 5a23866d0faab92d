"""A run in words, for lists and for the first screen: its stream, its date, its figures, its state."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from app.reading.cards import RunCard
from core.data.catalog import known_streams

_STATES = {
    "queued": "waiting",
    "running": "training",
    "failed": "stopped by an error",
    "cancelled": "cancelled",
}


UNKNOWN = "–"


@dataclass(frozen=True)
class Figure:
    """One headline number."""

    label: str
    text: str
    """UNKNOWN where there is none: not known yet, or the method has no such thing."""


@dataclass(frozen=True)
class Group:
    """The runs of one stream."""

    stream: str
    title: str
    summary: str
    cards: tuple[RunCard, ...]


def stream_title(stream: str) -> str:
    """'split-fashion' as 'Split-Fashion'; other names as they are."""
    return stream.title() if stream.startswith("split-") else stream


def stream_summary(stream: str) -> str:
    """What the images of a stream of the catalogue are; empty for images of one's own."""
    return next((info.summary for info in known_streams() if info.name == stream), "")


def when(card: RunCard) -> str:
    """'25 Nov 2026, 02:49 UTC'; empty where it is not known."""
    try:
        moment = datetime.fromisoformat(card.created)
    except ValueError:
        return ""
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    return f"{moment.day} {moment:%b %Y, %H:%M} UTC"


def mark(card: RunCard) -> str:
    """What sets a run apart in a list: 'recorded', a state other than finished, or nothing."""
    if card.problem:
        return "cannot be opened"
    return _STATES.get(card.state, "recorded" if card.recorded else "")


def figures(card: RunCard) -> tuple[Figure, ...]:
    """Accuracy, forgetting and retrieval of a run."""
    points = UNKNOWN if card.forgetting is None else f"{100 * card.forgetting:.1f} points"
    return (
        Figure("accuracy", _percent(card.accuracy)),
        Figure("forgotten", points),
        Figure("right task", _percent(card.retrieval)),
    )


def groups(cards: Iterable[RunCard], first: str = "") -> list[Group]:
    """Runs by stream, the stream `first` before the others and those with no stream yet last; else in their order."""
    found: dict[str, list[RunCard]] = {}
    for card in cards:
        found.setdefault(card.stream, []).append(card)
    order = sorted(found, key=lambda stream: (stream != first, not stream))
    return [_group(stream, found[stream]) for stream in order]


def _group(stream: str, cards: list[RunCard]) -> Group:
    if not stream:
        return Group("", "Not begun, or not readable", "", tuple(cards))
    sizes = {(card.classes, card.tasks) for card in cards}
    cut = f"{cards[0].classes} classes in {cards[0].tasks} tasks" if len(sizes) == 1 else "cut in several ways"
    return Group(stream, stream_title(stream), ", ".join(filter(None, [stream_summary(stream), cut])), tuple(cards))


def _percent(share: float | None) -> str:
    return UNKNOWN if share is None else f"{share:.1%}"
