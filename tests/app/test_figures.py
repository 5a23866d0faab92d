"""Figures are what Plotly takes, say what was measured, and take no text for HTML."""

from __future__ import annotations

import numpy as np
import pytest

from app.figures import plots
from tests.app.learned_run import HOSTILE

NAN = float("nan")
VALUES = np.array([[1.0, NAN], [0.5, 0.25]])
HOVER = [["a", "b"], ["c", "d"]]


def made(ground: str = "light") -> list[plots.Figure]:
    lines = [plots.Line(HOSTILE, VALUES[:, 0], "#0072b2"), plots.Line("two", VALUES[:, 1], "#e69f00", dash=True)]
    ticks = plots.task_ticks([HOSTILE, "b"])
    return [
        plots.heat_map(VALUES, ticks, ticks, ground, hover=HOVER, cells=HOVER, chosen=(1, 0), pickable=True, bar="x"),
        plots.curves(lines, ticks, ground, titles=("x", "y"), at=1),
        plots.with_threshold(plots.bars(lines, ticks, ground, titles=("x", "y")), 0.5, HOSTILE, ground),
        plots.gaps(*lines, ticks, ground, title="x"),
    ]


@pytest.mark.parametrize("ground", ["light", "dark"])
def test_plotly_takes_every_figure(ground: str) -> None:
    from plotly.graph_objects import Figure

    for figure in made(ground):
        Figure(figure).to_json(validate=True)


def test_no_text_is_html() -> None:
    for figure in made():
        assert "<img" not in str(figure)
    assert plots.text("a\n b <b>&") == "a b &lt;b&gt;&amp;"
    assert plots.text("x" * 50, 10) == "x" * 9 + "…"


def test_what_was_not_measured_is_empty_and_cannot_be_clicked() -> None:
    heat, targets = plots.heat_map(VALUES, "ab", "ab", "light", hover=HOVER, pickable=True)["data"]
    assert heat["z"] == [[1.0, None], [0.5, 0.25]]
    assert list(zip(targets["y"], targets["x"], targets["customdata"], strict=True)) == [
        (0, 0, "a"),
        (1, 0, "c"),
        (1, 1, "d"),
    ]


def test_a_click_is_a_cell() -> None:
    assert plots.picked_cell({"selection": {"points": [{"x": 2, "y": 1}]}}) == (1, 2)
    assert plots.picked_cell({"selection": {"points": []}}) is None


def test_bars_start_at_zero_and_curves_show_small_differences() -> None:
    high = [plots.Line("a", np.array([0.97, 0.99]), "#000000")]
    assert plots.bars(high, "ab", "light", titles=("", ""))["layout"]["yaxis"]["rangemode"] == "tozero"
    low, top = plots.curves(high, "ab", "light", titles=("", ""))["layout"]["yaxis"]["range"]
    assert low == pytest.approx(0.9) and top > 1
    flat = [plots.Line("a", np.array([NAN, NAN]), "#000000")]
    assert plots.curves(flat, "ab", "light", titles=("", ""))["layout"]["yaxis"]["range"][0] == 0


def test_an_axis_of_many_tasks_has_numbers() -> None:
    assert plots.task_ticks(["a", "a"]) == ["1: a", "2: a"]
    assert plots.task_ticks(["a"] * 20)[-1] == "20"


def test_a_hundred_tasks_stay_readable() -> None:
    values, names = np.tril(np.ones((100, 100))), plots.task_ticks(["task"] * 100)
    hover = [["x"] * 100] * 100
    heat = plots.heat_map(values, names, names, "light", hover=hover, row_height=14, pickable=True)
    assert heat["layout"]["height"] < 800
    curves = plots.curves([plots.Line("all", values[-1], "#0072b2")] * 100, names, "light", titles=("x", "y"))
    assert not curves["layout"]["showlegend"]
    for axis in (heat["layout"]["xaxis"], heat["layout"]["yaxis"], curves["layout"]["xaxis"]):
        assert axis["ticktext"][:2] == ["1", "6"]
        assert [names[place] for place in axis["tickvals"]] == axis["ticktext"]
        assert len(axis["ticktext"]) == 20
    few = plots.heat_map(values[:12, :12], names[:12], names[:12], "light", hover=hover)
    assert few["layout"]["xaxis"]["ticktext"] == names[:12]
