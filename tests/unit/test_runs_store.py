"""Run folders: what is written is read back, and a kill or a full disk at any moment leaves whole tasks only."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from core.errors import UserError
from core.runs import formats
from core.runs.files import encode_json, now
from core.runs.folders import check_name
from core.runs.liveness import identity, process_started
from core.runs.schema import IMAGE_COLUMNS, PREDICTION_COLUMNS, Status
from core.runs.store import Run, RunWriter, find_run, list_runs, new_run_name
from tests.unit import run_folder

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run, not to be changed."""
    return run_folder.write_run(tmp_path_factory.mktemp("runs"))


def test_everything_written_is_read_back(tmp_path: Path) -> None:
    run = Run(run_folder.write_run(tmp_path))

    assert run.manifest == run_folder.manifest()
    assert run.status.state == "done"
    assert run.finished_tasks() == 2
    assert run.predictions().schema == PREDICTION_COLUMNS
    assert run.predictions()["image"].to_pylist() == [*range(4), *range(8)]
    assert run.images().schema == IMAGE_COLUMNS
    assert run.projection().num_rows == run_folder.IMAGES
    assert run.embeddings("own").dtype == np.float16
    assert run.embeddings("own").shape == (run_folder.IMAGES, 4)
    assert [event["kind"] for event in run.events()] == ["start", "end"]
    assert run.metrics["final_accuracy"] == 0.625
    assert run.metrics["forgetting"] is None  # NaN is not JSON
    assert run.problem is None


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("shape", [(0, 3), (1, 1), (700, 5)])
@pytest.mark.parametrize("pack", [np.savez, np.savez_compressed])
def test_a_mapped_array_is_the_one_that_was_written(
    tmp_path: Path, pack: Callable[..., None], shape: tuple[int, ...], order: Literal["C", "F"]
) -> None:
    values = np.asarray(np.random.default_rng(0).normal(size=shape), np.float16, order=order)
    pack(tmp_path / "a.npz", first=np.arange(3), values=values)
    mapped = formats.map_array(tmp_path / "a.npz", "values")
    assert mapped is not None
    np.testing.assert_array_equal(mapped, values)
    assert formats.map_array(tmp_path / "a.npz", "other") is None
    if pack is np.savez and values.size:
        assert isinstance(mapped, np.memmap)
        with pytest.raises(ValueError, match="read-only"):
            mapped[0] = 0


def test_a_byte_that_changed_in_an_array_is_noticed(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", values=np.zeros(5000, np.float16))
    data = bytearray((tmp_path / "a.npz").read_bytes())
    data[6000] ^= 1
    (tmp_path / "a.npz").write_bytes(data)
    with pytest.raises(UserError, match="damaged"):
        formats.map_array(tmp_path / "a.npz", "values")


def test_a_task_is_restored_bit_for_bit(tmp_path: Path) -> None:
    writer = RunWriter.reopen(run_folder.write_run(tmp_path, tasks=1))
    saved = writer.load_task(0)
    expected = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))

    assert torch.equal(saved.adapter["0.q.A"], expected)
    assert torch.equal(saved.adapter["0.q.B"], expected.T)
    assert saved.head["weight"].dtype == torch.bfloat16
    assert saved.gates == {"0.q": 1.0}
    assert saved.done.stored_bytes == 48
    assert writer.load_shared(0)["sum"].dtype == torch.float64


def test_only_the_newest_shared_state_is_kept(tmp_path: Path) -> None:
    folder = run_folder.write_run(tmp_path)
    assert [file.name for file in (folder / "shared").iterdir()] == ["001.safetensors"]


def test_predictions_grow_while_a_run_goes_on(tmp_path: Path) -> None:
    run = Run(run_folder.write_run(tmp_path, tasks=1))
    assert run.predictions().num_rows == 4
    assert run.metrics == {}
    with pytest.raises(UserError, match="no finished task 1"):
        run.task(1)


def test_a_table_with_other_columns_is_refused(tmp_path: Path) -> None:
    writer = RunWriter.create(tmp_path, run_folder.manifest())
    with pytest.raises(ValueError, match="columns are"):
        writer.save_task(
            run_folder.TaskDone(
                task=0, train_seconds=0, evaluate_seconds=0, trainable_parameters=0, stored_bytes=0
            ),
            adapter={}, head={}, mixture={}, gates={}, predictions=run_folder.images(), embeddings={}, shared={},
        )  # fmt: skip
    assert writer.finished_tasks() == 0


def test_a_taken_name_is_refused_and_a_prepared_folder_taken_over(tmp_path: Path) -> None:
    (tmp_path / "a-run").mkdir()
    (tmp_path / "a-run" / "log.txt").touch()
    RunWriter.create(tmp_path, run_folder.manifest())
    with pytest.raises(UserError, match="already in"):
        RunWriter.create(tmp_path, run_folder.manifest())


_KILLER = """
import os, signal, sys, time
from pathlib import Path
from core.runs.schema import Status
from core.runs.store import RunWriter
from tests.unit import run_folder

def save_forever(runs, ready):
    writer = RunWriter.create(runs, run_folder.manifest())
    writer.status(Status(state="running", tasks=500))
    os.write(ready, b".")
    for task in range(500):
        run_folder.save_task(writer, task, width=2000)
        writer.event("task", task=task)

for moment in sys.argv[2:]:
    told, ready = os.pipe()
    child = os.fork()
    if child == 0:
        save_forever(Path(sys.argv[1]) / moment, ready)
    os.read(told, 1)
    time.sleep(float(moment))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
"""


@pytest.mark.slow
def test_a_kill_at_any_moment_leaves_whole_tasks_only(tmp_path: Path) -> None:
    moments = ["0.01", "0.03", "0.05", "0.09", "0.13", "0.17", "0.21", "0.3"]
    subprocess.run([sys.executable, "-c", _KILLER, str(tmp_path), *moments], cwd=ROOT, check=True)
    for moment in moments:
        folder = tmp_path / moment / "a-run"
        assert Run(folder).status.state == "failed"
        assert "resume with `python -m core train --resume a-run`" in Run(folder).status.message
        whole = [f for f in (folder / "tasks").iterdir() if not f.name.startswith(".")]

        writer = RunWriter.reopen(folder)

        assert writer.finished_tasks() == len(whole)
        assert sorted(folder.rglob(".*")) == []
        for task in range(len(whole)):
            saved = writer.load_task(task)
            assert len(saved.adapter) == 2
            assert len(saved.head) == len(saved.mixture) == len(saved.embeddings) == 1
            assert saved.predictions.num_rows == 4 * (task + 1)
            assert saved.done.task == task
        if whole:
            assert writer.load_shared(len(whole) - 1)["sum"][0] == len(whole) - 1
        run_folder.save_task(writer, len(whole))
        assert writer.finished_tasks() == len(whole) + 1
        Run(folder).events()


def _fill(runs: Path) -> RunWriter:
    """Save tasks until the disk is full, which must be said in one line and keep finished tasks."""
    writer = RunWriter.create(runs, run_folder.manifest())

    def fill() -> None:
        for task in range(100):
            run_folder.save_task(writer, task, width=4000)

    with pytest.raises(UserError) as caught:
        fill()
    assert str(caught.value).startswith("The disk is full: ")
    assert "; finished tasks are kept; free some space, then `python -m core train --resume a-run`" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not list((writer.folder / "tasks").glob(".*"))
    assert sorted(task.name for task in (writer.folder / "tasks").iterdir()) == [
        f"{task:03d}" for task in range(writer.finished_tasks())
    ]
    return writer


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a small disk")
def test_a_full_disk_is_one_line_and_keeps_finished_tasks(tmp_path: Path) -> None:
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(tmp_path)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("this machine does not let a test mount a small disk")
    try:
        writer = _fill(tmp_path)
        assert writer.finished_tasks() > 0
        (tmp_path / "filler").write_bytes(bytes(shutil.disk_usage(tmp_path).free))
        with pytest.raises(UserError, match="The disk is full"):
            writer.event("loss", text="x" * 10_000)
        with pytest.raises(UserError, match="The disk is full"):
            writer.status(Status(state="failed", message="x" * 10_000))
        (tmp_path / "filler").unlink()
        run_folder.save_task(RunWriter.reopen(writer.folder), writer.finished_tasks())
        assert Run(writer.folder).task(0).adapter
    finally:
        subprocess.run(["umount", "--lazy", str(tmp_path)], check=True)


def test_a_file_size_limit_is_one_line_too(tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, before[1]))
    try:
        _fill(tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_an_incomplete_task_folder_is_learned_again(tmp_path: Path) -> None:
    folder = run_folder.write_run(tmp_path)
    (folder / "tasks" / "001" / "head.safetensors").unlink()
    writer = RunWriter.reopen(folder)
    assert writer.finished_tasks() == 1
    run_folder.save_task(writer, 1)
    assert writer.finished_tasks() == 2


def test_a_torn_last_event_is_left_out_and_cut_off_by_the_next_writer(tmp_path: Path) -> None:
    folder = run_folder.write_run(tmp_path, tasks=1)
    with (folder / "events.jsonl").open("a") as file:
        file.write('{"kind": "lo')
    assert len(Run(folder).events()) == 2
    RunWriter.reopen(folder).event("start")
    assert [event["kind"] for event in Run(folder).events()] == ["start", "end", "start"]


def test_a_damaged_event_in_the_middle_is_named(tmp_path: Path) -> None:
    folder = run_folder.write_run(tmp_path)
    (folder / "events.jsonl").write_text('{"kind": "start"}\nrubbish\n{"kind": "end"}\n')
    with pytest.raises(UserError, match=r"events\.jsonl is damaged \(line 2"):
        Run(folder).events()


@pytest.mark.parametrize(
    ("file", "read"),
    [
        ("manifest.json", lambda run: run.manifest),
        ("metrics.json", lambda run: run.metrics),
        ("predictions.parquet", Run.predictions),
        ("images.parquet", Run.images),
        ("projection.parquet", Run.projection),
        ("embeddings.npz", lambda run: run.embeddings("own")),
        ("tasks/000/adapter.safetensors", lambda run: run.task(0).adapter),
        ("tasks/000/head.safetensors", lambda run: run.task(0).head),
        ("tasks/000/mixture.npz", lambda run: run.task(0).mixture),
        ("tasks/000/gates.json", lambda run: run.task(0).gates),
        ("tasks/000/predictions.parquet", lambda run: run.task(0).predictions),
        ("tasks/000/embeddings.npz", lambda run: run.task(0).embeddings),
        ("tasks/000/done.json", lambda run: run.task(0).done),
    ],
)
@pytest.mark.parametrize("kept", [0, 0.5, 0.9])
def test_a_truncated_file_is_named_in_one_line(
    tmp_path: Path, finished: Path, file: str, read: object, kept: float
) -> None:
    folder = shutil.copytree(finished, tmp_path / "a-run")
    data = (folder / file).read_bytes()
    (folder / file).write_bytes(data[: int(kept * len(data))])
    with pytest.raises(UserError, match="damaged") as caught:
        read(Run(folder))  # type: ignore[operator]
    assert str(folder / file) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_arrays_that_need_pickle_are_refused(tmp_path: Path) -> None:
    folder = run_folder.write_run(tmp_path)
    np.savez(folder / "embeddings.npz", own=np.array([{"any": "object"}], dtype=object))
    with pytest.raises(UserError, match="damaged"):
        Run(folder).embeddings("own")


def test_a_newer_version_is_refused_clearly(tmp_path: Path) -> None:
    folder = run_folder.write_run(tmp_path)
    path = folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"schema_version": 3, "unheard_of": 1}))
    with pytest.raises(UserError, match=r"newer version .* \(run schema 3, this one reads up to 2\): update"):
        Run(folder).manifest  # noqa: B018
    assert "newer version" in (list_runs(tmp_path)[0].problem or "")


def test_keys_of_later_minor_versions_are_ignored(tmp_path: Path) -> None:
    folder = run_folder.write_run(tmp_path)
    path = folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"unheard_of": 1}))
    assert Run(folder).manifest == run_folder.manifest()


class TestStatus:
    def test_of_a_live_worker_is_what_it_says(self, tmp_path: Path) -> None:
        writer = RunWriter.create(tmp_path, run_folder.manifest())
        writer.status(Status(state="running", message="loss 0.1"))
        status = Run(writer.folder).status
        assert (status.state, status.message, status.pid) == ("running", "loss 0.1", os.getpid())

    def _claim(self, folder: Path, **fields: object) -> Status:
        (folder / "status.json").write_text(json.dumps({"state": "running", "updated": now()} | fields))
        return Run(folder).status

    @pytest.mark.parametrize("state", ["queued", "running"])
    def test_of_a_dead_worker_is_failed(self, tmp_path: Path, state: str) -> None:
        folder = run_folder.write_run(tmp_path, tasks=1)
        with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
            claim = identity(process.pid)
            assert self._claim(folder, state=state, **claim).state == state
            process.kill()
            while process_started(process.pid) is not None:  # from here a zombie, which counts as dead
                time.sleep(0.01)
            assert self._claim(folder, state=state, **claim).state == "failed"
        status = self._claim(folder, state=state, **claim)
        assert status.state == "failed"
        assert status.message == "the worker stopped; resume with `python -m core train --resume a-run`"

    def test_of_a_process_number_given_out_again_is_failed(self, tmp_path: Path) -> None:
        folder = run_folder.write_run(tmp_path, tasks=1)
        mine = identity()
        assert self._claim(folder, **mine).state == "running"
        assert self._claim(folder, **mine | {"pid_started": mine["pid_started"] - 1}).state == "failed"
        assert self._claim(folder, pid=os.getpid()).state == "failed"
        assert self._claim(folder, pid=-1, pid_started=1.0).state == "failed"

    @pytest.mark.parametrize("text", [None, "", '{"state": "runn', "[]", '{"state": "asleep"}'])
    def test_that_cannot_be_read_is_failed(self, tmp_path: Path, text: str | None) -> None:
        folder = run_folder.write_run(tmp_path, tasks=1)
        (folder / "status.json").unlink()
        if text is not None:
            (folder / "status.json").write_text(text)
        assert Run(folder).status.state == "failed"

    def test_being_trained_by_another_process_stops_a_second_writer(self, tmp_path: Path) -> None:
        folder = run_folder.write_run(tmp_path, tasks=1)
        with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
            self._claim(folder, **identity(process.pid))
            with pytest.raises(UserError, match=f"being trained by process {process.pid}"):
                RunWriter.reopen(folder)
            process.kill()
        RunWriter.reopen(folder)

    def test_cancel_request_is_seen_and_cleared_on_resuming(self, tmp_path: Path) -> None:
        writer = RunWriter.reopen(run_folder.write_run(tmp_path, tasks=1))
        assert not writer.cancel_requested()
        (writer.folder / "cancel").touch()
        assert writer.cancel_requested()
        assert not RunWriter.reopen(writer.folder).cancel_requested()


class TestNames:
    @pytest.mark.parametrize("name", ["", ".", "..", "../a", "a/b", "/etc", "a\\b", ".hidden", "a\n", "a b", "x" * 121])
    def test_that_are_paths_are_refused(self, tmp_path: Path, name: str) -> None:
        run_folder.write_run(tmp_path / "runs")
        with pytest.raises(UserError, match="is not a run name"):
            find_run(tmp_path / "runs", name)
        with pytest.raises(UserError, match="is not a run name"):
            RunWriter.create(tmp_path / "runs", run_folder.manifest(name))

    @given(st.text(max_size=60), st.text(max_size=60))
    def test_made_from_anything_are_safe(self, method: str, stream: str) -> None:
        assert check_name(new_run_name(method, stream))

    def test_say_when_what_and_on_which(self) -> None:
        name = new_run_name("proteus", "/data/My Birds.zip")
        assert name[16:-5] == "proteus-my-birds-zip"
        assert len({new_run_name("a", "b") for _ in range(20)}) > 15

    def test_are_found_by_a_unique_beginning(self, tmp_path: Path) -> None:
        for name in ("red-one", "red-two", "blue"):
            run_folder.write_run(tmp_path, name)
        assert find_run(tmp_path, "b").name == "blue"
        assert find_run(tmp_path, "red-two").name == "red-two"
        with pytest.raises(UserError, match="short for 2 runs"):
            find_run(tmp_path, "red")
        with pytest.raises(UserError, match="Did you mean “blue”"):
            find_run(tmp_path, "blux")

    def test_that_begin_another_are_found_themselves(self, tmp_path: Path) -> None:
        for name in ("red", "red-two"):
            run_folder.write_run(tmp_path, name)
        assert find_run(tmp_path, "red").name == "red"

    def test_links_out_of_the_runs_folder_are_no_runs(self, tmp_path: Path) -> None:
        outside = run_folder.write_run(tmp_path / "elsewhere")
        (tmp_path / "runs").mkdir()
        (tmp_path / "runs" / "link").symlink_to(outside)
        assert list_runs(tmp_path / "runs") == []


def test_runs_are_listed_newest_first_with_the_unreadable_ones(tmp_path: Path) -> None:
    run_folder.write_run(tmp_path, "zz-old", seed=1)
    run_folder.write_run(tmp_path, "aa-new", seed=2)
    broken = run_folder.write_run(tmp_path, "broken", seed=3)
    (broken / "metrics.json").write_text("{")
    (tmp_path / "not-a-run").mkdir()
    listed = list_runs(tmp_path)
    assert [run.name for run in listed] == ["broken", "aa-new", "zz-old"]
    assert "metrics.json is damaged" in (listed[0].problem or "")
    assert list_runs(tmp_path / "nowhere") == []


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


@given(json_values)
def test_any_value_becomes_strict_json(value: object) -> None:
    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    json.loads(encode_json(value), parse_constant=refuse)


def test_numpy_values_become_plain_json() -> None:
    value = {"a": np.float32(0.5), "b": np.arange(2), "c": np.float64("nan"), 3: np.array([np.inf])}
    assert json.loads(encode_json(value)) == {"a": 0.5, "b": [0, 1], "c": None, "3": [None]}
