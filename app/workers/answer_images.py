"""Answer for images with trained models: `python -m app.workers.answer_images`, one question per line on stdin.

In: {"id": n, "run": folder, "image": path}. Out: {"id": n, "answer": …} or {"id": n, "error": one line}. The model
stays loaded between questions.

With "explain": {"against": task or null, "kind": "task" or "class"} the answer is why: `Explanation.document` of
core.training.explaining, and "picture", a data URL of what the model sees. "image" may then be the number of one of the
run's own images. With "beside": number of another of its images it is what sets the two apart: `Apart.document` of
core.runs.evidence, and "pictures", those of both.
"""

from __future__ import annotations

import sys
from base64 import b64encode
from collections.abc import Mapping
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.workers.serving import IDLE_S, serve
from core.errors import UserError

if TYPE_CHECKING:
    import numpy as np

    from core.training.explaining import RunImages
    from core.training.inference import TrainedModel


def main(idle: float = IDLE_S) -> int:
    """Answer until nobody asks any more."""
    return serve(answer, idle)


@lru_cache(maxsize=1)
def _loaded(run: Path, changed: int) -> tuple[TrainedModel, RunImages]:
    from core.training.explaining import RunImages
    from core.training.inference import load_model

    model = load_model(run)
    return model, RunImages(model.run)


def answer(question: Mapping[str, Any]) -> dict[str, Any]:
    """What `core.training.inference.predict_images` says of one image. Raises UserError when the run is not done."""
    run = Path(question["run"])
    try:
        model, images = _loaded(run, (run / "metrics.json").stat().st_mtime_ns)
    except FileNotFoundError:
        raise UserError(f"Run {run.name} is not finished, or no longer there.") from None
    if "explain" in question:
        return _explained(model, images, question)
    if "beside" in question:
        return _set_apart(model, images, int(question["image"]), int(question["beside"]))
    image = Path(question["image"])
    return model.answer([image])[0] | {"image": image.name}


def _explained(model: TrainedModel, images: RunImages, question: Mapping[str, Any]) -> dict[str, Any]:
    from core.training.explaining import explain

    asked, image = question["explain"], question["image"]
    chosen = image if isinstance(image, int) else Path(image)
    found = explain(model, images, chosen, asked.get("against"), asked.get("kind", "task"))
    name = image if isinstance(image, int) else chosen.name
    return found.document() | {"picture": _data_url(found.pixels), "image": name}


def _set_apart(model: TrainedModel, images: RunImages, one: int, other: int) -> dict[str, Any]:
    from core.training.explaining import explain_pair

    found, pixels = explain_pair(model, images, one, other)
    return found.document() | {"pictures": [_data_url(each) for each in pixels]}


def _data_url(pixels: np.ndarray) -> str:
    from PIL import Image

    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return f"data:image/png;base64,{b64encode(buffer.getvalue()).decode()}"


if __name__ == "__main__":
    sys.exit(main())
