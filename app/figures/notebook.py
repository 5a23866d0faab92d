"""What a notebook shows of a run, and of an image's explanation: HTML without scripts, for light and dark themes."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from PIL import Image

_NUMBERS = {
    "final_accuracy": "Final accuracy",
    "task_aware_accuracy": "With the task given",
    "retrieval_accuracy": "Right task retrieved",
    "forgetting": "Forgetting",
}
_MANY = 20
"""With more tasks than this the table is left out, and the matrix is shown by the figure alone."""
_RIGHT, _BLUE, _ORANGE, _GREY = "#009e73", "#0072b2", "#d55e00", "#8a8f98"

Gap = tuple[str, float, float, bool, bool]
"""Task, gap to the best score, length of its bar (0 to 1), retrieved, true."""


def run_html(title: str, about: str, metrics: Mapping[str, Any], a: np.ndarray | None, tasks: Sequence[str]) -> str:
    """Title, a line about the run, its main numbers, and its accuracies `a` (T, T) as a coloured table."""
    tiles = "".join(
        f'<div><div style="opacity:.7">{name}</div><div style="font-size:1.4em">{metrics[key]:.1%}</div></div>'
        for key, name in _NUMBERS.items()
        if isinstance(metrics.get(key), int | float)
    )
    table = "" if a is None or len(tasks) > _MANY else _matrix(a, tasks)
    return (
        f'<div><b>{escape(title)}</b><br><span style="opacity:.7">{escape(about)}</span>'
        f'<div style="display:flex;gap:2.5em;margin:.6em 0">{tiles}</div>{table}</div>'
    )


def _matrix(a: np.ndarray, tasks: Sequence[str]) -> str:
    heads = "".join(f"<th style='font-weight:normal'>{escape(name)}</th>" for name in tasks)
    rows = "".join(
        f"<tr><th style='font-weight:normal;text-align:left'>after {t + 1}</th>{''.join(map(_cell, row))}</tr>"
        for t, row in enumerate(a.tolist())
    )
    caption = "Accuracy on each task after each task, the task unknown."
    return f"<table><thead><tr><th></th>{heads}</tr></thead>{rows}</table><span style='opacity:.7'>{caption}</span>"


def _cell(value: float) -> str:
    if math.isnan(value):
        return "<td></td>"
    return f"<td style='text-align:right;background:rgba(0,114,178,{0.65 * value:.2f})'>{value:.0%}</td>"


def explanation_html(
    sentence: str,
    own: Sequence[Image.Image],
    gaps: Sequence[Gap],
    near: Sequence[tuple[str, Sequence[Image.Image]]],
) -> str:
    """The sentence, the image, one bar per task (longer is less likely), and images of the component it lies near."""
    bars = "".join(_bar(*gap) for gap in gaps)
    clusters = "".join(
        f'<div style="margin-top:.4em">{escape(about)}<br>{"".join(_picture(each, 48) for each in images)}</div>'
        for about, images in near
    )
    pictures = "".join(_picture(each, 96) for each in own)
    return (
        f"<div><p><b>{escape(sentence)}</b></p>"
        f'<div style="display:flex;gap:2em;align-items:flex-start">{pictures}<table>{bars}</table>'
        f"<div>{clusters}</div></div></div>"
    )


def _bar(task: str, gap: float, length: float, retrieved: bool, true: bool) -> str:
    colour = _RIGHT if retrieved and true else _BLUE if retrieved else _ORANGE if true else _GREY
    said = "not considered" if not math.isfinite(gap) else "best" if gap == 0 else f"−{gap:.3g}"
    tags = ", ".join(tag for tag, on in (("retrieved", retrieved), ("true", true)) if on)
    width = max(2, round(160 * length)) if math.isfinite(gap) else 0
    return (
        f"<tr><td style='text-align:left'>{escape(task)}{f' ({tags})' if tags else ''}</td>"
        f"<td style='text-align:left'><div style='height:12px;width:{width}px;background:{colour}'></div></td>"
        f"<td style='text-align:right'>{said}</td></tr>"
    )


def _picture(image: Image.Image, size: int) -> str:
    packed = io.BytesIO()
    image.save(packed, "PNG")
    data = base64.b64encode(packed.getvalue()).decode()
    style = "display:inline-block;margin:1px;image-rendering:pixelated"
    return f'<img src="data:image/png;base64,{data}" width="{size}" height="{size}" style="{style}" alt="">'
