"""torchvision's sets: read from files laid out as it lays them out, and refused quickly without a network."""

from __future__ import annotations

import gzip
import hashlib
import json
import pickle
import socket
import threading
import time
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torchvision import datasets

from core import network
from core.config import StreamConfig
from core.data import torchvision_sets
from core.data.catalog import known_streams
from core.data.streams import open_stream
from core.data.torchvision_sets import read_torchvision, torchvision_names
from core.errors import UserError
from tests.unit.breaking_server import Breaking


def write_image(path: Path, seed: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(path)


def write_idx(path: Path, values: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    header = bytes([0, 0, 8, values.ndim]) + b"".join(side.to_bytes(4, "big") for side in values.shape)
    path.write_bytes(header + values.astype(np.uint8).tobytes())


def mnist(root: Path, folder: str) -> None:
    for prefix, count in (("train", 30), ("t10k", 10)):
        digits = np.arange(count) % 10
        pixels = np.broadcast_to(digits[:, None, None] * 20, (count, 28, 28))
        write_idx(root / folder / "raw" / f"{prefix}-images-idx3-ubyte", pixels)
        write_idx(root / folder / "raw" / f"{prefix}-labels-idx1-ubyte", digits)


def packed_mnist(root: Path) -> list[tuple[str, str]]:
    """MNIST's files as a mirror has them; their names and MD5."""
    mnist(root, "MNIST")
    found = []
    for path in sorted((root / "MNIST" / "raw").iterdir()):
        packed = path.with_name(f"{path.name}.gz")
        packed.write_bytes(gzip.compress(path.read_bytes()))
        found.append((packed.name, hashlib.md5(packed.read_bytes()).hexdigest()))
    return found


def test_every_downloaded_stream_of_the_list_can_be_read() -> None:
    assert {info.name for info in known_streams() if info.network} == set(torchvision_names())


def test_every_recipe_names_a_class_of_torchvision() -> None:
    assert all(hasattr(datasets, recipe.class_name) for recipe in torchvision_sets._RECIPES.values())


def test_mnist(tmp_path: Path) -> None:
    mnist(tmp_path / "mnist", "MNIST")
    stream = open_stream(StreamConfig(name="mnist", train_per_class=2), 0, cache=tmp_path)
    assert len(stream.tasks) == 5
    assert set(stream.class_names) == set("0123456789")
    assert (stream.report.train_images, stream.report.test_images) == (20, 10)
    for task in stream.tasks:
        for index, label in enumerate(task.train.labels):
            digit = int(stream.class_names[label])
            assert np.asarray(task.train.image(index))[0, 0].tolist() == [20 * digit] * 3
            assert task.train.names[index] == f"train/{digit}/{digit + 10 * (index % 2):06d}"


def test_fashion_names_its_classes(tmp_path: Path) -> None:
    mnist(tmp_path / "fashion-mnist", "FashionMNIST")
    assert "T-shirt/top" in read_torchvision("fashion-mnist", tmp_path).class_names


def test_cifar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "cifar100" / "cifar-100-python"
    folder.mkdir(parents=True)
    pixels = np.random.default_rng(0).integers(0, 256, (6, 3072), dtype=np.uint8)
    for split in ("train", "test"):
        (folder / split).write_bytes(pickle.dumps({"data": pixels, "fine_labels": [0, 1, 2] * 2}))
    (folder / "meta").write_bytes(pickle.dumps({"fine_label_names": ["apple", "bear", "cup"]}))
    # The real files' checksums cannot match these; everything else is torchvision's own reading.
    monkeypatch.setattr(datasets.CIFAR100, "train_list", [["train", None]])
    monkeypatch.setattr(datasets.CIFAR100, "test_list", [["test", None]])
    monkeypatch.setattr(datasets.CIFAR100, "meta", datasets.CIFAR100.meta | {"md5": None})
    collection = read_torchvision("cifar100", tmp_path)
    assert collection.class_names == ["apple", "bear", "cup"]
    assert [item.name for item in collection.train["bear"]] == ["train/bear/000001", "train/bear/000004"]
    assert collection.test is not None
    image = collection.test["bear"][0].picture.image()
    np.testing.assert_array_equal(np.asarray(image), pixels[1].reshape(3, 32, 32).transpose(1, 2, 0))


def test_eurosat_has_no_test_images_of_its_own(tmp_path: Path) -> None:
    for name in ("Forest", "River"):
        for index in range(5):
            write_image(tmp_path / "eurosat" / "eurosat" / "2750" / name / f"{index}.jpg", index)
    stream = open_stream(StreamConfig(name="eurosat"), 0, cache=tmp_path)
    assert (stream.report.train_images, stream.report.test_images) == (8, 2)
    assert stream.report.limits == {"test_fraction": 0.2}


def test_dtd_trains_on_its_validation_images_too(tmp_path: Path) -> None:
    root = tmp_path / "dtd" / "dtd" / "dtd"
    (root / "labels").mkdir(parents=True)
    for number, split in enumerate(("train", "val", "test")):
        lines = [f"{name}/{name}_{number}.jpg" for name in ("banded", "dotted")]
        (root / "labels" / f"{split}1.txt").write_text("\n".join(lines))
        for line in lines:
            write_image(root / "images" / line, number)
    collection = read_torchvision("dtd", tmp_path)
    assert [item.name for item in collection.train["dotted"]] == ["train/dotted/000001", "val/dotted/000001"]
    assert len({item.picture.identity() for item in collection.train["dotted"]}) == 2
    assert collection.train["dotted"][1].picture.image().size == (8, 8)


def test_food101(tmp_path: Path) -> None:
    root = tmp_path / "food101" / "food-101"
    (root / "meta").mkdir(parents=True)
    for split in ("train", "test"):
        listed = {name: [f"{name}/{split}"] for name in ("pie", "soup")}
        (root / "meta" / f"{split}.json").write_text(json.dumps(listed))
        for name in listed:
            write_image(root / "images" / name / f"{split}.jpg")
    assert read_torchvision("food101", tmp_path).class_names == ["pie", "soup"]


def test_pets(tmp_path: Path) -> None:
    root = tmp_path / "oxford-iiit-pet" / "oxford-iiit-pet"
    (root / "annotations").mkdir(parents=True)
    for split in ("trainval", "test"):
        lines = [f"{name}_{split} {label} 1 1" for label, name in enumerate(("Bengal", "great_dane"), start=1)]
        (root / "annotations" / f"{split}.txt").write_text("\n".join(lines))
        for line in lines:
            write_image(root / "images" / f"{line.split()[0]}.jpg")
    assert read_torchvision("oxford-iiit-pet", tmp_path).class_names == ["Bengal", "Great Dane"]


def complaint(tmp_path: Path, name: str = "cifar100") -> str:
    with pytest.raises(UserError) as caught:
        read_torchvision(name, tmp_path, connect_s=0.5)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_without_a_network_the_ways_out_are_named_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torchvision_sets, "reachable", lambda *_: False)
    start = time.perf_counter()
    message = complaint(tmp_path)
    assert time.perf_counter() - start < 10
    assert "www.cs.toronto.edu cannot be reached" in message
    assert str(tmp_path / "cifar100") in message
    assert "folder or zip of class folders" in message
    assert not list(tmp_path.iterdir())


def test_files_that_are_not_whole_are_left_alone(tmp_path: Path) -> None:
    kept = tmp_path / "cifar100" / "cifar-100-python" / "train"
    kept.parent.mkdir(parents=True)
    kept.write_bytes(b"half")
    assert "are not whole: remove that folder" in complaint(tmp_path)
    assert kept.read_bytes() == b"half"


def test_a_download_that_arrives_is_kept_and_not_asked_for_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "served"
    resources = packed_mnist(source)
    monkeypatch.setattr(torchvision_sets, "reachable", lambda *_: True)
    monkeypatch.setattr(datasets.MNIST, "resources", resources)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    cache = tmp_path / "cache"
    handler = partial(SimpleHTTPRequestHandler, directory=str(source / "MNIST" / "raw"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setattr(datasets.MNIST, "mirrors", [f"http://127.0.0.1:{server.server_port}/"])
        first = read_torchvision("mnist", cache)
        server.shutdown()
    assert [path.name for path in cache.iterdir()] == ["mnist"]
    monkeypatch.setattr(torchvision_sets, "reachable", lambda *_: pytest.fail("it was asked for again"))
    again = read_torchvision("mnist", cache)
    assert again.class_names == first.class_names == list("0123456789")
    assert first.train["7"][0].picture.image().size == (28, 28)


def test_a_download_that_fails_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torchvision_sets, "reachable", lambda *_: True)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # bound and not listening: every connection is refused
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/cifar.tar.gz"
        monkeypatch.setattr(datasets.CIFAR100, "url", url)
        for variable in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.delenv(variable, raising=False)
        message = complaint(tmp_path)
    assert "cannot be downloaded" in message
    assert "refused" in message
    assert not list(tmp_path.iterdir())
    assert socket.getdefaulttimeout() is None


def test_what_has_arrived_is_gone_on_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, cache = tmp_path / "served", tmp_path / "cache"
    source.mkdir()
    resources = packed_mnist(source)
    whole = {name: (source / "MNIST" / "raw" / name).read_bytes() for name, _ in resources}
    monkeypatch.setattr(torchvision_sets, "reachable", lambda *_: True)
    monkeypatch.setattr(datasets.MNIST, "resources", resources)
    monkeypatch.setattr(network, "_PAUSE_S", 0.0)
    with Breaking(whole, breaks={resources[1][0]: network.TRIES + 1}) as server:  # torchvision asks once itself
        monkeypatch.setattr(datasets.MNIST, "mirrors", [server.url])
        assert "what has arrived is kept" in complaint(cache, "mnist")
        raw = cache / ".mnist.part" / "MNIST" / "raw"
        kept = {path.name for path in raw.iterdir()}
        assert resources[0][0] in kept and f"{resources[1][0]}.part" in kept
        (raw / "train-images-idx3-ubyte").write_bytes(b"half unpacked")
        before = len(server.asked)
        read_torchvision("mnist", cache)
    assert [path.name for path in cache.iterdir()] == ["mnist"]
    later = server.asked[before:]
    assert resources[0][0] not in [name for name, _ in later]
    assert any(name == resources[1][0] and asked for name, asked in later)  # only what was missing of it


def test_an_unknown_set(tmp_path: Path) -> None:
    assert "Did you mean “cifar100”" in complaint(tmp_path, "cifar-100")
