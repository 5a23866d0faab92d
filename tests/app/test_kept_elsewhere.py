"""Kept elsewhere: what is read of recorded sweeps and of one's own runs, the front, the causes, and the page."""

from __future__ import annotations

import json
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.figures.kept_elsewhere import trade_off
from app.figures.plots import picked_mark
from app.reading import block_maps, kept_causes, kept_elsewhere
from app.reading.kept_elsewhere import Place, Setting, spread
from app.shell import layout
from core.errors import UserError
from core.kept_elsewhere import SWEEPS, known, read_rows, read_sweep
from tests.app.opened_page import page

FASHION = kept_elsewhere.recorded("fashion")
DIGITS = kept_elsewhere.recorded("digits")
BOTH = pytest.mark.parametrize("sweep", [FASHION, DIGITS], ids=["fashion", "digits"])


def shown(**query: str):
    test = page("kept", query)
    assert not test.exception, test.exception
    return test


def words(test) -> str:
    return " ".join(each.value for each in (*test.markdown, *test.caption))


def place(gained: float, lost: float) -> Place:
    setting = Setting(f"{gained}-{lost}", "", "other", "zero", ())
    return Place(setting, spread([gained]), spread([lost]))


@given(st.lists(st.tuples(st.integers(-5, 5), st.integers(-5, 5)), min_size=1, max_size=25))
def test_the_front_is_what_no_other_place_beats(pairs):
    every = [place(*pair) for pair in pairs]
    best = {(p.gained.mean, p.lost.mean) for p in kept_elsewhere.front(every)}
    unbeaten = {
        (gained, lost)
        for gained, lost in pairs
        if not any(g >= gained and x <= lost and (g, x) != (gained, lost) for g, x in pairs)
    }
    assert best == unbeaten


def test_every_recorded_run_is_a_planned_one_and_is_told_once():
    for name in known():
        planned = {run.name for run in read_sweep(name).runs}
        rows = read_rows(name)["rows"]
        names = [row["name"] for row in rows]
        assert set(names) <= planned and len(set(names)) == len(names)
        found = kept_elsewhere.recorded(name)
        assert sum(len(setting.runs) for setting in found.settings) == len(rows)
        assert len({setting.key for setting in found.settings}) == len(found.settings), "a key names one setting"


@BOTH
def test_what_is_lost_is_what_the_kept_answers_say(sweep):
    """The dial's accuracies and the answers were written by different code: they must agree."""
    for setting, strength in product(sweep.settings, sweep.strengths):
        for run in setting.runs:
            for probe in ("readout", "knn"):
                given_now = kept_elsewhere._given(run, probe, strength)
                assert (given_now == run.answers.label).mean() == pytest.approx(run.at(probe, strength), abs=1e-6)


@BOTH
def test_nothing_is_gained_or_lost_where_the_frozen_model_answers(sweep):
    for probe in ("readout", "knn"):
        for found in kept_elsewhere.places(sweep, "own", probe, 0.0):
            assert found.gained.mean == found.lost.mean == 0
    for setting in sweep.settings:
        losses = kept_elsewhere.class_losses(sweep, setting, "readout", 0.0)
        assert all(loss.before == loss.after for loss in losses)
        assert all(not kept_elsewhere.changed(run, "readout", 0.0) for run in setting.runs)


@BOTH
def test_budgets_open_as_many_gates_as_their_titles_say(sweep):
    for setting in sweep.settings:
        if setting.kind in ("learned", "gradient", "random", "last"):
            active, total = setting.open_gates()
            assert setting.title.startswith(f"{active:g} gate") and total == 72
            for run in setting.runs:
                assert len(block_maps.open_sites(run.gates)) <= active


@BOTH
def test_images_that_changed_come_with_their_answers_and_the_spoiled_first(sweep):
    run = next(s for s in sweep.settings if s.key == "lora-zero").runs[0]
    found = kept_elsewhere.changed(run, "readout", 1.0)
    spoiled = [each.before == each.label for each in found]
    assert found and spoiled == sorted(spoiled, reverse=True)
    net = sum(spoiled) - sum(each.after == each.label for each in found)
    assert net / len(run.answers.label) == pytest.approx(run.at("readout", 0.0) - run.at("readout", 1.0), abs=1e-6)


@BOTH
def test_the_effects_of_the_causes_add_up(sweep):
    design = kept_causes.factorial(sweep, "readout", 0.8)
    cells = {cell: outcome.lost.mean for cell, outcome in design.cells.items()}
    for position, cause in enumerate(kept_causes.CAUSES):
        on = np.mean([value for cell, value in cells.items() if cell[position]])
        off = np.mean([value for cell, value in cells.items() if not cell[position]])
        assert design.lost[cause].mean == pytest.approx(on - off)
    assert design.ratio(kept_causes.CELLS[0], kept_causes.CELLS[0]) == 1
    assert kept_causes.factorial(sweep, "readout", 1.0) is None, "at full strength that cause is no cause"
    assert kept_causes.factorial(sweep, "readout", 0.33) is None


def test_a_mark_carries_the_key_that_opens_it():
    places = kept_elsewhere.places(FASHION, "own", "readout", 1.0)
    figure = trade_off(places, kept_elsewhere.front(places), [], "light", chosen="", titles=("", ""))
    carried = [mark[0] for trace in figure["data"] for mark in trace.get("customdata", [])]
    assert sorted(carried) == sorted(setting.key for setting in FASHION.settings)
    assert picked_mark({"selection": {"points": [{"customdata": ["lora-zero", "…"]}]}}) == "lora-zero"
    assert picked_mark({"selection": {"points": []}}) is None


@pytest.mark.parametrize(
    ("counts", "total", "expected"), [([3, 3], 3, 1.0), ([1, 1], 2, 0.5), ([2, 2], 3, 5 / 9), ([1, 2], 2, 0.5)]
)
def test_choices_by_lot_share_what_counting_says(counts, total, expected):
    assert block_maps.chance_shared(counts, total) == pytest.approx(expected)


def test_the_dial_and_the_point_are_in_the_address():
    test = shown(point="lora-zero", strength="0.4")
    assert test.selectbox(key="kept-point").value == "lora-zero"
    assert test.select_slider(key="kept-strength").value == "0.4"
    test.select_slider(key="kept-strength").set_value("0").run()
    assert not test.exception and "Every one of the 240 images" in words(test)
    test.selectbox(key="kept-point").select("learned-4-discriminant").run()
    assert not test.exception and "4 gates, learned" in [each.value for each in test.header]
    assert shown(point="nothing", strength="x", lost="y", seed="9").header


def test_a_point_of_every_kind_opens():
    for setting in {setting.kind: setting for setting in FASHION.settings}.values():
        test = shown(point=setting.key, strength="0.8")
        assert test.header[0].value == layout.plain(setting.title)


def test_above_one_the_price_closes_every_gate_and_nothing_is_lost():
    counts = {s.title: s.open_gates()[0] for s in FASHION.settings if s.kind == "penalty"}
    assert list(counts) == ["λ = 0.1", "λ = 0.3", "λ = 1", "λ = 3"]
    assert list(counts.values()) == sorted(counts.values(), reverse=True)
    closed = next(setting for setting in FASHION.settings if setting.title == "λ = 3")
    assert closed.open_gates() == (0, 72)
    text = words(shown(point=closed.key))
    assert "Every one of the 240 images" in text and "No gate is open here" in text


def test_the_other_recorded_sweep_is_a_choice_and_tells_of_its_own_classes():
    assert "Bag" in words(shown()), "the fullest sweep comes first"
    test = shown(of="digits")
    text = words(test)
    assert "core.kept_elsewhere digits" in text and "Held out: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9." in text
    assert test.get("plotly_chart") and "which cause" in " ".join(each.value for each in test.header).lower()


def test_seeds_that_ask_about_different_images_show_their_own():
    lora = next(setting for setting in DIGITS.settings if setting.key == "lora-zero")
    first, second = lora.runs
    assert first.answers.names != second.answers.names and first.pictures != second.pictures
    assert len({run.pictures for setting in FASHION.settings for run in setting.runs}) == 1, "there they are the same"


def test_the_single_adapter_stands_beside_one_for_each_task():
    text = words(shown())
    assert "`proteus` with `active_blocks`" in text and "of all that either changes" in text


def test_without_runs_of_ones_own_the_next_click_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("PROTEUS_RUNS", str(tmp_path))
    assert "holds classes out yet" in words(shown(of="own"))


def test_a_sweep_that_is_damaged_is_said_in_one_line(tmp_path):
    (tmp_path / "odd.toml").write_text('title = "x"\nother = 1\n')
    with pytest.raises(UserError, match="must hold a title"):
        read_sweep("odd", tmp_path)
    with pytest.raises(UserError, match="recorded sweep"):
        read_sweep("none", tmp_path)
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd" / "rows.json").write_text(json.dumps({"rows": []}))
    with pytest.raises(UserError, match="holds no runs"):
        kept_elsewhere.recorded("odd", tmp_path)


def test_the_recorded_sweeps_stay_small():
    assert sum(file.stat().st_size for file in SWEEPS.rglob("*") if file.is_file()) < 1_500_000
