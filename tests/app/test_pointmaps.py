"""What the map shows of a run: places, colours, rings and outlines."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from app.components.point_map import run_points
from app.reading import cards
from app.reading.tables import images
from app.shell import run_choice
from tests.unit.run_folder import write_run


@pytest.fixture
def card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> cards.RunCard:
    monkeypatch.setenv("PROTEUS_RUNS", str(tmp_path))
    write_run(tmp_path, "a-run")
    return next(card for card in run_choice.available() if card.name == "a-run")


@pytest.mark.parametrize("colour", list(run_points.COLOURS))
def test_every_colour_names_every_point(card: cards.RunCard, colour: str) -> None:
    points = run_points.build(card, "own", colour, 1)
    assert points.points == 8 and points.category.max() < len(points.names)


def test_rings_are_the_images_sent_to_a_wrong_task(card: cards.RunCard) -> None:
    points = run_points.build(card, "own", "task", 1)
    assert np.flatnonzero(points.rings[0]).tolist() == [0, 4]


def test_outcome_tells_wrong_task_from_wrong_class(card: cards.RunCard) -> None:
    points = run_points.build(card, "own", "correct", 1)
    outcomes = [points.names[code] for code in points.category[0]]
    assert outcomes[0] == outcomes[4] == "wrong task, right class"
    assert set(outcomes) == {"wrong task, right class", "right"}


def test_an_outline_is_drawn_for_every_component_that_is_there() -> None:
    card = next(card for card in run_choice.available() if card.name == "proteus-split-digits")  # a recorded demo
    without = run_points.build(card, "own", "task", 1)
    assert not without.ellipses
    drawn = run_points.build(card, "own", "task", 1, outlines=True)
    known, counts = images(card), []
    for frame, ellipses in enumerate(drawn.ellipses):
        shown = np.isfinite(drawn.xy[frame, :, 0])
        pairs = np.stack([known.task, known.component], axis=1)[shown & (known.component >= 0)]
        sizes = np.unique(pairs, axis=0, return_counts=True)[1]
        counts.append(int((sizes >= 4).sum()))
        assert len(ellipses) == counts[-1]
        for ellipse in ellipses:
            assert np.isfinite([ellipse.cx, ellipse.cy, ellipse.rx, ellipse.ry, ellipse.angle]).all()
    assert max(counts) > 0


@pytest.mark.parametrize("angle", [0.0, 0.6, 1.5])
def test_an_outline_has_the_shape_of_its_cloud(angle: float) -> None:
    cloud = np.random.default_rng(0).normal(size=(4000, 2)) * [3, 1]
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    ellipse = run_points.Ellipse(*run_points._cloud(cloud @ turn + [5, -2]), 0, 1.0)
    assert (ellipse.cx, ellipse.cy) == pytest.approx((5, -2), abs=0.2)
    # The tenth of the cloud that lies farthest out is left out.
    assert ellipse.rx / ellipse.ry == pytest.approx(2.3, abs=0.4) and 1.1 < ellipse.ry < 1.6
    assert abs((ellipse.angle - angle + np.pi / 2) % np.pi - np.pi / 2) < 0.05


def test_one_stray_image_does_not_move_an_outline() -> None:
    cloud = np.random.default_rng(0).normal(size=(50, 2))
    alone = run_points.Ellipse(*run_points._cloud(cloud), 0, 1.0)
    cloud[0] = [500, 500]
    astray = run_points.Ellipse(*run_points._cloud(cloud), 0, 1.0)
    assert abs(astray.cx - alone.cx) < 0.3 and astray.rx < 1.5 * alone.rx


def test_a_second_cloud_far_away_does_not_stretch_an_outline() -> None:
    random = np.random.default_rng(0)
    near, far = random.normal(0, 1, (40, 2)), random.normal((60, 0), 1, (25, 2))
    cx, cy, rx, ry, _ = run_points._cloud(np.concatenate([near, far]))
    assert abs(cx) < 1.5 and abs(cy) < 1.5 and rx < 4 and ry > 0.5
    assert all(0 < side < 1e-3 for side in run_points._cloud(np.ones((5, 2)))[2:4])  # all in one place


def test_training_images_are_grey_where_nobody_asks_about_them() -> None:
    card = next(card for card in run_choice.available() if card.name == "proteus-split-digits")
    assert run_points.build(card, "own", "task", 1).muted is None
    points = run_points.build(card, "own", "retrieved", 1)
    assert points.muted is not None and points.names[points.muted] == "training image"


def test_a_model_that_all_tasks_share_has_no_adapter_of_a_tasks_own() -> None:
    shown = {card.name: card for card in run_choice.available()}
    assert run_points.space_words(shown["sequential-split-digits"], "own").title == "final model"
    assert run_points.space_words(shown["proteus-split-digits"], "own").title == "own adapter"
    assert run_points.space_words(shown["sequential-split-digits"], "frozen") == run_points.SPACES["frozen"]
