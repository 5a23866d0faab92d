"""What an answer costs against rank: LoRA beside the weights of every block, and a budget of blocks merged into them.

python -m tests.benchmarks.merged --ranks 1,4,16,64,256 --active-blocks 1

Weights of the adapters are random: costs do not depend on what was learned. Bytes are those of the adapter's tensors.
"""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.console import Console
from rich.table import Table

from core.adapters.gates import Gates
from core.adapters.merge import merged
from core.adapters.sites import parse_blocks, sites_of
from core.backbones import load_backbone
from core.config import BackboneConfig
from core.evaluation.answering_time import AnswerCost, answer_cost, random_images, random_updates, stored_bytes
from core.training.device import pick_device


def main(
    backbone: Annotated[str, typer.Option()] = "dinov2-s14",
    image_size: Annotated[int | None, typer.Option()] = None,
    blocks: Annotated[str, typer.Option(help="blocks of plain LoRA")] = "all",
    projections: Annotated[str, typer.Option()] = "q,v",
    ranks: Annotated[str, typer.Option(help="comma-separated")] = "1,4,16,64,256",
    active_blocks: Annotated[int, typer.Option(help="blocks of ours")] = 1,
    batch: Annotated[int, typer.Option()] = 16,
    repeats: Annotated[int, typer.Option()] = 5,
    device: Annotated[str, typer.Option()] = "auto",
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="write the rows as JSON too")] = None,
) -> None:
    """Print a Markdown-ready table, one row per rank."""
    where = pick_device(device)
    frozen = load_backbone(BackboneConfig(name=backbone, image_size=image_size), None, where)
    images = random_images(frozen, batch)
    sites = sites_of(parse_blocks(blocks, frozen.depth), tuple(projections.split(",")))
    gates = Gates(sites, budget=active_blocks)
    gates.settle()
    rows = [answer_cost("plain backbone", frozen, None, images, repeats)]
    for rank in (int(text) for text in ranks.split(",")):
        whole, ours = (random_updates(frozen, chosen, rank) for chosen in (sites, gates.open_sites()))
        rows.append(answer_cost(f"LoRA, rank {rank}, beside", frozen, whole, images, repeats, stored_bytes(whole)))
        folded = merged(frozen, ours)
        with torch.inference_mode():
            gap = float((folded(images) - frozen(images, ours)).abs().max())
        what = f"{active_blocks} of {frozen.depth} blocks, rank {rank}, merged"
        rows.append(replace(answer_cost(what, folded, None, images, repeats, stored_bytes(ours)), gap=gap))
    _show(rows)
    if out:
        out.write_text(json.dumps([asdict(row) for row in rows], indent=1))


def _show(rows: list[AnswerCost]) -> None:
    plain = rows[0].flops
    table = Table("model", "MFLOP per image", "of plain", "ms per image", "adapter bytes", "largest gap to unmerged")
    for row in rows:
        gap = "–" if row.gap is None else f"{row.gap:.0e}"
        share = f"{row.flops / plain:.4f}"
        table.add_row(row.what, f"{row.flops / 1e6:,.1f}", share, f"{row.ms:.2f}", f"{row.bytes:,}", gap)
    Console(width=140).print(table)


if __name__ == "__main__":
    typer.run(main)
