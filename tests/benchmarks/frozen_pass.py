"""What share of the frozen pass's time its bare matrix products would take: how near the pass is to what they allow.

python -m tests.benchmarks.frozen_pass --image-size 98

The pass is that of a run: images to frozen features, tokens and embedding, a batch as large as a run's. The products in
it are noted with their shapes; then they alone are computed, on other numbers of the same shapes and into memory that
is there already. Both are timed in turn, and the quickest of each are compared: another program on the machine can only
make them slower. Attention counts as its two products.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Annotated, Any

import torch
import typer
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from core.backbones import load_backbone
from core.backbones.features import FrozenFeatures
from core.config import BackboneConfig
from core.training.device import autocast, pick_device, pick_precision
from core.training.encoding import ENCODE_BATCH, Encoder
from core.training.token_store import TokenCache

Product = tuple[tuple[int, ...], tuple[int, ...], torch.dtype]
"""Shapes of the two factors, (… rows, inner) and (… inner, columns), and their type."""


class Products(TorchDispatchMode):
    """Notes every matrix product that is computed."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[Product] = []

    def __torch_dispatch__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Compute as usual."""
        factors = _factors(function.overloadpacket.__name__, args)
        self.found += [(tuple(left.shape), tuple(right.shape), left.dtype) for left, right in factors]
        return function(*args, **(kwargs or {}))


def _factors(name: str, args: Sequence[Any]) -> list[tuple[Tensor, Tensor]]:
    """The pairs that an operator multiplies; of a convolution whose patches do not overlap, as a product of patches."""
    if name in ("mm", "bmm"):
        return [(args[0], args[1])]
    if name in ("addmm", "baddbmm"):
        return [(args[1], args[2])]
    if name == "linear":
        return [(args[0].flatten(0, -2), args[1].t())]
    if "scaled_dot_product" in name:
        query, key, value = (tensor.flatten(0, 1) for tensor in args[:3])
        scores = query.new_empty(query.shape[0], query.shape[1], key.shape[1])
        return [(query, key.transpose(1, 2)), (scores, value)]
    if name == "convolution":
        images, weight = args[:2]
        inner = weight[0].numel()
        return [(images.new_empty(images.numel() // inner, inner), weight.flatten(1).t())]
    return []


def main(
    backbone: Annotated[str, typer.Option()] = "dinov2-s14",
    image_size: Annotated[int, typer.Option()] = 98,
    batch: Annotated[int, typer.Option()] = ENCODE_BATCH,
    repeats: Annotated[int, typer.Option()] = 7,
    precision: Annotated[str, typer.Option()] = "auto",
    device: Annotated[str, typer.Option()] = "auto",
) -> None:
    """Print seconds of both, their ratio, and GFLOP per second."""
    where = pick_device(device)
    model = load_backbone(BackboneConfig(name=backbone, image_size=image_size), None, where)
    encoder = Encoder(
        model, FrozenFeatures(model, "last:5"), model.depth, pick_precision(precision, where), TokenCache("off")
    )
    images = torch.randn(batch, 3, image_size, image_size, generator=torch.Generator().manual_seed(0)).to(where)

    @torch.no_grad()
    def whole() -> None:
        with autocast(where, encoder.precision):
            encoder._view(images)

    with Products() as products:
        whole()
    bare = _alone(products.found, where)
    timed: dict[str, list[float]] = {"pass": [], "products": []}
    for _ in range(repeats):
        timed["pass"].append(_seconds(whole, where))
        timed["products"].append(_seconds(bare, where))
    took, least = min(timed["pass"]), min(timed["products"])
    work = sum(2 * torch.Size(left).numel() * right[-1] for left, right, _ in products.found) / 1e9
    typer.echo(
        f"{model.title} at {image_size} px, {batch} images, {encoder.precision}, {torch.get_num_threads()} threads: "
        f"{len(products.found)} products, {work:.1f} GFLOP in all"
    )
    typer.echo(f"frozen pass {took:.3f} s, {work / took:.0f} GFLOP/s")
    typer.echo(f"bare products {least:.3f} s, {work / least:.0f} GFLOP/s: the pass reaches {least / took:.0%} of them")


@torch.no_grad()
def _alone(products: Sequence[Product], device: torch.device) -> Callable[[], None]:
    """A function that computes products of those shapes and nothing else."""
    calls = []
    for left, right, dtype in products:
        first, second = (torch.randn(shape, device=device).to(dtype) for shape in (left, right))
        multiply = torch.mm if first.dim() == 2 else torch.bmm
        calls.append(partial(multiply, first, second, out=multiply(first, second)))

    @torch.no_grad()
    def compute() -> None:
        for call in calls:
            call()

    return compute


def _seconds(compute: Callable[[], None], device: torch.device) -> float:
    start = time.perf_counter()
    compute()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - start


if __name__ == "__main__":
    typer.run(main)
