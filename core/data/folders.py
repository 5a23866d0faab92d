"""Folders and zips of class folders, whatever they are wrapped in.

Two layouts are understood: `<class>/<image>`, and `train/<class>/<image>` beside `test/<class>/<image>` (`val`, `valid`
and `validation` count as test where there is no test folder). Images deeper inside a class folder belong to the class.
"""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from core.data.archive import ZipPicture, open_archive
from core.data.collection import Classes, Collection, natural
from core.data.images import SUFFIXES, FilePicture, Item, Picture
from core.data.report import Skipped
from core.errors import UserError

_TRAIN = ("train", "training")
_TEST = ("test", "testing")
_VALIDATION = ("val", "valid", "validation")


@dataclass(frozen=True)
class _Found:
    """A usable image file: the parts of its relative path, and the picture."""

    parts: tuple[str, ...]
    picture: Picture

    @property
    def name(self) -> str:
        return "/".join(self.parts)

    def item(self) -> Item:
        return Item(self.name, self.picture)


def read_folder_or_zip(path: Path) -> Collection:
    """The classes in a folder or zip file. File names decide; no image is opened yet.

    Raises UserError when the path is missing, is neither a folder nor a safe zip file, or holds no images in class
    folders.
    """
    if path.is_dir():
        files: Iterator[tuple[str, Picture]] = _folder_files(path)
    else:
        archive = open_archive(path)
        files = ((name, ZipPicture(archive, name)) for name in archive.entries)
    found, skipped = _sieve(files)
    if not found:
        raise UserError(
            f"No images found in {path}: expected class folders such as cat/1.jpg, "
            "or train/cat/1.jpg beside test/cat/2.jpg."
        )
    found = _unwrapped(found)
    train, test = _layout(path, found, skipped)
    name = path.resolve().stem if path.is_file() else path.resolve().name
    return Collection(printable(name) or "images", str(path), train, test, tuple(skipped))


def printable(text: str) -> str:
    """`text` in one Unicode form and on one line: names from disks and zips may hold anything."""
    readable = text.encode("utf-8", "replace").decode()
    return "".join(letter if letter.isprintable() else "�" for letter in unicodedata.normalize("NFC", readable))


def _folder_files(root: Path) -> Iterator[tuple[str, Picture]]:
    def refuse(error: OSError) -> None:
        raise UserError(f"{error.filename} cannot be listed: {error.strerror}. Check its permissions.") from None

    visited: set[str] = set()
    for folder, subfolders, files in os.walk(root, onerror=refuse, followlinks=True):
        real = os.path.realpath(folder)
        if real in visited:  # a link back up would never end
            subfolders.clear()
            continue
        visited.add(real)
        subfolders.sort()
        for file in sorted(files):
            path = Path(folder, file)
            yield path.relative_to(root).as_posix(), FilePicture(path)


def _sieve(files: Iterator[tuple[str, Picture]]) -> tuple[list[_Found], list[Skipped]]:
    """Image files in natural order, and the files that are skipped."""
    found: list[_Found] = []
    skipped: list[Skipped] = []
    for name, picture in files:
        parts = tuple(printable(part) for part in name.split("/"))
        if any(part.startswith(".") for part in parts):
            skipped.append(Skipped("/".join(parts), "hidden file"))
        elif not parts[-1].lower().endswith(SUFFIXES):
            skipped.append(Skipped("/".join(parts), "not an image file"))
        else:
            found.append(_Found(parts, picture))
    return sorted(found, key=lambda each: natural(each.name)), skipped


def _unwrapped(found: list[_Found]) -> list[_Found]:
    """The files seen from inside the folders that merely wrap everything."""
    while True:
        inside = [each for each in found if len(each.parts) > 1]
        tops = {each.parts[0] for each in inside}
        is_wrapper = len(tops) == 1 and any(len(each.parts) > 2 for each in inside)
        if not is_wrapper or _split_of(next(iter(tops))):
            return found
        outside = [each for each in found if len(each.parts) == 1]
        found = outside + [_Found(each.parts[1:], each.picture) for each in inside]


def _layout(path: Path, found: list[_Found], skipped: list[Skipped]) -> tuple[Classes, Classes | None]:
    tops = {_split_of(each.parts[0]) for each in found if len(each.parts) > 1}
    splits = {_split_of(each.parts[0]) for each in found if len(each.parts) > 2} - {""}
    if "train" not in tops:  # so a class may be called test, as long as none is called train
        if splits:
            raise UserError(
                f"{path} has a {min(splits)} folder but no train folder: name them train and test, "
                "or give plain class folders."
            )
        return _by_class(path, found, skipped, depth=0), None
    held_out = next((split for split in ("test", "validation") if split in splits), None)
    train, test = [], []
    for each in found:
        split = _split_of(each.parts[0]) if len(each.parts) > 1 else ""
        if split == "train":
            train.append(each)
        elif split and split == held_out:
            test.append(each)
        else:
            reason = (
                "validation images are not used beside test images" if split else "outside the train and test folders"
            )
            skipped.append(Skipped(each.name, reason))
    classes = _by_class(path, train, skipped, depth=1)
    return classes, _by_class(path, test, skipped, depth=1) if held_out else None


def _split_of(folder: str) -> str:
    """'train', 'test' or 'validation' for a folder with one of their names, otherwise ''."""
    folder = folder.lower()
    if folder in _TRAIN:
        return "train"
    if folder in _TEST:
        return "test"
    return "validation" if folder in _VALIDATION else ""


def _by_class(path: Path, found: list[_Found], skipped: list[Skipped], depth: int) -> Classes:
    """Class → pictures, the class being the part of the path at `depth`."""
    classes: Classes = {}
    for each in found:
        if len(each.parts) < depth + 2:
            skipped.append(Skipped(each.name, "not inside a class folder"))
        else:
            classes.setdefault(each.parts[depth], []).append(each.item())
    if not classes:
        raise UserError(
            f"The {len(found)} images in {path} are not in class folders: put the images of each class in a folder "
            "of its own, such as cat/1.jpg."
        )
    return classes
