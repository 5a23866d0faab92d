"""The page of retrieval errors without a browser: what a slice lists, and what an address does to it."""

from __future__ import annotations

import re

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from app.reading.answers import neighbours_of
from app.reading.cards import RECORDED_RUNS, run_card
from app.reading.held_out import held_out
from app.reading.slices import history
from app.reading.tables import disturbed, evidence, predictions, shifts
from app.reading.tables import task_names as card_tasks
from app.workers.why import apart, why
from core.runs.evidence import Apart
from core.runs.store import Run
from tests.app.evidence_run import evidence_run
from tests.app.held_out_run import held_out_run

RUN = "sequential-split-digits"
CARD = run_card(RECORDED_RUNS / RUN, True)


def page() -> None:
    import streamlit as st

    from app.shell import navigation
    from app.views.errors import render

    st.navigation([navigation.page(path) for path in navigation.entries()], position="hidden")
    render()


def shown(**query: str) -> AppTest:
    test = AppTest.from_function(page, default_timeout=60)
    test.query_params.update({"run": RUN, **query})
    test.run()
    assert not test.exception, test.exception
    return test


def chips(test: AppTest) -> list[str]:
    return [button.label for button in test.button if str(button.key).startswith("errors-chip")]


def listed(test: AppTest) -> int:
    """How many images the chosen kind has."""
    box = test.selectbox(key="errors-show")
    label = next(
        label for label in box.options if label.startswith({"all": "All images"}.get(box.value, "All mistakes"))
    )
    return int(re.search(r"\(([\d,]+)\)", label)[1].replace(",", ""))


@pytest.mark.parametrize("view", ["tasks", "classes", "groups"])
def test_every_view_opens_after_every_task(view):
    for task in "042":
        assert chips(shown(view=view, t=task)) == []


def test_a_slice_lists_what_its_address_says_and_a_chip_takes_it_away():
    answers, past = predictions(CARD).after(4), history(predictions(CARD), 4)
    own = past.of(answers.image)
    expected = (answers.label == 3) & (answers.predicted == 9) & (own.fate == "forgotten")
    test = shown(pair="3-9", fate="forgotten", show="all")
    assert listed(test) == expected.sum() > 0
    assert chips(test) == ["3", "answered 9", "Forgotten: right once, wrong now"]
    test.button(key="errors-chip-predicted").click().run()
    assert test.query_params["pair"] == "3-"
    assert listed(test) == ((answers.label == 3) & (own.fate == "forgotten")).sum()


def test_filters_write_the_address():
    test = shown(show="all")
    test.selectbox(key="errors-slice-label").select(7).run()
    assert test.query_params["pair"] == "7-"
    test.slider(key="errors-margin").set_range(2.0, 5.0).run()
    assert test.query_params["margin"] == "2-5"
    answers = predictions(CARD).after(4)
    assert listed(test) == np.sum((answers.label == 7) & (answers.margin >= 2) & (answers.margin <= 5))


def test_the_list_of_pairs_opens_a_pair():
    test = shown(view="classes")
    first = next(button for button in test.button if str(button.key).startswith("pair-"))
    first.click().run()
    label, predicted = str(first.key).split("-")[1:]
    assert test.query_params["pair"] == f"{label}-{predicted}" and len(chips(test)) == 2


def test_a_group_narrows_the_list_down_and_opens_again():
    test = shown(view="groups")
    everything = listed(test)
    test.button(key="errors-group-1").click().run()
    assert test.query_params["group"] == "1" and 0 < listed(test) < everything
    test.button(key="errors-chip-group").click().run()
    assert listed(test) == everything


@pytest.mark.parametrize(
    "query",
    [
        {"cell": "99-99", "pair": "88-77"}, {"view": "nothing", "group": "0"}, {"view": "groups", "group": "99"},
        {"margin": "9-1", "fate": "x"}, {"component": "7", "cell": "-1"}, {"since": "400", "pair": "-"},
    ],
)  # fmt: skip
def test_an_address_that_fits_nothing_still_shows_a_page(query):
    assert shown(**query).title[0].value == "Retrieval errors"


def test_an_empty_slice_names_the_way_back():
    test = shown(pair="0-1", fate="right")
    back = next(button for button in test.button if button.label == "Look at all of them")
    back.click().run()
    assert not {"pair", "fate"} & set(test.query_params)


@pytest.fixture(scope="module")
def with_evidence(tmp_path_factory):
    return evidence_run(tmp_path_factory.mktemp("runs"))


def test_one_image_shows_its_evidence_and_a_pair_its_mean(with_evidence, monkeypatch):
    monkeypatch.setenv("PROTEUS_RUNS", str(with_evidence.parent))
    card = run_card(with_evidence, False)
    answers, recorded = predictions(card).after(4), evidence(card)
    lost = np.flatnonzero(answers.retrieved_task != answers.task)
    image, label, predicted = (int(column[lost[0]]) for column in (answers.image, answers.label, answers.predicted))
    test = shown(run=with_evidence.name, image=str(image))
    leads = [text.value for text in test.markdown if " nats\\." in text.value]
    found = recorded.of(image)
    assert found.difference < 0 and any(f"{abs(found.difference):.1f}".replace(".", "\\.") in text for text in leads)
    test = shown(run=with_evidence.name, view="classes", pair=f"{label}-{predicted}", image=str(image))
    assert any("on average" in text.value for text in test.markdown)


def test_a_run_without_evidence_says_why_and_how_to_get_it():
    said = " ".join(text.value for text in shown().caption)
    assert "evidence is exact" in said or "before evidence was recorded" in said


def test_the_model_says_what_it_looks_at(with_evidence, monkeypatch):
    """The model is loaded by the process beside the server, and agrees with what the run recorded."""
    monkeypatch.setenv("PROTEUS_RUNS", str(with_evidence.parent))
    card = run_card(with_evidence, False)
    answers = predictions(card).after(4)
    image = int(answers.image[np.flatnonzero(answers.retrieved_task != answers.task)[0]])
    found = why(card, image, lambda: None)
    kept = evidence(card).of(image)
    assert found["difference"] == pytest.approx(kept.difference, abs=1e-3)
    assert np.asarray(found["patches"]) == pytest.approx(kept.patches, abs=0.01)
    test = shown(run=with_evidence.name, image=str(image), look="1")
    said = " ".join(text.value for text in test.markdown)
    assert "The patches of each block" in said and "Frozen backbone" in said


def test_a_neighbour_shows_what_sets_it_apart_and_sums_to_its_distance(with_evidence, monkeypatch):
    monkeypatch.setenv("PROTEUS_RUNS", str(with_evidence.parent))
    card = run_card(with_evidence, False)
    image = int(predictions(card).after(4).image[3])
    near = neighbours_of(card, image, 4)[1]
    found = Apart.from_document(apart(card, image, near.image, lambda: None))
    assert found.squared == pytest.approx(near.distance**2, rel=0.01)
    assert found.by_block.sum() + found.adapter == pytest.approx(found.squared, rel=1e-3)
    test = shown(run=with_evidence.name, image=str(image), near=f"{image}-{near.image}")
    said = " ".join(text.value for text in test.markdown)
    assert "What sets it apart from this" in said and "Squared distance" in said
    test.button(key="errors-near-close-now").click().run()
    assert "near" not in test.query_params and not test.exception


def test_a_neighbour_of_another_image_is_not_compared(with_evidence, monkeypatch):
    monkeypatch.setenv("PROTEUS_RUNS", str(with_evidence.parent))
    card = run_card(with_evidence, False)
    first, second = predictions(card).after(4).image[:2].tolist()
    near = neighbours_of(card, first, 4)[0].image
    test = shown(run=with_evidence.name, image=str(second), near=f"{first}-{near}")
    assert not any("What sets it apart" in text.value for text in test.markdown)


def test_without_a_model_a_neighbour_opens_the_map(with_evidence, monkeypatch):
    monkeypatch.setenv("PROTEUS_RUNS", str(with_evidence.parent))
    monkeypatch.setattr("app.views.errors.neighbours.is_light", lambda: True)
    image = int(predictions(run_card(with_evidence, False)).after(4).image[0])
    test = shown(run=with_evidence.name, image=str(image), near=f"{image}-{image + 1}")
    assert any("opens the map there" in text.value for text in test.caption)


def test_images_under_a_corruption_are_a_slice_of_their_own(with_evidence, monkeypatch):
    monkeypatch.setenv("PROTEUS_RUNS", str(with_evidence.parent))
    card = run_card(with_evidence, False)
    assert shifts(card) == ("contrast-5", "gaussian-noise-5") and len(disturbed(card, "contrast-5")) == 40
    kept = Run(with_evidence).metrics["shifts"]["contrast"][0]
    answers = disturbed(card, "contrast-5")
    assert (answers.predicted == answers.label).mean() == pytest.approx(kept)
    assert len(predictions(card).after(4)) == 120, "undisturbed answers are what they were"
    test = shown(run=with_evidence.name, shift="contrast-5", show="all")
    assert listed(test) == 40 and chips(test) == ["disturbed by contrast\\-5"]
    test.button(key="errors-chip-shift").click().run()
    assert listed(test) == 120


@pytest.fixture(scope="module")
def with_held_out(tmp_path_factory):
    return held_out_run(tmp_path_factory.mktemp("held"))


def test_classes_that_no_task_learned_have_a_view_of_their_own(with_held_out, monkeypatch):
    card = run_card(with_held_out.folder, False)
    found = held_out(card)
    counts = found.counts(card.tasks)
    assert counts.sum(1).tolist() == [6] * 4 and counts.sum() == len(found)
    monkeypatch.setenv("PROTEUS_RUNS", str(with_held_out.folder.parent))
    test = shown(run=with_held_out.name, view="held-out")
    assert any("24** images of classes that were never learned" in text.value for text in test.markdown)
    label, task = np.unravel_index(counts.argmax(), counts.shape)
    test = shown(run=with_held_out.name, view="held-out", held=f"{label}-{task}")
    chosen = test.button(key="held-out-chosen")
    assert chosen.label == f"{found.classes[label]} sent to {card_tasks(card)[task]} · {counts.max()} images"
    chosen.click().run()
    assert "held" not in test.query_params
    assert len(found.rows(int(label), int(task))) == counts.max()
    assert (np.diff(found.margin[found.rows(None, None)]) <= 0).all(), "the surest come first"


@pytest.mark.parametrize("cell", ["9-0", "0-9", "x", "-", "1-"])
def test_an_odd_cell_of_held_out_classes_is_none(with_held_out, monkeypatch, cell):
    monkeypatch.setenv("PROTEUS_RUNS", str(with_held_out.folder.parent))
    test = shown(run=with_held_out.name, view="held-out", held=cell)
    assert not [button for button in test.button if button.key == "held-out-chosen"]


def test_a_run_without_held_out_classes_has_no_such_view():
    assert held_out(CARD) is None
    assert any("answers are wrong" in text.value for text in shown(view="held-out").markdown)
