"""What the browser is told of a run's thumbnails."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from app.components.browser import number, sheets
from app.reading.cards import RunCard
from core.runs.sprites import write_sprites


def card(folder: Path) -> RunCard:
    return RunCard(folder.name, "", "lda", "a-stream", 1, "done", True, folder, None)


def test_the_kept_width_is_that_of_the_runs_own_sheets(tmp_path: Path) -> None:
    for name, side in (("small", 28), ("usual", 64)):
        write_sprites(tmp_path / name / "sprites", [Image.new("RGB", (200, 200))] * 3, side)
        assert sheets(card(tmp_path / name)) == {"address": f"/thumbnails/{name}/{{sheet}}.webp", "side": side}


def test_a_run_without_sheets_still_has_a_page(tmp_path: Path) -> None:
    assert sheets(card(tmp_path / "none"))["side"] == 64


def test_thumbnails_are_counted_through_the_sheets() -> None:
    assert number(np.array([0, 0, 2]), np.array([0, 31, 5])).tolist() == [0, 31, 2053]
