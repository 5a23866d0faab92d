"""What a run is called where nobody gave it a title: its method in words, and what differs from the defaults."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any

from core.config import RunConfig

_METHODS = {
    "proteus": "Proteus",
    "sequential": "Sequential LoRA",
    "joint": "All tasks at once",
    "lda": "LDA on frozen features",
    "ncm": "Nearest class mean",
    "ranpac": "RanPAC",
    "lwf": "Learning without forgetting",
    "o-lora": "O-LoRA",
    "sd-lora": "SD-LoRA",
    "selective-lora": "Selective LoRA",
    "taps": "TAPS",
}
"""A method that is not here is called by its own name, with a capital letter."""
_WORDS: dict[str, Callable[[Any], str]] = {
    "seed": lambda value: f"seed {value}",
    "stream.tasks": lambda value: f"{value} tasks",
    "stream.train_per_class": lambda value: f"{value} images per class",
    "stream.held_out": lambda value: f"{value} classes held out",
    "backbone.name": str,
    "backbone.image_size": lambda value: f"{value} px",
    "adapters.blocks": lambda value: _blocks(str(value)),
    "adapters.projections": lambda value: f"adapters on {', '.join(map(str, value))}",
    "adapters.strength": lambda value: f"{value:.0%} of the update",
    "training.epochs": lambda value: f"{value} epoch{'' if value == 1 else 's'}",
    "retrieval.mode": lambda value: f"{value} retrieval",
    "retrieval.views": lambda value: f"{value} views",
    "retrieval.features": lambda value: f"{value} features",
    "retrieval.shortlist": lambda value: f"shortlist of {value}",
    "retrieval.draw_in": lambda value: "means drawn in",
}
_SAID_ELSEWHERE = (
    "stream.name",
    "stream.test_per_class",
    "stream.task_by",
    "stream.task_classes",
    "method.name",
    "training.device",
    "training.precision",
    "training.cache",
    "training.cache_mb",
    "retention",
    "record",
)
"""What does not tell runs of one stream and method apart, or changes no result."""
_FORMER = {
    "training.epochs": 5,
    "training.learning_rate": 0.001,
    "retrieval.head_weight": 4.0,
    "method.transfer": 0.006,
}
"""Defaults of earlier versions, and what today's come to for most tasks: they tell nothing of a run either."""
_MOST = 3


def method_title(method: str) -> str:
    """A method's name as people write it."""
    return _METHODS.get(method) or method[:1].upper() + method[1:].replace("-", " ")


def run_title(config: Mapping[str, Any]) -> str:
    """The title of a run with this resolved configuration: "Proteus · last 2 blocks · 10 epochs".

    Not more than three settings are named. The stream is not: lists of runs are grouped by it.
    """
    method = str(_section(config, "method").get("name", ""))
    known = _defaults()
    differing = [
        _in_words(path, value)
        for path, value in _values(config)
        if value is not None
        and not path.startswith(_SAID_ELSEWHERE)
        and value not in (known.get(path), _FORMER.get(path))
    ]
    more = [f"and {len(differing) - _MOST} more"] if len(differing) > _MOST else []
    return " · ".join([method_title(method), *differing[:_MOST], *more])


@cache
def _defaults() -> dict[str, Any]:
    return dict(_values(RunConfig().model_dump(mode="json")))


def _values(config: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """(dotted path, value) of every setting."""
    for section, value in config.items():
        if isinstance(value, Mapping):
            yield from ((f"{section}.{key}", inner) for key, inner in value.items())
        else:
            yield section, value


def _section(config: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = config.get(name)
    return found if isinstance(found, Mapping) else {}


def _in_words(path: str, value: Any) -> str:
    try:
        return _WORDS[path](value)
    except (KeyError, TypeError, ValueError):  # a setting without words of its own, or a value of a strange kind
        name = path.rpartition(".")[2].replace("_", " ")
        return f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}"


def _blocks(value: str) -> str:
    """'last:2' as 'last 2 blocks'."""
    which, _, count = value.partition(":")
    if count:
        return f"{which} {count} blocks" if count != "1" else f"{which} block"
    return "all blocks" if value == "all" else f"blocks {value}"
