"""The one training loop: AdamW, cosine schedule, gradient clipping, mixed precision, deterministic by its generator."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from core.config import TrainingConfig
from core.methods.base import Method, Step
from core.training.device import Precision, autocast
from core.training.encoding import EncodedImages

OnStep = Callable[[Step, dict[str, Tensor]], None]
"""Called after each step with the loss and its parts, as tensors that the device may still be computing."""


def steps_for(images: int, settings: TrainingConfig) -> int:
    """Optimiser steps that `images` training images take."""
    return settings.passes(images) * settings.steps_in_a_pass(images)


def train_task(
    method: Method,
    task: int,
    views: Sequence[EncodedImages],
    settings: TrainingConfig,
    precision: Precision,
    generator: torch.Generator,
    on_step: OnStep,
) -> None:
    """Minimise `method.loss` over images in one or more views. Does nothing for methods with nothing to train."""
    parameters = method.trainable()
    images, labels = len(views[0]), views[0].labels
    steps = steps_for(images, settings)
    if not parameters or not steps:
        return
    device = labels.device
    rate = settings.rate(images)
    groups = [{"params": members, "lr": rate * factor} for members, factor in method.rates() if members]
    optimiser = torch.optim.AdamW(groups, weight_decay=settings.weight_decay)
    course = [_rate(step, steps, settings.warmup_steps) for step in range(steps + 1)]
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, course.__getitem__)
    whole = sum(course[:steps])
    method.train()
    step = 0
    for epoch in range(settings.passes(images)):
        for rows in torch.randperm(images, generator=generator).split(settings.batch_size):
            now = Step(task, step, steps)
            with autocast(device, precision):
                loss, parts = method.loss(_tokens(views, rows, epoch), labels[rows.to(device)], now)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(parameters, settings.clip_norm)
            optimiser.step()
            method.after_step(now, course[step] / whole)
            schedule.step()
            step += 1
            on_step(now, {"loss": loss.detach(), **{name: part.detach() for name, part in parts.items()}})
    method.eval()


def _tokens(views: Sequence[EncodedImages], rows: Tensor, epoch: int) -> Tensor:
    """(len(rows), tokens, width) of images `rows`, image i in view (epoch + i) mod V: so V epochs show every view."""
    if len(views) == 1:
        return views[0].tokens(rows)
    turn = (rows + epoch) % len(views)
    parts = [views[number].tokens(rows[turn == number]) for number in turn.unique().tolist()]
    return torch.cat(parts)[torch.argsort(torch.argsort(turn, stable=True))]


def _rate(step: int, steps: int, warmup: int) -> float:
    """Share of the learning rate at a step: linear warm-up, then half a cosine down to zero."""
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))
