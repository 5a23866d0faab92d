"""Retrieval scoring as tasks grow: `python -m tests.benchmarks.scoring_speed`.

All tasks' components in one matrix product (what retrieval does) beside a loop over tasks, in the whitened space of
`dimensions` directions, for one image and for many.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from rich.console import Console
from rich.table import Table
from torch import Tensor

from core.evaluation.cost import milliseconds_per_image
from core.retrieval.scores import ComponentTable
from core.training.device import pick_device


def main(
    tasks: Annotated[str, typer.Option(help="comma-separated")] = "1,10,20,50,100",
    components: Annotated[int, typer.Option()] = 20,
    dimensions: Annotated[int, typer.Option()] = 200,
    images: Annotated[str, typer.Option(help="comma-separated")] = "1,1000",
    device: Annotated[str, typer.Option()] = "auto",
    output: Annotated[Path | None, typer.Option(help="JSON")] = None,
) -> None:
    """Time both ways and check that they agree."""
    generator = torch.Generator().manual_seed(0)
    where = pick_device(device)
    table = Table("tasks", "images", "one product, µs per image", "loop over tasks", "times faster", "table MB")
    rows: list[dict[str, Any]] = []
    for count in map(int, tasks.split(",")):
        means = [torch.randn(components, dimensions, generator=generator).to(where) for _ in range(count)]
        counts = [torch.randint(1, 100, (components,), generator=generator).to(where) for _ in range(count)]
        members = [torch.arange(components, device=where) + task * components for task in range(count)]
        at_once = ComponentTable.of(means, counts, members)
        for number in map(int, images.split(",")):
            white = torch.randn(number, dimensions, generator=generator).to(where)
            if not torch.allclose(at_once.by_task(white), one_by_one(white, means, counts), atol=1e-2):
                raise AssertionError("the two ways disagree")
            fast = 1000 * milliseconds_per_image(at_once.by_task, white, repeats=9)
            slow = 1000 * milliseconds_per_image(lambda x, m=means, c=counts: one_by_one(x, m, c), white, repeats=9)
            size = sum(part.nbytes for part in (at_once.means, at_once.offsets, at_once.tasks, at_once.classes))
            rows.append({"tasks": count, "images": number, "product_us": fast, "loop_us": slow, "bytes": size})
            cells = (f"{fast:,.1f}", f"{slow:,.1f}", f"{slow / fast:.1f}", f"{size / 1e6:.2f}")
            table.add_row(str(count), str(number), *cells)
    Console(width=120).print(table)
    if output:
        output.write_text(json.dumps({"threads": torch.get_num_threads(), "rows": rows}, indent=1))


def one_by_one(white: Tensor, means: list[Tensor], counts: list[Tensor]) -> Tensor:
    """(n, tasks): the same scores, from one distance matrix per task."""
    columns = []
    for mean, count in zip(means, counts, strict=True):
        scores = (count / count.sum()).log() - torch.cdist(white, mean).square() / 2
        columns.append(scores.logsumexp(1))
    return torch.stack(columns, dim=1)


if __name__ == "__main__":
    typer.run(main)
