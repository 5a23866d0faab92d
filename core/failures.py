"""How a command ends with an error: one line on stderr and an exit status; a traceback only when asked for."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from core.errors import UserError
from core.files import is_full
from core.light import lacking

BROKEN, BAD_INPUT, CANCELLED = 1, 2, 130
_NO_MEMORY = (  # torch's, oneDNN's and Python's own
    "OutOfMemoryError",
    "allocate memory",
    "could not create a primitive",
    "can't start new thread",
    "can't allocate",
)


def guarded(command: Callable[[], object], debug: bool = False) -> int:
    """Run `command`; the exit status, which is the number that it returns, or 0."""
    try:
        status = command()
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # so that closing stdout stays silent
        return BROKEN
    except KeyboardInterrupt:
        return complain("cancelled.", CANCELLED)
    except Exception as error:  # noqa: BLE001  the outermost frame: every error becomes one line
        if debug:
            import traceback

            traceback.print_exc()
        return complain(*_explain(error, debug))
    return status if isinstance(status, int) else 0


def complain(line: str, status: int) -> int:
    """Print `line` as one line on stderr; returns `status`."""
    sys.stderr.write(" ".join(line.split()) + "\n")
    return status


def _explain(error: Exception, debug: bool) -> tuple[str, int]:
    """Print one line for `error`; returns the exit status."""
    if hasattr(error, "format_message"):  # typer's, for words that it does not know
        return f"error: {error.format_message()} Try `python -m core --help`.", BAD_INPUT
    known = reason(error)
    if known is not None:
        return f"error: {known}", BAD_INPUT
    hint = "" if debug else " This is a defect in Proteus Lab: --debug shows where."
    return f"error: {type(error).__name__}: {error}.{hint}", BROKEN


def reason(error: BaseException) -> str | None:
    """What the person can do about `error`, in one line; None for what only a defect explains."""
    if isinstance(error, UserError):
        return str(error)
    if absent := lacking(error):
        return absent
    if isinstance(error, MemoryError) or any(words in f"{type(error).__name__}: {error}" for words in _NO_MEMORY):
        return "out of memory: use a smaller --batch-size or --image-size, or fewer --blocks."
    if is_full(error):
        return "The disk is full: free some space; finished tasks are kept."
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename or 'system'}: {error.strerror}."
    return None


def said(error: BaseException) -> str:
    """The message for `error` in a run's status."""
    return reason(error) or f"{type(error).__name__}: {error}"
