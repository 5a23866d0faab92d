"""Files and names from strangers, made at random: nothing leaves its folder, and every refusal is one line.

`FUZZ=20 python -m pytest tests/unit/test_hostile.py` tries twenty times as many.
"""

from __future__ import annotations

import io
import json
import os
import random
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from core.config import StreamConfig
from core.data.archive import open_archive
from core.data.images import UnreadableImage, decode
from core.data.streams import open_stream
from core.errors import UserError
from core.runs.share import export_run, import_run
from core.runs.store import Run
from tests.unit import run_folder
from tests.unit.test_faults import READERS

_TIMES = int(os.environ.get("FUZZ", "1"))
ARCHIVES, IMPORTS, IMAGES = 300 * _TIMES, 100 * _TIMES, 300 * _TIMES

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
names = st.text(max_size=24) | st.sampled_from(
    [
        "../up.png",
        "/etc/passwd.png",
        "C:\\x.png",
        "a\\..\\..\\b.png",
        "a//b.png",
        "cat/\x00.png",
        "cat/. ./1.png",
        "…/1.png",
    ]
)


class Files(dict[str, bytes]):
    """Files by their place in a run's folder; few words of them in a report."""

    def __repr__(self) -> str:
        return f"{len(self)} files"


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Files:
    """The files of an exported run."""
    place = tmp_path_factory.mktemp("exported")
    path = export_run(Run(run_folder.write_run(place / "runs")), place / "a.zip")
    with zipfile.ZipFile(path) as archive:
        return Files({name.partition("/")[2]: archive.read(name) for name in archive.namelist()})


def _zip(files: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return packed.getvalue()


def _one_line(error: Exception) -> None:
    assert str(error) and "\n" not in str(error)


def _garbled(data: bytes, rng: random.Random) -> bytes:
    """Some bytes changed, or a piece cut out or doubled."""
    found = bytearray(data)
    for _ in range(rng.randint(1, 6) if found else 0):
        found[rng.randrange(len(found))] = rng.choice([0, 255, rng.randrange(256)])
    if found and rng.random() < 0.3:
        start = rng.randrange(len(found))
        piece = found[start : start + rng.randint(1, 64)]
        found[start : start + len(piece)] = b"" if rng.random() < 0.5 else piece * 2
    return bytes(found)


@settings(max_examples=ARCHIVES, deadline=None)
@given(entries=st.dictionaries(names, st.binary(max_size=40), max_size=5), seed=st.none() | st.integers(0, 2**32))
def test_any_zip_is_read_safely_or_refused(entries: dict[str, bytes], seed: int | None) -> None:
    try:
        data = _zip(entries)
    except (ValueError, IndexError):  # not even Python's own writer takes these names
        return
    data = data if seed is None else _garbled(data, random.Random(seed))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.zip"
        path.write_bytes(data)
        try:
            archive = open_archive(path)
        except UserError as error:
            _one_line(error)
            return
        for name in archive.entries:
            assert ".." not in name.split("/") and not name.startswith("/")
            try:
                archive.read(name)
            except UnreadableImage as error:
                _one_line(error)
        assert [left.name for left in Path(folder).iterdir()] == ["a.zip"]


@st.composite
def changes(draw: st.DrawFn, files: list[str]) -> tuple[str, object]:
    """A file of a run, and what becomes of it: a seed to garble it, a value in a document, a number in a table."""
    name = draw(st.sampled_from(files))
    if name.endswith(".json") and draw(st.booleans()):
        return name, (draw(st.integers(0, 40)), draw(json_values))
    if name.endswith(".parquet") and draw(st.booleans()):
        return name, (draw(st.integers(0, 11)), draw(st.integers(-(2**15), 2**15 - 1)))
    return name, draw(st.integers(0, 2**32))


def _changed(name: str, data: bytes, change: object) -> bytes:
    if isinstance(change, int):
        return _garbled(data, random.Random(change))
    assert isinstance(change, tuple)
    which, value = change
    if name.endswith(".json"):
        document = json.loads(data)
        document[sorted(document)[which % len(document)]] = value
        return json.dumps(document).encode()
    table = pq.read_table(io.BytesIO(data))
    column = table.column_names[which % table.num_columns]
    kind = table.schema.field(column).type
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        return data
    values = [value] * table.num_rows
    table = table.set_column(table.column_names.index(column), column, pa.array(values).cast(kind))
    packed = io.BytesIO()
    pq.write_table(table, packed)
    return packed.getvalue()


def test_an_npz_of_a_zip_version_to_come_is_refused_in_one_line(exported: Files, tmp_path: Path) -> None:
    arrays = bytearray(exported["embeddings.npz"])
    arrays[arrays.rindex(b"PK\x01\x02") + 6] = 255  # the version that is needed to extract the last member
    (tmp_path / "a.zip").write_bytes(_zip({**exported, "embeddings.npz": bytes(arrays)}))
    with pytest.raises(UserError) as refused:
        import_run(tmp_path / "a.zip", tmp_path / "runs")
    _one_line(refused.value)


@settings(max_examples=IMPORTS, deadline=None)
@given(data=st.data())
def test_any_run_of_a_stranger_is_taken_in_whole_or_refused(exported: Files, data: st.DataObject) -> None:
    files = dict(exported)
    for name, change in data.draw(st.lists(changes(sorted(files)), min_size=1, max_size=2)):
        files[name] = _changed(name, exported[name], change)
    with tempfile.TemporaryDirectory() as folder:
        path, runs = Path(folder) / "a.zip", Path(folder) / "runs"
        path.write_bytes(_zip(files))
        try:
            run = import_run(path, runs)
        except UserError as error:
            _one_line(error)
            assert not runs.exists() or not list(runs.iterdir())
            return
        for read in READERS.values():
            read(run)
        _pages_can_read(run)
        assert sorted(left.name for left in Path(folder).iterdir()) == ["a.zip", "runs"]
        assert [left.name for left in runs.iterdir()] == [run.name]


@pytest.mark.parametrize(
    "event",
    [
        {"kind": "loss", "loss": 1.0},
        {"kind": "loss", "task": 0, "step": "<b>", "loss": 1.0},
        {"kind": "loss", "task": 9, "step": 1, "loss": 1.0},
        {"kind": "loss", "task": 0, "step": -1, "loss": 1.0},
        {"kind": "loss", "task": 0, "step": 1, "steps": None, "loss": 1.0},
        {"kind": "loss", "task": 0, "step": 1, "loss": "much"},
        {"kind": "task", "task": -1, "accuracy": [1.0]},
        {"kind": "task", "task": True, "accuracy": [1.0]},
        {"kind": "task", "task": 0, "accuracy": ["all"]},
        {"kind": "task", "task": 0, "accuracy": {"0": 1.0}},
    ],
)
def test_events_that_no_curve_can_show_are_refused(exported: Files, event: dict[str, object], tmp_path: Path) -> None:
    whole = {"kind": "loss", "task": 0, "step": 1, "steps": 9, "loss": 1.0}, {"kind": "other", "any": ["thing"]}
    for name, lines in (("good", whole), ("bad", (*whole, event))):
        packed = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
        (tmp_path / f"{name}.zip").write_bytes(_zip({**exported, "events.jsonl": packed}))
    assert len(import_run(tmp_path / "good.zip", tmp_path / "runs").events()) == 2
    with pytest.raises(UserError, match="lacks a number that it must have"):
        import_run(tmp_path / "bad.zip", tmp_path / "runs", "bad")


def _pages_can_read(run: Run) -> None:
    """What every page of the app reads first."""
    from app.reading import accuracy, tables
    from app.reading.cards import RunCard

    card = RunCard(run.name, "", "", "", len(run.manifest.tasks), "done", False, run.folder, None)
    answers = tables.predictions(card)
    answers.score_matrix()
    np.array(tables.class_names(card))[answers.predicted]
    np.array(tables.task_names(card))[answers.retrieved_task]
    for space in tables.spaces(card):
        tables.maps(card, space)
    accuracy.matrices(tables.metrics(card), card.tasks)


_KINDS = {"PNG": "RGBA", "JPEG": "CMYK", "GIF": "P", "TIFF": "I;16", "WEBP": "RGBA", "BMP": "RGB", "PPM": "RGB"}


@settings(max_examples=IMAGES, deadline=None)
@given(kind=st.sampled_from(sorted(_KINDS)), seed=st.integers(0, 2**32))
def test_any_picture_is_decoded_or_refused(kind: str, seed: int) -> None:
    packed = io.BytesIO()
    Image.new(_KINDS[kind], (23, 17)).save(packed, kind)
    try:
        assert decode(_garbled(packed.getvalue(), random.Random(seed))).mode == "RGB"
    except UnreadableImage as error:
        _one_line(error)


SCRIPTS = [
    "猫",
    "кошка",
    "قطة",
    "בַּיִת",
    "🐈‍⬛",
    "ไทย",
    "<img src=x onerror=alert(1)>",
    "a'b\"c",
    "CON",
    "e\u0301",
    "x" * 90,
]


@pytest.mark.slow
def test_a_zip_of_everything_strange_is_read_and_every_reason_is_given(tmp_path: Path) -> None:
    good = [io.BytesIO() for _ in range(4)]
    for index, packed in enumerate(good):
        Image.new("RGB", (12, 12), (60 * index, 90, 30)).save(packed, "PNG")
    giant = io.BytesIO()
    Image.new("1", (30_000, 30_000)).save(giant, "PNG")
    files = {f"{name}/{i}.png": packed.getvalue() + bytes([n]) for n, name in enumerate(SCRIPTS)
             for i, packed in enumerate(good)}  # fmt: skip
    files[f"{SCRIPTS[0]}/giant.png"] = giant.getvalue()
    files[f"{SCRIPTS[0]}/cut.png"] = good[0].getvalue()[:40]
    files[f"{SCRIPTS[0]}/text.png"] = b"<script>alert(1)</script>"
    files[f"{SCRIPTS[0]}/program.exe"] = b"MZ"
    files[f"{SCRIPTS[0]}/inner.zip"] = _zip({"cat/1.png": good[0].getvalue()})
    (tmp_path / "strange.zip").write_bytes(_zip(files))
    stream = open_stream(StreamConfig(name=str(tmp_path / "strange.zip"), tasks=2), seed=0)
    assert len(stream.class_names) == len(SCRIPTS)
    assert {name for name in stream.class_names if "<" in name} == {"<img src=x onerror=alert(1)>"}
    reasons = {Path(skipped.name).name: skipped.reason for skipped in stream.report.skipped}
    assert reasons.keys() == {"giant.png", "cut.png", "text.png", "program.exe", "inner.zip"}
    assert "million" in reasons["giant.png"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["strange.zip"]
