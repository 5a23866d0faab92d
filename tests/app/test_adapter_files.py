"""What an adapter adds to the weights, read without torch: checked against what the recorded runs say of themselves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

from app.reading.adapter_files import head_scores, shrunk, site_update, stored_sites
from app.reading.cards import RECORDED_RUNS, run_card
from app.reading.tables import embeddings, gates, manifest, own_adapters, predictions, spaces

RUNS = sorted(path.name for path in RECORDED_RUNS.iterdir() if path.is_dir())


@pytest.mark.parametrize("name", RUNS)
def test_the_update_of_every_site_is_as_large_as_the_run_says(name: str) -> None:
    """gates.json has the norms that were measured when the task was learned."""
    card = run_card(RECORDED_RUNS / name, True)
    for task in (0, card.tasks - 1):
        known = gates(card)[task]
        sites = stored_sites(card.folder / "tasks", task)
        assert set(sites) == {site for site, entry in known.get("sites", {}).items() if entry["active"]}
        for site in sites:
            update = site_update(card.folder / "tasks", task, site)
            assert update is not None and update.down.shape[0] == update.up.shape[1]
            entry = known["sites"][site]
            assert np.linalg.norm(update.delta) == pytest.approx(entry["norm"], rel=1e-2)
            assert [len(units) for units in update.earlier] == [len(units) for units in entry.get("reuse", [])]
            for read, said in zip(update.earlier, entry.get("reuse", []), strict=True):
                np.testing.assert_allclose(read, said, rtol=1e-5)


@pytest.mark.parametrize("name", [name for name in RUNS if not name.startswith("lda")])
def test_the_head_gives_the_answers_on_record(name: str) -> None:
    """Nearly all of them: with clusters of classes, what they say is added to what the head says."""
    card = run_card(RECORDED_RUNS / name, True)
    answers, known = predictions(card).after(card.tasks - 1), manifest(card)
    own = own_adapters(card)
    vectors = embeddings(card, "retrieved" if "retrieved" in spaces(card) else "own")
    everything = [label for task in known.tasks for label in task.classes]
    agree = []
    for row in range(0, len(answers), 9):
        task = int(answers.retrieved_task[row])
        labels = known.tasks[task].classes if own else everything
        scores = head_scores(card.folder / "tasks", task if own else card.tasks - 1, vectors[answers.image[row]])
        assert scores is not None and len(scores) == len(labels)
        agree.append(labels[int(scores.argmax())] == answers.predicted[row])
    assert np.mean(agree) > 0.97


def test_what_is_not_there_is_none(tmp_path: Path) -> None:
    folder = RECORDED_RUNS / "proteus-split-digits" / "tasks"
    assert site_update(folder, 0, "0/q") is None and site_update(folder, 99, "10/q") is None
    assert head_scores(folder, 0, np.zeros(3)) is None
    assert stored_sites(tmp_path, 0) == [] and head_scores(tmp_path, 0, np.zeros(384)) is None
    (tmp_path / "000").mkdir()
    for name in ("adapter", "head"):
        (tmp_path / "000" / f"{name}.safetensors").write_bytes(b"damaged")
    assert stored_sites(tmp_path, 0) == [] and site_update(tmp_path, 0, "10/q") is None
    assert head_scores(tmp_path, 0, np.zeros(384)) is None


@given(some.integers(1, 40), some.integers(1, 40), some.integers(1, 12), some.integers(1, 12), some.integers(0, 99))
def test_a_shrunk_matrix_keeps_what_is_largest(rows: int, columns: int, most: int, wide: int, seed: int) -> None:
    matrix = np.random.default_rng(seed).normal(size=(rows, columns))
    small = shrunk(matrix, most, wide)
    assert small.shape == (min(rows, most), min(columns, wide)) and np.isin(small, matrix).all()
    assert np.abs(small).max() == np.abs(matrix).max()
