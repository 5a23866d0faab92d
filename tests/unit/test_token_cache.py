"""The prefix cache: same losses with it and without, a budget that is kept, and nothing stale."""

from __future__ import annotations

import gc
from pathlib import Path

import numpy as np
import pytest
import torch

from core.backbones.features import FrozenFeatures
from core.backbones.timm_vit import load_tiny
from core.config import RunConfig, validate
from core.data.images import ArrayPicture, ImageSet, Item
from core.errors import UserError
from core.methods import method_class
from core.training.encoding import Encoder, Encodings
from core.training.loop import train_task
from core.training.token_store import TokenCache, TokenStore

CPU = torch.device("cpu")
SHAPE, BYTES = (10, 3, 4), 10 * 3 * 4 * 4


pytestmark = pytest.mark.usefixtures("one_thread")


def pictures(count=20, seed=0) -> ImageSet:
    rng = np.random.default_rng(seed)
    found = [ArrayPicture(rng.integers(0, 256, (20, 20, 3), dtype=np.uint8)) for _ in range(count)]
    items = [Item(str(index), picture, picture.identity()) for index, picture in enumerate(found)]
    return ImageSet(items, np.arange(count) % 2)


def encoder(cache="memory", precision="float32", first_block=2, features="last:2", **settings) -> Encoder:
    backbone = load_tiny(None)
    place = cache if isinstance(cache, TokenCache) else TokenCache(cache)
    return Encoder(backbone, FrozenFeatures(backbone, features), first_block, precision, place, **settings)


def losses(cache: str, precision: str, blocks: str) -> list[float]:
    values = {
        "backbone": {"name": "tiny"},
        "adapters": {"blocks": blocks, "rank": 2},
        "training": {"epochs": 3, "batch_size": 8},
        "method": {"name": "sequential"},
    }
    config = validate(RunConfig, values)
    backbone = load_tiny(None)
    features = FrozenFeatures(backbone, "last:2")
    method = method_class("sequential")(backbone, features.width, config, CPU)
    method.begin_task(0, (0, 1), torch.Generator().manual_seed(0))
    found: list[float] = []
    data = Encoder(backbone, features, method.first_block, precision, TokenCache(cache)).encode(
        pictures(), lambda done: None
    )
    assert (data.store is None) == (cache == "off")
    train_task(
        method,
        0,
        [data],
        config.training,
        precision,
        torch.Generator().manual_seed(1),
        lambda step, parts: found.append(float(parts["loss"])),
    )
    return found


@pytest.mark.parametrize("blocks", ["last:1", "last:2", "all"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_cached_and_uncached_training_have_the_same_losses(blocks, precision):
    exact = {cache: losses(cache, precision, blocks) for cache in ("memory", "disk", "off")}
    assert len(exact["off"]) == 9 and exact["off"][-1] < exact["off"][0]
    assert exact["memory"] == exact["disk"] == exact["off"], "bit for bit"
    assert exact["off"] == pytest.approx(losses("off", "float32", blocks), rel=0.1)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("views", [1, 2])
def test_batches_that_are_filled_up_give_the_same_numbers(precision, views):
    """As on a GPU: 20 and 5 images go through the blocks as 64."""
    plain, filled = (encoder("off", precision, views=views) for _ in range(2))
    filled.fills_batches = True
    whole, one = (each.encode(pictures(), lambda done: None) for each in (plain, filled))
    assert torch.equal(one.frozen, whole.frozen) and torch.equal(one.embedding, whole.embedding)
    rows = torch.tensor([3, 7, 7, 19, 0])
    assert torch.equal(one.tokens(rows), whole.tokens(rows)) and one.tokens(rows).dtype == filled.token_type
    everything = torch.arange(20).repeat(5)
    assert torch.equal(filled.prefix(filled.decoded(one.images, everything)), whole.tokens(everything))


@pytest.mark.parametrize("place", ["memory", "disk"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_token_store_gives_back_what_it_was_given(place, dtype):
    store = TokenStore(place, SHAPE, dtype)
    tokens = torch.randn(SHAPE).to(dtype)
    for start in (0, 5):
        store.write(start, tokens[start : start + 5])
    rows = torch.tensor([9, 0, 4])
    assert torch.equal(store.read(rows), tokens[rows])


def small(memory: int, disk: int = 0) -> TokenCache:
    """A cache of so many bytes."""
    cache = TokenCache("auto")
    cache.budget = {"memory": memory, "disk": disk}
    return cache


@pytest.mark.parametrize("disk", [False, True])
def test_images_whose_tokens_find_no_room_are_decoded_once(monkeypatch, disk):
    images = pictures()
    whole = encoder().encode(images, lambda done: None)
    room = images.pixels(encoder().backbone.preprocessing.pixels).nbytes
    assert room < whole.store.values.nbytes
    cache = small(0, room) if disk else small(room)
    data = encoder(cache).encode(images, lambda done: None)
    assert data.store is None and data.pixels.place == ("disk" if disk else "memory")
    assert cache.described()["off_bytes"] == whole.store.values.nbytes

    monkeypatch.setattr(ImageSet, "pixels", lambda *asked: pytest.fail("an image was decoded again"))
    rows = torch.tensor([3, 17, 0])
    assert torch.allclose(data.tokens(rows), whole.tokens(rows), atol=1e-5)
    assert torch.equal(data.subset(rows).tokens(torch.arange(3)), data.tokens(rows))


def test_without_any_room_images_are_decoded_whenever_they_are_needed():
    images, count = pictures(), []
    for cache in (small(0), TokenCache("off")):
        data = encoder(cache).encode(images, count.append)
        assert data.store is None and data.pixels is None
        assert data.tokens(torch.tensor([2])).shape[0] == 1
    assert sum(count) == 2 * len(images)


def test_a_broken_image_in_a_batch_that_is_read_ahead_is_told(monkeypatch):
    monkeypatch.setattr("core.training.encoding.ENCODE_BATCH", 8)
    images, read = pictures(), []
    real = ImageSet.pixels

    def pixels(self, transform, indices):
        read.append(list(indices))
        if 17 in indices:
            raise UserError("17 can no longer be read")
        return real(self, transform, indices)

    monkeypatch.setattr(ImageSet, "pixels", pixels)
    done: list[int] = []
    with pytest.raises(UserError, match="17 can"):
        encoder().encode(images, done.append)
    assert done == [8, 8] and [len(rows) for rows in read] == [8, 8, 4]


def test_all_stores_share_one_budget():
    """Memory, then disk, then off; what is let go makes room again; what was asked for by name is obeyed."""
    cache = TokenCache("auto")
    cache.budget = {"memory": 2 * BYTES, "disk": BYTES}
    stores = [cache.store(SHAPE, torch.float32) for _ in range(4)]
    assert [store and store.place for store in stores] == ["memory", "memory", "disk", None]
    del stores[0]
    gc.collect()
    assert cache.place(BYTES) == "memory" and cache.place(BYTES + 1) == "off"
    told = cache.described()
    assert (told["memory_bytes"], told["disk_bytes"], told["off_bytes"]) == (2 * BYTES, BYTES, BYTES)
    assert cache.used == {"memory": BYTES, "disk": BYTES} and told["memory_budget_bytes"] == 2 * BYTES
    for wanted in ("memory", "disk", "off"):
        assert TokenCache(wanted, 0).place(10**15) == wanted


def test_the_budget_of_memory_can_be_set():
    assert TokenCache("auto", 0).place(1) == "disk" and TokenCache("auto", 1).place(10**6) == "memory"
    assert TokenCache("auto").place(10**15) == "off"
    assert validate(RunConfig, {"training": {"cache_mb": 3}}).training.cache_mb == 3


def test_tokens_on_disk_go_with_their_store(monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    cache = TokenCache("disk")
    store = cache.store(SHAPE, torch.float32)
    assert [file.stat().st_size for file in Path(tmp_path).rglob("values")] == [BYTES]
    del store
    gc.collect()
    assert not list(tmp_path.iterdir())


def test_nothing_kept_is_stale():
    """Another backbone, block, precision, preprocessing, kind of feature or picture is computed anew."""
    shared: Encodings = {}
    variants = [{}, {"first_block": 1}, {"precision": "bfloat16"}, {"features": "final"}, {"views": 2}]
    for number, settings in enumerate(variants, start=1):
        encoder(shared=shared, **settings).encode(pictures(), lambda done: None)
        assert len(shared) == number, settings
    changed = encoder(shared=shared)
    with torch.no_grad():
        changed.backbone.blocks[0].fc1.weight[0, 0] += 1e-3
    changed.encode(pictures(), lambda done: None)
    assert len(shared) == len(variants) + 1
    resized = encoder(shared=shared)
    resized.backbone.preprocessing = type(resized.backbone.preprocessing)(16, (0.4,) * 3, (0.5,) * 3)
    resized.encode(pictures(), lambda done: None)
    assert len(shared) == len(variants) + 2
    known = shared[next(iter(shared))]
    passes = []
    again = encoder(shared=shared)
    once = again._encode
    again._encode = lambda images, advance: passes.append(len(images)) or once(images, advance)
    again.encode(pictures(), lambda done: None)
    again.encode(pictures(5, seed=1), lambda done: None)
    assert passes == [5] and len(known.rows) == 25


def test_a_pass_that_ends_early_goes_on_when_asked():
    """Where nobody reads frozen features the blocks from the first adapted one on run for the images asked for."""
    whole = encoder().encode(pictures(), lambda done: None)
    short = encoder(reads_frozen=False)
    finished = []
    finish = short.finish
    short.finish = lambda tokens: finished.append(len(tokens)) or finish(tokens)
    data = short.encode(pictures(), lambda done: None)
    rows = torch.tensor([3, 7])
    assert torch.equal(data.tokens(rows), whole.tokens(rows)) and data.frozen.shape == (20, 0)
    assert torch.allclose(data.subset(rows).embedding, whole.embedding[rows], atol=1e-5) and finished == [2]
    assert torch.allclose(data.embedding, whole.embedding, atol=1e-5) and sum(finished) == 22
    assert data.subset(torch.zeros(0, dtype=torch.long)).embedding.shape == (0, 32)
