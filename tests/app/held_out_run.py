"""A real run on digits that learned six of them, in three tasks, and was asked about images of the other four."""

from __future__ import annotations

from pathlib import Path

from core.config import RunConfig, validate
from core.runs.store import Run
from core.training.run import start_run

HELD_OUT = "held-out-digits"
"""Its name."""


def held_out_run(runs: Path) -> Run:
    """Train it, in some seconds."""
    stream = {"name": "split-digits", "tasks": 3, "held_out": 4, "held_out_per_class": 6, "train_per_class": 12}
    settings = {
        "stream": stream | {"test_per_class": 6},
        "method": {"name": "lda"},
        "backbone": {"name": "tiny"},
        "record": {"projection": False},
    }
    return Run(start_run(validate(RunConfig, settings, "test"), runs, lambda status: None, name=HELD_OUT))
