"""What a run is called, and how runs are grouped and drawn in a list."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some

from app.reading import cards
from app.reading.cards import run_card
from app.reading.class_pictures import one_a_class
from app.reading.run_words import figures, groups, mark, stream_title, when
from core.config import RunConfig
from core.methods import method_names
from core.runs.titles import method_title, run_title
from tests.unit.run_folder import write_run


def title(**sections: object) -> str:
    return run_title(RunConfig.model_validate(sections).model_dump(mode="json"))


def test_a_run_of_the_defaults_is_called_by_its_method() -> None:
    assert title() == "Proteus"
    assert title(method={"name": "o-lora"}, stream={"name": "cifar100"}) == "O-LoRA"


def test_what_differs_from_the_defaults_is_said() -> None:
    assert title(adapters={"blocks": "last:2", "rank": 8}) == "Proteus · last 2 blocks · rank 8"
    assert title(retrieval={"mode": "likelihood"}, seed=3) == "Proteus · seed 3 · likelihood retrieval"
    assert title(method={"name": "proteus", "head": "ranpac"}) == "Proteus · head ranpac"
    assert title(retrieval={"draw_in": True}) == "Proteus · means drawn in"


def test_not_more_than_three_settings_are_named() -> None:
    long = title(seed=1, adapters={"rank": 2, "alpha": 0.5}, training={"epochs": 1, "batch_size": 8})
    assert long == "Proteus · seed 1 · rank 2 · alpha 0.5 · and 2 more"


def test_what_changes_no_result_is_not_named() -> None:
    assert title(training={"cache": "off", "device": "cpu"}, record={"thumbnail": 32}) == "Proteus"


def test_every_method_has_a_title() -> None:
    assert all(method_title(name)[0].isupper() for name in method_names())
    assert method_title("somebodys-idea") == "Somebodys idea" and method_title("") == ""


anything = some.recursive(
    some.none() | some.text(max_size=4) | some.integers(),
    lambda inner: some.dictionaries(some.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


@given(some.dictionaries(some.text(max_size=8), anything, max_size=4))
def test_a_strangers_configuration_is_titled_too(config: dict[str, object]) -> None:
    assert isinstance(run_title(config), str)


def test_a_card_has_the_headline_figures_and_the_date(tmp_path: Path) -> None:
    card = run_card(write_run(tmp_path, "2026-01-01-0000-lda-x", title="lda on split-digits", seed=5), False)
    assert card.title == "LDA on frozen features · seed 5 · 2 tasks"  # earlier versions named method and stream
    assert when(card) == "1 Jan 2026, 00:00 UTC" and mark(card) == ""
    assert [figure.text for figure in figures(card)] == ["62.5%", "–", "75.0%"]


def test_a_title_that_was_given_stays(tmp_path: Path) -> None:
    assert run_card(write_run(tmp_path, title="Mine"), False).title == "Mine"


def test_marks_say_recorded_or_what_state(tmp_path: Path) -> None:
    assert mark(run_card(write_run(tmp_path, "done"), True)) == "recorded"
    assert mark(run_card(write_run(tmp_path, "stopped", tasks=1), True)) == "cancelled"
    (write_run(tmp_path, "damaged") / "manifest.json").write_text("{")
    assert mark(run_card(tmp_path / "damaged", False)) == "cannot be opened"


def test_runs_are_grouped_by_stream_with_the_one_on_screen_first(tmp_path: Path) -> None:
    for name, stream in (("a", "split-digits"), ("b", "mine"), ("c", "split-digits")):
        write_run(tmp_path, name, stream=stream)
    (tmp_path / "waiting").mkdir()
    (tmp_path / "waiting" / "status.json").write_text('{"state": "queued"}')
    listed = [run_card(tmp_path / name, False) for name in ("waiting", "a", "b", "c")]
    found = groups(listed, "mine")
    assert [group.title for group in found] == ["mine", "Split-Digits", "Not begun, or not readable"]
    assert [card.name for card in found[1].cards] == ["a", "c"]
    assert found[0].summary == "4 classes in 2 tasks" and "handwritten digits" in found[1].summary
    assert stream_title("cifar100") == "cifar100"


def test_a_picture_a_class_stands_for_a_stream(tmp_path: Path) -> None:
    card = run_card(write_run(tmp_path), False)
    assert one_a_class(card, 3) == (0, 2, 4)  # two images of each class, in order
    (card.folder / "images.parquet").write_bytes(b"no table")
    later = card.folder / "metrics.json"
    later.write_text(later.read_text() + " ")
    assert one_a_class(card, 3) == ()


def test_a_run_that_goes_on_is_read_again(tmp_path: Path) -> None:
    folder = write_run(tmp_path, tasks=1)
    assert run_card(folder, False).state == "cancelled"
    status = folder / "status.json"
    changed = status.stat().st_mtime_ns
    status.write_text(json.dumps({"state": "done"}))
    os.utime(status, ns=(changed + 1, changed + 1))
    assert run_card(folder, False).state == "done"


@pytest.fixture
def three_hundred(tmp_path: Path) -> Path:
    """300 small runs, hard-linked."""
    first = write_run(tmp_path, "run-000")
    for number in range(1, 300):
        copy = tmp_path / f"run-{number:03d}"
        copy.mkdir()
        for name in ("manifest.json", "metrics.json", "status.json"):
            (copy / name).hardlink_to(first / name)
    return tmp_path


def test_cards_of_300_runs_are_read_once(three_hundred: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from app.shell import run_choice

    monkeypatch.setenv("PROTEUS_RUNS", str(three_hundred))
    monkeypatch.setattr(cards, "RECORDED_RUNS", three_hundred / "none")
    assert len(run_choice.available()) == 300
    monkeypatch.setattr(Path, "read_bytes", lambda path: pytest.fail(f"{path} was read again"))
    began = time.process_time()
    assert len(run_choice.available()) == 300
    assert time.process_time() - began < 0.25  # 0.01 s on a quiet machine


def test_a_waiting_run_is_called_by_what_it_was_asked_to_do(tmp_path: Path) -> None:
    folder = tmp_path / "2026-11-25-0300-sequential-split-fashion-12ab"
    folder.mkdir()
    (folder / "status.json").write_text('{"state": "queued"}')
    (folder / "config.toml").write_text('[stream]\nname = "/data/holiday.zip"\n[method]\nname = "sequential"\n')
    card = run_card(folder, False)
    assert (card.title, card.stream, card.method) == ("Sequential LoRA", "holiday", "sequential")
    (folder / "config.toml").write_text("no toml at all [")
    (folder / "manifest.json.part").write_text("")
    assert run_card(folder, False).title  # whatever lies there, a card is made
