"""Seconds to explain one test image, warm, part by part: `python -m tests.benchmarks.explaining RUN [--runs FOLDER]`.

The best of several, as other work on the machine only ever adds. Loading the model and opening the stream come first,
once a run, and are not in it. Processor seconds are of all threads together.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import torch
import typer

from core.listing import named_run
from core.training.evidence import attention, exact, inputs_of
from core.training.explaining import RunImages, explain
from core.training.inference import load_model


def main(run: str, runs: Path = Path("runs"), repeats: Annotated[int, typer.Option(min=1)] = 7) -> None:
    """Print a row for each part."""
    model, images = load_model(named_run(runs, run).folder), RunImages(named_run(runs, run))
    method, encoder = model.method, model.encoder
    decoded = encoder.decoded(images.image(0), torch.tensor([0]))
    inputs = inputs_of(method, encoder, encoder.encoded(decoded, frozen=True))
    zero = torch.tensor([0])
    parts: dict[str, Callable[[], object]] = {
        "explain (all)": lambda: explain(model, images, 0),
        "attention": lambda: attention(method, encoder, decoded, 0),
    }
    if method.shared_space is not None:
        parts["exact"] = lambda: exact(method, encoder, inputs, zero, lambda rows: decoded, "task", zero, zero + 1)
    backbone = encoder.backbone
    print(f"{backbone.title}, {backbone.image_size} px, {encoder.tokens_per_image} tokens, {encoder.precision}")
    print(f"load of the machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores, {torch.get_num_threads()} threads")
    print("part             seconds  processor")
    for name, part in parts.items():
        part()
        seconds, processor = zip(*(_timed(part) for _ in range(repeats)), strict=True)
        print(f"{name:<16} {min(seconds):7.2f} {min(processor):10.2f}")


def _timed(part: Callable[[], object]) -> tuple[float, float]:
    began, used = time.perf_counter(), time.process_time()
    part()
    return time.perf_counter() - began, time.process_time() - used


if __name__ == "__main__":
    typer.run(main)
