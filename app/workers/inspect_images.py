"""Read all images of a stream and say what is in it: `python -m app.workers.inspect_images`, the question on stdin.

In: {"stream": keys of StreamConfig, "seed": number}. Out: {"report", "tasks", "samples"}, or {"error": one line}.
`samples` has one small picture per class, several images side by side, as a data URL.
"""

from __future__ import annotations

import base64
import io
import json
import sys
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from core.config import StreamConfig, validate
from core.errors import UserError
from core.runs.sprites import thumbnail

if TYPE_CHECKING:
    from core.data.tasks import Stream

SAMPLE_CLASSES = 100
SAMPLES = 6
SAMPLE_SIDE = 40


def main() -> int:
    """Answer one question; 0 also for what the user can put right."""
    question = json.load(sys.stdin)
    try:
        answer = inspect(question["stream"], int(question.get("seed", 0)))
    except UserError as error:
        answer = {"error": str(error)}
    json.dump(answer, sys.stdout, ensure_ascii=True)
    return 0


def inspect(stream: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """What `open_stream` says of the stream. Raises UserError when its images cannot be had or divided as asked."""
    from core.data.streams import open_stream

    opened = open_stream(validate(StreamConfig, dict(stream), "stream"), seed)
    tasks = [
        {
            "name": task.name,
            "classes": [opened.class_names[label] for label in task.classes],
            "train_images": len(task.train),
            "test_images": len(task.test),
        }
        for task in opened.tasks
    ]
    return {"name": opened.name, "report": opened.report.as_dict(), "tasks": tasks, "samples": dict(_samples(opened))}


def _samples(stream: Stream) -> Iterator[tuple[str, str]]:
    from PIL import Image

    for task in stream.tasks:
        for label in task.classes:
            if label >= SAMPLE_CLASSES:
                continue
            rows = [row for row, own in enumerate(task.train.labels) if own == label][:SAMPLES]
            strip = Image.new("RGB", (SAMPLES * (SAMPLE_SIDE + 2), SAMPLE_SIDE), "white")
            for place, row in enumerate(rows):
                strip.paste(thumbnail(task.train.image(row), SAMPLE_SIDE), (place * (SAMPLE_SIDE + 2), 0))
            if rows:
                yield stream.class_names[label], _data_url(strip)


def _data_url(image: Any) -> str:
    packed = io.BytesIO()
    image.save(packed, "WEBP", quality=70)
    return "data:image/webp;base64," + base64.b64encode(packed.getvalue()).decode()


if __name__ == "__main__":
    raise SystemExit(main())
