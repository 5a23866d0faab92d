"""From a picture to an explanation: what is asked, and how the answer is read."""

from __future__ import annotations

import io
import math

import numpy as np
import pytest
from PIL import Image

from app.reading.answers import answer_said
from app.views.try_image import samples, without_squares
from core.runs.sprites import thumbnail


def packed(picture: Image.Image) -> Image.Image:
    sheet = io.BytesIO()
    picture.save(sheet, "WEBP", quality=80)
    return Image.open(sheet).convert("RGB")


@pytest.mark.parametrize("side", [5, 8, 16])
def test_pixel_art_is_found_at_its_own_size(side):
    rows = np.random.default_rng(side).integers(0, 256, (side, side), dtype=np.uint8)
    found = without_squares(packed(thumbnail(Image.fromarray(rows), 64)))
    assert found.size == (side, side)
    assert np.abs(np.asarray(found.convert("L"), float) - rows).mean() < 12


def test_photographs_stay_as_they_are():
    y, x = np.indices((96, 96))
    rows = 128 + 60 * np.sin(x / 7) + 60 * np.cos(y / 5 + x / 11)
    picture = packed(thumbnail(Image.fromarray(rows.astype(np.uint8)), 64))
    assert without_squares(picture).size == (64, 64)


def test_samples_take_turns_over_the_classes():
    split = np.array(["train"] * 5 + ["test"] * 12)
    label = np.array([0] * 5 + [0] * 8 + [1, 1, 2, 1])
    chosen = samples(split, label, 5)
    assert (split[chosen] == "test").all()
    assert sorted(label[chosen].tolist()) == [0, 0, 1, 1, 2]
    assert len(samples(split, label, 100)) == 12
    assert len(samples(np.array(["train"]), np.array([0]))) == 0


def test_tasks_that_were_not_considered_have_no_score():
    said = {
        "task": 2,
        "class": 5,
        "nearest_component": -1,
        "scores": [{"task": 2, "score": -1.5}, {"task": 0, "score": None}],
    }
    answer = answer_said(said)
    assert answer.scores == (-math.inf, -math.inf, -1.5)
    assert (answer.retrieved, answer.predicted, answer.component, answer.verdict) == (2, 5, -1, "unknown")
