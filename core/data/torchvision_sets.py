"""Data sets that torchvision knows, downloaded once into the user's cache."""

from __future__ import annotations

import socket
import tempfile
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from PIL import Image

from core.data.collection import Classes, Collection
from core.data.images import Item, UnreadableImage, to_rgb
from core.errors import UserError, unknown

CONNECT_S = 6.0
"""A server that cannot be reached within this many seconds counts as no network."""
STALL_S = 30.0
"""A download that sends nothing for this long is given up."""


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
    """Fetch into a folder beside `root` and rename: torchvision takes a half-unpacked folder for a whole one."""
    if not reachable(recipe.host, recipe.port, connect_s):
        raise _no_download(name, root, f"{recipe.host} cannot be reached")
    try:
        root.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{name}-", dir=root.parent) as beside, _socket_timeout(STALL_S):
            staging = Path(beside) / name
            _datasets(recipe, staging, download=True)
            if not root.exists():  # another process may have been quicker
                staging.rename(root)
    except (OSError, RuntimeError, EOFError) as error:
        raise _no_download(name, root, " ".join(str(error).split())) from None


def _no_download(name: str, root: Path, reason: str) -> UserError:
    return UserError(
        f"“{name}” is not in the cache and cannot be downloaded ({reason}): connect to the network and try again, "
        f"put torchvision's own files for it into {root}, unpacked, or give a folder or zip of class folders instead."
    )


def reachable(host: str, port: int, seconds: float) -> bool:
    """Whether `host` accepts a connection within `seconds`; taken on trust where a proxy stands between."""
    if urllib.request.getproxies().keys() & {"http", "https", "all"}:
        return True
    answers: list[bool] = []

    def connect() -> None:
        try:
            socket.create_connection((host, port), timeout=seconds).close()
            answers.append(True)
        except OSError:
            answers.append(False)

    # In a thread of its own because looking up a name ignores every timeout.
    thread = threading.Thread(target=connect, daemon=True)
    thread.start()
    thread.join(seconds)
    return bool(answers and answers[0])


@contextmanager
def _socket_timeout(seconds: float) -> Iterator[None]:
    """torchvision passes no timeout to urllib, so the default is set for as long as it downloads."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
