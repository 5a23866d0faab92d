"""How far a run is and how long it still takes, for status.json and for the listener."""

from __future__ import annotations

import time
from collections.abc import Callable

from core.runs.schema import Phase, State, Status
from core.runs.store import RunWriter

Listener = Callable[[Status], None]
_INTERVAL_S = 0.5


class Cancelled(Exception):
    """A request to stop the run was found."""


class Progress:
    """Counts work in block passes (one image through one block), which predict time better than steps do."""

    def __init__(self, writer: RunWriter, listener: Listener, tasks: int, work: float) -> None:
        self._writer, self._listener = writer, listener
        self._tasks, self._work, self._done = tasks, max(work, 1.0), 0.0
        self._start = self._told = time.monotonic()
        self._phase: Phase = "prepare"
        self._task = self._step = self._steps = 0
        self._message = ""

    def begin(self, phase: Phase, task: int, steps: int, message: str) -> None:
        """Begin a phase of a task that has `steps` steps."""
        self._phase, self._task, self._step, self._steps, self._message = phase, task, 0, steps, message
        self._writer.event("phase", phase=phase, task=task)
        self.tell("running")

    def advance(self, work: float, steps: int = 0, message: str | None = None) -> None:
        """Count work that is done. Raises Cancelled when the run was asked to stop; looks for that twice a second."""
        self._done += work
        self._step += steps
        self._message = message or self._message
        if time.monotonic() - self._told >= _INTERVAL_S:
            if self._writer.cancel_requested():
                raise Cancelled
            self.tell("running")

    def tell(self, state: State, message: str | None = None) -> None:
        """Write status.json and call the listener now."""
        self._told = time.monotonic()
        elapsed = self._told - self._start
        fraction = 1.0 if state == "done" else min(self._done / self._work, 0.999)
        # Before a hundredth of the work is done, an estimate would be worse than none.
        eta = elapsed * (1 - fraction) / fraction if state == "running" and fraction > 0.01 else None
        status = Status(
            state=state,
            phase=self._phase,
            task=self._task,
            tasks=self._tasks,
            step=self._step,
            steps=self._steps,
            fraction=fraction,
            eta_s=eta,
            message=self._message if message is None else message,
        )
        self._writer.status(status)
        self._listener(status)
