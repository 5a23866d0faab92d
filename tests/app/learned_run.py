"""A run with everything that the pages about learning show: real metrics of its answers, gates, and adapter files."""

from __future__ import annotations

import json
from pathlib import Path

from core.evaluation.metrics import summary
from core.runs.store import Run
from tests.unit.run_folder import write_run

HOSTILE = '<img src=x onerror="window.hacked=1"> **b** $x$ %{x}'


def learned_run(
    runs: Path, name: str = "a-run", *, adapts: bool = True, hostile: bool = False, **changes: object
) -> Path:
    """Two tasks of two classes. Of each task's four images the first is sent to the wrong task once there are two.

    A `hostile` run has markup in every name.
    """
    if hostile:
        changes |= {"title": f"{name} {HOSTILE}", "class_names": [HOSTILE, *"bcd"]}
    folder = write_run(runs, name, **changes)
    if hostile:
        manifest = folder / "manifest.json"
        manifest.write_text(manifest.read_text().replace('"task 0"', json.dumps(HOSTILE)))
    metrics = summary(Run(folder).predictions(), 2) | {"flops_per_image": 2e6, "bytes_per_task": 2048.0}
    (folder / "metrics.json").write_text(json.dumps(metrics))
    for task in (0, 1):
        (folder / "tasks" / f"{task:03d}" / "gates.json").write_text(json.dumps(gates(task) if adapts else {}))
    return folder


def gates(task: int) -> dict[str, object]:
    """Block 0 is adapted by both tasks, block 1 is switched off by the second."""
    norm = {"norm": 0.5 + task, "active": True}
    reuse = {"reuse": [[0.1, -0.3]]} if task else {}
    sites = {"0/q": norm | reuse, "0/v": norm | reuse, **({} if task else {"1/q": norm, "1/v": norm})}
    scores = {"0": 0.2, "1": 0.05 if task else 0.15}
    blocks = {"scores": scores, "threshold": 0.1, "active": [0] if task else [0, 1]}
    return {"sites": sites, "blocks": blocks, "overlap": [0.25] * task}
