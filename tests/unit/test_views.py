"""Views of training images: drawn by content and seed alone, encoded once, the same with and without a cache."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from core.backbones.features import FrozenFeatures
from core.backbones.timm_vit import load_tiny
from core.config import TrainingConfig
from core.data.images import ArrayPicture, ImageSet, Item
from core.data.views import augmentation, random_crop, views_of
from core.runs.store import Run
from core.training.encoding import Encoder
from core.training.loop import _tokens
from core.training.token_store import TokenCache
from tests.unit.test_training import folder, outcome, stop_and_resume, train  # noqa: F401  the fixture


def pictures(count: int = 6) -> ImageSet:
    drawn = np.random.default_rng(0).integers(0, 256, (count, 20, 30, 3), dtype=np.uint8)
    return ImageSet([Item(f"{n}", ArrayPicture(image), f"id-{n}") for n, image in enumerate(drawn)], [0] * count)


def shown(images: ImageSet) -> list[bytes]:
    return [images.image(index).tobytes() for index in range(len(images))]


@given(st.integers(1, 60), st.integers(1, 60), st.integers(0, 2**32 - 1))
def test_a_crop_is_a_square_part_of_the_image(width, height, seed):
    plain = Image.new("RGB", (width, height), (10, 20, 30))
    crop = random_crop(plain, np.random.default_rng(seed))
    assert crop.size == (min(width, height),) * 2
    assert np.unique(np.asarray(crop).reshape(-1, 3), axis=0).tolist() == [[10, 20, 30]], (
        "nothing comes from outside the image"
    )


def test_views_are_drawn_by_content_view_and_seed_alone():
    images = pictures()
    first, second = views_of(images, "crops", 2, seed=0)
    assert shown(first) == shown(views_of(images, "crops", 2, seed=0)[0])
    turned = first.subset([4, 1])
    assert shown(turned) == [shown(first)[4], shown(first)[1]], "whatever else is in the set"
    other = views_of(images, "crops", 2, seed=1)[0]
    assert not {*shown(first)} & ({*shown(second)} | {*shown(other)})
    assert len({*first.identities, *second.identities, *other.identities, *images.identities}) == 4 * len(images)


def test_a_mirror_image_of_a_mirror_image_is_the_image():
    images = pictures()
    itself, mirrored = views_of(images, "flip", 1, seed=0)
    assert itself is images
    assert shown(mirrored) != shown(images)
    back = [mirrored.image(n).transpose(Image.Transpose.FLIP_LEFT_RIGHT).tobytes() for n in range(len(images))]
    assert back == shown(images)


def test_without_augmentation_there_is_one_view():
    images = pictures()
    assert views_of(images, "none", 0, seed=0) == [images]


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        ("cifar100", ("flip", 1)),
        ("cifar10 + dtd", ("flip", 1)),
        ("cifar10+mnist", ("none", 0)),
        ("split-digits", ("none", 0)),
        ("split-fashion", ("none", 0)),
        ("svhn", ("none", 0)),
        ("some/folder", ("none", 0)),
    ],
)
def test_by_default_photographs_alone_are_mirrored(stream, expected):
    assert augmentation(TrainingConfig(), stream) == expected
    assert augmentation(TrainingConfig(augment="crops", augment_views=3), stream) == ("crops", 3)
    assert augmentation(TrainingConfig(augment="crops", epochs=0), stream) == ("none", 0), "nothing is trained"


def test_every_view_has_its_turn():
    backbone = load_tiny(None)
    encoder = Encoder(backbone, FrozenFeatures(backbone, "last:2"), 2, "float32", TokenCache("memory"))
    views = [encoder.encode_view(view, lambda done: None) for view in views_of(pictures(), "crops", 3, seed=0)]
    rows = torch.tensor([5, 0, 2, 1, 4, 3])
    for epoch in range(4):
        tokens = _tokens(views, rows, epoch)
        for place, row in enumerate(rows.tolist()):
            assert torch.equal(tokens[place], views[(epoch + row) % 3].tokens(torch.tensor([row]))[0])


def test_a_view_costs_the_frozen_blocks_before_the_adapters_and_no_more(monkeypatch):
    backbone = load_tiny(None)
    encoder = Encoder(backbone, FrozenFeatures(backbone, "last:2"), 2, "float32", TokenCache("memory"))
    passed: list[tuple[int, int]] = []
    run = backbone.run
    monkeypatch.setattr(
        backbone, "run", lambda tokens, a, b, *more, **named: passed.append((a, b)) or run(tokens, a, b, *more, **named)
    )
    view = encoder.encode_view(views_of(pictures(), "crops", 1, seed=0)[0], lambda done: None)
    assert passed == [(0, 2)] and view.frozen.shape == (6, 0)


CROPS = {"augment": "crops", "augment_views": 2, "epochs": 3}


def test_a_stopped_run_resumes_to_the_same_end(folder, tmp_path, each_precision):  # noqa: F811
    whole = train(folder, tmp_path / "whole", "proteus", training=CROPS)
    assert outcome(stop_and_resume(folder, tmp_path, "proteus", 1, CROPS)) == outcome(whole)
    plain = train(folder, tmp_path / "plain", "proteus", training={"epochs": 3, "augment": "none"})
    assert outcome(plain) != outcome(whole), "the crops were trained on"


@pytest.mark.slow
@pytest.mark.parametrize("method", ["proteus", "sequential"])
def test_views_are_the_same_wherever_tokens_are_kept(folder, tmp_path, method):  # noqa: F811
    runs = {
        cache: train(folder, tmp_path / cache, method, training={**CROPS, "cache": cache})
        for cache in ("memory", "disk", "off")
    }
    assert outcome(runs["memory"]) == outcome(runs["disk"]) == outcome(runs["off"])


def test_views_stay_within_the_budget_of_the_cache(folder, tmp_path):  # noqa: F811
    run: Run = train(folder, tmp_path, "proteus", training={**CROPS, "augment_views": 20, "epochs": 1, "cache_mb": 0})
    kept = run.metrics["token_cache"]
    assert kept["memory_bytes"] == 0 and 0 < kept["disk_bytes"] <= kept["disk_budget_bytes"]


@pytest.mark.parametrize("method", ["lda", "joint"])
def test_other_methods_take_the_setting_too(folder, tmp_path, method):  # noqa: F811
    assert train(folder, tmp_path, method, training=CROPS).status.state == "done"
