"""The What if page without a browser: what the URL asks, what is said, and the process that answers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from app.reading import cards
from app.reading.cards import RECORDED_RUNS, RunCard
from app.shell import address
from app.views import whatif
from app.workers import questions
from app.workers.helper import Helper, helper
from core.errors import UserError
from core.retrieval.questions import Settings
from tests.unit.run_folder import write_run

DEMO = "proteus-split-digits"
CARD = RunCard(DEMO, "Proteus", "proteus", "split-digits", 5, "done", True, RECORDED_RUNS / DEMO, None)
KNOWN = ("whitened", "frozen", "frozen-whitened")


@pytest.fixture(autouse=True)
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PROTEUS_RUNS", str(tmp_path / "runs"))
    return tmp_path / "runs"


@pytest.fixture(scope="module")
def worker() -> Iterator[Helper]:
    """The real process; several seconds until its first answer."""
    yield helper("answer_questions")
    helper("answer_questions").stop()


def page() -> None:
    import streamlit as st

    from app.shell import navigation
    from app.views.whatif import render

    st.navigation([navigation.page(path) for path in navigation.entries()], position="hidden")
    render()


def shown(**query: str) -> AppTest:
    test = AppTest.from_function(page, default_timeout=120)
    test.query_params.update(query)
    test.run()
    assert not test.exception, [error.value for error in test.exception]
    return test


def said(test: AppTest) -> str:
    return "\n".join(element.value for element in [*test.markdown, *test.subheader, *test.caption, *test.error])


def links(test: AppTest) -> list[str]:
    return [link.proto.label for link in test.get("page_link")]


def tiles(test: AppTest) -> dict[str, str]:
    return {tile.label: tile.value for tile in test.metric}


def test_without_a_run_the_next_click_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(cards, "RECORDED_RUNS", tmp_path / "none")
    assert "There is no run to look at yet" in said(shown())


def test_one_model_for_all_tasks_offers_a_run_that_retrieves() -> None:
    test = shown(run="sequential-split-digits")
    assert "one model for all tasks" in said(test) and links(test) == ["Look at “Proteus”"]
    assert not test.metric


def test_without_any_run_that_retrieves_it_offers_to_train_one(
    runs: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(cards, "RECORDED_RUNS", tmp_path / "none")
    write_run(runs, promises=["past_is_frozen"])
    test = shown(run="a-run")
    assert "kept no training images" in said(test) and links(test) == ["Train one that retrieves tasks"]


def test_an_unfinished_run_names_the_next_click(runs: Path) -> None:
    write_run(runs, tasks=1)
    assert "before its tables were written" in said(shown(run="a-run"))


def test_after_the_first_task_there_is_none_to_pick() -> None:
    test = shown(run=DEMO, t="0")
    assert "none to pick yet" in said(test) and links(test) == ["Look at the end, after task 5"]


def test_the_page_tells_what_the_run_did_and_what_would_be(worker: Helper) -> None:
    shipped = shown(run=DEMO)
    kept = questions.ask(CARD, Settings(after_task=4), lambda: None)
    assert tiles(shipped)["Right task retrieved"] == f"{kept.after.retrieval:.1%}"
    changed = [int(rows.sum()) for rows in (kept.became_right, kept.became_wrong, kept.moved)]
    told = "None: all **359** test images" if not any(changed) else f"**{changed[1]}** became wrong"
    assert sum(changed) <= 1 and told in said(shipped)
    assert shipped.segmented_control(key="whatif-preset").value == "shipped"
    literal = shown(run=DEMO, space="frozen", mixture="dp-gmm", shortlist="2")
    assert literal.segmented_control(key="whatif-preset").value == "literal"
    found = questions.ask(CARD, Settings(space="frozen", mixture="dp-gmm", shortlist=2, after_task=4), lambda: None)
    assert tiles(literal) == {
        "Right task retrieved": f"{found.after.retrieval:.1%}",
        "Accuracy": f"{found.after.accuracy:.1%}",
        "Right task among 2": f"{found.after.recall:.1%}",
        "Measured error": f"{1 - found.after.retrieval:.1%}",
        "Expected error": f"{found.expected_error:.1%}",
    }
    text = said(literal)
    assert f"If tasks were the mixtures, the error would be **{found.sampled_error:.1%}**" in text
    assert f"**{found.became_wrong.sum():,}** became wrong" in text
    assert "**200** kept training images of these tasks, so it differs from the run, which saw **1,438**" in text


def test_controls_go_into_the_url_and_ask_again(worker: Helper) -> None:
    test = shown(run=DEMO, mixture="kmeans", components="2")
    before = tiles(test)
    test.selectbox(key="whatif-space").select("frozen").run()
    assert test.query_params["space"] == "frozen" and tiles(test) != before and not test.exception
    test.selectbox(key="whatif-mixture").select("gaussian").run()
    assert "components" not in test.query_params, "what belonged to the other mixture is forgotten"
    assert (
        test.select_slider(key="whatif-components").disabled
        and test.select_slider(key="whatif-components").value == "1"
    )
    test.select_slider(key="whatif-dimensions").set_value("8").run()
    assert test.query_params["dimensions"] == "8" and "Dimensions: 8." in said(test)
    test.segmented_control(key="whatif-preset").set_value("means").run()
    assert test.query_params["mixture"] == "means" and "space" not in test.query_params and not test.exception


def test_earlier_times_have_fewer_tasks(worker: Helper) -> None:
    test = shown(run=DEMO, t="1", shortlist="4")
    assert "**80** kept training images" in said(test)
    assert test.segmented_control(key="whatif-shortlist").options == ["1", "2"]


def test_a_cell_of_the_matrix_lists_its_images(worker: Helper) -> None:
    test = shown(run=DEMO, space="frozen", mixture="dp-gmm", cell="1-4")
    found = questions.ask(CARD, Settings(space="frozen", mixture="dp-gmm", after_task=4), lambda: None)
    assert f"sent to “8, 9”: {found.confusion[1, 4]} images" in said(test)
    assert "sent to" not in said(shown(run=DEMO, cell="9-9"))


@pytest.mark.parametrize("tasks", [2, 10])
def test_a_bound_that_says_nothing_is_called_vacuous(tasks: int, worker: Helper) -> None:
    """Above 1 − 1/T, the error of guessing."""
    found = questions.ask(CARD, Settings(after_task=4), lambda: None)
    for bound, called in ((1 - 1 / tasks - 0.01, False), (1 - 1 / tasks, True), (3.1, True)):
        said = whatif._in_theory(replace(found, components=[1] * tasks, bound=bound))
        assert ("no less than guessing" in said) is called and (f"**{bound:.1%}**" in said) is not called


def test_what_to_expect_of_new_images_is_said_only_where_the_run_knows(
    worker: Helper, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the run's own space that is where the kept training images would lie had it never seen them."""
    settings = Settings(after_task=4, mixture="means")
    kept = questions.ask(CARD, settings, lambda: None)
    assert tiles(shown(run=DEMO, mixture="means"))["Expected error"] == f"{kept.expected_error:.1%}"
    monkeypatch.setitem(questions._answers_kept, questions._key(CARD, settings), replace(kept, expected_error=None))
    assert tiles(shown(run=DEMO, mixture="means"))["Expected error"] == "unknown"


def test_answers_are_kept_by_settings_and_version_of_the_run(worker: Helper, monkeypatch: pytest.MonkeyPatch) -> None:
    first = questions.ask(CARD, Settings(mixture="means"), lambda: None)
    monkeypatch.setattr(questions, "helper", lambda name: Helper(["false"]))
    assert questions.ask(CARD, Settings(mixture="means"), lambda: None) is first
    with pytest.raises(UserError, match="helper process"):
        questions.ask(CARD, Settings(mixture="means", shortlist=2), lambda: None)
    monkeypatch.setattr(questions, "stamp", lambda folder: 1)
    with pytest.raises(UserError, match="helper process"):
        questions.ask(CARD, Settings(mixture="means"), lambda: None)


def test_the_process_tells_what_it_cannot_do_in_one_line(worker: Helper) -> None:
    question = {"run": str(CARD.folder), "changed": 0, "settings": {"mixture": "none"}}
    with pytest.raises(UserError, match="class-seeded"):
        worker.ask(question, lambda: None)
    with pytest.raises(UserError, match="one model for all tasks"):
        worker.ask(question | {"run": str(RECORDED_RUNS / "sequential-split-digits"), "settings": {}}, lambda: None)


def test_presets_differ_and_are_recognised() -> None:
    found = {name: Settings.model_validate(preset.values) for name, preset in questions.PRESETS.items()}
    assert len(set(found.values())) == len(found)
    assert {questions.preset(settings, KNOWN) for settings in found.values()} == set(found)
    assert questions.preset(Settings(components=2), KNOWN) is None
    assert questions.preset(Settings(space="frozen-whitened", after_task=3, shortlist=2), KNOWN[1:]) == "shipped"


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, {}),
        ({"space": "own", "mixture": "x", "components": "7", "concentration": "-1", "shortlist": "99"}, {}),
        ({"components": "5", "concentration": "10"}, {"components": 5, "concentration": 10.0}),
        ({"mixture": "gaussian", "covariance": "tied"}, {"mixture": "gaussian"}),
        ({"mixture": "dp-gmm", "covariance": "tied", "dimensions": "8"},
         {"mixture": "dp-gmm", "covariance": "tied", "dimensions": 8}),
    ],
)  # fmt: skip
def test_the_url_says_what_is_asked(query: dict[str, str], expected: dict, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(address.st, "query_params", query)
    assert questions.chosen(KNOWN, 4) == Settings(after_task=4, **expected)
