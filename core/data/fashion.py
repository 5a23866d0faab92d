"""Split-Fashion: 2,600 images of Fashion-MNIST that lie in the project's folder, so that they need no download."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

from core.data.catalog import SPLIT_FASHION
from core.data.collection import Collection
from core.data.folders import read_folder_or_zip
from core.errors import UserError

ARCHIVE = Path(__file__).resolve().parents[2] / "assets" / "data" / "fashion-mnist-subset.zip"
"""200 training and 60 test images of each class; where they come from is said in THIRD_PARTY.md."""
IMAGE_SIZE = 56
"""Two pixels for each of theirs: the largest side with which `proteus` learns the stream in 90 s on two cores."""
CLASSES = (
    "T-shirt", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip
"""In the data set's own order, which puts T-shirts, pullovers, coats and shirts into four different tasks."""
_SHA256 = "ec45e469451d94b43d33c1a85821c81033aec735ab4fbd25a0f8724b98870209"


def read_fashion() -> Collection:
    """The ten kinds of clothing in the order of CLASSES, with the data set's own training and test images.

    Tasks are T-shirt and Trouser, Pullover and Dress, and so on. Source: Xiao, Rasul and Vollgraf, "Fashion-MNIST: a
    novel image dataset for benchmarking machine learning algorithms", arXiv 1708.07747.

    Raises UserError when ARCHIVE is missing, or is not the one that the project came with.
    """
    _check(ARCHIVE)
    found = read_folder_or_zip(ARCHIVE)
    return replace(
        found,
        name=SPLIT_FASHION,
        where=SPLIT_FASHION,
        tasks=5,
        image_size=IMAGE_SIZE,
        order=CLASSES,
    )


def _check(archive: Path) -> None:
    remedy = (
        f"restore it from the project ({archive.name} in assets/data), or choose another stream, such as split-digits"
    )
    try:
        content = archive.read_bytes()
    except OSError as error:
        raise UserError(
            f"The images of {SPLIT_FASHION} cannot be read from {archive} ({error.strerror}): {remedy}."
        ) from None
    if hashlib.sha256(content).hexdigest() != _SHA256:
        raise UserError(f"The images of {SPLIT_FASHION} in {archive} are damaged: {remedy}.")
