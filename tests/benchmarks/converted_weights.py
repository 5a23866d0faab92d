"""How much faster passes and training steps in bfloat16 are where frozen weights are converted once, not at every use.

python -m tests.benchmarks.converted_weights --rounds 24

Both ways take turns in one process and one thread, must give the same bits, and are compared by CPU seconds, which
hardly depend on what else the machine does.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median
from typing import Annotated

import torch
import typer
from torch import Tensor

from core.backbones import vit
from core.backbones.features import FrozenFeatures
from core.backbones.frozen_weights import weights
from core.backbones.timm_vit import load_dinov2
from core.config import RunConfig, validate
from core.methods import method_class
from core.methods.base import Step
from core.training.device import autocast

CPU = torch.device("cpu")
CASES = ((28, 32, "all"), (56, 32, "all"), (56, 32, "last:4"), (28, 64, ""), (56, 64, ""), (56, 1, ""))
"""Pixels, images, and the blocks that a training step adapts; none for a plain pass."""


def main(rounds: Annotated[int, typer.Option()] = 24) -> None:
    """Print a Markdown table."""
    torch.set_num_threads(1)
    typer.echo("| bfloat16 | ms at every use | ms once | times as fast |\n| --- | --- | --- | --- |")
    for size, images, blocks in CASES:
        work = _step(size, images, blocks) if blocks else _pass(size, images)
        every, once = _in_turn(work, rounds)
        what = f"a training step, blocks {blocks}" if blocks else "a pass"
        typer.echo(f"| {what}, {images} images, {size} px | {every:.1f} | {once:.1f} | {every / once:.2f} |")


def _in_turn(work: Callable[[], Tensor], rounds: int) -> tuple[float, float]:
    """Median CPU milliseconds of converting at every use, and once."""
    ways = {"every": lambda layer: (layer.weight, layer.bias), "once": weights}
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(rounds + 1):
        given = []
        for name, way in ways.items():
            vit.weights = way  # type: ignore[assignment]
            began = time.process_time()
            given.append(work())
            if turn:  # the first round only warms up
                taken[name].append(1000 * (time.process_time() - began))
        assert torch.equal(*given), "the two ways must give the same bits"
    return median(taken["every"]), median(taken["once"])


def _pass(size: int, images: int) -> Callable[[], Tensor]:
    backbone = load_dinov2(size)
    pixels = torch.randn(images, 3, size, size, generator=torch.Generator().manual_seed(0))

    def work() -> Tensor:
        with torch.no_grad(), autocast(CPU, "bfloat16"):
            return backbone(pixels)

    return work


def _step(size: int, images: int, blocks: str) -> Callable[[], Tensor]:
    """Forward and backward of `sequential` from the tokens before its first block on; gives the loss."""
    config = validate(RunConfig, {"adapters": {"blocks": blocks, "rank": 8, "first_rank": None}})
    backbone = load_dinov2(size)
    width = FrozenFeatures(backbone, config.retrieval.features).width
    method = method_class("sequential")(backbone, width, config, CPU)
    generator = torch.Generator().manual_seed(0)
    method.begin_task(0, tuple(range(10)), generator)
    method.train()
    labels = torch.randint(0, 10, (images,), generator=generator)
    with torch.no_grad():
        pixels = torch.randn(images, 3, size, size, generator=generator)
        tokens = backbone.run(backbone.stem(pixels), 0, method.first_block)

    def work() -> Tensor:
        method.zero_grad()
        with autocast(CPU, "bfloat16"):
            loss, _ = method.loss(tokens, labels, Step(0, 0, 100))
        loss.backward()
        return loss.detach()

    return work


if __name__ == "__main__":
    typer.run(main)
