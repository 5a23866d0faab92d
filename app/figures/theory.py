"""Theory beside measurement as figures: errors over task time, and squared distances against the chi-square."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from app.figures import plots
from app.figures.palette import ACCENT, GREY, Theme, colours
from app.reading.theory import Errors

NAMES = {
    "measured": "measured on test images",
    "expected": "expected of new images",
    "sampled": "if tasks were the mixtures",
    "bound": "bound, if tasks were the mixtures",
}


def error_curves(found: Errors, ground: Theme, *, at: int) -> plots.Figure:
    """The four errors over task time; a bound that says no more than guessing is left out."""
    tasks = len(found.measured)
    guess = 1 - 1 / np.arange(1, tasks + 1)
    shown = {name: np.array(getattr(found, name)) for name in NAMES}
    shown["bound"] = np.where(shown["bound"] < np.maximum(guess, 1e-9), shown["bound"], np.nan)
    shown["bound"][0] = found.bound[0]
    blue, _, green, *_ = colours(8, ground)
    paint = {"measured": ACCENT[ground], "expected": blue, "sampled": GREY[ground], "bound": green}
    lines = [
        plots.Line(NAMES[name], values, paint[name], dash=name in ("sampled", "bound"), wide=name == "measured")
        for name, values in shown.items()
        if not np.isnan(values).all()
    ]
    ticks = [str(task + 1) for task in range(tasks)]
    figure = plots.curves(lines, ticks, ground, titles=("after task", "images sent to a wrong task"), at=at)
    top = max(float(np.nanmax(line.values)) for line in lines)
    figure["layout"]["yaxis"]["range"] = [-0.02 * max(top, 0.05), 1.12 * max(top, 0.05)]
    return figure


def ladder(as_fitted: float, with_spread: float, measured: float, ground: Theme) -> plots.Figure:
    """The error as one assumption after another is given up."""
    names = ["tasks are<br>the mixtures", "Gaussian, as<br>widely spread<br>as they are", "as measured"]
    line = plots.Line(
        "images sent to a wrong task", np.array([as_fitted, with_spread, measured]), colours(1, ground)[0]
    )
    figure = plots.bars([line], names, ground, titles=("", "images sent to a wrong task"))
    figure["data"][0]["texttemplate"] = "%{y:.1%}"
    figure["layout"]["height"] = 300
    return figure


def distances(shown: Mapping[str, tuple[np.ndarray, np.ndarray]], ground: Theme) -> plots.Figure:
    """Squared distances of images to their components against what the chi-square says of as many (a QQ plot)."""
    blue, orange = colours(6, ground)[0], ACCENT[ground]
    names = {"new": ("test images", orange, False), "trained": ("training images", blue, True)}
    most = 1.05 * max(float(expected.max()) for expected, _ in shown.values())
    lines = [plots.Path("as the mixture says", np.array([0, most]), np.array([0, most]), GREY[ground], plain=True)]
    lines += [
        plots.Path(names[key][0], *shown[key], names[key][1], hollow=names[key][2]) for key in names if key in shown
    ]
    titles = ("squared distance, by the chi-square", "squared distance of images")
    figure = plots.paths(lines, ground, titles=titles)
    figure["layout"]["xaxis"]["range"] = [0, most]
    return figure
