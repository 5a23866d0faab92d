"""Split-Digits: scikit-learn's 8×8 handwritten digits, which come with it and need no download."""

from __future__ import annotations

import numpy as np

from core.data.catalog import SPLIT_DIGITS
from core.data.collection import Collection
from core.data.images import ArrayPicture, Item

IMAGE_SIZE = 56
"""Seven pixels for each of theirs: more adds cost and no detail."""


def read_digits() -> Collection:
    """The 1,797 digits in ten classes '0' to '9', kept in numerical order: tasks are 0 and 1, 2 and 3, and so on."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    grey = np.rint(digits.images * (255 / 16)).astype(np.uint8)  # (1797, 8, 8), stored as 0 to 16
    classes: dict[str, list[Item]] = {str(digit): [] for digit in range(10)}
    for index, (pixels, digit) in enumerate(zip(grey, digits.target.tolist(), strict=True)):
        classes[str(digit)].append(Item(f"{digit}/{index:04d}", ArrayPicture(pixels)))
    return Collection(
        SPLIT_DIGITS, SPLIT_DIGITS, classes, test=None, tasks=5, image_size=IMAGE_SIZE, order=tuple(classes)
    )
