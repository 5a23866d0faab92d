"""Corruptions of images: graded, repeatable, and without effect on their input."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

from core.data.shifts import SEVERITIES, STRENGTHS, shift_image, shift_names, shift_pixels
from core.errors import UserError


def picture(side: int = 64) -> Image.Image:
    """Smooth waves under a fine grain, so that every shift has something to spoil."""
    y, x = np.mgrid[0:side, 0:side] / side
    waves = np.stack([np.sin(9 * x), np.cos(7 * y), np.sin(5 * (x + y))], axis=-1) * 90 + 128
    waves += np.random.default_rng(7).normal(0, 30, waves.shape)
    return Image.fromarray(np.clip(waves, 0, 255).astype(np.uint8))


def damage(name: str, severity: int, image: Image.Image) -> float:
    shifted = shift_image(image, name, severity, np.random.default_rng(0))
    return float(np.abs(np.asarray(shifted, dtype=float) - np.asarray(image, dtype=float)).mean())


@pytest.mark.parametrize("name", shift_names())
def test_each_severity_is_worse_than_the_one_before(name: str) -> None:
    image = picture(224)
    before = np.asarray(image).copy()
    damages = [damage(name, severity, image) for severity in SEVERITIES]
    assert damages[0] > 0.5
    assert all(milder < worse for milder, worse in pairwise(damages))
    np.testing.assert_array_equal(np.asarray(image), before)


@pytest.mark.parametrize("name", shift_names())
def test_a_generator_decides_everything(name: str) -> None:
    first, again, other = (
        np.asarray(shift_image(picture(), name, 3, np.random.default_rng(seed))) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert np.array_equal(first, other) == (name != "gaussian-noise")


@pytest.mark.parametrize("name", shift_names())
def test_a_batch_is_its_images_one_after_another(name: str) -> None:
    batch = np.stack([np.asarray(picture(32)).transpose(2, 0, 1)] * 3)
    batch[1] = 255 - batch[1]
    before = batch.copy()
    shifted = shift_pixels(batch, name, 2, np.random.default_rng(5))
    assert (shifted.shape, shifted.dtype) == (batch.shape, np.uint8)
    np.testing.assert_array_equal(batch, before)
    np.testing.assert_array_equal(shift_pixels(batch[:2], name, 2, np.random.default_rng(5)), shifted[:2])
    generator = np.random.default_rng(5)
    first = shift_image(Image.fromarray(batch[0].transpose(1, 2, 0)), name, 2, generator)
    np.testing.assert_array_equal(np.asarray(first).transpose(2, 0, 1), shifted[0])


def test_noise_has_the_documented_deviation() -> None:
    grey = Image.new("RGB", (128, 128), (128, 128, 128))
    values = np.asarray(shift_image(grey, "gaussian-noise", 2, np.random.default_rng(0)), dtype=float)
    assert values.std() == pytest.approx(255 * STRENGTHS["gaussian-noise"][1], rel=0.03)


def test_contrast_keeps_the_documented_share() -> None:
    image = picture()
    before, after = (np.asarray(each, dtype=float) for each in (image, shift_image(image, "contrast", 1, None)))
    np.testing.assert_allclose(after.std(axis=(0, 1)), 0.4 * before.std(axis=(0, 1)), rtol=0.02)
    np.testing.assert_allclose(after.mean(axis=(0, 1)), before.mean(axis=(0, 1)), atol=0.5)


def test_blur_is_the_same_share_of_any_size() -> None:
    small, large = (damage("gaussian-blur", 5, picture(side)) for side in (64, 256))
    assert small == pytest.approx(large, rel=0.2)


def test_sizes_survive_even_one_pixel() -> None:
    for name in shift_names():
        assert shift_image(Image.new("L", (1, 3)), name, 5, np.random.default_rng(0)).size == (1, 3)


def test_unknown_shifts_and_severities() -> None:
    with pytest.raises(UserError, match="Did you mean “gaussian-blur”"):
        shift_image(picture(), "gausian-blur", 1, np.random.default_rng(0))
    for severity in (0, 6):
        with pytest.raises(UserError, match="not one of 1 to 5"):
            shift_image(picture(), "jpeg", severity, np.random.default_rng(0))
