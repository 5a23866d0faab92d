"""Measure what an answer costs here: `python -m app.workers.measure_answers`, one question per line on stdin.

In: {"id": n, "backbone": name, "image_size": pixels, "every": ["8/q", …], "opened": [those whose gates are open],
"rank": r}. Out: {"id": n, "answer": what `core.evaluation.answering_time.four_ways` says} or {"id": n, "error": one
line}.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from app.workers.serving import serve


def answer(question: Mapping[str, Any]) -> dict[str, Any]:
    """Measured now. Raises UserError where the backbone cannot be had."""
    from core.adapters.sites import Site
    from core.config import BackboneConfig
    from core.evaluation.answering_time import four_ways

    config = BackboneConfig(name=question["backbone"], image_size=question["image_size"])
    every, opened = ([Site.parse(name) for name in question[which]] for which in ("every", "opened"))
    return four_ways(config, every, opened, int(question["rank"]))


if __name__ == "__main__":
    sys.exit(serve(answer))
