"""Zip files from strangers: whatever is wrong with one is found before anything is read from it."""

from __future__ import annotations

import stat
import struct
import tracemalloc
import warnings
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from core.data.archive import ArchiveLimits, ZipPicture, open_archive
from core.data.images import UnreadableImage
from core.errors import UserError

Fill = Callable[[zipfile.ZipFile], None]


@pytest.fixture
def pack(tmp_path: Path) -> Callable[..., Path]:
    def build(fill: Fill, compression: int = zipfile.ZIP_DEFLATED) -> Path:
        path = tmp_path / "images.zip"
        with warnings.catch_warnings(), zipfile.ZipFile(path, "w", compression) as archive:
            warnings.simplefilter("ignore")  # zipfile warns of names given twice, which one test wants
            fill(archive)
        return path

    return build


def special(name: str, kind: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.create_system = 3
    info.external_attr = (kind | 0o777) << 16
    return info


def refusal(path: Path, limits: ArchiveLimits | None = None) -> str:
    with pytest.raises(UserError) as caught:
        open_archive(path, limits)
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    return message


def test_entries_are_read_in_place(pack: Callable[..., Path], tmp_path: Path) -> None:
    path = pack(lambda z: [z.mkdir("cat"), z.writestr("cat/1.png", b"one"), z.writestr("./dog//2.png", b"two")])
    archive = open_archive(path)
    assert list(archive.entries) == ["cat/1.png", "dog/2.png"]
    assert archive.read("cat/1.png") == b"one"
    assert ZipPicture(archive, "dog/2.png").read() == b"two"
    assert list(tmp_path.iterdir()) == [path]


def test_leavings_of_macos_are_not_listed(pack: Callable[..., Path]) -> None:
    path = pack(lambda z: [z.writestr("__MACOSX/cat/._1.png", b"x"), z.writestr("cat/1.png", b"x")])
    assert list(open_archive(path).entries) == ["cat/1.png"]


def test_backslashes_are_folders(pack: Callable[..., Path]) -> None:
    assert list(open_archive(pack(lambda z: z.writestr("train\\cat\\1.png", b"x"))).entries) == ["train/cat/1.png"]


def test_the_last_entry_of_a_name_counts(pack: Callable[..., Path]) -> None:
    archive = open_archive(pack(lambda z: [z.writestr("a/1.png", b"old"), z.writestr("a/1.png", b"new")]))
    assert archive.read("a/1.png") == b"new"


@pytest.mark.parametrize("name", ["/etc/passwd.png", "\\\\host\\x.png", "C:/x.png", "c:\\x.png"])
def test_absolute_paths_are_refused(pack: Callable[..., Path], name: str) -> None:
    assert "absolute path" in refusal(pack(lambda z: z.writestr(name, b"x")))


@pytest.mark.parametrize("name", ["../x.png", "a/../../x.png", "a\\..\\..\\x.png", ".."])
def test_paths_that_climb_out_are_refused(pack: Callable[..., Path], name: str) -> None:
    assert "outside the archive" in refusal(pack(lambda z: z.writestr(name, b"x")))


def test_links_are_refused(pack: Callable[..., Path]) -> None:
    assert "“cat/1.png” is a link" in refusal(
        pack(lambda z: z.writestr(special("cat/1.png", stat.S_IFLNK), "/etc/passwd"))
    )


def test_special_files_are_refused(pack: Callable[..., Path]) -> None:
    assert "not a plain file" in refusal(pack(lambda z: z.writestr(special("cat/1.png", stat.S_IFIFO), b"")))


def test_encrypted_archives_are_refused(pack: Callable[..., Path]) -> None:
    path = pack(lambda z: z.writestr("cat/1.png", b"x"))
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\x01\x02") + 8] |= 1  # the flag in the central directory
    path.write_bytes(data)
    assert "encrypted" in refusal(path)
    assert "without a password" in refusal(path)


@pytest.mark.parametrize("compression", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_unusual_compression_is_refused(pack: Callable[..., Path], compression: int) -> None:
    assert "unusual way" in refusal(pack(lambda z: z.writestr("cat/1.png", b"x" * 99), compression))


def test_a_bomb_is_refused_by_its_ratio(pack: Callable[..., Path]) -> None:
    assert "zip bomb" in refusal(pack(lambda z: z.writestr("cat/1.png", bytes(40 << 20))))


def test_a_bomb_among_ordinary_files_is_refused(pack: Callable[..., Path]) -> None:
    ballast = np.random.default_rng(0).bytes(1 << 20)
    path = pack(lambda z: [z.writestr("cat/1.png", bytes(40 << 20)), z.writestr("cat/2.png", ballast)])
    assert "“cat/1.png” unpacks to far more" in refusal(path)


def test_a_blank_picture_of_ordinary_size_is_no_bomb(pack: Callable[..., Path]) -> None:
    assert len(open_archive(pack(lambda z: z.writestr("cat/1.bmp", bytes(8 << 20)))).entries) == 1


def test_size_and_count_have_limits(pack: Callable[..., Path]) -> None:
    path = pack(lambda z: [z.writestr(f"cat/{index}.png", b"x" * 600) for index in range(5)], zipfile.ZIP_STORED)
    assert "5 entries, at most 4" in refusal(path, ArchiveLimits(entries=4))
    assert "at most" in refusal(path, ArchiveLimits(total=2999))
    assert "too large for an image" in refusal(path, ArchiveLimits(entry=599))
    assert len(open_archive(path, ArchiveLimits(entries=5, total=3000, entry=600)).entries) == 5


def test_overlapping_entries_are_refused(pack: Callable[..., Path]) -> None:
    path = pack(lambda z: z.writestr("cat/1.png", np.random.default_rng(0).bytes(5000)), zipfile.ZIP_STORED)
    data = path.read_bytes()
    start, end = data.index(b"PK\x01\x02"), data.rindex(b"PK\x05\x06")
    record = data[start:end]
    twin = record.replace(b"cat/1.png", b"cat/2.png")
    tail = struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, 2, 2, len(record) * 2, start, 0)
    path.write_bytes(data[:start] + record + twin + tail)
    assert "overlap" in refusal(path)


def test_a_size_that_lies_costs_no_memory(pack: Callable[..., Path]) -> None:
    path = pack(lambda z: z.writestr("cat/1.png", bytes(64 << 20)))
    data = bytearray(path.read_bytes())
    for signature, offset in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        at = data.index(signature) + offset
        data[at : at + 4] = (1000).to_bytes(4, "little")
    path.write_bytes(data)
    archive = open_archive(path)
    tracemalloc.start()
    try:
        with pytest.raises(UnreadableImage, match="damaged"):
            archive.read("cat/1.png")
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()


def test_a_damaged_entry_is_unreadable(pack: Callable[..., Path]) -> None:
    path = pack(lambda z: [z.writestr("cat/1.png", b"a" * 50), z.writestr("cat/2.png", b"b" * 50)], zipfile.ZIP_STORED)
    data = bytearray(path.read_bytes())
    data[data.index(b"aaaa")] = 0
    path.write_bytes(data)
    archive = open_archive(path)
    with pytest.raises(UnreadableImage):
        archive.read("cat/1.png")
    assert archive.read("cat/2.png") == b"b" * 50


def test_what_is_no_zip(tmp_path: Path, pack: Callable[..., Path]) -> None:
    assert "No file" in refusal(tmp_path / "absent.zip")
    text = tmp_path / "text.zip"
    text.write_text("not a zip")
    assert "not a zip file" in refusal(text)
    whole = pack(lambda z: z.writestr("cat/1.png", b"x" * 100))
    whole.write_bytes(whole.read_bytes()[:-30])
    assert "not a zip file" in refusal(whole)


def test_many_threads_read_one_archive(pack: Callable[..., Path]) -> None:
    contents = {f"c/{index}.png": np.random.default_rng(index).bytes(2000) for index in range(60)}
    archive = open_archive(pack(lambda z: [z.writestr(name, data) for name, data in contents.items()]))
    names = list(contents) * 10
    with ThreadPoolExecutor(8) as pool:
        assert all(contents[name] == data for name, data in zip(names, pool.map(archive.read, names), strict=True))
