"""The loop of a helper process: one question per line on stdin, one answer per line on stdout, until nobody asks."""

from __future__ import annotations

import json
import os
import select
from collections.abc import Callable, Mapping
from typing import Any, TextIO

from core.failures import reason

IDLE_S = 300.0


def serve(answer: Callable[[Mapping[str, Any]], dict[str, Any]], idle: float = IDLE_S) -> int:
    """Answer until stdin ends, or nothing was asked for `idle` seconds.

    In: {"id": n, …}. Out: {"id": n, "answer": …} or {"id": n, "error": one line}.
    """
    answers = _own_stdout()
    pending = b""
    while select.select([0], [], [], idle)[0]:
        read = os.read(0, 1 << 16)
        if not read:
            break
        *lines, pending = (pending + read).split(b"\n")
        for line in lines:
            answers.write(json.dumps(_reply(answer, json.loads(line))) + "\n")
            answers.flush()
    return 0


def _own_stdout() -> TextIO:
    """Answers go to the real stdout; whatever a library prints goes to stderr."""
    kept = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return kept


def _reply(answer: Callable[[Mapping[str, Any]], dict[str, Any]], question: Mapping[str, Any]) -> dict[str, Any]:
    """An error in a question becomes its answer, so that it does not end the process."""
    try:
        return {"id": question["id"], "answer": answer(question)}
    except Exception as error:  # noqa: BLE001  the next question may be a good one
        said = reason(error) or f"There is no answer ({type(error).__name__}: {error})."
        return {"id": question["id"], "error": said}
