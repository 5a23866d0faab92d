"""Frozen weights that are converted once: to the bits that autocast makes of them, and never those of other weights."""

from __future__ import annotations

from copy import deepcopy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from core.adapters.merge import merged
from core.backbones import vit
from core.backbones.frozen_weights import weights
from core.training.device import autocast
from tests.unit.learning import CPU, build, images
from tests.unit.test_merge import updates_of


@pytest.fixture(params=[True, False], ids=["bias", "no bias"])
def layer(request) -> nn.Linear:
    return nn.Linear(6, 4, bias=request.param).requires_grad_(False)


def rough() -> torch.autocast:
    return autocast(CPU, "bfloat16")


def test_they_are_what_autocast_makes_of_them_and_made_once(layer):
    x = torch.randn(3, 6)
    with rough():
        first = weights(layer)
        assert torch.equal(F.linear(x, *first), layer(x)) and first[0].dtype == torch.bfloat16
        assert weights(layer)[0] is first[0]
    assert weights(layer)[0] is layer.weight, "in float32 there is nothing to convert"
    assert list(layer.state_dict()) == [name for name, _ in layer.named_parameters()], "and nothing more to save"


def test_weights_that_were_written_or_replaced_are_converted_anew(layer):
    with rough():
        weights(layer)
        layer.weight.copy_(torch.ones(4, 6))
        assert weights(layer)[0].float().eq(1).all()
        layer.weight = nn.Parameter(torch.full((4, 6), 2.0), requires_grad=False)
        assert weights(layer)[0].float().eq(2).all()
        copied = deepcopy(layer)
        copied.weight.copy_(torch.full((4, 6), 3.0))
        assert weights(copied)[0].float().eq(3).all() and weights(layer)[0].float().eq(2).all()


def test_weights_that_learn_are_left_to_autocast(layer):
    layer.requires_grad_(True)
    with rough():
        assert weights(layer)[0] is layer.weight


def test_what_was_converted_in_inference_mode_serves_training(layer):
    x = torch.randn(3, 6, requires_grad=True)
    with rough():
        with torch.inference_mode():
            weights(layer)
        F.linear(x, *weights(layer)).sum().backward()
    assert x.grad is not None


def test_a_folded_update_is_answered_with_in_bfloat16_too():
    backbone = build("sequential").backbone
    pixels, _ = images(0, per_class=2)
    updates = updates_of(backbone, (0, 2), 8)
    with torch.no_grad(), rough():
        backbone(pixels)
        once = merged(backbone, updates)
        again = merged(once, updates)
        found = [model(pixels) for model in (backbone, once, again)]
    assert not torch.allclose(found[0], found[1], atol=0.01) and not torch.allclose(found[1], found[2], atol=0.01)


def test_losses_and_gradients_are_the_same_bits(monkeypatch):
    found = []
    for way in (weights, lambda layer: (layer.weight, layer.bias)):
        monkeypatch.setattr(vit, "weights", way)
        backbone = build("sequential").backbone
        updates = updates_of(backbone, (0, 2, 3), 8)
        factors = [part.down.requires_grad_() for block in updates.values() for part in block.values()]
        with rough():
            answer = backbone(images(0)[0], updates).square().mean()
        found.append([answer, *torch.autograd.grad(answer, factors)])
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))
