"""Every setting of a run that is worth changing by hand, kept in the URL."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_args

import streamlit as st

from app.reading.glossary import meaning
from app.shell.address import parameter, set_parameters
from app.training import sources
from app.training.image_choice import image_choice
from core.backbones import EMBEDDED
from core.config import RetrievalMode, RunConfig
from core.methods import method_names

_DEFAULTS = RunConfig()
_MANY = 10_000
"""Images of a task that are more than few: the default number of passes does not grow with them."""
_BACKBONES = (EMBEDDED, "tiny", "timm/vit_small_patch16_224.dino", "open_clip/ViT-B-16")


def settings() -> dict[str, Any]:
    """The controls; the choices as dotted keys of a RunConfig, None where the default stays."""
    source = image_choice("settings-images", settings=1)
    by, tasks, limit, side = st.columns(4)
    with by:
        divided = _select("Tasks are made of", "by", ["classes", "prefix"], "classes", _BY)
    with tasks:
        count = _number("Tasks", "tasks", 1, 1000, "automatic", disabled=divided == "prefix")
    with limit:
        most = _number("Training images per class", "limit", 1, 1_000_000, "all")
    with side:
        size = _number("Image side in pixels", "side", 8, 1024, "automatic")
    learner = _learner()
    return {
        "stream.name": source.stream,
        "stream.tasks": count if divided != "prefix" else None,
        "stream.task_by": divided if divided != "classes" else None,
        "stream.train_per_class": most,
        "backbone.image_size": size,
        **learner,
    }


_BY = {"classes": "classes, divided evenly", "prefix": "prefixes (Task--class)"}


def _learner() -> dict[str, Any]:
    """What learns, and how."""
    methods = method_names()
    first, second, third, fourth = st.columns(4)
    with first:
        method = _select("Method", "method", list(methods), _DEFAULTS.method.name)
    with second:
        backbone = _backbone()
    with third:
        epochs = _number("Epochs per task", "epochs", 0, 10_000, str(_DEFAULTS.training.passes(_MANY)))
    with fourth:
        seed = _number("Seed", "seed", 0, 2**31, str(_DEFAULTS.seed))
    st.caption(f"**{method}**: {methods[method]}")
    blocks, rank, mode, batch = st.columns(4)
    with blocks:
        adapted = _text("Adapted blocks", "blocks", _DEFAULTS.adapters.blocks, "all, last:4, first:6 or 8,9,11")
    with rank:
        new = _number(
            "Rank of later adapters", "rank", 1, 1024, str(_DEFAULTS.adapters.rank), help_text=meaning("rank")
        )
    with mode:
        retrieval = _select("Task retrieval", "retrieval", list(get_args(RetrievalMode)), _DEFAULTS.retrieval.mode)
    with batch:
        size = _number("Images per step", "batch", 1, 4096, str(_DEFAULTS.training.batch_size))
    kept_out, gates, start, share, varied = st.columns(5)
    with kept_out:
        held_out = _number(
            "Classes kept out", "heldout", 1, 10_000, "none",
            help_text="No task learns them: Compare shows what the model still knows of them.",
        )  # fmt: skip
    with gates:
        budget = _number(
            "Blocks left on", "budget", 1, 1000, "all" if method == "proteus" else "by their scores",
            disabled=method not in GATED, help_text="How many blocks keep an adapter, for methods with gates.",
        )  # fmt: skip
    with start:
        begins = _select("A head begins", "start", list(_STARTS), _DEFAULTS.training.head_start, _STARTS)
    with share:
        strength = _number(
            "Strength of adapters, %", "strength", 0, 100, f"{100 * _DEFAULTS.adapters.strength:.0f}",
            help_text="The share of the trained change that answers: a smaller one keeps more of what the model knew.",
        )  # fmt: skip
    with varied:
        augment = _select("Training images", "augment", list(_AUGMENTS), _DEFAULTS.training.augment, _AUGMENTS)
    return {
        "method.name": method,
        "method.active_blocks": budget if method in GATED else None,
        "stream.held_out": held_out,
        "training.augment": augment if augment != _DEFAULTS.training.augment else None,
        "training.head_start": begins if begins != _DEFAULTS.training.head_start else None,
        "backbone.name": backbone,
        "training.epochs": epochs,
        "training.batch_size": size,
        "seed": seed,
        "adapters.blocks": adapted,
        "adapters.rank": new,
        "adapters.strength": None if strength is None else strength / 100,
        "retrieval.mode": retrieval if retrieval != _DEFAULTS.retrieval.mode else None,
    }


GATED = ("proteus", "selective-lora", "taps")
"""The methods whose blocks a budget can switch off; written down, because asking them would load torch."""
_AUGMENTS = {
    "auto": "mirrored too, if photographs",
    "none": "as they are",
    "flip": "mirrored too",
    "crops": "in random crops",
}
_STARTS = {"zero": "at zero", "discriminant": "fitted to the images"}


def _backbone() -> str:
    value = parameter("backbone", EMBEDDED)
    options = [*_BACKBONES, *([value] if value not in _BACKBONES else [])]
    st.session_state["settings-backbone"] = value
    st.selectbox(
        "Backbone",
        options,
        key="settings-backbone",
        accept_new_options=True,
        help=f"{EMBEDDED} is built in. `tiny` is random and learns nothing useful. Others are downloaded: timm/… or "
        "open_clip/….",
        on_change=_keep,
        args=("backbone", EMBEDDED),
    )
    return value


def _select(label: str, key: str, options: Sequence[str], default: str, names: dict[str, str] | None = None) -> str:
    value = parameter(key, default, options)
    st.session_state[f"settings-{key}"] = value
    st.selectbox(
        label,
        options,
        key=f"settings-{key}",
        format_func=lambda name: (names or {}).get(name, name),
        on_change=_keep,
        args=(key, default),
    )
    return value


def _number(
    label: str, key: str, low: int, high: int, default: str, disabled: bool = False, help_text: str | None = None
) -> int | None:
    """A whole number, or None for the default, which is shown in grey."""
    value = sources.number(key, low, high)
    st.session_state[f"settings-{key}"] = value
    st.number_input(
        label, low, high, None, 1, key=f"settings-{key}", placeholder=default, disabled=disabled, on_change=_keep,
        args=(key, None), help=help_text,
    )  # fmt: skip
    return value


def _text(label: str, key: str, default: str, help_text: str) -> str | None:
    value = parameter(key, "")[:80]
    st.session_state[f"settings-{key}"] = value
    st.text_input(label, key=f"settings-{key}", placeholder=default, help=help_text, on_change=_keep, args=(key, ""))
    return value.strip() or None


def _keep(key: str, default: str | None) -> None:
    value = st.session_state[f"settings-{key}"]
    _put({key: None if value == default else value})


def _put(values: dict[str, Any]) -> None:
    set_parameters(settings=1, **values)
