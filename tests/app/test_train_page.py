"""The Train page's logic: what the URL chooses, what is trained, and the command that does the same."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from app.training.presets import configuration
from app.training.train_settings import GATED
from app.views.train import command
from core import flags
from core.config import RunConfig, validate
from core.methods import method_class, method_names
from core.methods.gated import GateOptions
from core.runs.share import export_run
from core.runs.store import Run
from tests.unit.run_folder import write_run


@pytest.fixture(autouse=True)
def runs(tmp_path: Path, monkeypatch) -> Path:
    monkeypatch.setenv("PROTEUS_RUNS", str(tmp_path / "runs"))
    return tmp_path / "runs"


def page(**query: str) -> AppTest:
    def script() -> None:
        from app.views import train

        train.render()

    test = AppTest.from_function(script, default_timeout=60)
    for key, value in query.items():
        test.query_params[key] = value
    return test.run()


def parsed(text: str) -> RunConfig:
    """What the command line makes of a command."""
    words = shlex.split(text)[4:]
    names = {"--stream": "stream.name", "--method": "method.name", "--backbone": "backbone.name"}
    names["--blocks"] = "adapters.blocks"
    pairs = list(zip(words[::2], words[1::2], strict=True))
    given = flags.nested({names[flag]: value for flag, value in pairs if flag in names})
    return validate(RunConfig, flags.configuration(None, given, [value for flag, value in pairs if flag == "--set"]))


@pytest.mark.parametrize(
    "choices",
    [
        {"stream.name": "split-digits", "method.name": "lda"},
        {"stream.name": "/a folder/with 'quotes'", "stream.task_by": "prefix", "seed": 7},
        {"adapters.blocks": "8", "adapters.rank": 2, "training.epochs": 0, "retrieval.mode": "kmeans"},
    ],
)
def test_the_command_trains_the_same(choices):
    config = configuration(choices)
    assert parsed(command(config)) == validate(RunConfig, config)


def test_the_url_fills_in_the_settings():
    test = page(settings="1", backbone="tiny", method="sequential", epochs="3", limit="x", tasks="0")
    assert not test.exception
    assert "--backbone tiny" in test.code[-1].value
    assert "--method sequential" in test.code[-1].value
    assert "training.epochs=3" in test.code[-1].value
    assert "train_per_class" not in test.code[-1].value
    assert "stream.tasks" not in test.code[-1].value


def test_a_budget_held_out_classes_and_the_head_can_be_set_where_they_mean_something():
    chosen = {
        "settings": "1",
        "backbone": "tiny",
        "heldout": "4",
        "budget": "2",
        "start": "discriminant",
        "strength": "80",
    }
    test = page(method="selective-lora", **chosen)
    assert not test.exception
    said = test.code[-1].value
    for setting in (
        "stream.held_out=4",
        "method.active_blocks=2",
        "training.head_start=discriminant",
        "adapters.strength=0.8",
    ):
        assert setting in said
    assert "active_blocks" not in page(method="sequential", **chosen).code[-1].value
    config = configuration({"method.name": "selective-lora", "method.active_blocks": 2, "stream.held_out": 4})
    assert parsed(command(config)) == validate(RunConfig, config)


def test_the_methods_with_gates_are_those_that_take_a_budget():
    assert set(GATED) == {name for name in method_names() if issubclass(method_class(name).Options, GateOptions)}


def test_presets_keep_the_built_in_backbone_and_can_be_clicked():
    test = page(backbone="tiny")
    trains = [button for button in test.button if button.label == "Train"]
    assert len(trains) == 4
    assert not any(button.disabled for button in trains)


@pytest.mark.parametrize("name", ["no-such-run", "../..", "", "x" * 200])
def test_a_wrong_run_in_the_url_is_only_ignored(name):
    test = page(run=name)
    assert not test.exception
    assert any("Choose what to watch" in heading.value for heading in test.subheader)


def test_a_cancelled_run_offers_to_resume(runs):
    write_run(runs, "half", tasks=1)
    test = page(run="half")
    assert not test.exception
    assert [button for button in test.button if button.label == "Resume"]
    assert any("1 of 2 tasks are finished" in text.value for text in test.markdown)


def test_hostile_titles_are_text(runs):
    write_run(runs, "odd", title="<b>x</b> [a](http://b) $x$ :red[r]")
    test = page(run="odd")
    assert not test.exception
    shown = [text.value for text in test.markdown if "http" in text.value]
    assert shown
    assert all("[a](" not in text and ":red[" not in text and "$x$" not in text for text in shown)


def test_a_run_is_zipped_as_it_is_exported(runs, tmp_path):
    from app.shell.run_list import zipped_run

    folder = write_run(runs, "one")
    assert zipped_run(folder) == export_run(Run(folder), tmp_path / "one.zip").read_bytes()
