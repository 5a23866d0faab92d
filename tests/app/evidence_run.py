"""A run that recorded evidence, and answers under two corruptions: a few digits, learned by a small random backbone."""

from __future__ import annotations

from pathlib import Path

from core.config import RunConfig, validate
from core.training.run import start_run


def evidence_run(runs: Path, name: str = "with-evidence", method: str = "lda") -> Path:
    """Train it, which takes some seconds; many of its answers are wrong."""
    values = {
        "stream": {"name": "split-digits", "train_per_class": 12, "test_per_class": 12},
        "backbone": {"name": "tiny", "image_size": 32},
        "method": {"name": method},
        "training": {"epochs": 1, "precision": "float32"},
        "retrieval": {"features": "last:2"},
        "retention": {"shifts": ["gaussian-noise", "contrast"], "severities": [5], "shift_images": 40},
    }
    return start_run(validate(RunConfig, values), runs, lambda status: None, title="With evidence", name=name)
