"""Which of a run's thumbnails stand for it in a list."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np

from app.reading.cards import RunCard, stamp
from core.errors import UserError
from core.runs.schema import SPRITES_PER_SHEET
from core.runs.store import Run


def one_a_class(card: RunCard, most: int) -> tuple[int, ...]:
    """Thumbnail numbers, counted through all sheets, of the first image of each of the first `most` classes.

    Empty where the run's images cannot be read.
    """
    return _one_a_class(card.folder, most, stamp(card.folder))


@lru_cache(maxsize=256)
def _one_a_class(folder: Path, most: int, changed: int) -> tuple[int, ...]:
    # Not through `tables`: its cache holds the images of a few runs, which a list of all streams would push out.
    try:
        table = Run(folder).images()
    except UserError:
        return ()
    label, sheet, cell = (table[name].to_numpy() for name in ("label", "sheet", "cell"))
    _, first = np.unique(label, return_index=True)
    rows = first[:most]
    return tuple((sheet[rows].astype(int) * SPRITES_PER_SHEET + cell[rows]).tolist())
