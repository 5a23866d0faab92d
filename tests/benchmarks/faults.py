"""Kill training again and again and resume it: `python -m tests.benchmarks.faults --kills 500`.

Every run is a real `python -m core train` on small pictures with the tiny backbone, in a process forked from one that
has imported everything, so that a kill is cheap. Half of the kills come at a random moment, half at a random change of
a file of the run. After each the folder must open, say truly that the run stopped and how to go on, and have lost no
finished task; the run must end with the tables of the run that nobody disturbed, bit for bit.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import resource
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any
from unittest import mock

import numpy as np
import psutil
import typer
from PIL import Image

from core.config import RunConfig, validate
from core.runs.jobs import format_toml
from core.runs.store import Run, list_runs

ROOT = Path(__file__).resolve().parents[2]
TASKS = 3
METHODS = ("proteus", "sequential", "lda")
_CHANGES = ("os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.truncate")
_PRELOADED = ("core.cli", "core.training.run", "core.data.folders", "core.backbones.timm_vit", __name__)
_PRELOADED += tuple(f"core.methods.{method}" for method in METHODS)
_MOST_CHANGES, _MOST_SECONDS = 70, 0.6
"""A kill comes at most so many changes of files, or seconds of computing, after the start."""


@dataclass
class Tally:
    """How many kills and runs there were, and where the kills fell."""

    kills: int = 0
    runs: int = 0
    where: Counter[str] = field(default_factory=Counter)

    def __str__(self) -> str:
        places = ", ".join(f"{place} {count}" for place, count in sorted(self.where.items()))
        return f"{self.kills} kills ({places}) in {self.runs} runs: every folder opened, every run ended as undisturbed"


def pictures(root: Path, side: int = 16) -> Path:
    """Six easy classes of small pictures as class folders, with train and test."""
    rng = np.random.default_rng(0)
    patterns = rng.integers(0, 255, (6, side, side, 3))
    for split, count in (("train", 10), ("test", 2)):
        for label in range(6):
            target = root / split / f"class-{label}"
            target.mkdir(parents=True)
            for index in range(count):
                noisy = np.clip(patterns[label] + rng.normal(0, 25, (side, side, 3)), 0, 255).astype(np.uint8)
                Image.fromarray(noisy).save(target / f"{index}.png")
    return root


def settings(stream: Path, method: str = "proteus", projection: bool = True) -> dict[str, Any]:
    """A run of about a second: three tasks, trained long enough for a kill to fall into it.

    It keeps so few images that the map is drawn without UMAP, which would have to be compiled in every process.
    """
    values = {
        "stream": {"name": str(stream), "tasks": TASKS},
        "backbone": {"name": "tiny"},
        "adapters": {"blocks": "last:2", "rank": 2, "first_rank": 3},
        "method": {"name": method},
        "training": {"epochs": 4, "batch_size": 8, "device": "cpu"},
        "retrieval": {"features": "last:2"},
        "record": {"projection": projection, "train_per_class": 0},
    }
    checked: RunConfig = validate(RunConfig, values)
    return checked.model_dump(mode="json", exclude_none=True)


def forkserver() -> ForkServerContext:
    """Children start in a hundredth of a second with everything imported; no thread of this process is in them."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(_PRELOADED))
    return context


def command(words: list[str], log: str, deadly: int, limits: dict[int, int]) -> None:
    """In the child: `python -m core` with `words`; it kills itself at change number `deadly` of a file, if not 0.

    `limits` are resource limits by their number; that of memory counts from what the process has at its start. Ends the
    process with the command's exit status.
    """
    import torch

    from core.cli import main

    torch.set_num_threads(1)
    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(out, 1)
    os.dup2(out, 2)
    if deadly:
        sys.addaudithook(_killer(deadly, words[words.index("--runs") + 1]))
    for number, most in limits.items():
        most += psutil.Process().memory_info().vms if number == resource.RLIMIT_AS else 0
        resource.setrlimit(number, (most, most))
    status = main(words)
    sys.stdout.flush()
    os._exit(status)


def _killer(deadly: int, runs: str) -> Callable[[str, tuple[Any, ...]], None]:
    left = deadly

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal left
        opened = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
        if (opened or event in _CHANGES) and runs in str(arguments[0]):
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    return hook


@dataclass(frozen=True)
class Place:
    """Where runs of one configuration are begun, killed and resumed."""

    context: ForkServerContext
    config: Path
    runs: Path

    def begin(self, name: str, deadly: int = 0, limits: dict[int, int] | None = None) -> ForkServerProcess:
        """Start the run, or go on with it where there is one."""
        begun = (self.runs / name / "manifest.json").exists()
        which = ["--resume", name] if begun else ["--config", str(self.config), "--name", name]
        words = ["--debug", "train", *which, "--runs", str(self.runs), "--quiet"]
        process = self.context.Process(target=command, args=(words, str(self.log(name)), deadly, limits or {}))
        # A child would run its parent's main module anew: AppTest leaves a script there that only Streamlit can run.
        with mock.patch.dict(sys.modules, {"__main__": ModuleType("__main__")}):
            process.start()
        return process

    def log(self, name: str) -> Path:
        """What the last process of the run said."""
        return self.runs.parent / f"{name}.log"

    def finish(self, name: str) -> Run:
        """Run or resume to the end, undisturbed."""
        process = self.begin(name)
        process.join()
        assert process.exitcode == 0, f"{name} did not finish: {self.log(name).read_text()}"
        return Run(self.runs / name)


def outcome(run: Run) -> dict[str, Any]:
    """All that two equal runs must agree on, bit for bit; what is measured in seconds and bytes is left out."""
    tasks = [run.task(task) for task in range(run.finished_tasks())]
    return {
        "predictions": run.predictions().to_pydict(),
        "projection": run.projection().to_pydict(),
        "images": run.images().to_pydict(),
        "embeddings": run.embeddings("frozen").tobytes(),
        "adapters": [{name: t.numpy().tobytes() for name, t in task.adapter.items()} for task in tasks],
        "heads": [{name: t.numpy().tobytes() for name, t in task.head.items()} for task in tasks],
        "mixtures": [{name: array.tobytes() for name, array in task.mixture.items()} for task in tasks],
        "metrics": {key: run.metrics[key] for key in ("matrices", "final_accuracy", "retrieval_accuracy", "theory")},
    }


def killed_until_done(place: Place, name: str, rng: random.Random, tally: Tally) -> Run:
    """A run killed at random until it gets to its end; every folder that is left is looked at."""
    finished = 0
    while True:
        deadly = rng.randint(1, _MOST_CHANGES) if rng.random() < 0.5 else 0
        process = place.begin(name, deadly)
        if not deadly:
            _kill_at(process, rng.uniform(0, _MOST_SECONDS))
        process.join()
        killed = process.exitcode == -signal.SIGKILL
        assert killed or process.exitcode == 0, f"{name} failed: {place.log(name).read_text()}"
        where, finished = look_at(place.runs, name, finished)
        if killed:
            tally.kills += 1
            tally.where[where] += 1
        if where == "done":
            tally.runs += 1
            return Run(place.runs / name)


def _kill_at(process: ForkServerProcess, seconds: float) -> None:
    """Kill `process` once it has computed for `seconds`: on a busy machine that is the same place as on a quiet one."""
    watched = psutil.Process(process.pid)
    while process.is_alive():
        try:
            used = watched.cpu_times()
        except psutil.Error:
            return
        if used.user + used.system >= seconds:
            process.kill()
            return
        time.sleep(0.002)


def look_at(runs: Path, name: str, finished: int) -> tuple[str, int]:
    """Where the kill fell, and how many tasks are whole now, at least `finished`; asserts that the folder is sound."""
    folder = runs / name
    if not (folder / "manifest.json").exists():
        assert not finished
        return "before it began", 0
    run = Run(folder)
    status = run.status
    assert status.state in ("failed", "done"), f"a dead worker reads as {status.state}"
    told = (f"--resume {name}", "out of memory: use a smaller --batch-size")
    assert status.state == "done" or any(words in status.message for words in told), status.message
    assert [other.problem for other in list_runs(runs) if other.name == name] == [None]
    whole = run.finished_tasks()
    assert whole >= finished, f"{finished} tasks were finished, {whole} are left"
    for task in range(whole):
        saved = run.task(task)
        assert saved.done.task == task and saved.predictions.num_rows and saved.head is not None
        assert saved.adapter is not None and saved.mixture is not None and saved.embeddings
    run.events()
    return ("done" if status.state == "done" else status.phase), whole


def campaign(folder: Path, kills: int, seed: int = 0, methods: tuple[str, ...] = METHODS) -> Tally:
    """At least `kills` kills, over all `methods` in turn; asserts that every run ends as the undisturbed one."""
    rng, tally = random.Random(seed), Tally()
    stream = pictures(folder / "pictures")
    places, expected = {}, {}
    for method in methods:
        config = folder / f"{method}.toml"
        config.write_text(format_toml(settings(stream, method)))
        places[method] = Place(forkserver(), config, folder / method)
        expected[method] = outcome(places[method].finish("undisturbed"))
    while tally.kills < kills:
        method = methods[tally.runs % len(methods)]
        run = killed_until_done(places[method], f"run-{tally.runs}", rng, tally)
        assert outcome(run) == expected[method], f"{run.name} of {method} differs from the undisturbed run"
    return tally


def main(
    kills: Annotated[int, typer.Option(help="how many, at least")] = 50, seed: Annotated[int, typer.Option()] = 0
) -> None:
    """Print how many kills were survived, and where they fell."""
    from tests.benchmarks import faults  # not as __main__, whose functions children cannot import

    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        tally = faults.campaign(Path(folder), kills, seed)
    print(f"{tally}; {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    typer.run(main)
