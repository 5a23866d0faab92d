"""Why a model answered as it did, asked of the process that holds it; the last answers are kept for all sessions."""

from __future__ import annotations

import hashlib
import tempfile
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import streamlit as st

from app.reading.cards import RunCard, stamp
from app.workers.helper import helper
from core.errors import UserError
from core.runs.evidence import Kind

_KEPT = 32
_kept: OrderedDict[tuple[Any, ...], dict[str, Any]] = OrderedDict()
_lock = threading.Lock()


def why(
    card: RunCard, image: int | bytes, tick: Callable[[], None], kind: Kind = "task", against: int | None = None
) -> dict[str, Any]:
    """As `app.workers.answer_images` says with "explain": `Evidence.document`, attention and the picture.

    `image` is the number of one of the run's images or the bytes of another picture. Calls `tick` while waiting.
    Raises UserError where the image or the model cannot be had.
    """
    name = image if isinstance(image, int) else hashlib.sha256(image).hexdigest()
    question: dict[str, Any] = {"explain": {"against": against, "kind": kind}}

    def ask(question: dict[str, Any]) -> dict[str, Any]:
        if isinstance(image, int):
            return helper("answer_images").ask(question | {"image": image}, tick)
        return _of_file(question, image, tick)

    return _once(card, (name, kind, against), question, ask)


def apart(card: RunCard, image: int, other: int, tick: Callable[[], None]) -> dict[str, Any]:
    """What sets two of the run's images apart, as `app.workers.answer_images` says with "beside"; raises as `why`."""
    question = {"image": image, "beside": other}
    return _once(card, ("beside", image, other), question, lambda asked: helper("answer_images").ask(asked, tick))


def _once(
    card: RunCard, about: tuple[Any, ...], question: dict[str, Any], ask: Callable[[dict[str, Any]], dict[str, Any]]
) -> dict[str, Any]:
    """The answer to a question about a run: the one that was given before, where the run is still the same."""
    key = (card.folder.resolve(), stamp(card.folder), *about)
    with _lock:
        if key in _kept:
            _kept.move_to_end(key)
            return _kept[key]
    found = ask({"run": str(key[0])} | question)
    with _lock:
        _kept[key] = found
        while len(_kept) > _KEPT:
            _kept.popitem(last=False)
    return found


def _of_file(question: dict[str, Any], picture: bytes, tick: Callable[[], None]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as beside:
        path = Path(beside) / "picture"
        path.write_bytes(picture)
        try:
            return helper("answer_images").ask(question | {"image": str(path)}, tick)
        except UserError as error:
            raise UserError(str(error).replace(str(path), "The picture")) from None


def asked(card: RunCard, image: int | bytes) -> dict[str, Any]:
    """As `why`; on the page while the model is loading, for how long. Raises UserError as `why` does."""
    return _waiting(lambda tick: why(card, image, tick))


def asked_apart(card: RunCard, image: int, other: int) -> dict[str, Any]:
    """As `apart`; on the page while the model is loading, for how long. Raises UserError as `why` does."""
    return _waiting(lambda tick: apart(card, image, other, tick))


def _waiting(ask: Callable[[Callable[[], None]], dict[str, Any]]) -> dict[str, Any]:
    line, began = st.empty(), time.monotonic()

    def tick() -> None:
        seconds = time.monotonic() - began
        doing = "Asking the model" if seconds < 1 else "Loading the model and asking it"
        line.caption(f":material/hourglass_top: {doing}: {seconds:.0f} s")

    try:
        return ask(tick)
    finally:
        line.empty()
