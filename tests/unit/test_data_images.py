"""Decoding of every kind of image a person may bring, and sets of them."""

from __future__ import annotations

import errno
import io
import threading
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from core.data import images
from core.data.images import ArrayPicture, FilePicture, ImageSet, Item, UnreadableImage, check, decode, to_rgb
from core.errors import UserError


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def noise(side: int = 48, seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8))


def upright(image: Image.Image) -> np.ndarray:
    return np.asarray(image, dtype=int)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM"])
def test_common_formats_decode_to_rgb(kind: str) -> None:
    image = decode(encoded(Image.new("RGB", (10, 6), (200, 30, 40)), kind))
    assert (image.mode, image.size) == ("RGB", (10, 6))
    np.testing.assert_allclose(upright(image)[3, 3], (200, 30, 40), atol=8)


def test_formats_outside_the_list_are_refused() -> None:
    with pytest.raises(UnreadableImage, match="not an image"):
        decode(encoded(Image.new("RGB", (8, 8)), "EPS"))


def test_exif_rotation_is_applied() -> None:
    sideways = Image.new("RGB", (20, 10), "black")
    sideways.paste("white", (0, 0, 10, 10))  # the left half is white
    exif = Image.Exif()
    exif[0x0112] = 6  # turned a quarter: left becomes top
    image = decode(encoded(sideways, "JPEG", exif=exif, quality=95))
    assert image.size == (10, 20)
    assert upright(image)[2].mean() > 240
    assert upright(image)[17].mean() < 15


def test_first_frame_of_an_animation() -> None:
    frames = [Image.new("RGB", (6, 6), colour) for colour in ("red", "blue")]
    image = decode(encoded(frames[0], "GIF", save_all=True, append_images=frames[1:]))
    assert tuple(upright(image)[0, 0]) == (255, 0, 0)


def test_sixteen_bits_keep_their_range() -> None:
    ramp = np.array([[0, 32896, 65535]], dtype=np.uint16)
    assert upright(decode(encoded(Image.fromarray(ramp))))[0, :, 0].tolist() == [0, 128, 255]
    assert upright(decode(encoded(Image.fromarray(ramp), "TIFF")))[0, :, 1].tolist() == [0, 128, 255]


def test_eight_bit_values_in_a_deep_image_are_kept() -> None:
    shallow = Image.fromarray(np.array([[0, 100, 255]], dtype=np.uint16))
    assert upright(to_rgb(shallow))[0, :, 0].tolist() == [0, 100, 255]


def test_floating_point_images() -> None:
    unit = Image.fromarray(np.array([[0.0, 0.5, 1.0, np.nan]], dtype=np.float32))
    assert upright(to_rgb(unit))[0, :, 0].tolist() == [0, 128, 255, 0]
    full = Image.fromarray(np.array([[0.0, 90.0, 300.0]], dtype=np.float32))
    assert upright(to_rgb(full))[0, :, 0].tolist() == [0, 90, 255]


def test_cmyk() -> None:
    image = decode(encoded(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG"))
    red, green, blue = upright(image)[4, 4]
    assert red > 200
    assert max(green, blue) < 60


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparency_becomes_white(mode: str) -> None:
    pixel = {"RGBA": (255, 0, 0, 0), "LA": (0, 0)}[mode]
    image = decode(encoded(Image.new(mode, (4, 4), pixel)))
    assert tuple(upright(image)[0, 0]) == (255, 255, 255)


def test_half_transparency_is_mixed_with_white() -> None:
    image = decode(encoded(Image.new("RGBA", (4, 4), (0, 0, 0, 128))))
    np.testing.assert_allclose(upright(image)[0, 0], 127, atol=1)


def test_transparent_palette_entry_becomes_white() -> None:
    paletted = Image.new("P", (4, 4), 0)
    paletted.putpalette([0, 0, 0, 0, 255, 0])
    paletted.putpixel((1, 0), 1)
    image = decode(encoded(paletted, transparency=0))
    assert upright(image)[0, :2].tolist() == [[255, 255, 255], [0, 255, 0]]


def test_more_pixels_than_the_limit_are_refused_before_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "MAX_PIXELS", 1_000_000)
    data = encoded(Image.new("1", (1001, 1000)))
    monkeypatch.setattr(Image.Image, "load", lambda _: pytest.fail("it was decoded"))
    for read in (decode, check):
        with pytest.raises(UnreadableImage, match="1 megapixels"):
            read(data)


def test_a_header_that_claims_a_gigantic_image_is_refused() -> None:
    header = b"IHDR" + (60_000).to_bytes(4, "big") * 2 + b"\x08\x02\x00\x00\x00"
    bomb = b"\x89PNG\r\n\x1a\n\x00\x00\x00\x0d" + header + zlib.crc32(header).to_bytes(4, "big")
    bomb += b"\x00\x00\x00\x10IDAT" + bytes(64)
    with pytest.raises(UnreadableImage, match="too many pixels"):
        check(bomb)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "BMP", "TIFF"])
def test_an_image_cut_short_is_found(kind: str) -> None:
    data = encoded(noise(), kind)
    check(data)
    for share in (0.3, 0.8):
        with pytest.raises(UnreadableImage):
            check(data[: int(len(data) * share)])


@given(
    st.binary(max_size=200), st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"\xff\xd8\xff", b"BM", b"II*\0"])
)
def test_any_bytes_are_refused_in_one_line(data: bytes, magic: bytes) -> None:
    with pytest.raises(UnreadableImage, match=r"\A.+\Z"):  # a dot matches no line break
        decode(magic + data)


def image_set(count: int = 5) -> ImageSet:
    pixels = [np.full((4, 4), 10 * index, dtype=np.uint8) for index in range(count)]
    items = [Item(f"{index}.png", ArrayPicture(each), str(index)) for index, each in enumerate(pixels)]
    return ImageSet(items, [index % 2 for index in range(count)])


def channels_first(image: Image.Image) -> np.ndarray:
    return np.asarray(image.resize((3, 3))).transpose(2, 0, 1)


@pytest.mark.parametrize("error", [MemoryError(), OSError("codec configuration error when reading image file")])
@pytest.mark.parametrize("starved", [True, False])
def test_want_of_memory_is_the_pictures_fault_only_where_there_is_some(
    monkeypatch: pytest.MonkeyPatch, error: Exception, starved: bool
) -> None:
    def fail(image: Image.Image) -> None:
        raise error

    data = encoded(noise())
    monkeypatch.setattr(Image.Image, "load", fail)
    monkeypatch.setattr(images, "MAX_PIXELS", 10**18 if starved else 10**6)  # no machine has the first
    kind, said = (MemoryError, "too little memory") if starved else (UnreadableImage, "broken image")
    with pytest.raises(kind, match=said):
        check(data)


def test_a_file_that_cannot_be_opened_for_want_of_handles_is_not_called_broken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(path: Path) -> bytes:
        raise OSError(errno.EMFILE, "Too many open files", str(path))

    monkeypatch.setattr(Path, "read_bytes", fail)
    with pytest.raises(OSError, match="Too many open files"):
        FilePicture(tmp_path / "a.png").read()


def test_an_image_set_lists_labels_names_and_images() -> None:
    images = image_set()
    assert len(images) == 5
    assert images.labels.dtype == np.int64
    assert images.labels.tolist() == [0, 1, 0, 1, 0]
    assert images.names[2] == "2.png"
    assert images.image(2).mode == "RGB"
    with pytest.raises(ValueError, match="read-only"):
        images.labels[0] = 3


def test_pixels_keep_their_order_in_every_thread() -> None:
    images, threads = image_set(20), set()

    def transform(image: Image.Image) -> np.ndarray:
        threads.add(threading.get_ident())
        return channels_first(image)

    pixels = images.pixels(transform)
    assert (pixels.shape, pixels.dtype) == ((20, 3, 3, 3), np.uint8)
    assert pixels[:, 0, 0, 0].tolist() == [10 * index for index in range(20)]
    assert threading.get_ident() not in threads
    assert images.pixels(channels_first, [7, 3])[:, 0, 0, 0].tolist() == [70, 30]


def test_pixels_of_nothing_have_the_right_shape() -> None:
    assert image_set().pixels(channels_first, []).shape == (0, 3, 3, 3)


def test_subsets_by_index_mask_and_emptiness() -> None:
    images = image_set()
    assert images.subset([4, 0]).names == ("4.png", "0.png")
    assert images.subset(np.array([False, True, False, True, False])).labels.tolist() == [1, 1]
    assert len(images.subset([])) == 0
    assert images.subset([-1]).names == ("4.png",)


def test_joined_sets_follow_one_another() -> None:
    joined = ImageSet.joined([image_set(2), image_set(3).subset([2])])
    assert joined.names == ("0.png", "1.png", "2.png")
    assert joined.labels.tolist() == [0, 1, 0]


def test_the_fingerprint_follows_names_labels_and_contents() -> None:
    def fingerprint(name: str = "a", label: int = 0, identity: str = "x") -> str:
        return ImageSet([Item(name, ArrayPicture(np.zeros((2, 2), np.uint8)), identity)], [label]).fingerprint

    assert fingerprint() == fingerprint()
    assert len({fingerprint(), fingerprint(name="b"), fingerprint(label=1), fingerprint(identity="y")}) == 4
    assert image_set().fingerprint != image_set().subset([1, 0, 2, 3, 4]).fingerprint


def test_a_file_that_vanished_is_named(tmp_path: Path) -> None:
    images = ImageSet([Item("cat/1.png", FilePicture(tmp_path / "1.png"))], [0])
    with pytest.raises(UserError, match=r"cat/1\.png can no longer be read: No such file"):
        images.image(0)
