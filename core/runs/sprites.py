"""Thumbnails of a run's images on WebP sheets: 1,024 per sheet, 32 per row, filled in reading order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

from PIL import Image, ImageOps

from core.files import replacing
from core.runs.files import damaged
from core.runs.schema import SPRITES_PER_ROW, SPRITES_PER_SHEET

QUALITY = 80
"""WebP quality: 1,024 thumbnails of 64 pixels take 0.6 MB as photographs."""
EXACT = 28
"""Thumbnails up to this width are kept without loss: 1,024 take 0.4 MB as clothes of 28 pixels, 0.03 MB as digits of 8.
That is less than magnified copies of them take with loss, and whoever shows them magnifies them as it likes."""
PIXEL_ART = 3
"""From this magnification on an image is shown as the squares it is made of."""


def cell_side(samples: Iterable[Image.Image], size: int) -> int:
    """The width of a thumbnail: `size`, or that of the widest of the `samples` where all are narrower than `size`.

    Small images keep their own pixels, which a viewer can magnify to sharp squares; magnified here, they would be
    blurred or unevenly repeated. Without samples it is `size`.
    """
    return min(size, max((min(image.size) for image in samples), default=size))


def write_sprites(folder: Path, images: Iterable[Image.Image], size: int = 64) -> list[tuple[int, int]]:
    """Write the sheets 000.webp, 001.webp ... in `folder` and return (sheet, cell) of each image, in order.

    A thumbnail is the central square of the image, `size` pixels wide. Images are read one at a time, so that only one
    sheet is in memory; each sheet is whole or absent. The last sheet ends with its last row.
    """
    folder.mkdir(parents=True, exist_ok=True)
    cells: list[tuple[int, int]] = []
    remaining = (thumbnail(image, size) for image in images)
    for sheet, first in enumerate(remaining):
        count = _write_sheet(_sheet_path(folder, sheet), first, islice(remaining, SPRITES_PER_SHEET - 1), size)
        cells += [(sheet, cell) for cell in range(count)]
    return cells


def read_thumbnail(folder: Path, sheet: int, cell: int) -> Image.Image:
    """The RGB thumbnail in a cell that `write_sprites` returned.

    Raises UserError when the sheet is missing or damaged, or has no such cell.
    """
    return cut(read_sheet(folder, sheet), cell, _sheet_path(folder, sheet))


def read_sheet(folder: Path, sheet: int) -> Image.Image:
    """A whole sheet, RGB, for those who cut many thumbnails out of it. Raises UserError when missing or damaged."""
    with _opened(_sheet_path(folder, sheet)) as opened:
        return opened.convert("RGB")


def kept_side(folder: Path) -> int:
    """The width of the thumbnails on the sheets in `folder`. Raises UserError when the first is missing or damaged."""
    with _opened(_sheet_path(folder, 0)) as opened:
        return max(opened.width // SPRITES_PER_ROW, 1)


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    try:
        with Image.open(path, formats=("WEBP",)) as opened:
            yield opened
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise damaged(path, error) from None


def cut(sheet: Image.Image, cell: int, path: Path) -> Image.Image:
    """The thumbnail in a cell of a sheet that was read from `path`. Raises UserError where there is no such cell."""
    size = sheet.width // SPRITES_PER_ROW
    left, top = _corner(cell, size)
    if not 0 <= cell < SPRITES_PER_SHEET or not size or top + size > sheet.height:
        raise damaged(path, ValueError(f"it has no thumbnail {cell}"))
    return sheet.crop((left, top, left + size, top + size))


def thumbnail(image: Image.Image, size: int) -> Image.Image:
    """The central square of `image`, RGB, `size` pixels wide; tiny images keep their pixels as sharp squares."""
    tiny = min(image.size) * PIXEL_ART <= size
    filtered = Image.Resampling.NEAREST if tiny else Image.Resampling.BICUBIC
    return ImageOps.fit(image.convert("RGB"), (size, size), filtered)


def _write_sheet(path: Path, first: Image.Image, others: Iterator[Image.Image], size: int) -> int:
    """Write one sheet and return how many thumbnails it holds."""
    canvas = Image.new("RGB", (SPRITES_PER_ROW * size, SPRITES_PER_SHEET // SPRITES_PER_ROW * size))
    canvas.paste(first, _corner(0, size))
    count = 1
    for count, image in enumerate(others, start=2):
        canvas.paste(image, _corner(count - 1, size))
    rows = -(-count // SPRITES_PER_ROW)
    with replacing(path) as file:
        canvas.crop((0, 0, canvas.width, rows * size)).save(file, "WEBP", quality=QUALITY, lossless=size <= EXACT)
    return count


def _corner(cell: int, size: int) -> tuple[int, int]:
    row, column = divmod(cell, SPRITES_PER_ROW)
    return column * size, row * size


def _sheet_path(folder: Path, sheet: int) -> Path:
    return folder / f"{sheet:03d}.webp"
