"""Sprite sheets: the cell that was returned holds the image that was given."""

import gc
import weakref

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from core.errors import UserError
from core.runs.schema import SPRITES_PER_SHEET
from core.runs.sprites import cell_side, kept_side, read_thumbnail, thumbnail, write_sprites


def plain(colour, size=(20, 20)):
    return Image.new("RGB", size, colour)


def colour_of(index):
    return (index * 37 % 256, index * 91 % 256, index * 151 % 256)


def mean_colour(image):
    return np.asarray(image, dtype=float).mean(axis=(0, 1))


def test_cells_hold_their_images_across_sheets(tmp_path):
    count = SPRITES_PER_SHEET + 40
    cells = write_sprites(tmp_path / "sprites", (plain(colour_of(i)) for i in range(count)), size=16)
    assert cells == [divmod(i, SPRITES_PER_SHEET) for i in range(count)]
    assert sorted(path.name for path in (tmp_path / "sprites").iterdir()) == ["000.webp", "001.webp"]
    for i in (0, 1, 31, 32, 1023, 1024, 1056, 1063):
        found = read_thumbnail(tmp_path / "sprites", *cells[i])
        assert found.size == (16, 16)
        assert found.mode == "RGB"
        assert np.abs(mean_colour(found) - colour_of(i)).max() < 30


def test_the_last_sheet_ends_with_its_last_row(tmp_path):
    write_sprites(tmp_path, [plain("red")] * 33, size=16)
    with Image.open(tmp_path / "000.webp") as sheet:
        assert sheet.size == (32 * 16, 2 * 16)


@pytest.mark.parametrize("count", [0, 1, 32, SPRITES_PER_SHEET])
def test_counts_at_the_edges(tmp_path, count):
    assert len(write_sprites(tmp_path, [plain("red")] * count, size=16)) == count
    assert len(list(tmp_path.iterdir())) == (count > 0)


def test_images_are_not_kept_in_memory(tmp_path):
    given_so_far = []

    def images():
        for i in range(60):
            image = plain(colour_of(i))
            given_so_far.append(weakref.ref(image))
            yield image
            del image
            gc.collect(0)
            assert sum(reference() is not None for reference in given_so_far) <= 2

    assert len(write_sprites(tmp_path, images(), size=16)) == 60


def test_a_failure_leaves_no_half_sheet(tmp_path):
    def images():
        yield plain("red")
        raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="no more"):
        write_sprites(tmp_path, images())
    assert list(tmp_path.iterdir()) == []


def test_tiny_images_become_sharp_squares():
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    enlarged = np.asarray(thumbnail(Image.fromarray(pixels), 64))
    assert np.array_equal(enlarged, pixels.repeat(8, axis=0).repeat(8, axis=1))


def test_squares_differ_by_a_pixel_where_the_size_is_no_multiple():
    stripes = np.tile(np.arange(9) % 2 * 255, (9, 1)).astype(np.uint8)
    shown = np.asarray(thumbnail(Image.fromarray(stripes), 64).convert("L"))
    edges = np.flatnonzero(np.diff(shown[30].astype(int)))
    assert set(np.unique(shown)) == {0, 255}
    assert set(np.diff(np.concatenate([[-1], edges, [63]]))) == {7, 8}


def test_wide_and_tall_images_show_their_centre():
    for size, box in (((90, 30), (30, 0, 60, 30)), ((30, 90), (0, 30, 30, 60))):
        image = plain("red", size)
        image.paste(plain("lime", (30, 30)), box)
        assert tuple(mean_colour(thumbnail(image, 32).crop((4, 4, 28, 28)))) == pytest.approx((0, 255, 0), abs=3)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 300), st.integers(1, 300), st.sampled_from(["RGB", "L", "RGBA", "P", "1"]), st.integers(16, 96))
def test_every_image_becomes_a_square_of_its_own_colour(width, height, mode, size):
    shown = thumbnail(Image.new("RGB", (width, height), "white").convert(mode), size)
    assert (shown.size, shown.mode) == ((size, size), "RGB")
    assert np.asarray(shown).min() == 255


def test_small_images_keep_their_own_pixels_exactly_and_take_little_space(tmp_path):
    from sklearn.datasets import load_digits

    pixels = (load_digits().images * 255 / 16).astype(np.uint8)
    digits = [Image.fromarray(digit) for digit in pixels]
    side = cell_side(digits[:5], 64)
    cells = write_sprites(tmp_path, digits, side)
    assert side == kept_side(tmp_path) == 8
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 60_000
    for i in (3, 1500):
        assert np.array_equal(np.asarray(read_thumbnail(tmp_path, *cells[i]).convert("L")), pixels[i])


@pytest.mark.parametrize(
    ("sides", "size", "side"),
    [([28, 28], 64, 28), ([28, 500], 64, 64), ([28, 40], 64, 40), ([200], 64, 64), ([], 64, 64)],
)
def test_a_cell_is_as_wide_as_the_widest_sample_and_no_wider_than_asked(sides, size, side):
    assert cell_side((plain("red", (width, width + 9)) for width in sides), size) == side


@pytest.mark.parametrize(("sheet", "cell"), [(0, 32), (0, -1), (0, 5000), (1, 0)])
def test_a_cell_that_is_not_there_is_one_line_for_the_person(tmp_path, sheet, cell):
    write_sprites(tmp_path, [plain("red")] * 5, size=16)
    with pytest.raises(UserError) as error:
        read_thumbnail(tmp_path, sheet, cell)
    assert "\n" not in str(error.value)
    assert f"{sheet:03d}.webp" in str(error.value)


def test_the_width_of_a_missing_sheet_is_one_line_for_the_person(tmp_path):
    with pytest.raises(UserError, match=r"000\.webp"):
        kept_side(tmp_path)


def test_a_sheet_that_is_no_webp_is_refused(tmp_path):
    plain("red", (512, 16)).save(tmp_path / "000.webp", "PNG")
    with pytest.raises(UserError, match="damaged"):
        read_thumbnail(tmp_path, 0, 0)
    (tmp_path / "000.webp").write_bytes(b"RIFF")
    with pytest.raises(UserError, match="damaged"):
        read_thumbnail(tmp_path, 0, 0)
