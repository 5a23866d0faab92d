"""Merged adapters: the same function as adapters beside the weights, at exactly the plain backbone's price."""

from __future__ import annotations

import pytest
import torch

from core.adapters.merge import merged
from core.adapters.sites import sites_of
from core.adapters.updates import Dense, LowRank
from core.backbones.timm_vit import load_tiny
from core.evaluation.cost import flops_per_image
from core.methods.base import PAST_IS_FROZEN
from core.training.device import autocast
from tests.unit.learning import SHARED, build, images, inputs_for, learn
from tests.unit.test_gates import clip  # noqa: F401  the fixture

PROJECTIONS = ("q", "k", "v", "o", "fc1", "fc2")


@pytest.fixture(params=["tiny", "clip"])
def backbone(request):
    return load_tiny(None) if request.param == "tiny" else request.getfixturevalue("clip")


def updates_of(backbone, blocks, rank, dense=False):
    generator = torch.Generator().manual_seed(rank)
    updates = {}
    for site in sites_of(blocks, PROJECTIONS):
        out, width = backbone.site_shape(site.projection)
        down, up = (torch.randn(*shape, generator=generator) * 0.1 for shape in ((rank, width), (out, rank)))
        update = LowRank(down, up, torch.rand(rank, generator=generator))
        updates.setdefault(site.block, {})[site.projection] = (
            Dense(update.matrix(), torch.ones(())) if dense else update
        )
    return updates


@pytest.mark.parametrize("dense", [False, True])
@pytest.mark.parametrize("rank", [1, 8, 64])
def test_merged_is_unmerged_and_costs_what_the_plain_backbone_costs(backbone, rank, dense):
    updates = updates_of(backbone, (1, 3), rank, dense)
    pixels, _ = images(0, per_class=2)
    folded = merged(backbone, updates)
    with torch.no_grad():
        assert torch.allclose(folded(pixels), backbone(pixels, updates), atol=1e-5)
        assert not torch.allclose(folded(pixels), backbone(pixels), atol=1e-3)
    plain = flops_per_image(backbone, pixels)
    assert flops_per_image(folded, pixels) == plain < flops_per_image(lambda x: backbone(x, updates), pixels)


def test_merged_is_unmerged_to_rounding_in_bfloat16(backbone):
    updates, (pixels, _) = updates_of(backbone, (1, 3), 8), images(0, per_class=2)
    with torch.no_grad():
        exact = merged(backbone, updates)(pixels)
        with autocast(torch.device("cpu"), "bfloat16"):
            beside, folded = backbone(pixels, updates), merged(backbone, updates)(pixels)
    scale = exact.abs().max()
    assert (beside - folded).abs().max() < 0.03 * scale and (exact - folded).abs().max() < 0.03 * scale


def test_what_is_not_updated_is_shared_and_what_is_merged_leaves_the_original_alone(backbone):
    before = backbone.fingerprint()
    folded = merged(backbone, updates_of(backbone, (2,), 4))
    assert backbone.fingerprint() == before
    shared = [mine is theirs for mine, theirs in zip(backbone.blocks, folded.blocks, strict=True)]
    assert shared == [index != 2 for index in range(backbone.depth)]
    assert not any(parameter.requires_grad for parameter in folded.parameters())


@pytest.mark.parametrize("name", SHARED)
def test_one_adapter_methods_answer_merged(name):
    method = build(name, **({"sparsity": 0.0} if name == "selective-lora" else {}))
    for task in range(2):
        learn(method, task)
    assert PAST_IS_FROZEN not in method.promises
    probe = inputs_for(method, 0, seed=2)
    with torch.no_grad():
        beside = method.embed(probe.tokens, 0)
        method.merge()
        assert torch.allclose(method.embed(probe.tokens, 0), beside, atol=1e-5)
        assert not torch.equal(method.embed(probe.tokens, 0), beside)
    plain = method.backbone.run
    first, depth = method.first_block, method.backbone.depth
    assert flops_per_image(lambda x: method.embed(x, 0), probe.tokens) == flops_per_image(
        lambda x: plain(x, first, depth, cls_only=True), probe.tokens
    )


def test_training_goes_on_with_the_adapters_not_with_a_stale_merge():
    straight, folded = build("sequential"), build("sequential")
    for method in (straight, folded):
        learn(method, 0)
    folded.merge()
    for method in (straight, folded):
        learn(method, 1)
    probe = inputs_for(straight, 1, seed=2)
    with torch.no_grad():
        assert torch.equal(straight.embed(probe.tokens, 1), folded.embed(probe.tokens, 1))
