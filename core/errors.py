"""Errors that are meant for the person at the keyboard."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """Something the user can put right: one line that says what is wrong, where, and what to do.

    The command line prints it without a traceback and exits with status 2; a notebook shows the same line.
    """

    def _render_traceback_(self) -> list[str]:
        """What IPython shows in place of a traceback."""
        return [f"error: {self}"]


def nearest(word: str, known: Iterable[str]) -> str:
    """' Did you mean “x”?' for the known word closest to `word`, or '' when nothing is close."""
    match = difflib.get_close_matches(word.lower(), list(known), n=1, cutoff=0.5)
    return f" Did you mean “{match[0]}”?" if match else ""


def unknown(kind: str, word: str, known: Iterable[str]) -> UserError:
    """The error for a name that nothing answers to: names the nearest valid one and lists all."""
    known = sorted(known)
    return UserError(f"Unknown {kind} “{word}”.{nearest(word, known)} Known: {', '.join(known)}.")
