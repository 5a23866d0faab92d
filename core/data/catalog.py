"""The streams that are known by name. Standard library only, so that `list` answers at once."""

from __future__ import annotations

from dataclasses import dataclass

SPLIT_FASHION = "split-fashion"
SPLIT_DIGITS = "split-digits"


@dataclass(frozen=True)
class StreamInfo:
    """One line of `list`: what a stream is and what it needs."""

    name: str
    summary: str
    classes: int
    tasks: int
    """Tasks when the configuration does not say."""
    images: int
    network: bool
    """Whether the images are downloaded on first use."""
    photographs: bool = False
    """Whether a mirror image of one of them could be another one of them."""


def default_tasks(classes: int) -> int:
    """Tasks of a stream that does not choose for itself: at most ten, with two classes or more in each."""
    return max(1, min(10, classes // 2))


def _downloaded(name: str, summary: str, classes: int, images: int, photographs: bool = False) -> StreamInfo:
    return StreamInfo(name, summary, classes, default_tasks(classes), images, True, photographs)


_KNOWN = (
    StreamInfo(SPLIT_FASHION, "clothes in grey, 28×28: 260 per class of fashion-mnist", 10, 5, 2600, network=False),
    StreamInfo(SPLIT_DIGITS, "handwritten digits, 8×8 (scikit-learn): 0 and 1, 2 and 3, …", 10, 5, 1797, network=False),
    _downloaded("cifar10", "small photographs, 32×32", 10, 60_000, photographs=True),
    _downloaded("cifar100", "small photographs, 32×32", 100, 60_000, photographs=True),
    _downloaded("dtd", "textures", 47, 5_640, photographs=True),
    _downloaded("eurosat", "satellite images of land use, 64×64", 10, 27_000, photographs=True),
    _downloaded("fashion-mnist", "clothes in grey, 28×28", 10, 70_000),
    _downloaded("flowers102", "flowers", 102, 8_189, photographs=True),
    _downloaded("food101", "dishes", 101, 101_000, photographs=True),
    _downloaded("mnist", "handwritten digits, 28×28", 10, 70_000),
    _downloaded("oxford-iiit-pet", "breeds of cats and dogs", 37, 7_349, photographs=True),
    _downloaded("svhn", "house numbers, 32×32", 10, 99_289),
)


def known_streams() -> list[StreamInfo]:
    """Every stream that has a name; any folder or zip of class folders is a stream too."""
    return list(_KNOWN)
