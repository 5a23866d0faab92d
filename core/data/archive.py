"""Reading zip files from strangers: in place, never extracted, and refused as a whole when anything is amiss."""

from __future__ import annotations

import stat
import threading
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from core.data.images import EncodedPicture, UnreadableImage
from core.errors import UserError

_GIB = 1 << 30
_MIB = 1 << 20


@dataclass(frozen=True)
class ArchiveLimits:
    """What an archive may ask of the machine that reads it; sizes in bytes, as the archive declares them unpacked."""

    entries: int = 1_000_000
    total: int = 64 * _GIB
    entry: int = 512 * _MIB
    ratio: float = 200
    """Unpacked over packed size; image files hardly shrink, so more than this is a bomb."""
    ratio_from: int = 32 * _MIB
    """Anything that unpacks to less than this may have any ratio: a blank picture does, and is harmless."""


class Archive:
    """An open zip file whose entries were all found safe; safe to read from several threads."""

    def __init__(self, path: Path, opened: zipfile.ZipFile, entries: Mapping[str, zipfile.ZipInfo]) -> None:
        self.path = path
        self.entries = MappingProxyType(dict(entries))
        """Relative path with forward slashes → entry, files only."""
        self._zip = opened
        self._lock = threading.Lock()

    def read(self, name: str) -> bytes:
        """The unpacked bytes of one entry.

        Raises UnreadableImage when it is damaged, or not as the archive declared it.
        """
        entry = self.entries[name]
        try:
            with self._lock, self._zip.open(entry) as stream:
                # Asking for the declared size bounds the memory: a plain read() unpacks all there is, then cuts it.
                return stream.read(entry.file_size)
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, NotImplementedError, ValueError):
            raise UnreadableImage("damaged in the zip") from None


@dataclass(frozen=True, slots=True)
class ZipPicture(EncodedPicture):
    """A picture that is an entry of a zip file."""

    archive: Archive
    name: str

    def read(self) -> bytes:
        return self.archive.read(self.name)


def open_archive(path: Path, limits: ArchiveLimits | None = None) -> Archive:
    """A zip file, ready to read entries from. Folders and the leavings of macOS (`__MACOSX`) are not listed.

    Raises UserError when it is missing, not a zip, encrypted, packed in an unusual way or larger than `limits`, or when
    it holds links, special files, absolute paths or paths that climb out with '..'.
    """
    try:
        opened = zipfile.ZipFile(path)
    except FileNotFoundError:
        raise UserError(f"No file at {path}: check the path.") from None
    except (zipfile.BadZipFile, NotImplementedError, ValueError, EOFError):
        raise UserError(f"{path} is not a zip file, or is damaged: give a zip or a folder of class folders.") from None
    except OSError as error:
        raise UserError(f"{path} cannot be opened: {error.strerror}. Check the file and its permissions.") from None
    try:
        _check_sizes(path, opened, limits or ArchiveLimits())
        entries: dict[str, zipfile.ZipInfo] = {}
        for entry in opened.infolist():
            name = _safe_name(path, entry)
            if name and not entry.is_dir() and not name.startswith("__MACOSX/"):
                _check_kind(path, entry)
                entries[name] = entry
    except UserError:
        opened.close()
        raise
    return Archive(path, opened, entries)


def _check_sizes(path: Path, opened: zipfile.ZipFile, limits: ArchiveLimits) -> None:
    entries = opened.infolist()
    if len(entries) > limits.entries:
        raise _refused(path, f"it holds {len(entries):,} entries, at most {limits.entries:,} are read")
    total = sum(entry.file_size for entry in entries)
    if total > limits.total:
        raise _refused(path, f"it unpacks to {_size(total)}, at most {_size(limits.total)} is read")
    packed = sum(entry.compress_size for entry in entries)
    if packed > path.stat().st_size:
        raise _refused(path, "its entries overlap, as in a zip bomb")
    if total > limits.ratio_from and total > limits.ratio * max(packed, 1):
        raise _refused(path, f"it unpacks to {total / max(packed, 1):,.0f} times its size, as a zip bomb does")
    for entry in entries:
        if entry.file_size > limits.entry:
            raise _refused(path, f"“{_shown(entry)}” unpacks to {_size(entry.file_size)}, too large for an image")
        if entry.file_size > limits.ratio_from and entry.file_size > limits.ratio * max(entry.compress_size, 1):
            raise _refused(path, f"“{_shown(entry)}” unpacks to far more than its size, as a zip bomb does")


def _safe_name(path: Path, entry: zipfile.ZipInfo) -> str:
    name = entry.filename.replace("\\", "/")  # some Windows programs pack with backslashes
    parts = name.split("/")
    if name.startswith("/") or (len(parts[0]) > 1 and parts[0][1] == ":"):
        raise _refused(path, f"“{_shown(entry)}” is an absolute path")
    if ".." in parts:
        raise _refused(path, f"“{_shown(entry)}” points outside the archive")
    return "/".join(part for part in parts if part not in ("", "."))


def _check_kind(path: Path, entry: zipfile.ZipInfo) -> None:
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if kind == stat.S_IFLNK:
        raise _refused(path, f"“{_shown(entry)}” is a link")
    if kind not in (0, stat.S_IFREG):
        raise _refused(path, f"“{_shown(entry)}” is not a plain file")
    if entry.flag_bits & 0x1:
        raise _refused(path, f"“{_shown(entry)}” is encrypted", "Zip the folder again without a password.")
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise _refused(
            path, f"“{_shown(entry)}” is packed in an unusual way", "Zip the folder again with ordinary compression."
        )


def _refused(path: Path, reason: str, remedy: str = "Zip the image folders again yourself.") -> UserError:
    return UserError(f"{path} is refused: {reason}. {remedy}")


def _shown(entry: zipfile.ZipInfo) -> str:
    printable = "".join(letter if letter.isprintable() else "�" for letter in entry.filename)
    return printable if len(printable) <= 80 else f"{printable[:79]}…"


def _size(size: int) -> str:
    return f"{size / _GIB:,.1f} GiB" if size >= _GIB else f"{size / _MIB:,.1f} MiB"
