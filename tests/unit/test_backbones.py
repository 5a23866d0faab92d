"""Backbones: our forward pass is the stock one, for both families, and only updates can change it."""

from __future__ import annotations

import json

import open_clip
import pytest
import timm
import torch
from PIL import Image

from core.adapters.sites import Site, parse_blocks, sites_of
from core.adapters.updates import Dense, LowRank, RowLowRank
from core.backbones import attention, load_backbone
from core.backbones.clip_vit import load_clip
from core.backbones.features import FrozenFeatures
from core.backbones.preprocessing import Preprocessing
from core.backbones.timm_vit import _backbone as timm_backbone
from core.backbones.timm_vit import load_tiny
from core.config import BackboneConfig
from core.errors import UserError

CPU = torch.device("cpu")
SIZE = {"tiny": 16, "clip": 32}


@pytest.fixture(scope="module")
def clip_files(tmp_path_factory):
    """A small random open_clip model, saved: its configuration and its checkpoint."""
    folder = tmp_path_factory.mktemp("clip")
    settings = {
        "embed_dim": 24,
        "vision_cfg": {"image_size": 32, "layers": 3, "width": 48, "head_width": 12, "patch_size": 8},
        "text_cfg": {"context_length": 8, "vocab_size": 64, "width": 32, "heads": 2, "layers": 1},
    }
    (folder / "small-clip.json").write_text(json.dumps(settings))
    open_clip.add_model_config(folder / "small-clip.json")
    torch.manual_seed(1)
    model = open_clip.create_model("small-clip")
    torch.save(model.state_dict(), folder / "small-clip.pt")
    return folder / "small-clip.json", folder / "small-clip.pt", model.visual.eval()


@pytest.fixture(params=["tiny", "clip"])
def backbone(request, clip_files):
    if request.param == "tiny":
        return load_tiny(None)
    return load_clip(str(clip_files[0]), str(clip_files[1]), None)


def images(backbone, n=3):
    return torch.randn(n, 3, backbone.image_size, backbone.image_size, generator=torch.Generator().manual_seed(0))


def zero_updates(backbone):
    updates = {}
    for site in sites_of(tuple(range(backbone.depth)), ("q", "k", "v", "o", "fc1", "fc2")):
        out, width = backbone.site_shape(site.projection)
        updates.setdefault(site.block, {})[site.projection] = LowRank(
            torch.randn(2, width), torch.zeros(out, 2), torch.ones(2)
        )
    return updates


def test_open_clip_forward_is_stock(clip_files):
    config, checkpoint, visual = clip_files
    ours = load_clip(str(config), str(checkpoint), None)
    x = images(ours)
    with torch.no_grad():
        stock, _ = visual._pool(visual.transformer(visual._embeds(x)))
        assert torch.allclose(ours(x), stock, atol=1e-5)
        assert torch.allclose(ours(x, zero_updates(ours)), stock, atol=1e-5)


@pytest.mark.parametrize(
    "name",
    ["vit_tiny_patch16_224", "vit_small_patch14_dinov2", "vit_small_patch14_reg4_dinov2", "deit3_small_patch16_224"],
)
def test_timm_forward_is_stock(name):
    torch.manual_seed(0)
    model = timm.create_model(name, pretrained=False, num_classes=0, img_size=56 if "14" in name else 64).eval()
    x = torch.randn(2, 3, *model.patch_embed.img_size)
    with torch.no_grad():
        stock = model(x)
        ours = timm_backbone(model, name, name)
        assert torch.allclose(ours(x), stock, atol=1e-5)
        assert torch.allclose(ours(x, zero_updates(ours)), stock, atol=1e-5)


def test_zero_update_changes_nothing(backbone):
    x = images(backbone)
    assert torch.equal(backbone(x, zero_updates(backbone)), backbone(x))


def test_every_projection_of_every_block_can_be_changed(backbone):
    x = images(backbone)
    plain = backbone(x)
    for site in sites_of(tuple(range(backbone.depth)), ("q", "k", "v", "o", "fc1", "fc2")):
        out, width = backbone.site_shape(site.projection)
        update = LowRank(torch.randn(2, width), torch.randn(out, 2), torch.ones(2))
        assert not torch.allclose(backbone(x, {site.block: {site.projection: update}}), plain, atol=1e-6), site.name


def test_update_equals_changed_weight(backbone):
    """Adding ΔW to an activation is adding it to the weight, wherever the family keeps that weight."""
    x = images(backbone)
    for projection in ("q", "k", "v", "o", "fc1", "fc2"):
        out, width = backbone.site_shape(projection)
        update = LowRank(torch.randn(3, width) * 0.1, torch.randn(out, 3) * 0.1, torch.rand(3))
        added = backbone(x, {1: {projection: update}})
        block = backbone.blocks[1]
        weight = (
            block.qkv.weight
            if projection in "qkv"
            else {"o": block.out, "fc1": block.fc1, "fc2": block.fc2}[projection].weight
        )
        rows = (
            slice("qkv".index(projection) * out, ("qkv".index(projection) + 1) * out)
            if projection in "qkv"
            else slice(None)
        )
        with torch.no_grad():
            weight[rows] += update.matrix()
            merged = backbone(x)
            weight[rows] -= update.matrix()
        assert torch.allclose(added, merged, atol=1e-5), projection
        dense = Dense(update.matrix(), torch.ones(()))
        assert torch.allclose(backbone(x, {1: {projection: dense}}), added, atol=1e-5), projection


def test_cls_rows_alone_give_the_same_embedding(backbone):
    tokens = backbone.stem(images(backbone))
    whole = backbone.readout(backbone.run(tokens, 0, backbone.depth, cls_only=False))
    assert torch.allclose(backbone.readout(backbone.run(tokens, 0, backbone.depth, cls_only=True)), whole, atol=1e-5)


def test_one_query_reads_what_the_whole_block_reads(backbone):
    """Keys and values that are never computed: the same CLS row and the same gradients, with every site adapted."""
    tokens = backbone.run(backbone.stem(images(backbone)), 0, backbone.depth - 1)
    generator = torch.Generator().manual_seed(0)
    updates, factors = {}, []
    for projection in ("q", "k", "v", "o", "fc1", "fc2"):
        out, width = backbone.site_shape(projection)
        down, up = (0.2 * torch.randn(3, 2, size, generator=generator) for size in (width, out))
        factors += [down.requires_grad_(), up.requires_grad_()]
        updates[projection] = RowLowRank(((torch.arange(3), down, up),))  # each of the three images has its own
    updates["k"] = Dense(0.3 * torch.randn(backbone.width, backbone.width, generator=generator), torch.ones(()))
    found = []
    for cls_only in (False, True):
        row = backbone.blocks[-1](tokens, updates, cls_only=cls_only)[:, 0]
        found.append((row, *torch.autograd.grad(row.square().sum(), factors, allow_unused=True)))
    for whole, alone in zip(*found, strict=True):
        assert (whole is None) == (alone is None)
        if whole is not None:
            assert torch.allclose(whole, alone, rtol=1e-3, atol=1e-4 * float(whole.detach().abs().max()))


def test_a_norm_of_the_keys_is_respected(backbone):
    """It is no linear map of a token, so keys have to be computed one by one."""
    tokens = backbone.stem(images(backbone))
    block = backbone.blocks[0]
    plain = block(tokens, cls_only=True)
    block.k_norm = torch.nn.LayerNorm(backbone.width // backbone.heads)
    assert torch.allclose(block(tokens)[:, :1], block(tokens, cls_only=True), atol=1e-5)
    assert not torch.allclose(block(tokens, cls_only=True), plain, atol=1e-3)


@pytest.mark.parametrize("tokens", [3, attention.PLAIN_UP_TO, attention.PLAIN_UP_TO + 1])
def test_both_ways_of_attention_are_one_function(tokens):
    q, k, v = (torch.randn(2, 3, tokens, 8, generator=torch.Generator().manual_seed(i)) for i in range(3))
    expected = torch.nn.functional.scaled_dot_product_attention(q, k, v)
    assert torch.allclose(attention.attend(q, k, v), expected, atol=1e-5)
    with torch.autocast("cpu", torch.bfloat16):
        rough = attention.attend(*(x.bfloat16() for x in (q, k, v)))
    assert rough.dtype == torch.bfloat16 and torch.allclose(rough.float(), expected, atol=0.05)


def test_blocks_can_be_run_in_parts(backbone):
    tokens = backbone.stem(images(backbone))
    halves = backbone.run(backbone.run(tokens, 0, 2), 2, backbone.depth)
    assert torch.equal(halves, backbone.run(tokens, 0, backbone.depth))


def test_nothing_in_a_batch_helps_another_image(backbone):
    x = images(backbone, 4)
    alone = torch.cat([backbone(x[i : i + 1]) for i in range(4)])
    assert torch.allclose(backbone(x), alone, atol=1e-5)


def test_backbone_is_frozen_and_fingerprinted(backbone):
    assert not any(parameter.requires_grad for parameter in backbone.parameters())
    before = backbone.fingerprint()
    assert before == backbone.fingerprint() and len(before) == 64
    with torch.no_grad():
        backbone.blocks[0].fc1.weight[0, 0] += 1e-3
    assert backbone.fingerprint() != before


def test_tiny_is_always_the_same():
    state = torch.random.get_rng_state()
    assert load_tiny(None).fingerprint() == load_tiny(None).fingerprint()
    assert torch.equal(state, torch.random.get_rng_state()), "loading must not touch the global generator"


def test_features_of_several_blocks():
    backbone = load_tiny(None)
    features = FrozenFeatures(backbone, "last:3")
    assert features.states == (2, 3, 4) and features.width == 3 * 2 * 32
    tokens = backbone.stem(images(backbone))
    states = dict(enumerate(backbone.steps(tokens, 0, 4), start=1))
    joined = features(states, backbone.readout(states[4]))
    assert joined.shape == (3, 192)
    assert torch.allclose(joined[:, 128:160], backbone.readout(states[4]), atol=1e-6)
    assert FrozenFeatures(backbone, "final").width == 32
    with pytest.raises(UserError, match="last:5"):
        FrozenFeatures(backbone, "blocks")


@pytest.mark.parametrize(
    ("text", "blocks"),
    [
        ("all", (0, 1, 2, 3)),
        ("last:2", (2, 3)),
        ("first:1", (0,)),
        ("1,3", (1, 3)),
        ("0-2", (0, 1, 2)),
        ("3,1", (1, 3)),
    ],
)
def test_blocks_are_parsed(text, blocks):
    assert parse_blocks(text, 4) == blocks


@pytest.mark.parametrize("text", ["last:0", "last:5", "4", "", "x", "3-1", "last"])
def test_bad_blocks_are_explained(text):
    with pytest.raises(UserError, match="blocks"):
        parse_blocks(text, 4)


def test_site_names_round_trip():
    assert Site(8, "q").name == "8/q" and Site.parse("8/q") == Site(8, "q")
    with pytest.raises(ValueError, match="not a site"):
        Site.parse("8.q")


def test_preprocessing_crops_the_centre_without_stretching():
    image = Image.new("RGB", (40, 20), "black")
    image.paste("white", (10, 0, 30, 20))
    pixels = Preprocessing(16, (0.5,) * 3, (0.5,) * 3).pixels(image)
    assert pixels.shape == (3, 16, 16) and pixels.dtype.name == "uint8"
    assert (pixels[:, :, 3:13] > 250).all(), "the white square fills the crop"
    assert Preprocessing(16, (0.5,) * 3, (0.5,) * 3, crop=0.8).pixels(Image.new("RGB", (7, 90))).shape == (3, 16, 16)
    flat = Preprocessing(4, (0.5, 0, 0), (0.25, 1, 1)).normalise(torch.full((1, 3, 4, 4), 255, dtype=torch.uint8))
    assert flat[0, :, 0, 0].tolist() == [2.0, 1.0, 1.0]


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"name": "dinov2-s15"}, "dinov2-s14"),
        ({"name": "timm/vit_smal_patch16_224"}, "vit_small_patch16_224"),
        ({"name": "open_clip/ViT-B-17", "pretrained": "x"}, "ViT-B-16"),
        ({"name": "open_clip/ViT-B-16", "pretrained": "laion3b"}, "pretrained tag"),
        ({"name": "open_clip/ViT-B-16", "pretrained": "/no/such.pt"}, "No checkpoint file"),
        ({"name": "timm/vit_tiny_patch16_224", "pretrained": "/no/such.pt"}, "No checkpoint file"),
        ({"name": "timm/resnet18"}, "timm model|VisionTransformer|two ways|cannot be"),
        ({"name": "tiny", "image_size": 18}, "image size"),
        ({"name": "dinov2-s14", "image_size": 100}, "use 98 or 112"),
    ],
)
def test_bad_names_are_explained(config, message):
    with pytest.raises(UserError, match=message) as caught:
        load_backbone(BackboneConfig(**config), None, CPU)
    assert "\n" not in str(caught.value)


def test_local_timm_checkpoint(tmp_path):
    torch.manual_seed(0)
    model = timm.create_model("vit_tiny_patch16_224", pretrained=False, num_classes=0)
    torch.save(model.state_dict(), tmp_path / "vit.pt")
    config = BackboneConfig(name="timm/vit_tiny_patch16_224", pretrained=str(tmp_path / "vit.pt"))
    ours = load_backbone(config, None, CPU)
    x = images(ours, 1)
    assert torch.allclose(ours(x), model.eval()(x), atol=1e-5)
