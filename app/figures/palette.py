"""Colours that keep tasks apart, also for colour-blind readers, on light and on dark ground.

Up to eight categories have a colour each, after Okabe and Ito (2008). Above that no set of colours can be told apart,
so everything is grey and one category at a time is highlighted.
"""

from __future__ import annotations

from typing import Literal

Theme = Literal["light", "dark"]

DISTINCT = 8

# On white yellow is darkened; on dark ground blue is lightened and black becomes white. The rest is as published.
_OKABE_ITO: dict[Theme, tuple[str, ...]] = {
    "light": ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#c4b000", "#000000"),
    "dark": ("#3a9bdc", "#e69f00", "#00b386", "#cc79a7", "#8ccff5", "#e8691a", "#f0e442", "#ffffff"),
}
GREY: dict[Theme, str] = {"light": "#a3a8b1", "dark": "#666c77"}
ACCENT: dict[Theme, str] = {"light": "#d55e00", "dark": "#ff9f45"}


def colours(count: int, theme: Theme = "light", highlight: int | None = None) -> list[str]:
    """One '#rrggbb' for each of `count` categories.

    With `highlight` every other category is grey. Above `DISTINCT` categories all are grey and the highlighted one has
    the accent colour.
    """
    distinct = count <= DISTINCT
    own = _OKABE_ITO[theme][:count] if distinct else (GREY[theme],) * count
    if highlight is None:
        return list(own)
    lit = own[highlight] if distinct else ACCENT[theme]
    return [lit if index == highlight else GREY[theme] for index in range(count)]
