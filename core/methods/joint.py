"""One LoRA adapter trained on all tasks at once: the ceiling for a single model.

Not continual learning: only the state after the last task exists, so there is no forgetting to report.
"""

from __future__ import annotations

from core.methods.shared_model import OneAdapter


class Joint(OneAdapter):
    """The whole stream as a single group of tasks."""

    def curriculum(self, tasks: int) -> list[tuple[int, ...]]:
        return [tuple(range(tasks))]


METHOD = Joint
