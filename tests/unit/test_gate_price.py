"""Without a budget λ decides how many gates stay open: most at 0.1, few at 1, on every stream, in 10 to 100 steps."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from core.adapters.gates import Gates
from core.adapters.sites import sites_of
from core.backbones.features import FrozenFeatures
from core.backbones.timm_vit import load_tiny
from core.config import RunConfig, StreamConfig, validate
from core.data.streams import open_stream
from core.methods import method_class
from core.methods.base import Method
from core.training.loop import train_task

CPU = torch.device("cpu")
PRICES = (0.1, 0.3, 1.0)
BATCH = 16
SITES = sites_of((0, 1, 2, 3), ("q", "v"))

pytestmark = pytest.mark.usefixtures("one_thread")


@dataclass(frozen=True)
class Entering:
    """What the training loop takes of a task: tokens (n, tokens, width) that enter the first block, and labels (n,)."""

    entering: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def tokens(self, rows: Tensor) -> Tensor:
        return self.entering[rows]


@cache
def first_task(stream: str, seed: int) -> tuple[Entering, int]:
    """The first task of a stream, 32 images a class, and its number of classes."""
    task = open_stream(StreamConfig(name=stream, train_per_class=32, test_per_class=2), seed).tasks[0]
    backbone = load_tiny(None)
    with torch.no_grad():
        pixels = torch.from_numpy(task.train.pixels(backbone.preprocessing.pixels))
        tokens = backbone.stem(backbone.preprocessing.normalise(pixels))
    labels = torch.tensor(task.train.labels)
    return Entering(tokens, labels), int(labels.max()) + 1


def trained(name: str, stream: str, seed: int, steps: int, **options: object) -> Method:
    """A method with a gate on each projection of the tiny backbone, after its first task."""
    data, classes = first_task(stream, seed)
    values = {
        "seed": seed,
        "backbone": {"name": "tiny"},
        "adapters": {"blocks": "all", "projections": ["q", "k", "v", "o", "fc1", "fc2"], "first_rank": None},
        "training": {"epochs": 1, "batch_size": BATCH},
        "method": {"name": name, "gates_per": "site", **options},
    }
    config = validate(RunConfig, values)
    backbone = load_tiny(None)
    features = FrozenFeatures(backbone, config.retrieval.features).width
    method = method_class(name)(backbone, features, config, CPU)
    method.begin_task(0, tuple(range(classes)), torch.Generator().manual_seed(seed))
    generator = torch.Generator().manual_seed(seed)
    rows = torch.cat([torch.randperm(len(data), generator=generator) for _ in range(1 + steps * BATCH // len(data))])
    rows = rows[: steps * BATCH]
    shown = Entering(data.entering[rows], data.labels[rows])
    train_task(method, 0, [shown], config.training, "float32", generator, lambda step, parts: None)  # type: ignore[list-item]
    method.gating.finish()
    return method


def gates_of(method: Method) -> Gates:
    return method.block_gates if method.config.method.name == "selective-lora" else method.residuals[0].gates


def falls_from_most_to_few(name: str, stream: str, seed: int, steps: int) -> None:
    counts = [len(gates_of(trained(name, stream, seed, steps, sparsity=price)).active()) for price in PRICES]
    told = f"{name}, {stream}, seed {seed}, {steps} steps: {counts} of 24"
    assert counts[0] > counts[1] > counts[2], told
    assert counts[0] > 12 and counts[2] <= 2, told


@pytest.fixture(params=["split-digits", "split-fashion", "omniglot-small.zip", "cifar100-subset.zip"])
def stream(request: pytest.FixtureRequest) -> str:
    if not request.param.endswith(".zip"):
        return str(request.param)
    folder: Path = request.getfixturevalue("shared_data")
    return str(folder / request.param)


@pytest.mark.parametrize("steps", [10, 30])
@pytest.mark.parametrize("name", ["selective-lora", "taps"])
def test_the_share_of_open_gates_falls_from_most_to_few(name: str, stream: str, steps: int) -> None:
    falls_from_most_to_few(name, stream, 0, steps)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("name", ["selective-lora", "taps"])
def test_it_falls_so_for_every_seed_and_number_of_steps(name: str, stream: str, seed: int) -> None:
    for steps in (10, 30, 100):
        falls_from_most_to_few(name, stream, seed, steps)


@pytest.mark.parametrize("name", ["selective-lora", "taps"])
def test_the_extremes_leave_all_gates_open_or_none(name: str) -> None:
    for price, count in ((0.0, 24), (1.0, 1), (3.0, 0)):
        method = trained(name, "split-digits", 0, 20, sparsity=price)
        open_sites = gates_of(method).open_sites()
        assert len(open_sites) == count
        assert {(block, side) for block, sides in method.updates(0).items() for side in sides} == {
            (site.block, site.projection) for site in open_sites
        }


def test_too_few_steps_for_a_decision_leave_gates_as_they_are() -> None:
    assert len(gates_of(trained("selective-lora", "split-digits", 0, 1, sparsity=1.0)).active()) == 24


def test_the_optimiser_leaves_weighed_scores_alone_until_the_warm_up_ends() -> None:
    method = trained("selective-lora", "split-digits", 0, 30, sparsity=0.3, warmup=0.5)
    history = method.gates(0)["blocks"]["history"]
    for scores in history["scores"].values():
        assert set(scores[:15]) == {0.15} and len(set(scores[15:])) == 1, "one decision, at the end of the warm-up"


def test_what_lambda_closed_is_zero_and_costs_no_bytes() -> None:
    method = trained("selective-lora", "split-digits", 0, 20, sparsity=1.0)
    (kept,) = method.block_gates.active()
    stored = {key for key in method.task_state(0).adapter if key.startswith("bank.")}
    assert stored == {f"bank.adapters.0.down.{kept}", f"bank.adapters.0.up.{kept}"}


@given(
    pulls=st.lists(st.floats(1e-6, 1e3), min_size=8, max_size=8),
    prices=st.lists(st.floats(0.01, 3), min_size=2, max_size=2).map(sorted),
    scale=st.floats(1e-3, 1e3),
)
def test_a_higher_price_closes_the_same_gates_and_more_whatever_the_scale(
    pulls: list[float], prices: list[float], scale: float
) -> None:
    def left(price: float, values: Tensor) -> set[str]:
        gates = Gates(SITES, "site")
        gates.weigh(values, price)
        return set(gates.active())

    values = torch.tensor(pulls)
    cheap, dear = (left(price, values) for price in prices)
    assert dear <= cheap
    assert bool(dear) == (prices[1] <= 1)
    by_name = dict(zip(Gates(SITES, "site").names, pulls, strict=True))
    closed = [by_name[name] for name in by_name if name not in cheap]
    assert sum(closed) <= prices[0] * sum(pulls) * (1 + 1e-5), "closed gates hold less than λ of the pull"
    if prices[0] < 0.99:
        assert max(closed, default=0) <= min((by_name[name] for name in cheap), default=max(pulls))
    assert left(prices[0], values) == cheap
    assert abs(len(left(prices[0], scale * values)) - len(cheap)) <= 1, "but for rounding at the boundary"
