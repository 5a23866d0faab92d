"""What is on screen follows from the URL alone, and a list of runs survives whatever lies in the folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some
from streamlit.testing.v1 import AppTest

from app.reading import cards
from app.shell import run_choice
from tests.unit.run_folder import write_run


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for runs; there are no demos."""
    monkeypatch.setenv("PROTEUS_RUNS", str(tmp_path / "runs"))
    monkeypatch.setattr(cards, "RECORDED_RUNS", tmp_path / "demos")
    return tmp_path / "runs"


def shown(page: Callable[[], None], **query: str) -> AppTest:
    test = AppTest.from_function(page)
    test.query_params.update(query)
    test.run()
    assert not test.exception
    return test


def test_no_folder_of_runs_is_no_error(runs: Path) -> None:
    assert run_choice.available() == []


def test_demos_come_first_then_the_newest_run(runs: Path, tmp_path: Path) -> None:
    for name in ("lda-split-digits", "proteus-split-digits"):
        write_run(tmp_path / "demos", name)
    write_run(runs, "old", seed=1)
    write_run(runs, "new", seed=2)
    cards = run_choice.available()
    assert [card.name for card in cards] == ["proteus-split-digits", "lda-split-digits", "new", "old"]
    assert [card.recorded for card in cards] == [True, True, False, False]


def test_of_two_runs_with_one_name_the_users_is_listed_once(runs: Path, tmp_path: Path) -> None:
    write_run(tmp_path / "demos", "same")
    write_run(runs, "same", title="Mine")
    assert [(card.title, card.recorded) for card in run_choice.available()] == [("Mine", False)]


def test_a_damaged_run_is_listed_with_its_problem(runs: Path) -> None:
    folder = write_run(runs, "damaged")
    (folder / "manifest.json").write_text("{")
    (card,) = run_choice.available()
    assert "damaged" in (card.problem or "") and not card.ready


def test_an_unfinished_run_is_not_ready(runs: Path) -> None:
    write_run(runs, "stopped", tasks=1)
    (card,) = run_choice.available()
    assert (card.state, card.ready, card.tasks) == ("cancelled", False, 2)


def test_a_card_follows_its_folder(runs: Path) -> None:
    folder = write_run(runs, "a-run", tasks=1)
    before = cards.stamp(folder)
    (folder / "metrics.json").write_text("{}")
    assert cards.stamp(folder) != before


def test_links_keep_run_and_task_unless_told_otherwise() -> None:
    def page() -> None:
        import streamlit as st

        from app.shell.address import link

        st.text(link("errors", image=3))
        st.text(link("map", t=None, run="other"))
        st.text(link("start"))

    lines = [line.value for line in shown(page, run="r/&", t="1", image="8").text]
    assert lines == ["errors?run=r%2F%26&t=1&image=3", "map?run=other", "./?run=r%2F%26&t=1"]


def test_choices_are_checked_and_put_into_the_url() -> None:
    def page() -> None:
        import streamlit as st

        from app.shell.address import parameter, set_parameters

        st.text(parameter("colour", "task", ("task", "class")))
        st.text(parameter("space", "own", ("own", "frozen")))
        set_parameters(colour=None, image=7)

    test = shown(page, colour="<script>", space="frozen")
    assert [line.value for line in test.text] == ["task", "frozen"]
    assert dict(test.query_params) == {"space": "frozen", "image": "7"}


@pytest.mark.parametrize(("t", "task"), [("0", 0), ("9", 4), ("-1", 0), ("x", 4), ("", 4), ("1e9", 4)])
def test_the_task_is_clamped(t: str, task: int) -> None:
    def page() -> None:
        import streamlit as st

        from app.shell.address import current_task

        st.text(str(current_task(5)))

    assert shown(page, t=t).text[0].value == str(task)


def test_an_unknown_run_is_said_and_not_replaced(runs: Path) -> None:
    write_run(runs, "a-run")

    def page() -> None:
        import streamlit as st

        from app.shell.layout import current

        st.text(str(current()))

    test = shown(page, run="nope")
    assert test.text[0].value == "None" and "nope" in test.error[0].value


@given(some.text(max_size=60))
def test_escaped_text_has_no_markup_left(text: str) -> None:
    from app.shell.layout import plain

    escaped = plain(text)
    assert escaped.replace("\\", "").replace("\u200b", "") == " ".join(text.split()).replace("\\", "").replace(
        "\u200b", ""
    )
    for special in "*_[]<>$`#!|~":
        assert all(escaped[at - 1] == "\\" for at in range(len(escaped)) if escaped[at] == special)
