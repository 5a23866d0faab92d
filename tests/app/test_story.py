"""What Start here tells of a run: its costliest pair of classes, one image, other runs; for runs of any kind."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as some
from streamlit.testing.v1 import AppTest

from app.reading import cards
from app.reading.cards import run_card
from app.reading.story import costliest_pair, peers, stories, telling_image
from app.reading.tables import Predictions
from app.reading.telling_map import telling_colour, telling_space
from core.runs.store import Run
from tests.app.learned_run import HOSTILE, learned_run
from tests.unit.run_folder import write_run


def answered(pairs: list[tuple[int, int]], margins: list[float] | None = None) -> Predictions:
    """Answers for images of two classes per task: (class, answered class) each."""
    label, predicted = (np.array([pair[side] for pair in pairs], np.int32) for side in (0, 1))
    count = len(pairs)
    return Predictions(
        after_task=np.zeros(count, np.int16), image=np.arange(10, 10 + count), task=label // 2, label=label,
        retrieved_task=predicted // 2, predicted=predicted, predicted_given_task=label,
        margin=np.array(margins or [1.0] * count, np.float32), nearest_component=np.full(count, -1),
        offsets=np.arange(count + 1), values=np.zeros(count, np.float32),
    )  # fmt: skip


def test_both_directions_of_a_pair_count() -> None:
    pair = costliest_pair(answered([(0, 3), (3, 0), (3, 0), (1, 2), (1, 2), (5, 5)], [1, 2, 3, 1, 1, 1]))
    assert pair is not None
    assert (pair.label, pair.predicted, pair.there, pair.back, pair.mistakes, pair.wrong_task) == (3, 0, 2, 1, 3, 3)
    assert pair.images.tolist() == [12, 11]  # the most confident first


def test_without_a_mistake_the_closest_call_is_told() -> None:
    answers = answered([(0, 0), (1, 1), (2, 2)], [3.0, 0.5, 1.0])
    assert costliest_pair(answers) is None and telling_image(answers) == (11, False)
    assert telling_image(answered([])) == (None, False)


@given(some.lists(some.tuples(some.integers(0, 7), some.integers(0, 7)), min_size=1, max_size=60))
def test_no_pair_costs_more_than_the_costliest(pairs: list[tuple[int, int]]) -> None:
    answers = answered(pairs)
    wrong = [frozenset(pair) for pair in pairs if pair[0] != pair[1]]
    found = costliest_pair(answers)
    if found is None:
        assert not wrong
        return
    assert found.mistakes == max(map(wrong.count, wrong)) == found.there + found.back
    assert found.there >= found.back and len(found.images) == found.there
    image, mistaken = telling_image(answers)
    assert mistaken and image == found.images[0]


def test_stories_are_two_recorded_streams_and_the_newest_of_ones_own(tmp_path: Path) -> None:
    streams = {"a": "clothes", "b": "clothes", "c": "digits", "d": "letters"}
    listed = [run_card(write_run(tmp_path, name, stream=stream), True) for name, stream in streams.items()]
    own = [run_card(write_run(tmp_path, name), False) for name in ("mine", "older")]
    stopped = run_card(write_run(tmp_path, "stopped", tasks=1), False)
    assert [card.name for card in stories([*listed, stopped, *own])] == ["a", "c", "mine"]
    assert [card.name for card in stories(own)] == ["mine"] and stories([stopped]) == []


def test_peers_are_finished_runs_of_the_same_stream(tmp_path: Path) -> None:
    made = {"a": ("lda", "x"), "b": ("lda", "x"), "c": ("proteus", "x"), "d": ("joint", "y")}
    listed = [run_card(write_run(tmp_path, n, method=m, stream_fingerprint=s), True) for n, (m, s) in made.items()]
    assert {method: card.name for method, card in peers(listed[0], listed).items()} == {"lda": "b", "proteus": "c"}


def test_the_map_opens_where_the_run_decides() -> None:
    assert telling_space(("frozen", "own", "retrieved", "whitened")) == "whitened"
    assert telling_space(("frozen", "own", "retrieved")) == "retrieved"
    assert telling_space(("frozen", "own")) == "own" and telling_space(("frozen",)) == "frozen"
    with pytest.raises(ValueError, match="no space"):
        telling_space(())


def test_colours_follow_the_errors() -> None:
    few, most = [(0, 0), (1, 1), (2, 0)], [(0, 2), (1, 2), (2, 2)]
    assert telling_colour(answered(few), 2) == "task" and telling_colour(answered(most), 2) == "retrieved"
    assert telling_colour(answered(few), 1) == "class" and telling_colour(answered([]), 2) == "task"


# The page.


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for runs; there are no demos."""
    monkeypatch.setenv("PROTEUS_RUNS", str(tmp_path / "runs"))
    monkeypatch.setattr(cards, "RECORDED_RUNS", tmp_path / "demos")
    return tmp_path / "runs"


def start() -> None:
    import streamlit as st

    from app.shell import navigation
    from app.views.start import render

    st.navigation([navigation.page(path) for path in navigation.entries()], position="hidden")
    render()


def opened(**query: str) -> AppTest:
    test = AppTest.from_function(start, default_timeout=60)
    test.query_params.update(query)
    test.run()
    assert not test.exception, [error.value for error in test.exception]
    return test


def told(test: AppTest) -> dict[str, Any]:
    """What the story says: its data as the browser gets it."""
    for element in test.get("bidi_component"):
        if "paragraphs" in element.proto.json:
            return dict(json.loads(element.proto.json))
    pytest.fail("there is no story")


def sentences(test: AppTest) -> str:
    return " ".join("".join(part["text"] for part in parts) for parts in told(test)["paragraphs"])


def test_every_number_of_the_story_leads_somewhere(runs: Path) -> None:
    learned_run(runs)
    test = opened()
    parts = [part for parts in told(test)["paragraphs"] for part in parts]
    unlinked = "".join(part["text"] for part in parts if not part["link"])
    assert "%" not in unlinked and "points" not in unlinked
    assert all(figure["link"] for figure in told(test)["figures"])


def test_a_run_without_a_mistake_is_told(runs: Path) -> None:
    learned_run(runs)
    assert "It made no mistake." in sentences(opened())


def test_what_was_learned_in_one_go_is_said_so(runs: Path) -> None:
    folder = learned_run(runs)
    table = Run(folder).predictions()
    assert "2 tasks one after another" in sentences(opened())
    pq.write_table(table.filter(pc.equal(table["after_task"], 1)), folder / "predictions.parquet")
    assert "2 tasks all at once" in sentences(opened())


def test_other_methods_stand_beside(runs: Path) -> None:
    learned_run(runs, "one", method="proteus")
    learned_run(runs, "two", method="sequential", seed=1)
    test = opened(run="one")
    assert "nothing to protect what it knew, ends at" in sentences(test)
    links = [part["link"] for parts in told(test)["paragraphs"] for part in parts]
    assert any("compare" in link and "one%2Ctwo" in link for link in links)


def test_the_newest_run_of_ones_own_is_a_story(runs: Path, tmp_path: Path) -> None:
    learned_run(tmp_path / "demos", "recorded", title="Recorded")
    learned_run(runs, "mine", title="Mine", seed=1)
    tiles = told(opened(run="mine"))["tiles"]
    assert [tile["title"] for tile in tiles] == [
        "Split-Digits · Recorded",
        "Split-Digits · your newest run",
        "Train your own",
    ]
    assert [tile["chosen"] for tile in tiles] == [False, True, False]


def test_hostile_names_stay_text(runs: Path) -> None:
    learned_run(runs, hostile=True)
    test = opened()
    assert HOSTILE in sentences(test)  # sent as data, shown as text
    shown = " ".join(element.value for element in [*test.markdown, *test.caption])
    assert "<img" not in shown.replace("\\<", "")
