"""The glossary, and texts that point at its terms: `[[term]]`, or `[[words shown|term]]`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from html import escape
from pathlib import Path

from app.reading.toml_files import Part, Text, read_toml, validated
from core.errors import UserError

GLOSSARY = Path(__file__).resolve().parents[2] / "assets" / "lessons" / "glossary.toml"
_TERM = re.compile(r"\[\[([^\[\]|]+)(?:\|([^\[\]|]+))?\]\]")
_RAW = re.compile(r"(?<!\\)((?:\\\\)*)<")
"""A `<` that markdown would read as HTML: before it stands no backslash, or an even number of them."""


class Term(Part):
    """A word of the glossary."""

    name: Text
    means: Text


def glossary() -> Mapping[str, Term]:
    """Term in small letters → the term as written, and its meaning. Raises UserError where glossary.toml is wrong."""
    try:
        return _glossary(GLOSSARY, GLOSSARY.stat().st_mtime_ns)
    except OSError as error:
        raise UserError(f"glossary.toml cannot be read ({error.strerror}).") from error


@lru_cache(maxsize=4)
def _glossary(path: Path, changed: int) -> Mapping[str, Term]:
    del changed  # only tells one version from the next
    found = read_toml(path)
    return {name.lower(): validated(Term, {"name": name, "means": means}, path) for name, means in found.items()}


def meaning(term: str) -> str:
    """What a term means. Raises KeyError for one that the glossary does not know."""
    return glossary()[term.lower()].means


def terms_in(text: str) -> list[str]:
    """The terms that are marked in `text`, in small letters, each once."""
    return list(dict.fromkeys((found[2] or found[1]).strip().lower() for found in _TERM.finditer(text)))


def with_terms(text: str) -> str:
    """`text` as Markdown in which each marked term is an HTML element that says what it means when pointed at.

    Other HTML is shown as it is written. `app/shell/app.css` shows the meaning on hover, focus and tap.
    """
    words = glossary()

    def marked(found: re.Match[str]) -> str:
        term = words.get((found[2] or found[1]).strip().lower())
        means = escape(term.means) if term else ""
        return f'<span class="term" tabindex="0" aria-description="{means}">{escape(found[1])}</span>'

    return _TERM.sub(marked, _RAW.sub(r"\1&lt;", text))
