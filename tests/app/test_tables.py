"""Tables as arrays: the same numbers as in the files, read-only, and anew when the folder has changed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from app.reading import cards, tables
from app.shell import run_choice
from core.errors import UserError
from tests.unit import run_folder


@pytest.fixture
def card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> cards.RunCard:
    monkeypatch.setenv("PROTEUS_RUNS", str(tmp_path))
    run_folder.write_run(tmp_path, "a-run")
    return next(card for card in run_choice.available() if card.name == "a-run")


def test_predictions_are_those_of_the_file(card: cards.RunCard) -> None:
    rows = [row for task in (0, 1) for row in run_folder.predictions(task).to_pylist()]
    found = tables.predictions(card)
    assert found.retrieved_task.tolist() == [row["retrieved_task"] for row in rows]
    assert [found.scores(row).tolist() for row in range(len(found))] == [row["scores"] for row in rows]


def test_rows_keep_their_own_scores(card: cards.RunCard) -> None:
    found = tables.predictions(card)
    order = np.array([11, 0, 4, 4])
    chosen = found.where(order)
    assert chosen.image.tolist() == found.image[order].tolist()
    for place, row in enumerate(order):
        np.testing.assert_array_equal(chosen.scores(place), found.scores(int(row)))
    known = np.isfinite(found.score_matrix())
    assert known.sum(axis=1).tolist() == (found.after_task + 1).tolist()


def test_after_a_task_are_the_rows_measured_then_or_next(card: cards.RunCard) -> None:
    found = tables.predictions(card)
    assert set(found.after(0).after_task) == {0} and len(found.after(0)) == 4
    joint = found.where(found.after_task == 1)  # all tasks at once: one measurement
    assert len(joint.after(0)) == len(joint.after(7)) == 8
    assert len(found.where(np.zeros(len(found), bool)).after(0)) == 0


def test_maps_say_where_an_image_is_not_yet(card: cards.RunCard) -> None:
    assert tables.spaces(card) == ("own",)
    maps = tables.maps(card, "own")
    assert maps.after_task == (1,) and maps.xy.shape == (1, 8, 2)
    assert maps.xy[0, 3].tolist() == [1.5, -1.5]
    assert maps.at(0) == maps.at(5) == 0


def test_nothing_that_is_shared_can_be_written_to(card: cards.RunCard) -> None:
    for array in (tables.predictions(card).values, tables.images(card).label, tables.maps(card, "own").xy):
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0


def test_a_changed_folder_is_read_again(card: cards.RunCard) -> None:
    assert tables.metrics(card)["final_accuracy"] == 0.625
    (card.folder / "metrics.json").write_text('{"final_accuracy": 1}')
    assert tables.metrics(card)["final_accuracy"] == 1


def test_a_missing_table_is_one_line_for_people(card: cards.RunCard) -> None:
    (card.folder / "images.parquet").unlink()
    tables._images.cache_clear()
    with pytest.raises(UserError, match=r"images\.parquet"):
        tables.images(card)
