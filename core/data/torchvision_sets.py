"""Data sets that torchvision knows, downloaded once into the user's cache."""

from __future__ import annotations

import fcntl
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from PIL import Image

from core.data.collection import Classes, Collection
from core.data.images import Item, UnreadableImage, to_rgb
from core.errors import UserError, unknown
from core.network import CONNECT_S, STALL_S, fetch_file, reachable

_ARRIVED = {".gz", ".tgz", ".tar", ".zip", ".mat", ".part"}
"""Suffixes of what a server sends, as opposed to what is unpacked from it."""


@dataclass(frozen=True)
class _Recipe:
    """How to build one torchvision set, and where torchvision downloads it from."""

    class_name: str
    host: str
    port: int = 443
    train: tuple[str, ...] = ("train",)
    """Splits that are training images here."""
    test: str | None = "test"
    argument: Literal["train", "split", None] = "split"
    """How the class is told which split: `train=True`, `split='train'`, or it has only one."""

    def options(self, split: str) -> dict[str, Any]:
        match self.argument:
            case "train":
                return {"train": split == "train"}
            case "split":
                return {"split": split}
        return {}

    @property
    def splits(self) -> tuple[str, ...]:
        return self.train if self.test is None else (*self.train, self.test)


_RECIPES = {
    "cifar10": _Recipe("CIFAR10", "www.cs.toronto.edu", argument="train"),
    "cifar100": _Recipe("CIFAR100", "www.cs.toronto.edu", argument="train"),
    "dtd": _Recipe("DTD", "www.robots.ox.ac.uk", train=("train", "val")),
    "eurosat": _Recipe("EuroSAT", "huggingface.co", test=None, argument=None),
    "fashion-mnist": _Recipe(
        "FashionMNIST", "fashion-mnist.s3-website.eu-central-1.amazonaws.com", port=80, argument="train"
    ),
    "flowers102": _Recipe("Flowers102", "www.robots.ox.ac.uk", train=("train", "val")),
    "food101": _Recipe("Food101", "data.vision.ee.ethz.ch", port=80),
    "mnist": _Recipe("MNIST", "ossci-datasets.s3.amazonaws.com", argument="train"),
    "oxford-iiit-pet": _Recipe("OxfordIIITPet", "www.robots.ox.ac.uk", train=("trainval",)),
    "svhn": _Recipe("SVHN", "ufldl.stanford.edu", port=80),
}


@dataclass(frozen=True, slots=True)
class DatasetPicture:
    """One image of a torchvision data set. Such sets are checked as they arrive, so their content is not hashed."""

    dataset: Any
    index: int
    key: str

    def image(self) -> Image.Image:
        try:
            return to_rgb(self.dataset[self.index][0])
        except (OSError, SyntaxError, ValueError) as error:
            raise UnreadableImage(str(error)) from None

    def identity(self) -> str:
        return f"{self.key}/{self.index}"


def torchvision_names() -> list[str]:
    """The names that `read_torchvision` knows."""
    return list(_RECIPES)


def read_torchvision(name: str, folder: Path, connect_s: float = CONNECT_S) -> Collection:
    """A torchvision set, from `folder` where its files are there, otherwise downloaded to it with a progress bar.

    Raises UserError for an unknown name, and within seconds when there is no network; the message names the ways out.
    """
    if name not in _RECIPES:
        raise unknown("data set", name, _RECIPES)
    recipe, root = _RECIPES[name], folder / name
    if not root.exists():
        _download(name, recipe, root, connect_s)
    try:
        datasets = _datasets(recipe, root)
    except (RuntimeError, OSError):  # what torchvision raises for files that are missing or not whole
        raise UserError(
            f"The files of “{name}” in {root} are not whole: remove that folder to have them downloaded again, "
            "or put torchvision's own files there, unpacked."
        ) from None
    train: Classes = {}
    test: Classes = {}
    for split, dataset in datasets.items():
        shown = split if recipe.argument else ""
        _add(test if split == recipe.test else train, dataset, name, shown)
    return Collection(name, name, train, test if recipe.test else None)


def _datasets(recipe: _Recipe, root: Path, download: bool = False) -> dict[str, Any]:
    from torchvision import datasets

    build = getattr(datasets, recipe.class_name)
    return {split: build(root, download=download, **recipe.options(split)) for split in recipe.splits}


def _add(classes: Classes, dataset: Any, name: str, split: str) -> None:
    for index, label in enumerate(_labels(dataset)):
        title = dataset.classes[label].partition(" - ")[0] if hasattr(dataset, "classes") else str(label)
        parts = [part for part in (split, title, f"{index:06d}") if part]
        picture = DatasetPicture(dataset, index, f"{name}/{split}")
        classes.setdefault(title, []).append(Item("/".join(parts), picture))


def _labels(dataset: Any) -> list[int]:
    """Class numbers without decoding an image: torchvision keeps them under one of three names."""
    for attribute in ("targets", "labels", "_labels"):
        if hasattr(dataset, attribute):
            return [int(label) for label in getattr(dataset, attribute)]
    raise TypeError(f"{type(dataset).__name__} shows no labels")


def _download(name: str, recipe: _Recipe, root: Path, connect_s: float) -> None:
    """Fetch into a folder beside `root` and rename: torchvision takes a half-unpacked folder for a whole one.

    What arrives is kept there when the network fails, so that the next try goes on with it.
    """
    if not reachable(recipe.host, recipe.port, connect_s):
        raise _no_download(name, root, f"{recipe.host} cannot be reached")
    staging = root.with_name(f".{name}.part")
    try:
        with _alone(staging), _our_downloads():
            if root.exists():  # another process was quicker
                return
            _keep_arrived(staging)
            _datasets(recipe, staging, download=True)
            staging.rename(root)
    except (OSError, RuntimeError, EOFError) as error:
        raise _no_download(name, root, " ".join(str(error).split())) from None
    finally:
        _remove_if_empty(staging)


@contextmanager
def _alone(staging: Path) -> Iterator[None]:
    """Only one process fetches a set at a time; the others wait, and find it."""
    staging.parent.mkdir(parents=True, exist_ok=True)
    path = staging.with_suffix(".lock")
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def _keep_arrived(staging: Path) -> None:
    """Of an earlier try, keep what was downloaded and remove what was being unpacked."""
    for path in sorted(staging.rglob("*"), reverse=True):
        if path.is_dir():
            _remove_if_empty(path)
        elif path.suffix not in _ARRIVED:
            path.unlink()


def _remove_if_empty(folder: Path) -> None:
    if folder.is_dir() and not any(path.is_file() for path in folder.rglob("*")):
        shutil.rmtree(folder)


@contextmanager
def _our_downloads() -> Iterator[None]:
    """Inside, torchvision's downloads go on where they broke off, are tried a few times, and never hang.

    It offers no other way to do that; checking sums and unpacking stay its own.
    """
    from torchvision.datasets import utils

    theirs, before = utils._urlretrieve, socket.getdefaulttimeout()
    utils._urlretrieve = _fetch_with_bar
    socket.setdefaulttimeout(STALL_S)  # for its questions about redirections, which have no time limit
    try:
        yield
    finally:
        utils._urlretrieve = theirs
        socket.setdefaulttimeout(before)


def _fetch_with_bar(url: str, filename: str | Path, chunk_size: int = 0) -> None:
    """What torchvision's `_urlretrieve` does, with its kind of progress bar."""
    from tqdm import tqdm

    with tqdm(unit="B", unit_scale=True, desc=Path(filename).name) as bar:

        def show(done: int, total: int) -> None:
            bar.total = total or None
            bar.update(done - bar.n)

        fetch_file(url, Path(filename), show)


def _no_download(name: str, root: Path, reason: str) -> UserError:
    return UserError(
        f"“{name}” is not in the cache and cannot be downloaded ({reason}): connect to the network and try again (what "
        "has arrived is kept), "
        f"put torchvision's own files for it into {root}, unpacked, or give a folder or zip of class folders instead."
    )
