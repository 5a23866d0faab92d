"""What a run was made with, in words that go under its figures."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from app.reading.cards import RunCard
from app.reading.run_words import when
from app.reading.tables import manifest, metrics


def about(card: RunCard) -> str:
    """A run and its main settings in a line."""
    known = manifest(card)
    return (
        f"Run “{known.title}” ({card.name}): {known.method} on {known.stream}, {known.backbone.title}, "
        f"{known.backbone.image_size} px, seed {known.seed}."
    )


def settings(card: RunCard) -> str:
    """The same with how it was trained, on what, when, and by which version: all that its folder says."""
    parts = [*_trained(card), *_made(card)]
    said = "; ".join(filter(None, parts))
    return f"{about(card)} {said[:1].upper()}{said[1:]}."


def _trained(card: RunCard) -> Iterator[str]:
    """Settings of training, of a run in which anything was trained."""
    found: Any = metrics(card).get("trainable_parameters_per_task") or ()
    if not any(found):
        return
    config = manifest(card).config
    training, adapters = config.get("training", {}), config.get("adapters", {})
    names = {"epochs": "{} epochs", "batch_size": "batches of {}", "learning_rate": "learning rate {}"}
    yield ", ".join(words.format(training[key]) for key, words in names.items() if training.get(key) is not None)
    if adapters.get("rank") is not None:
        first = adapters.get("first_rank")
        yield f"rank {adapters['rank']}{f' (first task {first})' if first not in (None, adapters['rank']) else ''}"


def _made(card: RunCard) -> Iterator[str]:
    known = manifest(card)
    mode = known.config.get("retrieval", {}).get("mode")
    yield f"retrieval {mode}" if mode and card.retrieval is not None else ""
    precision, device = (known.hardware.get(key) for key in ("precision", "device"))
    yield f"{precision} on {device}" if precision and device else ""
    yield when(card)
    version = known.versions.get("proteus-lab")
    yield f"Proteus Lab {version}" if version else ""
