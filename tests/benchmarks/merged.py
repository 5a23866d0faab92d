"""What an answer costs against rank: LoRA beside the weights of every block, and a budget of blocks merged into them.

python -m tests.benchmarks.merged --ranks 1,4,16,64,256 --active-blocks 1

Weights of the adapters are random: costs do not depend on what was learned. Bytes are those of the adapter's tensors.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.console import Console
from rich.table import Table

from core.adapters.gates import Gates
from core.adapters.merge import merged
from core.adapters.sites import Site, parse_blocks, sites_of
from core.adapters.updates import LowRank, Updates
from core.backbones import load_backbone
from core.backbones.vit import Backbone
from core.config import BackboneConfig
from core.evaluation.cost import flops_per_image, milliseconds_per_image
from core.training.device import pick_device

BYTES = 4
"""A stored number: adapters are kept in float32."""


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
    side = frozen.image_size
    images = torch.randn(batch, 3, side, side, generator=torch.Generator().manual_seed(0)).to(where)
    sites = sites_of(parse_blocks(blocks, frozen.depth), tuple(projections.split(",")))
    gates = Gates(sites, budget=active_blocks)
    gates.settle()
    rows = [_row("plain backbone", frozen, None, images, repeats, 0)]
    for rank in (int(text) for text in ranks.split(",")):
        whole, ours = (_random(frozen, chosen, rank) for chosen in (sites, gates.open_sites()))
        rows.append(_row(f"LoRA, rank {rank}, beside", frozen, whole, images, repeats, _bytes(whole)))
        folded = merged(frozen, ours)
        with torch.inference_mode():
            gap = float((folded(images) - frozen(images, ours)).abs().max())
        row = _row(f"{active_blocks} of {frozen.depth} blocks, rank {rank}, merged", folded, None, images, repeats, 0)
        rows.append({**row, "bytes": _bytes(ours), "gap": gap})
    _show(rows)
    if out:
        out.write_text(json.dumps(rows, indent=1))


def _random(backbone: Backbone, sites: tuple[Site, ...], rank: int) -> Updates:
    generator = torch.Generator().manual_seed(rank)
    device = next(backbone.parameters()).device
    updates: dict[int, dict[str, LowRank]] = {}
    for site in sites:
        width_out, width_in = backbone.site_shape(site.projection)
        down = torch.randn(rank, width_in, generator=generator) / width_in**0.5
        up = torch.randn(width_out, rank, generator=generator) * 0.05 / rank**0.5
        update = LowRank(down.to(device), up.to(device), torch.ones(rank, device=device))
        updates.setdefault(site.block, {})[site.projection] = update
    return updates


def _bytes(updates: Updates) -> int:
    parts = [part for block in updates.values() for part in block.values() if isinstance(part, LowRank)]
    return BYTES * sum(part.down.numel() + part.up.numel() for part in parts)


def _row(
    name: str, backbone: Backbone, updates: Updates | None, images: torch.Tensor, repeats: int, stored: int
) -> dict[str, float | str | None]:
    def answer(batch: torch.Tensor) -> torch.Tensor:
        return backbone(batch, updates)

    return {
        "what": name,
        "flops": flops_per_image(answer, images),
        "ms": milliseconds_per_image(answer, images, repeats),
        "bytes": stored,
        "gap": None,
    }


def _show(rows: list[dict]) -> None:
    plain = rows[0]["flops"]
    table = Table("model", "MFLOP per image", "of plain", "ms per image", "adapter bytes", "largest gap to unmerged")
    for row in rows:
        gap = "–" if row["gap"] is None else f"{row['gap']:.0e}"
        share = f"{row['flops'] / plain:.4f}"
        table.add_row(row["what"], f"{row['flops'] / 1e6:,.1f}", share, f"{row['ms']:.2f}", f"{row['bytes']:,}", gap)
    Console(width=140).print(table)


if __name__ == "__main__":
    typer.run(main)
