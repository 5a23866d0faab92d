"""Runs as one zip file: there and back unchanged, and nothing hostile gets in."""

from __future__ import annotations

import io
import json
import pickle
import shutil
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from core.errors import UserError
from core.runs import share
from core.runs.liveness import identity
from core.runs.share import export_run, import_run
from core.runs.store import Run
from tests.unit import run_folder


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("exported")
    folder = run_folder.write_run(place / "runs")
    (folder / "log.txt").write_text("/home/somebody")
    return export_run(Run(folder), place / "a-run.zip")


def _rezip(source: Path, target: Path, change: Callable[[dict[str, bytes]], None]) -> Path:
    """`source` with its files (by name) changed."""
    with zipfile.ZipFile(source) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    change(files)
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return target


def _refused(path: Path, runs: Path, match: str) -> None:
    with pytest.raises(UserError, match=match) as caught:
        import_run(path, runs)
    assert "\n" not in str(caught.value)
    assert ".import-" not in str(caught.value)
    assert not runs.exists() or list(runs.iterdir()) == []


def test_a_run_comes_back_as_it_went(tmp_path: Path, exported: Path) -> None:
    run = import_run(exported, tmp_path / "runs")
    original = Run(exported.parent / "runs" / "a-run")
    assert run.manifest == original.manifest
    assert run.metrics == original.metrics
    assert run.events() == original.events()
    assert run.predictions() == original.predictions()
    assert np.array_equal(run.embeddings("own"), original.embeddings("own"))
    assert run.task(1).adapter.keys() == original.task(1).adapter.keys()
    assert run.status.state == "done"
    assert run.status.pid is None
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["a-run"]


def test_logs_stay_behind(exported: Path) -> None:
    with zipfile.ZipFile(exported) as archive:
        assert not [name for name in archive.namelist() if "log" in name]
        assert all(name.startswith("a-run/") for name in archive.namelist())


def test_a_folder_zipped_by_hand_is_taken_too(tmp_path: Path, exported: Path) -> None:
    inside = exported.parent / "runs" / "a-run"
    bare = Path(shutil.make_archive(str(tmp_path / "bare"), "zip", inside))
    around = Path(shutil.make_archive(str(tmp_path / "around"), "zip", inside.parent))
    assert import_run(bare, tmp_path / "one").name == "a-run"
    assert import_run(around, tmp_path / "two").name == "a-run"
    assert not (tmp_path / "two" / "a-run" / "log.txt").exists()


def test_a_taken_name_is_refused_and_another_accepted(tmp_path: Path, exported: Path) -> None:
    import_run(exported, tmp_path)
    with pytest.raises(UserError, match=r"already in .* --name"):
        import_run(exported, tmp_path)
    other = import_run(exported, tmp_path, name="other")
    assert (other.name, other.manifest.run) == ("other", "other")
    with pytest.raises(UserError, match="is not a run name"):
        import_run(exported, tmp_path, name="../up")


def test_an_unfinished_run_can_be_handed_on_and_a_running_one_not(tmp_path: Path) -> None:
    folder = run_folder.write_run(tmp_path / "a", tasks=1)
    path = export_run(Run(folder), tmp_path / "half.zip")
    assert import_run(path, tmp_path / "b").finished_tasks() == 1
    (folder / "status.json").write_text(json.dumps({"state": "running"} | identity()))
    with pytest.raises(UserError, match="is running: export it when"):
        export_run(Run(folder), path)


def test_a_claim_to_be_running_does_not_travel(tmp_path: Path, exported: Path) -> None:
    claim = json.dumps({"state": "running"} | identity()).encode()
    path = _rezip(exported, tmp_path / "x.zip", lambda files: files.update({"a-run/status.json": claim}))
    assert import_run(path, tmp_path / "runs").status.state == "failed"


def test_an_export_that_cannot_be_written_leaves_nothing(tmp_path: Path, exported: Path) -> None:
    run = Run(exported.parent / "runs" / "a-run")
    with pytest.raises(UserError, match="cannot be written"):
        export_run(run, tmp_path / "nowhere" / "x.zip")


@pytest.mark.parametrize(
    "name",
    [
        "../evil.json",
        "/etc/evil",
        "a-run/../../evil",
        "a-run/evil.py",
        "a-run/adapter.pkl",
        "a-run/tasks/000/evil.pt",
        "a-run/tasks/../manifest.json",
        "a-run/tasks/0000/done.json",
        "a-run/sprites/000.webp.exe",
        "a-run/manifest.json\n",
        "a-run\\manifest.json",
        "C:/manifest.json",
        "other/manifest.json",
        "a-run/tasks/٠٠٠/done.json",
    ],
)
def test_files_that_no_run_has_are_refused(tmp_path: Path, exported: Path, name: str) -> None:
    path = _rezip(exported, tmp_path / "x.zip", lambda files: files.update({name: b"{}"}))
    _refused(path, tmp_path / "runs", "is not a run")
    assert not list(tmp_path.rglob("evil*"))


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR])
def test_links_and_devices_are_refused(tmp_path: Path, exported: Path, kind: int) -> None:
    path = tmp_path / "x.zip"
    shutil.copy(exported, path)
    member = zipfile.ZipInfo("a-run/sprites/007.webp")
    member.external_attr = (kind | 0o777) << 16
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(member, "/etc/passwd")
    _refused(path, tmp_path / "runs", "is not a run")


def test_unusual_packing_is_refused(tmp_path: Path, exported: Path) -> None:
    path = tmp_path / "x.zip"
    shutil.copy(exported, path)
    with zipfile.ZipFile(path, "a", zipfile.ZIP_BZIP2) as archive:
        archive.writestr("a-run/sprites/007.webp", b"x")
    _refused(path, tmp_path / "runs", "is not a run")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_twice_is_refused(tmp_path: Path, exported: Path) -> None:
    path = tmp_path / "x.zip"
    shutil.copy(exported, path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("a-run/manifest.json", "{}")
    _refused(path, tmp_path / "runs", "is not a run")


@pytest.mark.parametrize("data", [b"", b"no zip", b"PK\x03\x04 half"])
def test_what_is_no_zip_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "x.zip").write_bytes(data)
    _refused(tmp_path / "x.zip", tmp_path / "runs", "is not a whole zip file")


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    _refused(tmp_path / "none.zip", tmp_path / "runs", "There is no file at")


@pytest.mark.parametrize("kept", [0.3, 0.6, 0.99])
def test_a_truncated_zip_is_refused(tmp_path: Path, exported: Path, kept: float) -> None:
    data = exported.read_bytes()
    (tmp_path / "x.zip").write_bytes(data[: int(kept * len(data))])
    _refused(tmp_path / "x.zip", tmp_path / "runs", "is not a whole zip file")


def test_a_flipped_byte_is_refused(tmp_path: Path, exported: Path) -> None:
    data = bytearray(exported.read_bytes())
    with zipfile.ZipFile(exported) as archive:
        member = archive.getinfo("a-run/predictions.parquet")
    data[member.header_offset + member.compress_size // 2 + 40] ^= 0xFF
    (tmp_path / "x.zip").write_bytes(data)
    _refused(tmp_path / "x.zip", tmp_path / "runs", "is not a whole zip file")


def test_bombs_are_refused_before_they_are_unpacked(
    tmp_path: Path, exported: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = _rezip(exported, tmp_path / "x.zip", lambda files: files.update({"a-run/sprites/001.webp": bytes(1 << 24)}))
    assert path.stat().st_size < 1 << 20
    monkeypatch.setattr(share, "MAX_BYTES", 1 << 23)
    _refused(path, tmp_path / "runs", "would unpack to")
    monkeypatch.setattr(share, "MAX_FILES", 3)
    _refused(path, tmp_path / "runs", "files, more than the 3")


def test_a_size_that_lies_is_refused(tmp_path: Path, exported: Path) -> None:
    path = _rezip(exported, tmp_path / "x.zip", lambda files: files.update({"a-run/sprites/001.webp": bytes(1 << 22)}))
    data = path.read_bytes()
    true, lie = (1 << 22).to_bytes(4, "little"), (100).to_bytes(4, "little")
    assert data.count(true) == 2  # of the file itself and of the directory
    path.write_bytes(data.replace(true, lie))
    _refused(path, tmp_path / "runs", "is not a whole zip file")


class _Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return exec, ("raise SystemExit('unpickled')",)


def _npz(**arrays: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()


def _compressed() -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, own=np.zeros((8, 1 << 17), np.float16))
    return buffer.getvalue()


def _huge_header() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        header = io.BytesIO()
        about = {"descr": "<f8", "fortran_order": False, "shape": (1 << 50,)}
        np.lib.format.write_array_header_1_0(header, about)
        archive.writestr("own.npy", header.getvalue())
    return buffer.getvalue()


def _parquet(table: pa.Table) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    return buffer.getvalue()


def _bad_rows() -> bytes:
    table = run_folder.predictions(1)
    return _parquet(table.set_column(table.column_names.index("image"), "image", pa.array([10**6] * 8)))


def _manifest(**changes: object) -> bytes:
    return json.dumps(run_folder.manifest().model_dump() | changes).encode()


@pytest.mark.parametrize(
    ("file", "data", "match"),
    [
        ("manifest.json", b"{", "damaged"),
        ("manifest.json", b"[" * 100_000, "damaged"),
        ("manifest.json", _manifest(schema_version=9), "newer version"),
        ("manifest.json", _manifest(tasks="many"), "damaged"),
        ("manifest.json", _manifest(run="../up"), "is not a run name"),
        ("metrics.json", b"[]", "damaged"),
        ("events.jsonl", b"x\ny\n", "damaged"),
        ("tasks/000/done.json", b'{"task": "first"}', "damaged"),
        ("tasks/000/gates.json", b"7", "damaged"),
        ("tasks/000/adapter.safetensors", pickle.dumps(_Evil()), "damaged"),
        ("tasks/000/head.safetensors", (1 << 62).to_bytes(8, "little") + b"{}", "damaged"),
        ("tasks/000/mixture.npz", pickle.dumps(_Evil()), "damaged"),
        ("tasks/000/mixture.npz", _npz(a=np.array([_Evil()], dtype=object)), "damaged"),
        ("embeddings.npz", _compressed(), "more inside than its size allows"),
        ("embeddings.npz", _huge_header(), "damaged"),
        ("embeddings.npz", _npz(own=np.zeros((3, 4))), "does not match the 8 images"),
        ("predictions.parquet", b"PAR1PAR1", "damaged"),
        ("predictions.parquet", _parquet(pa.table({"image": [1]})), "columns are"),
        ("predictions.parquet", _bad_rows(), "names images beyond"),
        ("tasks/001/predictions.parquet", _parquet(run_folder.images()), "columns are"),
        ("sprites/000.webp", b"GIF89a", "damaged"),
        ("sprites/000.webp", b"RIFF\x10\x00\x00\x00WEBP", "damaged"),
    ],
)
def test_a_damaged_or_hostile_part_is_named(tmp_path: Path, exported: Path, file: str, data: bytes, match: str) -> None:
    path = _rezip(exported, tmp_path / "x.zip", lambda files: files.update({f"a-run/{file}": data}))
    _refused(path, tmp_path / "runs", match)


def test_a_zip_without_a_manifest_is_no_run(tmp_path: Path, exported: Path) -> None:
    path = _rezip(exported, tmp_path / "x.zip", lambda files: files.pop("a-run/manifest.json") and None)
    _refused(path, tmp_path / "runs", "holds no manifest.json")
