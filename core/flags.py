"""A configuration from what is typed: a file's keys, flags and --set, which override a preset."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from core.errors import UserError


def nested(values: dict[str, Any]) -> dict[str, Any]:
    """{'a.b': 1} as {'a': {'b': 1}}, without what is None."""
    from core.config import merge

    nested: dict[str, Any] = {}
    for path, value in values.items():
        if value is not None:
            for key in reversed(path.split(".")):
                value = {key: value}
            nested = merge(nested, value)
    return nested


def over_preset(name: str | None, smoke: bool, values: dict[str, Any]) -> dict[str, Any]:
    """`values` laid over the configuration that --preset and --smoke name. Raises UserError if one is wrong."""
    if name is None:
        if smoke:
            raise UserError("--smoke tries out a preset: add --preset NAME; `python -m core presets` lists them.")
        return values
    from core import presets
    from core.config import merge

    presets.check_stream(name, values.get("stream", {}).get("name"), smoke)
    return merge(presets.configuration(name, smoke), values)


def configuration(file: Path | None, flags: dict[str, Any], settings: Sequence[str]) -> dict[str, Any]:
    """The file's keys, then the flags', then those of --set: later ones win."""
    from core.config import merge, read_config

    values = read_config(file) if file else {}
    values = merge(values, flags)
    for setting in settings:
        path, equals, text = setting.partition("=")
        if not equals or not all(path.strip().split(".")):
            raise UserError(f"--set {setting!r} is not KEY.PATH=VALUE: write for example --set retrieval.components=5.")
        values = merge(values, nested({path.strip(): _toml_value(text.strip())}))
    return values


def _toml_value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
