"""Theory and measurement: what the numbers say in words, what the page shows, and what it says where there are none."""

from __future__ import annotations

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from app.figures import theory as figures
from app.reading import theory
from app.reading.cards import RECORDED_RUNS, run_card
from app.reading.tables import metrics

RUN = "proteus-split-fashion"


def page() -> None:
    import streamlit as st

    from app.shell import navigation
    from app.views.theory import render

    st.navigation([navigation.page(path) for path in navigation.entries()], position="hidden")
    render()


def shown(**query: str) -> AppTest:
    test = AppTest.from_function(page, default_timeout=60)
    test.query_params.update({"run": RUN, **query})
    test.run()
    assert not test.exception, test.exception
    return test


def said(test: AppTest) -> str:
    return " ".join(text.value for text in test.markdown)


def test_the_numbers_are_the_runs_own():
    card = run_card(RECORDED_RUNS / RUN, True)
    found = theory.errors(metrics(card), card.tasks)
    kept = metrics(card)["theory"]
    assert found.measured.tolist() == [entry["measured_error"] for entry in kept]
    text = said(shown(t="3"))
    for key in ("measured_error", "expected_error", "bound"):
        assert f"**{kept[3][key]:.1%}**" in text
    assert "none to pick" in said(shown(t="0"))


def test_the_words_say_what_there_is():
    nan = float("nan")
    numbers = {"bound": [0, 0.9, 0.02], "sampled": [0, 0.1, nan], "expected": [0, nan, 0.1], "measured": [0, 0.3, 0.2]}
    found = theory.Errors(**{name: np.array(values) for name, values in numbers.items()})
    assert theory.in_words(found, 0) == ""
    assert "0.90, no less than guessing" in theory.in_words(found, 1) and "expected" not in theory.in_words(found, 1)
    assert "**10.0%** was expected" in theory.in_words(found, 2) and "**2.0%**" in theory.in_words(found, 2)
    curve = next(
        line for line in figures.error_curves(found, "light", at=2)["data"] if line["name"].startswith("bound")
    )
    assert curve["y"] == [0.0, None, 0.02], "a bound that says nothing is no point of the curve"


@pytest.mark.parametrize("broken", [None, [], [{}] * 5, "x", [1] * 5, [{"bound": "x"}] * 4])
def test_metrics_that_say_nothing_give_nothing_or_no_numbers(broken):
    found = theory.errors({"theory": broken}, 5)
    assert found is None or np.isnan(found.measured).all()


def test_what_the_misses_come_from_adds_up():
    card = run_card(RECORDED_RUNS / RUN, True)
    found = theory.assumptions(card)
    measured = metrics(card)["theory"][-1]["measured_error"]
    assert 0 <= found.as_fitted < found.with_spread < measured
    text = theory.failing(found, measured)
    assert f"{100 * (measured - found.as_fitted):.1f} points" in text
    assert f"**{100 * (measured - found.with_spread):.1f}** are left for the shape" in text
    assert all(fit.new.spread > 1 > fit.trained.spread for fit in found.fits), "training images are known too well"


def test_a_chosen_task_is_in_the_address_and_all_are_in_the_table():
    test = shown(task="2")
    box = test.selectbox(key="theory-task")
    assert box.value == 1
    box.select(4).run()
    assert test.query_params["task"] == ["5"] or test.query_params["task"] == "5"
    assert len(test.dataframe[0].value) == 5
    assert shown(task="99").title[0].value == "Theory and measurement"


def test_own_spaces_are_tested_too_and_are_not_compared():
    text = said(shown(run="proteus-likelihood-split-fashion"))
    assert "times** as widely" in text and "come with the spread" not in text


@pytest.mark.parametrize("run", ["sequential-split-digits", "joint-split-fashion"])
def test_a_run_without_mixtures_names_the_next_click(run):
    assert "keeps no mixtures" in said(shown(run=run))


def test_lda_expects_an_error_of_its_best_classes_and_has_no_bound():
    card = run_card(RECORDED_RUNS / "lda-split-fashion", True)
    found = theory.errors(metrics(card), card.tasks)
    assert not found.by_mixtures and np.isnan(found.bound).all()
    assert np.abs(found.expected - found.measured).max() < 0.05
    test = shown(run="lda-split-fashion")
    assert "Which assumption fails" in " ".join(each.value for each in test.subheader)
    text = said(test)
    assert "the class that fits an image best" in text and "The bound of theory" not in text
    assert f"**{found.expected[-1]:.1%}** was expected of new images" in text
    assert theory.errors(metrics(run_card(RECORDED_RUNS / RUN, True)), 5).by_mixtures
