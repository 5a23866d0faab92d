"""Answer for images with trained models: `python -m app.workers.answer_images`, one question per line on stdin.

In: {"id": n, "run": folder, "image": path}. Out: {"id": n, "answer": …} or {"id": n, "error": one line}. The model
stays loaded between questions.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.workers.serving import IDLE_S, serve
from core.errors import UserError

if TYPE_CHECKING:
    from core.training.inference import TrainedModel


def main(idle: float = IDLE_S) -> int:
    """Answer until nobody asks any more."""
    return serve(answer, idle)


@lru_cache(maxsize=1)
def _model(run: Path, changed: int) -> TrainedModel:
    from core.training.inference import load_model

    return load_model(run)


def answer(question: Mapping[str, Any]) -> dict[str, Any]:
    """What `core.training.inference.predict_images` says of one image. Raises UserError when the run is not done."""
    run, image = Path(question["run"]), Path(question["image"])
    try:
        found = _model(run, (run / "metrics.json").stat().st_mtime_ns).answer([image])[0]
    except FileNotFoundError:
        raise UserError(f"Run {run.name} is not finished, or no longer there.") from None
    return found | {"image": image.name}


if __name__ == "__main__":
    sys.exit(main())
