"""How it works: what is read of one image's way, and the page over every recorded run."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

import proteus_lab as lab
from app.components.image_way.component import picture_of
from app.reading import cards
from app.reading.cards import RECORDED_RUNS, RunCard, run_card
from app.reading.glossary import meaning
from app.reading.tables import class_names, gates, predictions
from app.reading.way import component_counts, mixture_weights, way
from core.errors import UserError
from tests.app.learned_run import learned_run

RUNS = sorted(path.name for path in RECORDED_RUNS.iterdir() if path.is_dir())
SHARED = ("joint", "o-lora", "sequential")


def card_of(name: str) -> RunCard:
    return run_card(RECORDED_RUNS / name, True)


@pytest.mark.parametrize("name", RUNS)
def test_the_way_is_that_of_the_answer_on_record(name: str) -> None:
    card = card_of(name)
    for after in (0, card.tasks - 1):
        answers = predictions(card).after(after)
        for row in (0, len(answers) // 2, len(answers) - 1):
            found = way(card, int(answers.image[row]), after)
            assert found.after == answers.after_task[row] and found.answer.predicted == answers.predicted[row]
            assert found.answer.retrieved == answers.retrieved_task[row]
            assert found.kind == ("shared" if name.startswith(SHARED) else "none" if "lda" in name else "own")
            assert {stage.key for stage in found.stages if stage.missing} == missing(name)
            if found.space is not None:
                assert (found.space.points >= 0).all() and (found.space.points <= 1).all()
                on_map = (found.answer.retrieved, found.answer.component) in found.space.components
                assert on_map != ("the map does not show it" in " ".join(stage.text for stage in found.stages))
                assert found.space.tasks.max() <= found.after


def missing(name: str) -> set[str]:
    """The stages that the method lacks."""
    if name.startswith("lda"):
        return {"adapter", "head"}
    return {"space", "nearest"} if name.startswith(SHARED) else set()


@pytest.mark.parametrize("name", RUNS)
def test_the_picture_has_what_the_browser_draws(name: str) -> None:
    card = card_of(name)
    image = int(predictions(card).after(card.tasks - 1).image[7])
    drawn = json.loads(json.dumps(picture_of(card, way(card, image, card.tasks - 1), 3)))
    assert len(drawn["stages"]) == 8 and drawn["step"] == 3 and len(json.dumps(drawn)) < 250_000
    assert drawn["answer"]["says"] in class_names(card) and len(drawn["vector"]) == 384
    assert drawn["meanings"]["embedding"] == meaning("embedding")
    assert ("heads" in drawn["meanings"]) == name.startswith(SHARED)  # several of them are still explained
    assert sum(bar["value"] == "best" for bar in drawn["bars"]) == 1
    assert (drawn["update"] is None) == name.startswith("lda") == (drawn["head"] == [])
    if drawn["update"]:
        size = drawn["update"]["rank"]
        assert picture(drawn["update"]["down"]).size == (96, size) and picture(drawn["update"]["up"]).size == (size, 96)
        assert picture(drawn["update"]["delta"]).size == (96, 96)
        assert sum(one["chosen"] for one in drawn["head"]) <= 1


def picture(address: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2])))


def test_a_head_is_shown_only_where_its_embedding_is_on_record() -> None:
    card = card_of("sequential-split-digits")
    image = int(predictions(card).after(0).image[0])
    assert way(card, image, card.tasks - 1).head and not way(card, image, 0).head


def test_an_image_without_an_answer_is_refused() -> None:
    with pytest.raises(UserError, match="no answer for image 99999"):
        way(card_of("lda-split-digits"), 99_999, 4)


def test_shares_of_components_are_those_in_the_file() -> None:
    fitted, by_process = mixture_weights(card_of("proteus-likelihood-split-fashion"), 0)
    assert by_process and len(fitted) == 20 and fitted.sum() == pytest.approx(1)
    counted, by_process = mixture_weights(card_of("proteus-split-fashion"), 0)
    assert not by_process and len(counted) == component_counts(card_of("proteus-split-fashion"))[0]
    assert not len(mixture_weights(card_of("joint-split-fashion"), 0)[0])
    assert component_counts(card_of("joint-split-fashion")) == []


@pytest.fixture(scope="module")
def sd_lora(tmp_path_factory: pytest.TempPathFactory) -> RunCard:
    """A small run whose one model adds the adapters of all tasks, each with a magnitude that goes on being trained."""
    runs = tmp_path_factory.mktemp("runs")
    settings = {
        "stream": {"name": "split-digits", "train_per_class": 12, "test_per_class": 4},
        "backbone.name": "tiny",
        "method.name": "sd-lora",
        "training": {"epochs": 2, "learning_rate": 0.02},
        "adapters.blocks": "all",
        "record.projection": False,
    }
    return run_card(lab.train(settings, runs=runs, name="small", progress=False).folder, False)


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
def test_a_model_of_directions_and_magnitudes_is_drawn_as_one_that_all_tasks_share(sd_lora: RunCard) -> None:
    last = sd_lora.tasks - 1
    answers = predictions(sd_lora).after(last)
    found = way(sd_lora, int(answers.image[0]), last)
    assert found.kind == "shared" and found.adapter_task == last and len(found.units) == 1
    assert {stage.key for stage in found.stages if stage.missing} == {"space", "nearest"}
    known = gates(sd_lora)[last]["sites"]
    for site in found.sites:
        update = way(sd_lora, int(answers.image[0]), last, site).update
        assert update is not None and update.site == site
        # The run measured this norm on the model itself, with every task's magnitude in it.
        assert np.linalg.norm(update.delta) == pytest.approx(known[site]["norm"], rel=1e-2)
        assert not np.allclose(update.delta, update.up @ update.down), "earlier tasks' directions are in it, too"
    drawn_now = json.loads(json.dumps(picture_of(sd_lora, found, 2)))
    assert drawn_now["head"] and drawn_now["answer"]["says"] == class_names(sd_lora)[found.answer.predicted]


@pytest.mark.slow
def test_the_page_shows_every_stage_of_it(sd_lora: RunCard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROTEUS_RUNS", str(sd_lora.folder.parent))
    for step in range(1, 9):
        test = shown(run="small", step=str(step))
        assert drawn(test)["stages"][step - 1]["text"] and drawn(test)["update"]["rank"] > 0


# The page.


def page() -> None:
    import streamlit as st

    from app.shell import navigation
    from app.views.how import render

    st.navigation([navigation.page(path) for path in navigation.entries()], position="hidden")
    render()


def shown(**query: str) -> AppTest:
    test = AppTest.from_function(page, default_timeout=60)
    test.query_params.update(query)
    test.run()
    assert not test.exception, [error.value for error in test.exception]
    return test


def drawn(test: AppTest) -> dict[str, Any]:
    """The picture's data as the browser gets it."""
    for element in test.get("bidi_component"):
        if "stages" in element.proto.json:
            return dict(json.loads(element.proto.json))
    pytest.fail("there is no picture")


@pytest.mark.parametrize("name", RUNS)
def test_every_stage_of_every_recorded_run_opens(name: str) -> None:
    for step in range(1, 9):
        test = shown(run=name, step=str(step))
        stage = drawn(test)["stages"][step - 1]
        labels = [expander.label for expander in test.expander]
        assert drawn(test)["step"] == step - 1 and stage["text"]
        assert any(label.startswith("Look inside") for label in labels) == (not stage["missing"])
        assert "Send another image along this way" in labels


def test_the_address_says_image_stage_site_and_time() -> None:
    name = "proteus-split-digits"
    image = int(predictions(card_of(name)).after(1).image[3])
    test = shown(run=name, step="6", image=str(image), site="11/v", t="1")
    assert drawn(test)["update"]["site"] == "11/v" and drawn(test)["bars"][-1]["task"] in (0, 1)
    test.selectbox(key="how-site").select("9/q").run()
    assert test.query_params["site"] == "9/q" and drawn(test)["update"]["site"] == "9/q"


def test_every_earlier_unit_is_shown_with_its_coefficient() -> None:
    card = card_of("proteus-split-digits")
    answers = predictions(card).after(4)
    image = int(answers.image[answers.retrieved_task == 4][0])
    html = " ".join(element.proto.body for element in shown(run=card.name, step="6", image=str(image)).get("html"))
    assert '<span class="note">16 units</span>' in html and html.count('<span class="note">4 units</span>') == 3
    assert html.count("title=") > 28 and "No units of earlier tasks" not in html


@pytest.mark.parametrize("query", [{"step": "0"}, {"step": "x", "image": "x"}, {"image": "99999", "site": "0/q"}])
def test_an_address_that_fits_nothing_still_shows_a_picture(query: dict[str, str]) -> None:
    assert drawn(shown(run="proteus-split-digits", **query))["step"] == 0


def test_gates_are_told_where_a_run_has_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = " ".join(text.value for text in shown(run="proteus-split-digits", step="2").markdown)
    assert "trained without gates" in said
    monkeypatch.setenv("PROTEUS_RUNS", str(tmp_path / "runs"))
    monkeypatch.setattr(cards, "RECORDED_RUNS", tmp_path / "demos")
    learned_run(tmp_path / "runs", hostile=True)
    test = shown(step="2")
    assert "open from a score of **0.10**" in " ".join(text.value for text in test.markdown)
    # Without files of adapters and embeddings the stages say so, and the page still stands.
    for step in range(1, 9):
        assert np.shape(drawn(shown(step=str(step)))["units"])[1] == 2
