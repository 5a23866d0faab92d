"""TOML files that people write, read into models; whatever is wrong in one is said in one line."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError

from core.errors import UserError

Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


class Part(BaseModel):
    """A part of such a file: no field that is not known, and none that changes later."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def read_toml(path: Path) -> dict[str, Any]:
    """What the file holds. Raises UserError with its name when it is no TOML file."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UserError(f"{path.name}: this is not a TOML file that can be read ({error}).") from error


def validated(kind: type[Any], values: dict[str, Any], path: Path) -> Any:
    """`values` of the file as a model. Raises UserError with file and field where they do not fit."""
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part + 1) if isinstance(part, int) else part for part in first["loc"])
        said = first["msg"].removeprefix("Value error, ")
        raise UserError(f"{path.name}: {field + ': ' if field else ''}{said}.") from error
