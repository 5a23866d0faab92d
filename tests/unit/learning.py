"""A small stream of random images for tests of methods: three tasks of two classes that are easy to tell apart."""

from __future__ import annotations

import torch

from core.backbones.features import FrozenFeatures
from core.backbones.timm_vit import load_tiny
from core.config import RunConfig, validate
from core.methods import method_class, method_names
from core.methods.base import Method, Step
from core.methods.frozen_classifier import FrozenClassifier
from core.methods.inputs import Inputs
from core.methods.shared_model import SharedModel

CPU = torch.device("cpu")
TASKS = ((0, 1), (2, 3), (4, 5))
METHODS = sorted(method_names())
TRAINED = [name for name in METHODS if not issubclass(method_class(name), FrozenClassifier)]
SHARED = [name for name in METHODS if issubclass(method_class(name), SharedModel)]
"""Methods whose one model serves all tasks."""


def build(name: str, *, blocks: str = "last:2", retrieval: dict | None = None, **options) -> Method:
    """A method on the tiny backbone."""
    if name == "ranpac":
        options = {"random_features": 64, **options}
    values = {
        "method": {"name": name, **options},
        "adapters": {"blocks": blocks, "rank": 2, "first_rank": 3},
        "retrieval": {"features": "last:2", "dimensions": 4, "components": 3, **(retrieval or {})},
        "backbone": {"name": "tiny"},
    }
    config = validate(RunConfig, values)
    backbone = load_tiny(None)
    features = FrozenFeatures(backbone, config.retrieval.features)
    return method_class(name)(backbone, features.width, config, CPU).eval()


def images(task: int, per_class: int = 8, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Normalised images (n, 3, 16, 16) and labels of a task: each class a fixed pattern with noise."""
    labels = torch.tensor(TASKS[task]).repeat_interleave(per_class)
    patterns = torch.randn(6, 3, 16, 16, generator=torch.Generator().manual_seed(99))
    noise = torch.randn(len(labels), 3, 16, 16, generator=torch.Generator().manual_seed(1000 * seed + task))
    return patterns[labels] + 0.5 * noise, labels


def inputs_for(method: Method, task: int, seed: int = 0, per_class: int = 8) -> Inputs:
    """The images of a task as the method sees them."""
    pixels, labels = images(task, per_class, seed)
    backbone = method.backbone
    features = FrozenFeatures(backbone, method.config.retrieval.features)
    with torch.no_grad():
        start = backbone.stem(pixels)
        states = dict(enumerate(backbone.steps(start, 0, backbone.depth), start=1))
        frozen = features(states, backbone.readout(states[backbone.depth]))
        tokens = states[method.first_block] if method.first_block else start
    result = Inputs(
        frozen,
        lambda tasks, rows: embed_each(method, tokens[rows], tasks),
        labels=labels,
        tasks=torch.full((len(labels),), task),
    )
    result.tokens = tokens
    return result


@torch.no_grad()
def embed_each(method: Method, tokens: torch.Tensor, tasks: torch.Tensor) -> torch.Tensor:
    """(n, width) of n images, each with its own task's adapters, a pass a task."""
    result = tokens.new_empty(len(tokens), method.backbone.width)
    for task in tasks.unique().tolist():
        result[tasks == task] = method.embed(tokens[tasks == task], task)
    return result


def learned_and_loaded(name: str, tasks: int = 2, **settings) -> tuple[Method, Method]:
    """A method after `tasks` tasks, and another that was loaded from what it saved of them."""
    method, states = build(name, **settings), []
    for task in range(tasks):
        learn(method, task)
        states.append(method.task_state(task))
    again = build(name, **settings)
    for task, state in enumerate(states):
        again.load_task(task, TASKS[task], state)
    again.load_shared(method.shared_state())
    return method, again.eval()


def learn(method: Method, task: int, steps: int = 12, seed: int = 0) -> None:
    """One task, as the training loop does it, on the whole task at each step."""
    method.begin_task(task, TASKS[task], torch.Generator().manual_seed(seed * 10 + task))
    data = inputs_for(method, task)
    parameters = method.trainable()
    if parameters:
        optimiser = torch.optim.AdamW(parameters, lr=1e-2)
        method.train()
        for step in range(steps):
            loss, _ = method.loss(data.tokens, data.labels, Step(task, step, steps))
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        method.eval()
    with torch.no_grad():
        method.end_task(task, inputs_for(method, task))
