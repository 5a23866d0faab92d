"""What the map shows of a run: places, colours, rings and outlines."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from app import pointmaps, state
from tests.unit.run_folder import write_run


@pytest.fixture
def card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> state.RunCard:
    monkeypatch.setenv("PROTEUS_RUNS", str(tmp_path))
    write_run(tmp_path, "a-run")
    return next(card for card in state.available() if card.name == "a-run")


@pytest.mark.parametrize("colour", list(pointmaps.COLOURS))
def test_every_colour_names_every_point(card: state.RunCard, colour: str) -> None:
    points = pointmaps.build(card, "own", colour, 1)
    assert points.points == 8 and points.category.max() < len(points.names)


def test_rings_are_the_images_sent_to_a_wrong_task(card: state.RunCard) -> None:
    points = pointmaps.build(card, "own", "task", 1)
    assert np.flatnonzero(points.rings[0]).tolist() == [0, 4]


def test_outcome_tells_wrong_task_from_wrong_class(card: state.RunCard) -> None:
    points = pointmaps.build(card, "own", "correct", 1)
    outcomes = [points.names[code] for code in points.category[0]]
    assert outcomes[0] == outcomes[4] == "wrong task, right class"
    assert set(outcomes) == {"wrong task, right class", "right"}


@pytest.mark.parametrize("angle", [0.0, 0.6, 1.5])
def test_an_outline_has_the_shape_of_its_cloud(angle: float) -> None:
    cloud = np.random.default_rng(0).normal(size=(4000, 2)) * [3, 1]
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    ellipse = pointmaps._ellipse(cloud @ turn + [5, -2], np.ones(4000, int), 4000)
    assert (ellipse.cx, ellipse.cy) == pytest.approx((5, -2), abs=0.2)
    # The tenth of the cloud that lies farthest out is left out.
    assert ellipse.rx / ellipse.ry == pytest.approx(2.3, abs=0.4) and 1.1 < ellipse.ry < 1.6
    assert abs((ellipse.angle - angle + np.pi / 2) % np.pi - np.pi / 2) < 0.05


def test_one_stray_image_does_not_move_an_outline() -> None:
    cloud = np.random.default_rng(0).normal(size=(50, 2))
    colours = np.zeros(50, int)
    alone = pointmaps._ellipse(cloud, colours, 50)
    cloud[0] = [500, 500]
    astray = pointmaps._ellipse(cloud, colours, 50)
    assert abs(astray.cx - alone.cx) < 0.3 and astray.rx < 1.5 * alone.rx
