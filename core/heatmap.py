"""A picture of evidence: the image as the model sees it, and over it what each patch speaks for."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from core.runs.evidence import Evidence

OWN, AGAINST = (0, 114, 178), (213, 94, 0)
"""Blue for the first side, orange for the second; after Okabe and Ito (2008), kept apart by colour-blind readers."""
_SIDE = 448
"""Pixels of either half."""
_MARGIN, _LINE = 16, 22
_STRONGEST = 0.85
"""Opacity of the patch that speaks loudest."""
_INK = (20, 24, 32)
_READABLE = 36
"""Pixels a patch must be wide for its number to be written on it."""


def draw(pixels: np.ndarray, evidence: Evidence, own: str, against: str) -> Image.Image:
    """RGB: the image (uint8 (size, size, 3)), beside it the image with its patches coloured, and what colours mean.

    Blue speaks for `own`, orange for `against`; a patch is as opaque as it is strong beside the strongest one.
    """
    side = pixels.shape[0] * max(1, round(_SIDE / pixels.shape[0]))
    seen = Image.fromarray(pixels).resize((side, side), Image.Resampling.BICUBIC)
    sheet = Image.new("RGB", (2 * side + 3 * _MARGIN, side + 3 * _MARGIN + 2 * _LINE), "white")
    sheet.paste(seen, (_MARGIN, _MARGIN))
    sheet.paste(_coloured(seen, evidence.heat), (side + 2 * _MARGIN, _MARGIN))
    _legend(ImageDraw.Draw(sheet), side, evidence, own, against)
    return sheet


def _coloured(seen: Image.Image, heat: np.ndarray) -> Image.Image:
    """The image in light grey under its patches' colours, with their borders and, where there is room, numbers."""
    grey = seen.convert("L").convert("RGB")
    if not heat.size:
        return grey
    side, (rows, columns) = seen.width, heat.shape
    strength = heat / max(float(np.abs(heat).max()), 1e-9)
    canvas = Image.blend(grey, Image.new("RGB", grey.size, "white"), 0.5).convert("RGBA")
    layer = Image.new("RGBA", canvas.size)
    pen = ImageDraw.Draw(layer)
    font = ImageFont.load_default(max(10, min(15, side // columns // 4)))
    for row in range(rows):
        for column in range(columns):
            value = float(strength[row, column])
            box = (
                column * side // columns,
                row * side // rows,
                (column + 1) * side // columns,
                (row + 1) * side // rows,
            )
            colour = OWN if value > 0 else AGAINST
            pen.rectangle(box, (*colour, round(255 * _STRONGEST * abs(value))), (255, 255, 255, 110))
            if box[2] - box[0] >= _READABLE:
                middle = ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)
                pen.text(
                    middle, f"{heat[row, column]:+.1f}", _INK, font, anchor="mm", stroke_width=2, stroke_fill="white"
                )
    return Image.alpha_composite(canvas, layer).convert("RGB")


def _legend(pen: ImageDraw.ImageDraw, side: int, evidence: Evidence, own: str, against: str) -> None:
    font = ImageFont.load_default(15)
    top = side + 2 * _MARGIN
    for left, colour, name in ((_MARGIN, OWN, own), (side // 2 + _MARGIN, AGAINST, against)):
        pen.rectangle((left, top + 2, left + 14, top + 16), colour)
        pen.text((left + 22, top), f"speaks for {_plain(name)}", _INK, font)
    how = "nats by patch, exact" if evidence.patches.size else "nats lost when painted over (occlusion)"
    pen.text((side + 2 * _MARGIN, top), how, _INK, font)
    pen.text((_MARGIN, top + _LINE), f"difference {evidence.difference:+.2f} nats in all", (90, 96, 106), font)


def _plain(name: str) -> str:
    """`name` in characters that the built-in font has, cut where it would run into its neighbour."""
    known = name.replace("“", '"').replace("”", '"').encode("latin-1", "replace").decode("latin-1")
    return known if len(known) <= 26 else known[:25] + "…"
