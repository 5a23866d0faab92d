"""A public demo: everything can be looked at, small trainings only, and nobody meets another's."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient
from streamlit.testing.v1 import AppTest

from app.reading import cards
from app.shell import demo, navigation, run_choice, sprites
from core.data.catalog import SPLIT_DIGITS
from core.errors import UserError
from core.runs import jobs, turns
from core.runs.liveness import identity
from tests.unit.run_folder import write_run

ONE, TWO = "1" * 32, "2" * 32
SMALL = {"stream": {"name": SPLIT_DIGITS}, "backbone": {"name": "tiny"}, "method": {"name": "lda"}}


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PROTEUS_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("PROTEUS_DEMO", "1")
    monkeypatch.setenv(turns.VARIABLE, "")  # so that it is taken back
    monkeypatch.setattr(cards, "RECORDED_RUNS", tmp_path / "demos")
    monkeypatch.setattr(run_choice, "_visitor", lambda: ONE)  # AppTest has no cookies
    navigation.entries.cache_clear()
    yield tmp_path / "runs"
    navigation.entries.cache_clear()


def page(module: str, **query: str) -> AppTest:
    def script() -> None:
        from importlib import import_module

        import streamlit as st

        from app.shell import navigation

        st.navigation([navigation.page(path) for path in navigation.entries()], position="hidden")
        import_module(f"app.views.{st.session_state.module}").render()

    test = AppTest.from_function(script, default_timeout=60)
    test.session_state.module = module
    test.query_params.update(query)
    test.run()
    assert not test.exception, [error.value for error in test.exception]
    return test


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"stream": {"name": "/etc"}}, "split-fashion, split-digits only"),
        ({"stream": {"name": "cifar100"}}, "split-fashion, split-digits only"),
        ({"backbone": {"name": "open_clip/ViT-B-16"}}, "backbones"),
        ({"backbone": {"name": "tiny", "pretrained": "/etc/passwd"}}, "backbones"),
        ({"training": {"epochs": 6}}, "training.epochs"),
        ({"training": {"batch_size": 4096}}, "training.batch_size"),
        ({"adapters": {"rank": 1024}}, "adapters.rank"),
        ({"backbone": {"name": "tiny", "image_size": 1024}}, "backbone.image_size"),
        ({"method": {"name": "lda", "head": "ranpac"}}, "options"),
        ({"nonsense": 1}, "nonsense"),
    ],
)
def test_only_small_trainings_are_taken(runs: Path, changes: dict[str, object], why: str) -> None:
    with pytest.raises(UserError, match=why):
        demo.start({**SMALL, **changes}, demo.visitors_folder(ONE))
    assert not demo.visitors_folder(ONE).exists()


def test_a_token_is_no_path_and_a_folder_tells_no_token(runs: Path) -> None:
    for wrong in ("", "../" * 10 + "xx", "1" * 31, "A" * 32, "1" * 32 + "\n"):
        with pytest.raises(ValueError, match="token"):
            demo.visitors_folder(wrong)
    assert ONE not in str(demo.visitors_folder(ONE)) and demo.visitors_folder(ONE) != demo.visitors_folder(TWO)


def test_a_visitor_sees_the_operators_runs_and_their_own_only(runs: Path) -> None:
    write_run(runs, "operators")
    write_run(demo.visitors_folder(ONE), "mine")
    write_run(demo.visitors_folder(TWO), "theirs")
    options = page("train").main
    shown = " ".join(text.value for text in options.markdown)
    assert "operators" in shown and "mine" in shown and "theirs" not in shown
    stranger = page("map", run="theirs")
    assert any("no run" in error.value for error in stranger.error)


def test_thumbnails_are_the_visitors_own(runs: Path) -> None:
    write_run(demo.visitors_folder(ONE), "mine")
    write_run(runs, "operators")
    client = TestClient(Starlette(routes=sprites.thumbnail_routes()))

    def status(run: str, token: str) -> int:
        return client.get(f"/thumbnails/{run}/000.webp", headers={"cookie": f"{demo.COOKIE}={token}"}).status_code

    assert (status("mine", ONE), status("mine", TWO), status("mine", "")) == (200, 404, 404)
    assert (status("operators", TWO), status(".visitors", ONE)) == (200, 404)
    inside = demo.visitors_folder(ONE).name
    assert client.get(f"/thumbnails/.visitors%2f{inside}%2fmine/000.webp").status_code == 404


def test_others_jobs_are_neither_shown_nor_cancelled(runs: Path) -> None:
    _training(demo.visitors_folder(TWO), "theirs")
    test = page("train", run="theirs")
    assert not [button for button in test.button if button.label in ("Cancel", "Resume", "Stop by force")]
    assert not any(button.disabled for button in test.button if button.label == "Train")
    assert not (demo.visitors_folder(TWO) / "theirs" / "cancel").exists()
    with pytest.raises(UserError, match="No run"):
        jobs.request_cancel("theirs", demo.visitors_folder(ONE))


def test_an_operators_run_cannot_be_cancelled_or_resumed(runs: Path) -> None:
    write_run(runs, "half", tasks=1)
    assert not [button for button in page("train", run="half").button if button.label == "Resume"]


def test_the_queue_is_bounded(runs: Path) -> None:
    for number in range(demo.QUEUE):
        _training(demo.visitors_folder(f"{number:032x}"), f"run-{number}")
    with pytest.raises(UserError, match=f"{demo.QUEUE} trainings are under way"):
        demo.start(SMALL, demo.visitors_folder(ONE))
    write_run(demo.visitors_folder(ONE), "half", tasks=1)
    with pytest.raises(UserError, match="trainings are under way"):
        demo.resume("half", demo.visitors_folder(ONE))


def test_a_visitor_keeps_few_runs_and_for_a_day(runs: Path) -> None:
    own = demo.visitors_folder(ONE)
    for number in range(demo.RUNS_EACH):
        write_run(own, f"run-{number}")
    with pytest.raises(UserError, match=f"{demo.RUNS_EACH} runs per visitor"):
        demo.start(SMALL, own)
    _training(demo.visitors_folder(TWO), "busy")
    for folder in (own, demo.visitors_folder(TWO)):
        os.utime(folder, (0, time.time() - demo.KEPT_S - 60))
    demo._sweep(time.time())
    assert not own.exists() and demo.visitors_folder(TWO).exists(), "what trains is not taken away"


def test_there_are_no_uploads_no_folders_and_no_imports(runs: Path) -> None:
    assert "data" not in navigation.entries()
    test = page("train", folder="/etc", data="0" * 12)
    assert not test.get("file_uploader") and "/etc" not in " ".join(code.value for code in test.code)


def test_messages_name_no_folder_of_the_machine(runs: Path) -> None:
    inside = demo.visitors_folder(ONE) / "a-run"
    said = demo.without_paths(f"No run in {inside}: look at {inside.resolve() / 'log.txt'} and {Path(demo.__file__)}.")
    assert str(runs.parent) not in said and "visitors" not in said and str(Path(demo.__file__).parents[1]) not in said
    assert "a-run" in said and "log.txt" in said


def test_outside_a_demo_nothing_is_limited(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PROTEUS_DEMO")
    navigation.entries.cache_clear()
    assert "data" in navigation.entries() and run_choice.runs_folder() == runs
    assert demo.without_paths(f"{runs}") == str(runs)


def _training(folder: Path, name: str) -> None:
    """A run that this very process seems to train."""
    from core.runs.files import write_json

    run = write_run(folder, name, tasks=1)
    write_json(run / "status.json", {"state": "running", **identity()})
    (folder / ".lock").write_text(name)
