"""Learning without forgetting, beside what it promises."""

from __future__ import annotations

import pytest
import torch

from core.methods.base import Step
from tests.unit.learning import TASKS, build, inputs_for, learn


def begun(strength: float = 1.0, **options):
    """After one task, at the beginning of the second; between tasks a method answers, as in the training loop."""
    method = build("lwf", **options)
    adapters = method.config.adapters.model_copy(update={"strength": strength})
    method.config = method.config.model_copy(update={"adapters": adapters})
    learn(method, 0)
    method.eval()
    method.begin_task(1, TASKS[1], torch.Generator().manual_seed(1))
    method.train()
    return method, inputs_for(method, 1)


@pytest.mark.parametrize("strength", [1.0, 0.5])
def test_before_the_first_step_the_old_answers_pull_nowhere(strength):
    method, data = begun(strength)
    _, parts = method.loss(data.tokens, data.labels, Step(1, 0, 10))
    moved = [p for p in method.bank.parameters() if p.requires_grad]
    found = torch.autograd.grad(parts["distillation 0"], moved, allow_unused=True)
    assert parts["distillation 0"] > 0
    assert all(gradient is None or gradient.abs().max() < 1e-5 for gradient in found)


def test_the_first_task_is_learned_as_without_it():
    method = build("lwf")
    method.begin_task(0, TASKS[0], torch.Generator().manual_seed(0))
    data = inputs_for(method, 0)
    assert set(method.loss(data.tokens, data.labels, Step(0, 0, 10))[1]) == {"cross_entropy"}


def test_old_answers_to_new_images_move_less_than_without_distillation():
    def change(weight: float) -> float:
        method = build("lwf", distillation=weight)
        learn(method, 0)
        before = method.heads(inputs_for(method, 1).embedding(0), 0).softmax(1)
        learn(method, 1, steps=30)
        after = method.heads(inputs_for(method, 1).embedding(0), 0).softmax(1)
        return float((before - after).abs().mean().detach())

    assert change(5.0) < 0.7 * change(0.0)


def test_the_teacher_is_not_saved():
    method, _ = begun()
    assert not [key for key in method.state_dict() if "teacher" in key]
