"""The Streamlit component around `way.css` and `way.js`."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import streamlit as st

from app.components.browser import joined
from app.figures.palette import DISTINCT, GREY, Theme, colours
from app.reading.adapter_files import SiteUpdate, shrunk
from app.reading.cards import RunCard
from app.reading.explain import bars
from app.reading.glossary import glossary
from app.reading.pictures import Pictures, data_url, overlay
from app.reading.way import Space, Way
from core.errors import UserError

_FOLDER = Path(__file__).parent
_component = st.components.v2.component(
    "proteus_image_way",
    css=(_FOLDER / "way.css").read_text(encoding="utf-8"),
    js=joined(_FOLDER / "way.js"),
)
_EMPHASISED = re.compile(r"(?<!\*)\*([^*]+)\*(?!\*)")
_CELLS = 96  # along a side of ΔW
_THEMES: tuple[Theme, ...] = ("light", "dark")


def image_way(card: RunCard, way: Way, step: int, move: Callable[[int], None], *, key: str) -> None:
    """Show the way at stage `step`, from 0; `move` is told, before the page is drawn again, where the reader went."""

    def moved() -> None:
        to = st.session_state[key].get("step")
        if isinstance(to, int) and 0 <= to < len(way.stages):
            move(to)

    _component(data=picture_of(card, way, step), key=key, on_step_change=moved)


def picture_of(card: RunCard, way: Way, step: int) -> dict[str, Any]:
    """What the browser draws, as `Way` in `way.js`."""
    answer, names = way.answer, way.names
    own = max(way.units.max(initial=0.0), 1e-12)
    return {
        "step": step,
        "stages": [vars(stage) for stage in way.stages],
        "meanings": _meanings(stage.text for stage in way.stages),
        "pictures": _pictures(card, [way.image, *way.near.images]),
        "patches": way.patches,
        "units": np.round(way.units / own, 3).tolist(),
        "depth": way.units.shape[1],
        "lit": way.lit,
        "own": way.kind == "own",
        "vector": _small(way.vector),
        "space": _space(way.space, way) if way.space else None,
        "bars": [
            {
                "task": bar.task,
                "name": names.tasks[bar.task],
                "length": round(bar.length, 4),
                "value": _gap(bar.gap),
                "retrieved": bar.retrieved,
                "true": bar.true,
            }
            for bar in bars(answer)
        ],
        "near": _near(way),
        "update": _update(way.update) if way.update else None,
        "head": _head(way),
        "answer": {
            "says": names.classes[answer.predicted] if answer.predicted is not None else "–",
            "is": names.classes[answer.label] if answer.label is not None else "–",
            "right": answer.predicted == answer.label,
            "task": answer.retrieved,
            "taskName": names.tasks[answer.retrieved],
        },
        "palettes": {theme: _palette(len(names.tasks), theme, answer.retrieved) for theme in _THEMES},
    }


def _meanings(texts: Iterable[str]) -> dict[str, str]:
    """What the *emphasised* words of the texts mean, where the glossary knows them, one or several."""
    words = {word.lower() for text in texts for word in _EMPHASISED.findall(text)}
    known = glossary()
    terms = {word: known.get(word) or known.get(word.removesuffix("s")) for word in words}
    return {word: term.means for word, term in terms.items() if term is not None}


def _pictures(card: RunCard, chosen: list[int]) -> list[str]:
    """The image and its neighbours; without readable thumbnails the browser shows empty squares."""
    pictures = Pictures(card)
    try:
        return [data_url(pictures.one(image)) for image in chosen]
    except UserError:
        return []


def _palette(tasks: int, theme: Theme, highlight: int) -> dict[str, Any]:
    shown = colours(tasks, theme, highlight if tasks > DISTINCT else None)
    return {"colours": shown, "grey": GREY[theme], "accent": None}


def _small(vector: np.ndarray) -> list[int]:
    """-100 … 100, from the vector's 98th percentile of sizes on."""
    most = float(np.percentile(np.abs(vector), 98)) if len(vector) else 0.0
    return np.rint(100 * np.clip(vector / (most or 1.0), -1, 1)).astype(int).tolist()


def _space(space: Space, way: Way) -> dict[str, Any]:
    chosen = (way.answer.retrieved, way.answer.component)
    return {
        "points": [[*np.round(at, 3).tolist(), int(task)] for at, task in zip(space.points, space.tasks, strict=True)],
        "centres": [
            [*np.round(at, 3).tolist(), *pair, pair == chosen]
            for at, pair in zip(space.centres, space.components, strict=True)
        ],
        "image": space.image,
    }


def _near(way: Way) -> str:
    if way.near.component < 0:
        return ""
    of = f", mostly {way.names.classes[way.near.label]}" if way.near.label is not None else ""
    return f"Component {way.near.component + 1} of task {way.near.task + 1}{of}"


def _update(update: SiteUpdate) -> dict[str, Any]:
    rank, width = update.down.shape
    return {
        "site": update.site,
        "rank": rank,
        "width": width,
        "out": len(update.up),
        "down": _matrix(shrunk(update.down, rank, _CELLS)),
        "up": _matrix(shrunk(update.up, _CELLS, rank)),
        "delta": _matrix(shrunk(update.delta, _CELLS, _CELLS)),
    }


def _matrix(values: np.ndarray) -> str:
    return overlay(values, float(np.percentile(np.abs(values), 99)), negative=True)


def _head(way: Way) -> list[dict[str, Any]]:
    """The likeliest classes first, each with its share after softmax."""
    if not way.head:
        return []
    scores = np.array([score for _, score in way.head])
    shares = np.exp(scores - scores.max())
    shares /= shares.sum()
    order = np.argsort(-scores, kind="stable")[:8]
    return [
        {
            "name": way.names.classes[way.head[place][0]],
            "score": f"{scores[place]:.1f}",
            "share": round(float(shares[place]), 4),
            "chosen": way.head[place][0] == way.answer.predicted,
        }
        for place in order
    ]


def _gap(gap: float) -> str:
    if not math.isfinite(gap):
        return "not considered"
    return "best" if gap == 0 else f"−{gap:.2g}" if gap < 1 else f"−{gap:.1f}" if gap < 100 else f"−{gap:.0f}"
