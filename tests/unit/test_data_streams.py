"""Streams of tasks from folders, zips, built-in sets and mixtures: division, splits, limits, reports and errors."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import zipfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from core.config import StreamConfig
from core.data import fashion
from core.data.collection import natural, split
from core.data.division import by_count, by_list, by_prefix
from core.data.images import ArrayPicture, Item
from core.data.streams import known_streams, open_stream
from core.data.tasks import Stream
from core.errors import UserError

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"

Make = Callable[..., Path]


def write_image(path: Path) -> None:
    """A small picture whose colour follows from its path, so that no two are alike."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(zlib.crc32(str(path).encode())).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Writes `class folder → number of images` under a folder, and returns it."""

    def build(counts: dict[str, int], name: str = "pictures") -> Path:
        for folder, count in counts.items():
            for index in range(1, count + 1):
                write_image(tmp_path / name / folder / f"{index}.png")
        return tmp_path / name

    return build


def zipped(folder: Path, wrapper: str = "") -> Path:
    path = folder.with_suffix(".zip")
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                archive.write(file, wrapper + file.relative_to(folder).as_posix())
    return path


def opened(name: Path | str, seed: int = 0, **options: Any) -> Stream:
    return open_stream(StreamConfig(name=str(name), **options), seed)


def complaint(name: Path | str, **options: Any) -> str:
    with pytest.raises(UserError) as caught:
        opened(name, **options)
    message = str(caught.value)
    assert "\n" not in message
    return message


def names(stream: Stream) -> set[str]:
    return {name for task in stream.tasks for part in (task.train, task.test) for name in part.names}


# Division: pure functions


class_lists = st.lists(st.text("abcXYZ019", min_size=1, max_size=4), min_size=1, max_size=40, unique=True)


@given(class_lists, st.data(), st.integers(0, 2**32))
def test_division_is_an_even_partition(classes: list[str], data: st.DataObject, seed: int) -> None:
    tasks = data.draw(st.integers(1, len(classes)))
    parts = by_count(classes, tasks, seed, "x")
    sizes = [len(part.classes) for part in parts]
    assert len(parts) == tasks
    assert sorted(name for part in parts for name in part.classes) == sorted(classes)
    assert max(sizes) - min(sizes) <= 1
    assert parts == by_count(classes, tasks, seed, "x")
    assert len({part.name for part in parts}) == tasks


@given(class_lists)
def test_without_a_seed_the_order_is_kept(classes: list[str]) -> None:
    parts = by_count(classes, None, None, "x")
    assert [name for part in parts for name in part.classes] == classes
    assert len(parts) == max(1, min(10, len(classes) // 2))


def test_the_seed_draws_the_order() -> None:
    classes = [f"c{index}" for index in range(20)]
    orders = {tuple(name for part in by_count(classes, 4, seed, "x") for name in part.classes) for seed in range(5)}
    assert len(orders) == 5


def test_prefixes_are_tasks_in_natural_order() -> None:
    parts = by_prefix(["Set 10--a", "Set 9--b", "Set 9--a--z"], None, "x")
    assert [(part.name, part.classes) for part in parts] == [
        ("Set 9", ("Set 9--b", "Set 9--a--z")),
        ("Set 10", ("Set 10--a",)),
    ]


@given(st.lists(st.text("ab019", max_size=6)))
def test_natural_order_agrees_with_numbers(texts: list[str]) -> None:
    sorted(texts, key=natural)  # any mixture can be compared
    assert sorted(["i10", "i9", "I1"], key=natural) == ["I1", "i9", "i10"]


@given(st.integers(2, 60), st.floats(0.01, 0.99), st.integers(0, 9))
def test_a_split_is_a_partition_with_something_on_both_sides(count: int, fraction: float, seed: int) -> None:
    items = [Item(str(index), ArrayPicture(np.zeros((1, 1), np.uint8))) for index in range(count)]
    train, test = split(items, fraction, np.random.default_rng(seed))
    assert train
    assert test
    assert sorted(map(items.index, train + test)) == list(range(count))
    assert abs(len(test) - fraction * count) <= 1
    assert [items.index(item) for item in train] == sorted(items.index(item) for item in train)


# Split-Digits


def test_split_digits_is_five_pairs_in_numerical_order_whatever_the_seed() -> None:
    streams = [opened("split-digits", seed) for seed in (0, 1)]
    for stream in streams:
        assert stream.class_names == tuple("0123456789")
        assert [task.name for task in stream.tasks] == ["0, 1", "2, 3", "4, 5", "6, 7", "8, 9"]
        assert [task.classes for task in stream.tasks] == [(0, 1), (2, 3), (4, 5), (6, 7), (8, 9)]
        assert (stream.name, stream.image_size, stream.report.images) == ("split-digits", 56, 1797)
    assert streams[0].fingerprint != streams[1].fingerprint
    assert not names(streams[0]) ^ names(streams[1])
    assert set(streams[0].tasks[0].test.names) != set(streams[1].tasks[0].test.names)


def test_split_digits_tests_on_a_fifth_of_every_class() -> None:
    stream = opened("split-digits")
    for count in stream.report.classes:
        assert count.test == round((count.train + count.test) * 0.2)
    for task in stream.tasks:
        assert not set(task.train.names) & set(task.test.names)
        assert set(task.train.labels) == set(task.test.labels) == set(task.classes)
    assert np.asarray(stream.tasks[0].train.image(0)).max() > 200


def test_split_digits_takes_another_number_of_tasks() -> None:
    assert [task.classes for task in opened("split-digits", tasks=3).tasks] == [(0, 1, 2, 3), (4, 5, 6), (7, 8, 9)]


# Split-Fashion


def test_split_fashion_is_the_default_and_the_same_whatever_the_seed() -> None:
    stream, other = opened(StreamConfig().name), opened("split-fashion", seed=1)
    assert stream.fingerprint == other.fingerprint
    assert [task.name for task in stream.tasks] == [
        "T-shirt, Trouser", "Pullover, Dress", "Coat, Sandal", "Shirt, Sneaker", "Bag, Ankle boot",
    ]  # fmt: skip
    assert [len(task.train) for task in stream.tasks] == [400] * 5
    assert [len(task.test) for task in stream.tasks] == [120] * 5
    assert not stream.report.skipped_count and not stream.report.duplicate_count


def test_split_fashion_keeps_what_looks_alike_in_different_tasks() -> None:
    stream = opened("split-fashion")
    homes = {stream.class_names[label]: task.index for task in stream.tasks for label in task.classes}
    assert len({homes[name] for name in ("T-shirt", "Pullover", "Coat", "Shirt")}) == 4


def test_split_fashion_can_be_divided_otherwise_and_mixed_with_another_stream() -> None:
    assert opened("split-fashion", tasks=2).tasks[0].name == "T-shirt + 4 more"
    stream = opened("split-fashion+split-digits", train_per_class=2, test_per_class=2)
    assert [task.name for task in stream.tasks][4:6] == ["split-fashion: Bag, Ankle boot", "split-digits: 0, 1"]


def test_split_fashion_is_found_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert opened("split-fashion", train_per_class=2, test_per_class=2).report.images == 40


def test_clothes_that_are_missing_or_damaged_are_one_line_and_no_fault_of_other_streams(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole_archive, archive = fashion.ARCHIVE, tmp_path / "fashion-mnist-subset.zip"
    monkeypatch.setattr(fashion, "ARCHIVE", archive)
    with pytest.raises(UserError, match=r"cannot be read from .*No such file.*restore it.*split-digits") as missing:
        opened("split-fashion")
    whole = bytearray(whole_archive.read_bytes())
    whole[len(whole) // 2] ^= 1
    archive.write_bytes(whole)
    with pytest.raises(UserError, match=r"are damaged: restore it.*split-digits") as damaged:
        opened("split-fashion")
    assert not any("\n" in str(raised.value) for raised in (missing, damaged))
    assert opened("split-digits").report.images == 1797


# Folders and zips


LAYOUTS = {
    "classes": {"cat": 5, "dog": 10},
    "train and test": {"train/cat": 4, "train/dog": 4, "test/cat": 2, "test/dog": 3},
    "train and val": {"train/cat": 4, "train/dog": 4, "val/cat": 2, "val/dog": 3},
    "train and valid": {"Train/cat": 4, "Train/dog": 4, "Valid/cat": 2, "Valid/dog": 3},
    "train alone": {"train/cat": 5, "train/dog": 10},
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("wrapper", ["", "data/", "my data/v1/"])
def test_layouts_as_a_folder_and_as_a_zip_are_the_same_stream(make: Make, layout: str, wrapper: str) -> None:
    folder = make(LAYOUTS[layout])
    plain = opened(folder)
    packed = opened(zipped(folder, wrapper))
    assert plain.name == packed.name == "pictures"
    assert set(plain.class_names) == {"cat", "dog"}
    expected = [8, 5] if "and" in layout else [12, 3]
    assert [plain.report.train_images, plain.report.test_images] == expected
    assert packed.fingerprint == plain.fingerprint
    assert not plain.report.skipped_count
    assert plain.tasks[0].train.image(0) == packed.tasks[0].train.image(0)


def test_test_folders_hold_the_test_images(make: Make) -> None:
    stream = opened(make(LAYOUTS["train and val"]))
    assert all(name.startswith("train/") for task in stream.tasks for name in task.train.names)
    assert all(name.startswith("val/") for task in stream.tasks for name in task.test.names)
    assert [stream.report.train_images, stream.report.test_images] == [8, 5]
    assert "test_fraction" not in stream.report.limits


def test_plain_class_folders_are_split_by_the_seed_class_by_class(make: Make) -> None:
    folder = make({"cat": 10, "dog": 20})
    stream = opened(folder, test_fraction=0.3)
    assert {(count.name, count.train, count.test) for count in stream.report.classes} == {("cat", 7, 3), ("dog", 14, 6)}
    assert stream.report.limits == {"test_fraction": 0.3}
    assert opened(folder, seed=0, test_fraction=0.3).fingerprint == stream.fingerprint
    assert opened(folder, seed=1, test_fraction=0.3).tasks[0].test.names != stream.tasks[0].test.names


def test_a_new_class_leaves_the_split_of_the_others(make: Make) -> None:
    def cats(stream: Stream) -> set[str]:
        return {name for task in stream.tasks for name in task.test.names if name.startswith("cat")}

    before = cats(opened(make({"cat": 20, "dog": 5})))
    assert cats(opened(make({"ant": 5}))) == before


def test_a_test_folder_wins_over_a_validation_folder(make: Make) -> None:
    folder = make(LAYOUTS["train and test"] | {"val/cat": 1, "val/dog": 1, "more/cat": 1})
    report = opened(folder).report
    assert report.test_images == 5
    assert {(entry.name, entry.reason) for entry in report.skipped} == {
        ("val/cat/1.png", "validation images are not used beside test images"),
        ("val/dog/1.png", "validation images are not used beside test images"),
        ("more/cat/1.png", "outside the train and test folders"),
    }


def test_images_deeper_inside_a_class_belong_to_it(make: Make) -> None:
    stream = opened(make({"train/cat/winter": 2, "train/cat": 1, "train/dog": 2, "test/cat": 1, "test/dog": 1}))
    assert {(count.name, count.train) for count in stream.report.classes} == {("cat", 3), ("dog", 2)}


def test_what_is_not_an_image_is_skipped_and_reported(make: Make) -> None:
    folder = make({"cat": 3, "dog": 3, ".thumbs": 1})
    (folder / "cat" / "notes.txt").write_text("x")
    (folder / "cat" / ".DS_Store").write_text("x")
    write_image(folder / "loose.png")
    for stream in (opened(folder), opened(zipped(folder, "wrapped/"))):
        assert stream.report.images == 6
        reasons = {entry.name.removeprefix("wrapped/"): entry.reason for entry in stream.report.skipped}
        assert reasons == {
            "cat/notes.txt": "not an image file",
            "cat/.DS_Store": "hidden file",
            ".thumbs/1.png": "hidden file",
            "loose.png": "not inside a class folder",
        }


def test_only_the_first_skipped_files_are_listed(make: Make) -> None:
    folder = make({"cat": 2, "dog": 2})
    for index in range(60):
        (folder / f"{index}.txt").touch()
    report = opened(folder).report
    assert (len(report.skipped), report.skipped_count) == (50, 60)


def test_corrupt_images_are_skipped_with_their_reason(make: Make) -> None:
    folder = make(LAYOUTS["train and test"])
    whole = (folder / "train/cat/1.png").read_bytes()
    (folder / "train/cat/1.png").write_bytes(whole[: len(whole) // 2])
    (folder / "train/cat/2.png").write_bytes(b"")
    (folder / "test/dog/1.png").write_text("hello")
    for stream in (opened(folder), opened(zipped(folder))):
        reasons = {entry.name: entry.reason for entry in stream.report.skipped}
        assert reasons.keys() == {"train/cat/1.png", "train/cat/2.png", "test/dog/1.png"}
        assert reasons["train/cat/1.png"].startswith("broken image")
        assert reasons["train/cat/2.png"] == "empty file"
        assert not names(stream) & reasons.keys()


def test_an_entry_damaged_in_its_zip_is_skipped(make: Make) -> None:
    path = zipped(make(LAYOUTS["train and test"]))
    data = bytearray(path.read_bytes())
    data[data.index(b"IDAT") + 6] ^= 0xFF
    path.write_bytes(data)
    assert [entry.reason for entry in opened(path).report.skipped] == ["damaged in the zip"]


def test_links_that_lead_back_do_not_trap_the_reader(make: Make) -> None:
    folder = make({"cat": 2, "dog": 2})
    (folder / "cat" / "again").symlink_to(folder)
    assert opened(folder).report.images == 4


def test_linked_class_folders_are_read(make: Make, tmp_path: Path) -> None:
    linked = tmp_path / "linked"
    linked.mkdir()
    for name in ("cat", "dog"):
        (linked / name).symlink_to(make({"cat": 2, "dog": 2}) / name)
    assert opened(linked).report.images == 4


def test_names_from_disk_are_made_fit_for_people(make: Make) -> None:
    folder = make({"line\nbreak": 2, "e\u0301te\u0301": 2, "dog": 2})
    assert set(opened(folder).class_names) == {"line�break", "été", "dog"}


# Limits


def test_limits_keep_the_first_images_in_natural_order(make: Make) -> None:
    stream = opened(make(LAYOUTS["train and test"] | {"train/cat": 12}), train_per_class=10, test_per_class=2)
    cats = [name for task in stream.tasks for name in task.train.names if "/cat/" in name]
    assert cats == [f"train/cat/{index}.png" for index in range(1, 11)]
    assert stream.report.limits == {"train_per_class": 10, "test_per_class": 2}
    assert {(count.name, count.train, count.test) for count in stream.report.classes} == {("cat", 10, 2), ("dog", 4, 2)}


def test_a_limit_reaches_past_corrupt_images_and_reads_no_more_than_it_needs(make: Make) -> None:
    folder = make({"train/cat": 6, "train/dog": 6, "test/cat": 1, "test/dog": 1})
    for index in (1, 3, 6):
        (folder / f"train/cat/{index}.png").write_text("broken")
    stream = opened(folder, train_per_class=3)
    cats = [name for task in stream.tasks for name in task.train.names if "/cat/" in name]
    assert cats == [f"train/cat/{index}.png" for index in (2, 4, 5)]
    assert [entry.name for entry in stream.report.skipped] == ["train/cat/1.png", "train/cat/3.png"]


def test_a_limit_that_cuts_nothing_is_not_reported(make: Make) -> None:
    assert opened(make(LAYOUTS["train and test"]), train_per_class=4).report.limits == {}


def test_limits_do_not_depend_on_the_seed(make: Make) -> None:
    folder = make({f"{part}/c{index}": 6 for part in ("train", "test") for index in range(6)})
    first, second = (opened(folder, seed, train_per_class=2, test_per_class=2) for seed in (0, 1))
    assert names(first) == names(second)
    assert first.class_names != second.class_names


# Tasks


def test_classes_are_numbered_as_tasks_introduce_them(make: Make) -> None:
    stream = opened(make({f"c{index}": 3 for index in range(7)}), seed=3, tasks=3)
    assert [task.classes for task in stream.tasks] == [(0, 1, 2), (3, 4), (5, 6)]
    for task in stream.tasks:
        for part in (task.train, task.test):
            assert [stream.class_names[label] for label in part.labels] == [name.split("/")[0] for name in part.names]


def test_tasks_as_a_person_lists_them(make: Make) -> None:
    folder = make(dict.fromkeys(("ant", "bee", "cat", "dog"), 3))
    stream = opened(folder, task_classes=(("dog", "ant"), ("bee",)), tasks=9)
    assert stream.class_names == ("dog", "ant", "bee")
    assert [task.name for task in stream.tasks] == ["dog, ant", "bee"]
    assert stream.report.unused_classes == ("cat",)


def test_a_listed_stream_ignores_faults_of_classes_left_out(make: Make) -> None:
    folder = make({"ant": 3, "bee": 3, "single": 1})
    assert opened(folder, task_classes=(("ant", "bee"),)).report.images == 6


def test_prefix_tasks(make: Make) -> None:
    folder = make({f"{task}--{name}": 2 for task in ("Latin", "Greek") for name in ("a", "b")})
    stream = opened(folder, task_by="prefix")
    assert [task.name for task in stream.tasks] == ["Greek", "Latin"]
    assert stream.class_names == ("Greek--a", "Greek--b", "Latin--a", "Latin--b")


# Mixed streams


def test_parts_of_a_mixed_stream_follow_one_another(make: Make) -> None:
    folder = make({"7": 3, "8": 3, "cat": 3, "dog": 3})
    stream = opened(f"{zipped(folder)} + split-digits", tasks=2, train_per_class=2)
    assert stream.name == "pictures+split-digits"
    assert stream.image_size is None
    assert [len(task.classes) for task in stream.tasks] == [2, 2, 5, 5]
    assert [task.name.split(":")[0] for task in stream.tasks] == ["pictures"] * 2 + ["split-digits"] * 2
    assert set(stream.class_names[:4]) == {"pictures/7", "pictures/8", "cat", "dog"}
    assert stream.class_names[4:] == (*"0123456", "split-digits/7", "split-digits/8", "9")
    assert all(name.startswith("pictures/") for name in stream.tasks[0].train.names)
    assert [label for task in stream.tasks for label in task.classes] == list(range(14))


def test_each_part_chooses_its_own_number_of_tasks(make: Make) -> None:
    assert len(opened(f"split-digits+{make({'a': 2, 'b': 2, 'c': 2, 'd': 2})}").tasks) == 5 + 2


def test_parts_of_the_same_name_are_numbered(make: Make) -> None:
    folder = make({"a": 2, "b": 2})
    stream = opened(f"{folder}+{zipped(folder)}")
    assert stream.name == "pictures+pictures-2"
    assert set(stream.class_names) == {"pictures/a", "pictures/b", "pictures-2/a", "pictures-2/b"}
    assert stream.report.duplicate_count == 4


def test_prefixes_in_a_mixed_stream_are_the_classes_own(make: Make) -> None:
    first = make({"Latin--a": 2, "Greek--a": 2}, "first")
    second = make({"Latin--a": 2, "Thai--a": 2}, "second")
    stream = opened(f"{first}+{second}", task_by="prefix")
    assert [task.name for task in stream.tasks] == ["first: Greek", "first: Latin", "second: Latin", "second: Thai"]
    assert stream.class_names == ("Greek--a", "first/Latin--a", "second/Latin--a", "Thai--a")


def test_a_list_may_mix_parts(make: Make) -> None:
    stream = opened(f"split-digits+{make({'a': 2, 'b': 2})}", task_classes=(("3", "a"), ("b",)))
    assert stream.class_names == ("3", "a", "b")


def test_a_path_may_hold_a_plus(make: Make) -> None:
    assert opened(make({"a": 2, "b": 2}, "c++")).name == "c++"


# Report


def test_duplicates_are_reported_across_splits_and_classes(make: Make) -> None:
    folder = make(LAYOUTS["train and test"])
    picture = (folder / "train/cat/1.png").read_bytes()
    for copy in ("train/cat/4.png", "test/cat/2.png", "test/dog/3.png"):
        (folder / copy).write_bytes(picture)
    report = opened(folder).report
    assert (report.duplicate_count, report.duplicates_across_splits, report.duplicates_across_classes) == (3, 2, 1)
    found = {copy.name: copy for copy in report.duplicates}
    assert found["train/cat/4.png"].same_as == "train/cat/1.png"
    assert (found["test/cat/2.png"].across_splits, found["test/cat/2.png"].across_classes) == (True, False)
    assert (found["test/dog/3.png"].across_splits, found["test/dog/3.png"].across_classes) == (True, True)


def test_tiny_classes_are_named_by_what_there_is_not_by_the_limit(make: Make) -> None:
    folder = make({"train/cat": 4, "train/dog": 5, "test/cat": 1, "test/dog": 1})
    assert opened(folder, train_per_class=2).report.tiny_classes == ("cat",)


def test_the_report_is_json(make: Make) -> None:
    folder = make({"cat": 3, "dog": 3})
    (folder / "readme.md").touch()
    report = json.loads(json.dumps(opened(folder).report.as_dict()))
    assert report["images"] == 6
    assert report["skipped"] == [{"name": "readme.md", "reason": "not an image file"}]
    assert {entry["name"] for entry in report["classes"]} == {"cat", "dog"}


def test_the_fingerprint_follows_contents_and_division(make: Make) -> None:
    folder = make(LAYOUTS["train and test"])
    before = opened(folder).fingerprint
    assert opened(folder, tasks=2).fingerprint != before
    write_image(folder / "elsewhere.png")
    (folder / "elsewhere.png").replace(folder / "train/cat/1.png")
    assert opened(folder).fingerprint != before


# Errors: one clear line each


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("/no/such/folder", ["No folder or zip file at /no/such/folder"]),
        ("absent.zip", ["No folder or zip file at absent.zip"]),
        ("split-digit", ["Unknown stream “split-digit”", "Did you mean “split-digits”?"]),
        ("cifar-100", ["Did you mean “cifar100”?"]),
        ("split-digits+", ["Unknown stream “”"]),
        ("split-digits+split-digits", ["“split-digits” is twice"]),
        ("", ["Unknown stream “”"]),
    ],
)
def test_names_that_lead_nowhere(name: str, words: Sequence[str]) -> None:
    message = complaint(name)
    assert all(word in message for word in words)


def test_a_file_that_is_no_zip(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    assert "notes.txt is not a zip file" in complaint(tmp_path / "notes.txt")


def test_no_images(tmp_path: Path) -> None:
    (tmp_path / "cat").mkdir()
    (tmp_path / "cat" / "notes.txt").touch()
    assert f"No images found in {tmp_path}" in complaint(tmp_path)
    assert "No images found" in complaint(zipped(tmp_path / "cat"))


def test_images_outside_class_folders(make: Make) -> None:
    assert "The 3 images in" in complaint(make({"": 3}))
    assert "are not in class folders" in complaint(make({"train": 3, "test": 3}, "other"))


def test_a_class_may_be_called_test(make: Make) -> None:
    assert set(opened(make({"test": 3, "real": 3})).class_names) == {"test", "real"}


def test_a_test_folder_alone(make: Make) -> None:
    assert "has a test folder but no train folder" in complaint(make({"test/cat": 2, "test/dog": 2}))


def test_a_single_class(make: Make) -> None:
    folder = make({"cat": 5})
    assert "only the class “cat”" in complaint(folder)
    assert "only the class “cat”" in complaint(make({"dog": 5}), task_classes=(("cat",),))


def test_a_class_with_a_single_image_and_no_test_folder(make: Make) -> None:
    message = complaint(make({"cat": 5, "dog": 1}))
    assert "Class “dog”" in message
    assert "single image" in message
    assert "train and test folders" in message


def test_more_tasks_than_classes(make: Make) -> None:
    assert "has 3 classes, too few for 4 tasks" in complaint(make({"a": 2, "b": 2, "c": 2}), tasks=4)


def test_faults_of_an_explicit_list(make: Make) -> None:
    folder = make({"cat": 3, "dog": 3, "Ant": 3})
    message = complaint(folder, task_classes=(("cats",), ("dog",)))
    assert "unknown class “cats”" in message
    assert "Did you mean “cat”?" in message
    assert "“dog” is listed twice" in complaint(folder, task_classes=(("dog", "cat"), ("dog",)))
    assert "task 2 has no classes" in complaint(folder, task_classes=(("dog", "cat"), ()))
    with pytest.raises(UserError, match="Known: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, …"):
        by_list([str(index) for index in range(500)], [["x"]])


def test_classes_without_a_prefix(make: Make) -> None:
    folder = make({"Latin--a": 2, "Greek--a": 2})
    assert "has 2 prefixes, so 2 tasks, but tasks = 3" in complaint(folder, task_by="prefix", tasks=3)
    message = complaint(make({"plain": 2}), task_by="prefix")
    assert "Class “plain”" in message
    assert "task_by = 'classes'" in message


def test_classes_that_one_folder_lacks(make: Make) -> None:
    folder = make({"train/cat": 2, "train/dog": 2, "test/cat": 2, "test/Dog ": 2})
    message = complaint(folder, task_classes=(("cat", "dog"),))
    assert "Class “dog”" in message
    assert "has training images but no test images. Did you mean “Dog ”?" in message
    assert "has test images but no training images" in complaint(folder, task_classes=(("cat", "Dog "),))
    assert "images but no" in complaint(folder)


def test_a_class_whose_images_are_all_broken(make: Make) -> None:
    folder = make(LAYOUTS["train and test"])
    for path in (folder / "test/dog").iterdir():
        path.write_text("broken")
    message = complaint(folder)
    assert "Class “dog” has no readable test image" in message
    assert "test/dog/1.png" in message


# What is known by name


def test_known_streams_are_listed_without_heavy_imports() -> None:
    code = (
        "import sys; from core.data.streams import known_streams; print(len(known_streams()));"
        "print(sorted({'numpy', 'PIL', 'torch', 'sklearn', 'torchvision'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == [str(len(known_streams())), "[]"]


@pytest.mark.parametrize("name", ["split-fashion", "split-digits"])
def test_what_is_listed_of_a_built_in_stream_is_true(name: str) -> None:
    info = next(info for info in known_streams() if info.name == name)
    stream = opened(info.name)
    assert (info.classes, info.tasks, info.images) == (10, len(stream.tasks), stream.report.images)
    assert not info.network


# Real data


def real(name: str) -> Path:
    if not (SHARED / name).exists():
        pytest.skip(f"{SHARED / name} is not here")
    return SHARED / name


def test_cifar_subset() -> None:
    path = real("cifar100-subset.zip")
    start = time.perf_counter()
    stream = opened(path, tasks=10, train_per_class=100, test_per_class=30)
    assert time.perf_counter() - start < 30  # about four seconds on two idle cores
    assert [(len(task.classes), len(task.train), len(task.test)) for task in stream.tasks] == [(10, 1000, 300)] * 10
    assert stream.report.skipped_count == 0
    assert stream.tasks[9].test.image(299).size == (32, 32)
    pixels = stream.tasks[3].train.pixels(lambda image: np.asarray(image).transpose(2, 0, 1), range(0, 1000, 100))
    assert pixels.shape == (10, 3, 32, 32)
    assert pixels.std() > 20


def test_omniglot_alphabets() -> None:
    stream = opened(real("omniglot-small.zip"), task_by="prefix")
    assert [task.name for task in stream.tasks] == ["Balinese", "Early-Aramaic", "Greek", "Korean", "Latin"]
    assert [len(task.classes) for task in stream.tasks] == [24, 22, 24, 40, 26]
    for task in stream.tasks:
        assert len(task.train) == 15 * len(task.classes)
        assert len(task.test) == 5 * len(task.classes)
        assert all(stream.class_names[label].startswith(f"{task.name}--") for label in task.classes)
    corner, darkest = (f(np.asarray(stream.tasks[0].train.image(0))) for f in (lambda a: a[0, 0, 0], np.min))
    assert (corner, darkest) == (255, 0)  # black ink on white
