"""Answer for images with trained models: `python -m app.workers.answer`, a question a line on stdin.

In: {"id": n, "run": folder, "image": path}. Out: {"id": n, "answer": …} or {"id": n, "error": one line}. The model
stays loaded between questions; the process ends when its stdin does, or after a while without a question.
"""

from __future__ import annotations

import json
import os
import select
import sys
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from core.errors import UserError

if TYPE_CHECKING:
    from core.training.inference import TrainedModel

IDLE_S = 300.0


def main(idle: float = IDLE_S) -> int:
    """Answer until nobody asks any more."""
    answers = _own_stdout()
    pending = b""
    while select.select([0], [], [], idle)[0]:
        read = os.read(0, 1 << 16)
        if not read:
            break
        *lines, pending = (pending + read).split(b"\n")
        for line in lines:
            answers.write(json.dumps(answer(json.loads(line))) + "\n")
            answers.flush()
    return 0


@lru_cache(maxsize=1)
def _model(run: Path, changed: int) -> TrainedModel:
    from core.training.inference import load_model

    return load_model(run)


def _own_stdout() -> TextIO:
    """Answers go to the real stdout; whatever a library prints goes to stderr."""
    kept = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return kept


def answer(question: Mapping[str, Any]) -> dict[str, Any]:
    """The reply to one question; no error of a question ends the process."""
    try:
        run = Path(question["run"])
        found = _model(run, (run / "metrics.json").stat().st_mtime_ns).answer([Path(question["image"])])[0]
    except FileNotFoundError:
        return {"id": question["id"], "error": f"Run {run.name} is not finished, or no longer there."}
    except UserError as error:
        return {"id": question["id"], "error": str(error)}
    except Exception as error:  # noqa: BLE001  the next question may be a good one
        return {"id": question["id"], "error": f"The model could not answer ({type(error).__name__}: {error})."}
    return {"id": question["id"], "answer": found | {"image": Path(question["image"]).name}}


if __name__ == "__main__":
    sys.exit(main())
