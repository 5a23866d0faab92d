"""Forgetting, Adapter blocks and Compare without a browser: what they say, and what they say when there is nothing."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from app.reading import cards
from tests.app.learned_run import learned_run
from tests.unit.run_folder import write_run


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for runs; there are no demos."""
    monkeypatch.setenv("PROTEUS_RUNS", str(tmp_path / "runs"))
    monkeypatch.setattr(cards, "RECORDED_RUNS", tmp_path / "demos")
    return tmp_path / "runs"


def forgetting() -> None:
    import streamlit as st

    from app.shell import navigation
    from app.views.forgetting import render

    st.navigation([navigation.page(path) for path in navigation.entries()], position="hidden")
    render()


def blocks() -> None:
    import streamlit as st

    from app.shell import navigation
    from app.views.blocks import render

    st.navigation([navigation.page(path) for path in navigation.entries()], position="hidden")
    render()


def compare() -> None:
    import streamlit as st

    from app.shell import navigation
    from app.views.compare import render

    st.navigation([navigation.page(path) for path in navigation.entries()], position="hidden")
    render()


def shown(page: Callable[[], None], **query: str) -> AppTest:
    test = AppTest.from_function(page, default_timeout=60)
    test.query_params.update(query)
    test.run()
    assert not test.exception, [e.value for e in test.exception]
    return test


def said(test: AppTest) -> str:
    return "\n".join(element.value for element in [*test.markdown, *test.subheader, *test.caption, *test.info])


def charts(test: AppTest) -> int:
    return len(test.get("plotly_chart"))


@pytest.mark.parametrize("page", [forgetting, blocks, compare])
def test_without_a_run_the_next_click_is_named(runs: Path, page: Callable[[], None]) -> None:
    test = shown(page)
    assert "There is no run to look at yet" in said(test) and charts(test) == 0


def test_forgetting_tells_the_numbers_after_the_chosen_task(runs: Path) -> None:
    learned_run(runs)
    last = shown(forgetting)
    assert [tile.label for tile in last.metric][1] == "After task 2" and charts(last) == 4
    first = shown(forgetting, t="0")
    assert first.metric[1].label == "After task 1"
    assert first.metric[2].value == "–"  # nothing can be forgotten yet


def test_a_cell_of_the_matrix_is_explained_down_to_its_images(runs: Path) -> None:
    learned_run(runs)
    test = shown(forgetting, cell="1-0", of="retrieval")
    text = said(test)
    assert "**3 of 4** images of “task 0” are right after task 2" in text
    assert "**1** of them had been right when the task was new" in text and "1 went to a wrong task" in text
    assert (test.selectbox(key="forgetting-task").value, test.selectbox(key="forgetting-after").value) == (0, 1)


@pytest.mark.parametrize("cell", ["9-9", "x", "0-1", "-1-0", "1"])
def test_a_cell_that_is_not_there_is_the_worst_one_instead(runs: Path, cell: str) -> None:
    learned_run(runs)
    assert "after task 2" in said(shown(forgetting, cell=cell))


def test_the_keyboards_choice_of_a_cell_goes_into_the_url(runs: Path) -> None:
    learned_run(runs)
    test = shown(forgetting, cell="1-0")
    test.selectbox(key="forgetting-task").select(1).run()
    assert test.query_params["cell"] == "1-1" and not test.exception


def test_metrics_without_matrices_name_the_next_click(runs: Path) -> None:
    write_run(runs)
    assert "kept no accuracies task by task" in said(shown(forgetting))


def test_a_method_that_loses_to_a_frozen_classifier_says_so(runs: Path) -> None:
    learned_run(runs, "frozen", method="lda", title="Frozen")
    learned_run(runs, "adapted", method="proteus", title="Adapted", seed=0)
    path = runs / "adapted" / "metrics.json"
    path.write_text(path.read_text().replace('"final_accuracy": 1.0', '"final_accuracy": 0.5'))
    assert "a simple classifier (lda) ends at 100.0%" in said(shown(forgetting, run="adapted"))
    assert "simple classifier (lda) ends" not in said(shown(forgetting, run="frozen"))


def test_blocks_tell_what_changed_and_what_is_off(runs: Path) -> None:
    learned_run(runs)
    second, first = shown(blocks), shown(blocks, t="0")
    assert (second.metric[0].value, first.metric[0].value) == ("1 of 2", "2 of 2")
    assert "1 of 2 are above the line" in said(second) and charts(second) == 5
    (costs,) = [table.value for table in second.dataframe if "state" in table.value]
    assert costs["state"].tolist() == ["on", "off"]


def test_blocks_show_how_a_budget_was_filled(runs: Path) -> None:
    path = learned_run(runs) / "tasks" / "001" / "gates.json"
    known = json.loads(path.read_text())
    history = {"steps": [0, 3, 6], "scores": {"0": [0.15, 0.2, 0.25], "1": [0.15, 0.12, None]}}
    known["blocks"] = {"scores": {"0": 0.25, "1": 0.1}, "budget": 1, "active": [0], "history": history}
    path.write_text(json.dumps(known))
    shown_now = shown(blocks)
    assert "1 of 2, exactly as many as the budget asked for" in said(shown_now) and charts(shown_now) == 6
    assert "A line stops where the budget closed its gate" in said(shown_now)


def test_a_method_without_adapters_offers_a_run_that_has_them(runs: Path) -> None:
    learned_run(runs, "frozen", adapts=False, title="Frozen")
    assert "adapts no block" in said(shown(blocks))
    learned_run(runs, "other", title="Other")
    test = shown(blocks, run="frozen")
    assert "adapts no block" in said(test) and "Look at “Other”" in [link.proto.label for link in test.get("page_link")]


def test_compare_needs_two_runs(runs: Path) -> None:
    learned_run(runs)
    assert "only one finished run" in said(shown(compare))


def test_compare_says_who_is_right_on_the_same_images(runs: Path) -> None:
    for name in ("one", "two"):
        learned_run(runs, name, title=name, seed=name == "two")
    test = shown(compare, run="one")
    assert test.multiselect[0].value == ["two"] and charts(test) == 1
    assert "Both are right (8)" in test.segmented_control(key="compare-who").options
    assert "seed" in test.dataframe[-1].value["setting"].tolist()


def test_runs_of_different_images_are_compared_by_their_numbers_only(runs: Path) -> None:
    learned_run(runs, "one")
    learned_run(runs, "two", stream_fingerprint="cd" * 32)
    alone = shown(compare, run="one")
    assert alone.multiselect[0].value == []
    test = shown(compare, run="one", runs="one,two")
    assert "the same images in the same order" in said(test) and charts(test) == 0


def test_unknown_runs_in_the_url_are_left_out(runs: Path) -> None:
    for name in ("one", "two"):
        learned_run(runs, name)
    assert shown(compare, run="one", runs="one,nothing,two,two").multiselect[0].value == ["two"]


def test_hostile_names_are_escaped_everywhere(runs: Path) -> None:
    for name in ("one", "two"):
        learned_run(runs, name, hostile=True)
    for page in (forgetting, blocks, compare):
        test = shown(page, run="one", runs="one,two", cell="1-0", of="retrieval")
        assert not re.search(r"(?<!\\)(<img|\*\*b)", said(test))
        assert all("<img" not in chart.proto.spec for chart in test.get("plotly_chart"))


def _kept_points(test: AppTest) -> dict[str, Any]:
    """The trace of Compare's plot of gain against loss."""
    drawn = [json.loads(chart.proto.spec) for chart in test.get("plotly_chart")]
    (points,) = [chart["data"][0] for chart in drawn if "text" in chart["data"][0].get("mode", "")]
    return points


def test_compare_draws_what_runs_gained_and_lost(runs: Path) -> None:
    for place, name in enumerate(("full", "budget", "other", "without")):
        folder = learned_run(runs, name, title=f"Run {name}", hostile=name == "budget")
        metrics = json.loads((folder / "metrics.json").read_text())
        told = {"own_before": 0.5, "own_after": 0.8, "knn_before": 0.6, "knn_after": 0.4 + 0.05 * place}
        metrics["retention"] = [None, told] if name != "without" else None
        (folder / "metrics.json").write_text(json.dumps(metrics))
    test = shown(compare, run="full", runs="budget")
    assert "Gained, and lost elsewhere" in said(test)
    points = _kept_points(test)
    assert sorted(points["x"]) == pytest.approx([0.1, 0.15, 0.2]) and points["y"] == pytest.approx([0.3] * 3)
    assert len(set(points["marker"]["color"])) == 3, "two are compared, and one is grey"
    assert "<img" not in json.dumps(points) and any("lost 20.0" in told for told in points["customdata"])
    folder = runs / "full"
    metrics = json.loads((folder / "metrics.json").read_text())
    metrics["retention"][1] |= {"readout_before": 0.7, "readout_after": 0.4}
    (folder / "metrics.json").write_text(json.dumps(metrics))
    for lost, expected in (("readout", [0.3]), ("knn", [0.1, 0.15, 0.2])):
        test = shown(compare, run="full", runs="budget", lost=lost)
        assert sorted(_kept_points(test)["x"]) == pytest.approx(expected)


def test_compare_says_nothing_of_retention_where_no_run_measured_it(runs: Path) -> None:
    for name in ("one", "two"):
        learned_run(runs, name)
    assert "Gained, and lost" not in said(shown(compare, run="one", runs="two"))
