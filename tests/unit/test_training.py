"""Whole runs on the tiny backbone: deterministic, resumable after SIGKILL, complete, and honest about bad input."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import open_clip
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from core.config import RunConfig, validate
from core.errors import UserError
from core.methods import method_names
from core.runs import formats
from core.runs.evidence import read_evidence
from core.runs.jobs import format_toml
from core.runs.schema import LEFT_OUT, PREDICTION_COLUMNS
from core.runs.store import Run
from core.training import progress
from core.training.device import OVERRIDE, autocast, explained_precision, pick_device, pick_precision
from core.training.encoding import Encodings
from core.training.explaining import RunImages
from core.training.inference import predict_images
from core.training.run import resume_run, start_run
from tests.unit.learning import TRAINED

ROOT = Path(__file__).resolve().parents[2]


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Six easy classes of small pictures as class folders, with train and test."""
    root = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    patterns = rng.integers(0, 255, (6, 16, 16, 3))
    for split, count in (("train", 10), ("test", 4)):
        for label in range(6):
            target = root / split / f"class-{label}"
            target.mkdir(parents=True)
            for index in range(count):
                noisy = np.clip(patterns[label] + rng.normal(0, 25, (16, 16, 3)), 0, 255).astype(np.uint8)
                Image.fromarray(noisy).save(target / f"{index}.png")
    return root


def config(folder: Path, name="proteus", **sections) -> RunConfig:
    values = {
        "stream": {"name": str(folder), "tasks": 3},
        "backbone": {"name": "tiny"},
        "adapters": {"blocks": "last:2", "rank": 2, "first_rank": 3},
        "method": {"name": name},
        "training": {"epochs": 2, "batch_size": 8},
        "retrieval": {"features": "last:2"},
        "record": {"projection": False, "train_per_class": 3},
    }
    for name, section in sections.items():
        values[name] = {**values.get(name, {}), **section}
    return validate(RunConfig, values)


def train(folder, runs, name="proteus", **sections) -> Run:
    return Run(start_run(config(folder, name, **sections), runs, lambda status: None))


def outcome(run: Run) -> tuple:
    """All that two equal runs must agree on, bit for bit."""
    predictions = run.predictions().to_pydict()
    adapters = [run.task(task).adapter for task in range(3)]
    evidence = read_evidence(run)
    return (
        predictions,
        [{k: v.numpy().tobytes() for k, v in a.items()} for a in adapters],
        run.embeddings("frozen").tobytes(),
        None if evidence is None else {name: array.tobytes() for name, array in evidence.arrays().items()},
    )


@pytest.mark.parametrize("method", sorted(method_names()))
def test_every_method_leaves_a_complete_run(folder, tmp_path, method):
    statuses = []
    options = {"random_features": 64} if method == "ranpac" else {}
    settings = config(folder, method, method=options)
    run = Run(start_run(settings, tmp_path, statuses.append))
    assert run.status.state == "done" and run.status.fraction == 1 and statuses[-1].state == "done"
    metrics = run.metrics
    for key in ("final_accuracy", "final_accuracy_pooled", "task_aware_accuracy", "retrieval_accuracy", "seconds"):
        assert metrics[key] is not None
    for key in ("train_seconds", "peak_memory_bytes", "bytes_per_task", "flops_per_image", "milliseconds_per_image"):
        assert metrics[key] >= 0
    assert (metrics["forgetting"] is None) == (method == "joint")
    assert metrics["task_aware_accuracy"] >= metrics["final_accuracy"]
    predictions = run.predictions()
    assert predictions.schema.equals(PREDICTION_COLUMNS)
    assert predictions.num_rows == (24 if method == "joint" else 8 + 16 + 24)
    images = run.images().to_pydict()
    assert images["image"] == list(range(6 * 4 + 6 * 3)) and images["split"].count("train") == 18
    assert (run.folder / "sprites/000.webp").exists()
    assert run.embeddings("frozen").shape == (42, 32)
    assert not list((run.folder / "shared").iterdir()), "sums that only learning on would need are gone"
    events = [event["kind"] for event in run.events()]
    assert events[0] == "start" and events[-1] == "end" and "task" in events
    answers = predict_images(run.folder, [folder / "test/class-0/0.png"])
    at = run.manifest.class_names.index("class-0")
    assert answers[0]["class_name"] in run.manifest.class_names and len(answers[0]["scores"]) == 3
    row = next(r for r in predictions.to_pylist() if r["after_task"] == 2 and r["label"] == at)
    assert images["name"][row["image"]].endswith("0.png")
    assert answers[0]["class"] == row["predicted"] and answers[0]["task"] == row["retrieved_task"]
    assert [s["score"] for s in answers[0]["scores"]] == pytest.approx(row["scores"], rel=1e-3, abs=1e-2)
    evidence = answers[0]["classes"]
    assert bool(evidence) == (method in ("proteus", "taps")), "the others have one score a class"
    if evidence:
        assert evidence[0]["class"] == answers[0]["class"], "the parts add up to the answer"
        assert {entry["class"] for entry in evidence} == set(run.manifest.tasks[answers[0]["task"]].classes)
        for part in ("clusters", "adapter"):
            assert max(entry["parts"][part] for entry in evidence) == 0.0


def test_the_same_seed_gives_the_same_run_and_another_seed_another(folder, tmp_path, each_precision):
    one, two = train(folder, tmp_path / "1"), train(folder, tmp_path / "2")
    assert outcome(one) == outcome(two)
    other = Run(start_run(config(folder).model_copy(update={"seed": 1}), tmp_path / "3", lambda status: None))
    assert outcome(other)[1] != outcome(one)[1] and other.manifest.class_names != one.manifest.class_names


@pytest.mark.slow
def test_another_number_of_threads_changes_no_more_than_rounding(folder, tmp_path, each_precision):
    one = train(folder, tmp_path / "1")
    torch.set_num_threads(2)
    try:
        two = train(folder, tmp_path / "2")
    finally:
        torch.set_num_threads(1)
    assert two.manifest.hardware["threads"] == 2 and one.manifest.hardware["threads"] == 1
    scale = np.abs(one.embeddings("frozen").astype(float)).max()
    for space in ("frozen", "own"):
        apart = np.abs(one.embeddings(space).astype(float) - two.embeddings(space)).max()
        assert apart < 0.03 * scale, "a sum in another order, and what bfloat16 makes of it"
    for key in ("final_accuracy", "task_aware_accuracy"):
        assert two.metrics[key] == pytest.approx(one.metrics[key], abs=0.1)


def test_with_two_views_an_image_and_its_mirror_image_are_answered_alike(folder, tmp_path):
    original = folder / "test/class-0/0.png"
    with Image.open(original) as picture:
        picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(tmp_path / "mirrored.png")
    costs = {}
    for views in (1, 2):
        run = train(folder, tmp_path / str(views), "lda", retrieval={"views": views})
        one, other = predict_images(run.folder, [original, tmp_path / "mirrored.png"])
        scores = [[task["score"] for task in answer["scores"]] for answer in (one, other)]
        assert (scores[0] == pytest.approx(scores[1], rel=1e-4, abs=1e-3)) == (views == 2)
        costs[views] = run.metrics["flops_per_image"]
    assert costs[2] == pytest.approx(2 * costs[1], rel=1e-6), "the second view is counted"


def test_runs_that_share_their_frozen_passes_answer_as_they_do_alone(folder, tmp_path, each_precision):
    shared: Encodings = {}
    passes = []
    for index, (name, seed) in enumerate([("proteus", 0), ("proteus", 1), ("joint", 0), ("lda", 0)]):
        settings = config(folder, name).model_copy(update={"seed": seed})
        together = Run(start_run(settings, tmp_path / f"{index}", lambda status: None, encodings=shared))
        alone = Run(start_run(settings, tmp_path / f"{index}-alone", lambda status: None))
        assert outcome(together) == outcome(alone)
        passes.append({key: len(known.rows) for key, known in shared.items()})
    assert passes[0] == passes[-1] and len(shared) == 1 and set(passes[0].values()) == {6 * 14}, "each image once"


@pytest.mark.parametrize("views", [1, 2])
def test_where_tokens_are_kept_changes_nothing(folder, tmp_path, views, each_precision):
    memory, *others = (
        outcome(train(folder, tmp_path, training={"cache": cache}, retrieval={"views": views}))
        for cache in ("memory", "disk", "off")
    )
    assert all(other == memory for other in others)


@pytest.mark.parametrize("method", ["proteus", "sequential"])
def test_a_run_resumed_with_another_cache_ends_alike(folder, tmp_path, method, each_precision):
    whole = train(folder, tmp_path / "whole", method, training={"cache": "memory"})
    stopped = stop_and_resume(folder, tmp_path, method, 1, {"cache": "memory"}, changed={"cache": "off"})
    assert outcome(stopped) == outcome(whole)


def test_a_run_goes_on_in_the_precision_it_began_with(folder, tmp_path, monkeypatch):
    """Resumed on a machine where `auto` means the other one."""
    monkeypatch.setenv(OVERRIDE, "bfloat16")
    whole = train(folder, tmp_path / "whole")
    resumed = stop_and_resume(
        folder, tmp_path, "proteus", 1, {}, meanwhile=lambda: monkeypatch.setenv(OVERRIDE, "float32")
    )
    assert outcome(resumed) == outcome(whole)
    assert resumed.manifest.hardware["precision"] == "bfloat16"
    assert outcome(train(folder, tmp_path / "other")) != outcome(whole), "it would have been another run"


@pytest.mark.parametrize("method", sorted(set(method_names()) - {"lda", "ncm", "ranpac"}))
def test_heads_that_start_as_a_discriminant_answer_before_anything_is_trained(folder, tmp_path, method):
    def begun(start: str) -> Run:
        return train(
            folder,
            tmp_path,
            method,
            stream={"tasks": 2},
            training={"epochs": 0, "head_start": start},
            retrieval={"mode": "energy"},
        )

    told, zero = begun("discriminant"), begun("zero")
    accuracy = [run.predictions().to_pandas().eval("predicted_given_task == label").mean() for run in (told, zero)]
    assert accuracy[0] > 0.9 and accuracy[1] < 0.5, "three classes a task, and a head at zero names the first"


@pytest.mark.slow
@pytest.mark.parametrize("method", TRAINED)
def test_strength_is_how_much_of_a_trained_update_answers(folder, tmp_path, method):
    def run(strength: float, epochs: int = 4) -> Run:
        settings = {"adapters": {"strength": strength}, "training": {"epochs": epochs, "batch_size": 8}}
        return train(folder, tmp_path, method, stream={"tasks": 1}, **settings)

    def losses(run: Run) -> list[float]:
        return [event["loss"] for event in run.events() if event["kind"] == "loss"]

    frozen = run(1.0, epochs=0).embeddings("own")
    none, half, whole = run(0.0), run(0.5), run(1.0)
    assert np.array_equal(none.embeddings("own"), frozen), "at no strength the backbone answers"
    moved = [float(np.abs(each.embeddings("own").astype(float) - frozen).mean()) for each in (half, whole)]
    assert 0 < moved[0] < moved[1]
    assert losses(none) == losses(half) == losses(whole), "training does not ask for it"


def stop_and_resume(folder, tmp_path, method, after, training, *, changed=None, meanwhile=lambda: None) -> Run:
    """A run that is stopped while it learns task `after` and then goes on, its training settings `changed` between."""

    def stop(status):
        if status.phase == "train" and status.task == after:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        start_run(config(folder, method, training=training), tmp_path, stop, name="stopped")
    stopped = Run(tmp_path / "stopped")
    assert stopped.status.state == "cancelled" and stopped.finished_tasks() == after
    manifest = json.loads((stopped.folder / "manifest.json").read_text())
    manifest["config"]["training"] |= changed or {}
    (stopped.folder / "manifest.json").write_text(json.dumps(manifest))
    meanwhile()
    resumed = Run(resume_run(tmp_path / "stopped", lambda status: None))
    assert resumed.status.state == "done"
    return resumed


@pytest.mark.parametrize("method", ["proteus", "sequential", "lda", "selective-lora", "sd-lora", "taps"])
def test_a_run_stopped_between_tasks_resumes_to_the_same_end(folder, tmp_path, method, each_precision):
    training = {"head_start": "discriminant" if method in ("proteus", "sequential") else "zero"}
    whole = train(folder, tmp_path / "whole", method, training=training)
    for after in (1, 2):
        resumed = stop_and_resume(folder, tmp_path / f"after-{after}", method, after, training)
        assert outcome(resumed) == outcome(whole), after
        assert resumed.metrics["matrices"] == whole.metrics["matrices"]


def worker(config_file: Path, runs: Path, *extra: str) -> subprocess.Popen:
    command = [
        sys.executable,
        "-m",
        "core",
        "train",
        "--config",
        str(config_file),
        "--runs",
        str(runs),
        "--quiet",
        *extra,
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def in_the_middle_of(task: int, events: Path) -> bool:
    lines = events.read_text().splitlines() if events.exists() else []
    seen = [json.loads(line) for line in lines if line.endswith("}")]
    return any(event["kind"] == "loss" and event["task"] == task for event in seen)


@pytest.mark.slow
def test_sigkill_in_the_middle_of_a_task_then_resume_equals_the_uninterrupted_run(folder, tmp_path, each_precision):
    settings = config(folder, training={"epochs": 40})
    whole = Run(start_run(settings, tmp_path / "whole", lambda status: None))  # in this process: a start is seconds
    (tmp_path / "run.toml").write_text(format_toml(settings.model_dump(mode="json", exclude_none=True)))
    killed = worker(tmp_path / "run.toml", tmp_path / "killed", "--name", "run")
    deadline = time.monotonic() + 200
    while not in_the_middle_of(1, tmp_path / "killed/run/events.jsonl"):
        assert killed.poll() is None, killed.stderr.read()
        assert time.monotonic() < deadline, "the second task never began"
        time.sleep(0.02)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    left = Run(tmp_path / "killed/run")
    assert left.status.state == "failed" and "resume" in left.status.message, "a dead worker is not called running"
    assert 1 <= left.finished_tasks() < 3

    resumed = subprocess.run(
        [sys.executable, "-m", "core", "train", "--resume", "run", "--runs", str(tmp_path / "killed"), "--json"],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert resumed.returncode == 0, resumed.stderr
    assert json.loads(resumed.stdout.splitlines()[-1])["run"] == "run"
    assert outcome(Run(tmp_path / "killed/run")) == outcome(whole)


def test_resume_notices_changed_images(folder, tmp_path):
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)

    def stop(status):
        if status.phase == "train" and status.task == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        start_run(config(copy), tmp_path / "runs", stop, name="r")
    Image.new("RGB", (16, 16)).save(copy / "train/class-0/0.png")
    with pytest.raises(UserError, match="have changed"):
        resume_run(tmp_path / "runs/r", lambda status: None)


def test_a_finished_run_has_nothing_to_resume(folder, tmp_path):
    run = train(folder, tmp_path, "ncm")
    before = (run.folder / "metrics.json").read_bytes()
    assert resume_run(run.folder, lambda status: None) == run.folder
    assert (run.folder / "metrics.json").read_bytes() == before


def test_a_cancel_file_stops_the_run_and_keeps_what_is_finished(folder, tmp_path, monkeypatch):
    def cancel(status):
        if status.task == 1:
            (tmp_path / "r/cancel").touch()

    monkeypatch.setattr(progress, "_INTERVAL_S", 0.0)  # it looks for the file at every step, so tasks may be short
    start_run(config(folder), tmp_path, cancel, name="r")
    run = Run(tmp_path / "r")
    assert run.status.state == "cancelled" and run.finished_tasks() == 1


def test_joint_has_only_its_last_row(folder, tmp_path):
    metrics = train(folder, tmp_path, "joint").metrics
    matrix = metrics["matrices"]["class_incremental"]
    assert all(value is None for row in matrix[:2] for value in row) and all(v is not None for v in matrix[2])


def test_open_clip_checkpoint_trains_and_predicts(folder, tmp_path):
    settings = {
        "embed_dim": 24,
        "vision_cfg": {"image_size": 16, "layers": 3, "width": 48, "head_width": 12, "patch_size": 4},
        "text_cfg": {"context_length": 8, "vocab_size": 64, "width": 32, "heads": 2, "layers": 1},
    }
    (tmp_path / "little-clip.json").write_text(json.dumps(settings))
    open_clip.add_model_config(tmp_path / "little-clip.json")
    torch.manual_seed(0)
    torch.save(open_clip.create_model("little-clip").state_dict(), tmp_path / "little.pt")
    backbone = {"name": f"open_clip/{tmp_path / 'little-clip.json'}", "pretrained": str(tmp_path / "little.pt")}
    run = train(folder, tmp_path, backbone=backbone, adapters={"blocks": "last:2"})
    assert run.manifest.backbone.family == "open_clip" and run.metrics["task_aware_accuracy"] > 0.7
    assert predict_images(run.folder, [folder / "test/class-1/0.png"])[0]["task"] in (0, 1, 2)
    assert any(v.abs().sum() > 0 for k, v in run.task(0).adapter.items() if k.startswith("up.")), "adapters moved"


def test_adapters_move_the_embedding_and_the_frozen_space_does_not(folder, tmp_path):
    run = train(folder, tmp_path, training={"epochs": 5})
    assert not np.allclose(run.embeddings("own"), run.embeddings("frozen"), atol=1e-2)
    assert run.embeddings("whitened").shape[1] == 5, "six classes differ in five directions"


@pytest.mark.parametrize(("method", "mode"), [("proteus", "whitened"), ("proteus", "kmeans"), ("lda", "whitened")])
def test_kept_images_have_a_place_in_the_whitened_space_as_if_it_had_never_seen_them(folder, tmp_path, method, mode):
    run = train(folder, tmp_path, method, retrieval={"mode": mode})
    known, unseen = (run.embeddings(name).astype(float) for name in ("whitened", LEFT_OUT))
    images = run.images().to_pandas()
    trained = (images["split"] == "train").to_numpy()
    np.testing.assert_array_equal(known[~trained], unseen[~trained])
    labels = images["label"].to_numpy()
    centres = np.stack([known[trained & (labels == label)].mean(0) for label in range(6)])[labels]
    near, far = (np.linalg.norm(places - centres, axis=1)[trained].mean() for places in (known, unseen))
    assert near < far < 50 * near, "without itself an image lies farther from its class"


def test_a_run_of_one_model_has_no_such_place(folder, tmp_path):
    assert LEFT_OUT not in formats.names_of_arrays(train(folder, tmp_path, "joint").folder / "embeddings.npz")


def test_kept_training_images_are_spread_over_their_class_and_are_found_again(folder, tmp_path):
    """By their names, so also in the run of an earlier version, which kept the first ones."""
    run = train(folder, tmp_path, "lda")
    names = run.images()["name"].to_pylist()
    assert [Path(name).name for name in names[8:14]] == 2 * ["0.png", "3.png", "6.png"]
    assert RunImages(run).image(9).names == (names[9],)
    path = run.folder / "images.parquet"
    table = pq.read_table(path)
    names[9] = names[9].replace("3.png", "1.png")
    pq.write_table(table.set_column(table.column_names.index("name"), "name", pa.array(names)), path)
    assert RunImages(Run(run.folder)).image(9).names == (names[9],)


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"method": {"name": "protheus"}}, "proteus"),
        ({"method": {"name": "proteus", "transfr": 1}}, "transfer"),
        ({"backbone": {"name": "tinny"}}, "tiny"),
        ({"adapters": {"blocks": "last:9"}}, "4 blocks"),
        ({"retrieval": {"features": "first"}}, "final or last:N"),
        ({"stream": {"name": "split-digit"}}, "split-digits"),
        ({"stream": {"name": "/no/such/folder"}}, "/no/such/folder"),
        ({"training": {"device": "cuda"}}, "CUDA"),
        ({"training": {"device": "gpu9"}}, "auto, cpu, cuda"),
    ],
)
def test_bad_settings_are_one_clear_line_and_leave_no_folder(folder, tmp_path, sections, message):
    if sections.get("training", {}).get("device") == "cuda" and torch.cuda.is_available():
        pytest.skip("this machine has CUDA")
    with pytest.raises(UserError, match=message) as caught:
        train(folder, tmp_path / "runs", **sections)
    assert "\n" not in str(caught.value) and not (tmp_path / "runs").exists()


def test_an_unknown_key_names_the_nearest():
    with pytest.raises(UserError, match="epochs"):
        validate(RunConfig, {"training": {"epoch": 3}})
    with pytest.raises(UserError, match=r"training\.epochs"):
        validate(RunConfig, {"training": {"epochs": -1}})


@pytest.mark.parametrize(("instructions", "precision"), [({}, "float32"), ({"amx_bf16": True}, "bfloat16")])
@pytest.mark.parametrize("said", [None, "", "auto"])
def test_precision_follows_the_processor_not_the_moment(monkeypatch, instructions, precision, said):
    monkeypatch.delenv(OVERRIDE) if said is None else monkeypatch.setenv(OVERRIDE, said)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: instructions, raising=False)
    assert pick_precision("auto", torch.device("cpu")) == precision


def test_the_environment_says_what_auto_means_and_nothing_else(monkeypatch):
    for processor in ({}, {"avx512_bf16": True}):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda found=processor: found, raising=False)
        for name in ("float32", "bfloat16"):
            monkeypatch.setenv(OVERRIDE, name)
            assert explained_precision("auto", torch.device("cpu")) == (name, f"{OVERRIDE} asks for it")
            other = "bfloat16" if name == "float32" else "float32"
            assert explained_precision(other, torch.device("cpu")) == (other, "the configuration asks for it")
    monkeypatch.setenv(OVERRIDE, "half")
    with pytest.raises(UserError, match="set it to float32, bfloat16 or auto"):
        pick_precision("auto", torch.device("cpu"))


def test_a_run_says_its_precision_and_why(folder, tmp_path, each_precision):
    found = train(folder, tmp_path, "ncm").manifest.hardware
    assert found["precision"] == each_precision and found["precision_reason"] == f"{OVERRIDE} asks for it"


def test_precision_and_device():
    assert pick_device("auto").type in ("cpu", "cuda") and pick_device("cpu").type == "cpu"
    assert pick_precision("float32", torch.device("cpu")) == "float32"
    with autocast(torch.device("cpu"), "bfloat16"):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.bfloat16
    with autocast(torch.device("cpu"), "float32"):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32


def test_training_in_bfloat16_gives_nearly_the_same(folder, tmp_path):
    exact = train(folder, tmp_path, training={"precision": "float32"}).metrics
    rough = train(folder, tmp_path / "b", training={"precision": "bfloat16"}).metrics
    assert rough["task_aware_accuracy"] == pytest.approx(exact["task_aware_accuracy"], abs=0.1)


def test_parquet_files_are_whole(folder, tmp_path):
    run = train(folder, tmp_path, "lda")
    for name in ("predictions", "images"):
        assert pq.read_table(run.folder / f"{name}.parquet").num_rows > 0


@pytest.mark.slow
def test_corrupt_image_in_a_zip_is_skipped_and_reported(folder, tmp_path):
    import zipfile

    path = tmp_path / "pictures.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.rglob("*.png")):
            archive.write(file, file.relative_to(folder))
        archive.writestr("train/class-0/broken.png", b"not a picture")
    run = train(path, tmp_path / "runs", "ncm")
    report = run.manifest.stream_report
    assert report["skipped_count"] == 1 and "broken.png" in str(report["skipped"][0])
