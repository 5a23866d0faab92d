"""A figure as a file: it is an XML document that holds its caption and its run's settings, whatever the figure."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

import proteus_lab as lab
from app.components.save_figure.component import notes
from app.figures import lesson_figures, plots
from app.figures.svg import WIDTH, sheet
from app.reading.cards import RECORDED_RUNS, run_card
from app.reading.lessons import lesson
from app.reading.run_settings import settings
from app.reading.tables import manifest

OWN = run_card(RECORDED_RUNS / "proteus-split-fashion", True)
SVG = "{http://www.w3.org/2000/svg}"


def said(document: str) -> str:
    """All text of the file as one line."""
    return " ".join(" ".join(ElementTree.fromstring(document).itertext()).split())


def test_a_file_holds_its_caption_and_the_settings_of_every_run_that_it_shows() -> None:
    found = lesson("forgetting")
    runs = {name: run_card(RECORDED_RUNS / run, True) for name, run in found.runs.items()}
    for name, of, shown in (("runs", "own", 2), ("first-task", "one", 1)):
        drawn = lesson_figures.draw(name, runs, of, "light")
        assert drawn is not None
        cards = lesson_figures.runs_in(name, runs, of)
        text = said(sheet(drawn.figure, drawn.caption, notes(cards)))
        assert len(cards) == shown and drawn.caption in text
        assert all(card.name in text and settings(card) in text for card in cards)


def test_settings_are_those_of_the_run() -> None:
    known = manifest(OWN)
    text = settings(OWN)
    for value in (
        known.method, known.stream, f"seed {known.seed}", f"{known.backbone.image_size} px",
        f"{known.config['training']['epochs']} epochs", f"rank {known.config['adapters']['rank']}",
        f"{known.hardware['precision']} on {known.hardware['device']}", known.versions["proteus-lab"],
    ):  # fmt: skip
        assert value in text, value


def test_where_nothing_was_trained_no_epochs_are_told() -> None:
    text = settings(run_card(RECORDED_RUNS / "lda-split-fashion", True))
    assert "epochs" not in text and "rank" not in text and "seed 0" in text


def test_the_text_stands_below_the_figure_and_inside_the_sheet() -> None:
    document = sheet(plots.curves([plots.Line("a", np.array([0.1, 0.9]), "#0072b2")], ["1", "2"], "light",
                                  titles=("x", "y")), "long words " * 40, ["note " * 80])  # fmt: skip
    root = ElementTree.fromstring(document)
    height = float(root.attrib["height"])
    plot = max(float(line.attrib["y2"]) for line in root.iter(f"{SVG}line"))
    below = [text for text in root.iter(f"{SVG}text") if text.get("font-size")]
    places = [float(text.attrib["y"]) for text in below]
    assert len(below) > 6 and places == sorted(places) and plot < places[0] and places[-1] < height
    assert max(len(text.text or "") for text in below) * 5 < WIDTH


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", "R&D", "a < b & c"])
def test_names_stay_text(name: str) -> None:
    figure = plots.heat_map(np.eye(2), [plots.text(name), name], ["x", "y"], "light", hover=[["", ""]] * 2, bar=name)
    root = ElementTree.fromstring(sheet(figure, name, [name]))
    assert {element.tag.removeprefix(SVG) for element in root.iter()} <= {
        "svg", "title", "desc", "rect", "line", "text", "tspan",
    }  # fmt: skip
    assert said(sheet(figure, name, [name])).count(name) >= 4


def test_long_labels_of_many_columns_are_turned_and_none_leaves_the_sheet() -> None:
    names = [f"{at}: a long name" for at in range(12)]
    figure = plots.heat_map(np.eye(12), names, names, "light", hover=[[""] * 12] * 12, bar="share")
    texts = list(ElementTree.fromstring(sheet(figure, "c", [])).iter(f"{SVG}text"))
    assert sum("rotate(-40" in text.get("transform", "") for text in texts) == 12
    rows = [text for text in texts if text.get("text-anchor") == "end" and not text.get("transform")]
    assert all(float(text.attrib["x"]) > 6 * len("".join(text.itertext())) for text in rows)


def test_lines_across_outlines_and_notes_are_drawn() -> None:
    figure = plots.with_threshold(
        plots.bars([plots.Line("a", np.array([0.2, 0.6]), "#0072b2")], ["1", "2"], "light", titles=("", "")),
        0.4, "on from here", "light",
    )  # fmt: skip
    document = sheet(figure, "c", [])
    assert "on from here" in said(document) and "stroke-dasharray" in document


@pytest.mark.parametrize("name", ["accuracy", "curves", "oracle", "blocks"])
def test_the_python_api_gives_the_same_file(name: str, tmp_path: Path) -> None:
    run = lab.Run.open("proteus-split-fashion")
    text = said(run.figures.svg(getattr(run.figures, name)(), "Mine & yours"))
    assert "Mine & yours" in text and settings(OWN) in text
