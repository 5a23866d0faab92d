"""Ask runs about other retrieval settings: `python -m app.workers.answer_questions`, one question per line on stdin.

In: {"id": n, "run": folder, "changed": number, "settings": keys of `core.retrieval.questions.Settings`}. Out: {"id": n,
"answer": `Answer.document`} or {"id": n, "error": one line}. `changed` tells versions of a run apart: its tables stay
read between questions.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.workers.serving import serve
from core.config import validate
from core.retrieval.questions import Settings
from core.runs.store import Run

if TYPE_CHECKING:
    from core.retrieval.answering import Recorded


@lru_cache(maxsize=2)
def _recorded(run: str, changed: int) -> Recorded:
    from core.retrieval.answering import read

    return read(Run(Path(run)))


def answer(question: Mapping[str, Any]) -> dict[str, Any]:
    """What the settings would have answered. Raises UserError where the run cannot say."""
    from core.retrieval.answering import answer as ask

    settings = validate(Settings, question["settings"], "what if")
    return ask(_recorded(question["run"], question["changed"]), settings).document()


if __name__ == "__main__":
    sys.exit(serve(answer))
