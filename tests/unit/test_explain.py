"""`python -m core explain` and what it stands on: images of a run found again, both sides chosen, files and errors."""

from __future__ import annotations

import json
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import proteus_lab as lab
from app.workers.answer_images import answer
from core.cli import main
from core.config import RunConfig, validate
from core.errors import UserError
from core.heatmap import AGAINST, OWN, draw
from core.runs.evidence import Evidence, evidence_file, read_evidence
from core.runs.store import Run
from core.training.explaining import RunImages, explain
from core.training.inference import load_model
from core.training.run import start_run

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six classes of small noisy pictures as class folders."""
    root = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    patterns = rng.integers(0, 255, (6, 16, 16, 3))
    for split, count in (("train", 10), ("test", 5)):
        for label in range(6):
            (root / split / f"class-{label}").mkdir(parents=True)
            for index in range(count):
                noisy = np.clip(patterns[label] + rng.normal(0, 110, (16, 16, 3)), 0, 255).astype(np.uint8)
                Image.fromarray(noisy).save(root / split / f"class-{label}/{index}.png")
    return root


def trained(pictures: Path, runs: Path, name: str, method: str = "proteus", **retrieval: object) -> Run:
    values = {
        "stream": {"name": str(pictures), "tasks": 3},
        "backbone": {"name": "tiny"},
        "adapters": {"blocks": "last:2", "rank": 2, "first_rank": 3},
        "method": {"name": method},
        "training": {"epochs": 1, "batch_size": 8},
        "retrieval": {"features": "last:2", **retrieval},
        "record": {"projection": False, "train_per_class": 2},
    }
    return Run(start_run(validate(RunConfig, values), runs, lambda status: None, name=name))


@pytest.fixture(scope="module")
def run(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return trained(pictures, tmp_path_factory.mktemp("runs"), "a-run")


def final(run: Run) -> list[dict]:
    return [row for row in run.predictions().to_pylist() if row["after_task"] == 2]


def test_a_runs_images_are_found_again_by_their_numbers(run: Run) -> None:
    found = RunImages(run)
    for row in run.images().to_pylist():
        image = found.image(row["image"])
        assert image.names == (row["name"],) and image.labels.tolist() == [row["label"]]
    with pytest.raises(UserError, match="There is no image 99 in run a-run: it has 0 to 41"):
        found.image(99)


def test_the_explanation_of_a_test_image_is_what_the_run_recorded(run: Run) -> None:
    model, images, kept = load_model(run.folder), RunImages(run), read_evidence(run)
    assert kept is not None
    for row in final(run)[::7]:
        recorded, found = kept.of(row["image"]), explain(model, images, row["image"])
        assert recorded is not None
        evidence = found.evidence
        assert (evidence.own, evidence.against) == (recorded.own, recorded.against)
        assert evidence.difference == pytest.approx(recorded.difference, abs=1e-2)
        assert evidence.patches == pytest.approx(recorded.patches, abs=2e-2)
        assert evidence.occluded_part == "adapter" and evidence.occluded.shape == (4, 4)
        assert found.pixels.shape == (16, 16, 3) and found.attention["frozen"].shape == (2, 4, 4)


def test_a_new_picture_is_compared_with_the_runner_up_or_as_asked(run: Run, pictures: Path) -> None:
    model = load_model(run.folder)
    path = pictures / "test/class-0/0.png"
    said = model.answer([path])[0]
    ranked = sorted(said["scores"], key=lambda entry: -entry["score"])
    found = explain(model, None, path)
    assert [found.evidence.own, found.evidence.against] == [ranked[0]["task"], ranked[1]["task"]]
    assert found.evidence.difference == pytest.approx(said["margin"], abs=1e-3)
    asked = explain(model, None, path, against=ranked[2]["task"])
    assert asked.evidence.against == ranked[2]["task"] and asked.evidence.difference > found.evidence.difference
    with pytest.raises(UserError, match="compared with itself: name another task"):
        explain(model, None, path, against=said["task"])
    classes = explain(model, None, path, kind="class").evidence
    assert classes.own == said["class"] and classes.against in run.manifest.tasks[said["task"]].classes
    assert classes.total == pytest.approx(classes.difference, abs=1e-3)


@pytest.mark.parametrize(("method", "retrieval"), [("sequential", {}), ("proteus", {"mode": "likelihood"})])
def test_methods_without_a_whitened_space_are_explained_by_occlusion(pictures, tmp_path, method, retrieval) -> None:
    other = trained(pictures, tmp_path, "other", method, **retrieval)
    found = explain(load_model(other.folder), RunImages(other), 3)
    assert found.evidence.how == "occlusion" and found.evidence.occluded_part == "difference"
    assert "occlusion" in found.sentence and found.evidence.heat.shape == (4, 4)
    assert main(["explain", "other", "--all", "--runs", str(tmp_path)]) == 2


def test_a_final_embedding_has_no_patches_and_is_shown_by_occlusion_beside_its_exact_sum(pictures, tmp_path) -> None:
    other = trained(pictures, tmp_path, "other", "lda", features="final")
    evidence = explain(load_model(other.folder), RunImages(other), 3).evidence
    assert evidence.how == "exact" and evidence.total == pytest.approx(evidence.difference, abs=1e-3)
    assert evidence.patches.size == 0 and evidence.occluded_part == "difference" and evidence.heat.shape == (4, 4)


def test_the_command_prints_and_writes(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["explain", "a-run", "4", "--runs", str(run.folder.parent), "--to", str(tmp_path / "out")]
    assert main(words) == 0
    said = capsys.readouterr().out
    assert "block 3" in said and "block 4" in said and "first task's adapter" in said and " nats." in said
    document = json.loads((tmp_path / "out/a-run-4.json").read_text())
    parts = sum(document["class_tokens"]) + sum(document["block_patches"])
    parts += sum(document[term] for term in ("weights", "others", "adapter", "head"))
    assert parts == pytest.approx(document["difference"], abs=1e-3) and document["sentence"] in said
    with Image.open(tmp_path / "out/a-run-4.png") as picture:
        assert picture.format == "PNG" and picture.width > 800
    assert main([*words, "--json", "--against", "3"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["against"] == 2 and told["files"][0].endswith("a-run-4.png")
    by_name = run.manifest.tasks[2].name
    assert main([*words, "--json", "--against", by_name]) == 0
    assert json.loads(capsys.readouterr().out)["difference"] == pytest.approx(told["difference"], abs=1e-6)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["99"], "There is no image 99"),
        (["nowhere.png"], "There is no image at nowhere.png"),
        (["4", "--against", "nothing"], "Unknown task “nothing”"),
        (["4", "--against", "4"], "Unknown task “4”"),
        (["4", "--classes", "--against", "zebra"], "Unknown class “zebra”"),
        ([], "Name one image"),
        (["4", "--all"], "Name one image"),
        (["{text}"], "cannot be read"),
        (["4", "--to", "{text}"], "cannot be written"),
    ],
)
def test_errors_are_one_line(run: Run, tmp_path: Path, capsys, words: list[str], said: str) -> None:
    text = tmp_path / "text.txt"
    text.write_text("no image")
    given = [word.replace("{text}", str(text)) for word in words]
    to = [] if "--to" in given else ["--to", str(tmp_path)]
    assert main(["explain", "a-run", *given, *to, "--runs", str(run.folder.parent)]) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1


def test_evidence_can_be_added_to_a_run_that_has_none(pictures: Path, tmp_path: Path, capsys) -> None:
    older = trained(pictures, tmp_path, "older")
    before = read_evidence(older)
    evidence_file(older).unlink()
    assert main(["explain", "older", "--all", "--runs", str(tmp_path)]) == 0
    assert "Evidence of 30 test images" in capsys.readouterr().out
    after = read_evidence(older)
    assert before is not None and after is not None and after.image.tolist() == before.image.tolist()
    assert after.difference == pytest.approx(before.difference, abs=1e-2)
    assert after.patches == pytest.approx(before.patches, abs=2e-2)


def test_images_that_have_changed_are_not_explained(pictures: Path, tmp_path: Path) -> None:
    mine = tmp_path / "pictures"
    for path in pictures.rglob("*.png"):
        (mine / path.relative_to(pictures)).parent.mkdir(parents=True, exist_ok=True)
        (mine / path.relative_to(pictures)).write_bytes(path.read_bytes())
    changed = trained(mine, tmp_path / "runs", "changed", "lda")
    Image.new("RGB", (16, 16)).save(mine / "test/class-0/0.png")
    with pytest.raises(UserError, match="have changed since"):
        RunImages(changed).image(0)


def test_the_apps_process_explains_too(run: Run, pictures: Path) -> None:
    question = {"run": str(run.folder), "image": 4, "explain": {"against": None}}
    told = json.loads(json.dumps(answer(question)))
    assert told["image"] == 4 and told["picture"].startswith("data:image/png;base64,")
    evidence = Evidence.from_document(told)
    assert evidence.total == pytest.approx(evidence.difference, abs=1e-3)
    assert np.array(told["attention"]["adapted"]).shape == (2, 4, 4)
    path = pictures / "test/class-1/1.png"
    other = answer({"run": str(run.folder), "image": str(path), "explain": {"kind": "class"}})
    assert other["image"] == "1.png" and other["kind"] == "class"
    assert answer({"run": str(run.folder), "image": str(path)})["class_name"] in run.manifest.class_names


def test_python_has_it_too(run: Run) -> None:
    mine = lab.Run(run)
    assert mine.evidence is not None and mine.evidence.of(4) is not None
    found = mine.evidence_in(4)
    assert found.evidence.own == mine.evidence.of(4).own
    assert Image.open(BytesIO(found._repr_png_())).format == "PNG"
    assert mine.evidence_in(np.zeros((20, 30), np.uint8)).name == "image 1"


def test_blue_is_for_the_first_side_and_orange_for_the_second() -> None:
    patches = np.zeros((2, 2))
    patches[0, 0], patches[1, 1] = 3.0, -3.0
    nothing = np.zeros(1)
    evidence = Evidence("exact", "task", 0, 1, 0, 0, 0.0, 0.0, 0.0, 0.0, 0.0, np.array([3]), nothing, nothing, patches)
    drawn = np.asarray(draw(np.full((16, 16, 3), 128, np.uint8), evidence, "a", "b" * 60)).astype(int)
    left, top = 448 + 2 * 16, 16
    for row, column, colour in ((20, 20, OWN), (428, 428, AGAINST)):
        found = drawn[top + row, left + column]
        assert np.argmax(found) == np.argmax(colour) and np.abs(found - np.array(colour)).max() < 45
    assert np.ptp(drawn[top + 20, left + 428]) < 12, "a patch that says nothing stays grey"


def test_torch_is_not_needed_to_read_evidence(run: Run) -> None:
    import subprocess
    import sys

    code = (
        "import sys; from pathlib import Path; from core.runs.evidence import read_evidence;"
        "from core.runs.saying import sentence;"
        "from core.runs.store import Run;"
        f"found = read_evidence(Run(Path({str(run.folder)!r})));"
        "print(sentence(found.of(4), 'a', 'b')); assert 'torch' not in sys.modules"
    )
    assert " nats" in subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
