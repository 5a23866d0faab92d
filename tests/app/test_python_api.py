"""The Python API says what the run folder, the command line and the app say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import proteus_lab as lab
from app.figures.accuracy import matrix
from core.runs.schema import IMAGE_COLUMNS, PREDICTION_COLUMNS
from tests.unit.run_folder import write_run

ROOT = Path(__file__).resolve().parents[2]
DEMO = "proteus-split-digits"
TINY = {
    "stream": {"name": "split-digits", "train_per_class": 6, "test_per_class": 3},
    "backbone.name": "tiny",
    "method.name": "proteus",
    "training.epochs": 1,
    "record.projection": False,
}
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def demo() -> lab.Run:
    return lab.Run.open(DEMO)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[lab.Run, list[dict]]:
    """A run of the tiny backbone, and what was told of it on the way."""
    told: list[dict] = []
    runs = tmp_path_factory.mktemp("runs")
    return lab.train(TINY, runs=runs, name="tiny", title="Small", on_event=told.append, progress=False), told


class TestFinding:
    def test_a_run_is_opened_by_name_by_beginning_and_by_folder(self, tmp_path: Path) -> None:
        folder = write_run(tmp_path, "some-run")
        for name in ("some-run", "some", folder, str(folder)):
            assert lab.Run.open(name, runs=tmp_path).folder == folder

    def test_ones_own_run_goes_before_a_recorded_one_of_its_name(self, tmp_path: Path) -> None:
        assert lab.Run.open(DEMO, runs=tmp_path).folder == lab.RECORDED_RUNS / DEMO
        write_run(tmp_path, DEMO)
        assert lab.Run.open(DEMO, runs=tmp_path).folder == tmp_path / DEMO

    def test_what_is_not_there_is_said_as_on_the_command_line(self, tmp_path: Path) -> None:
        write_run(tmp_path, "some-run")
        with pytest.raises(lab.UserError, match="Did you mean “some-run”"):
            lab.Run.open("sone-run", runs=tmp_path)

    def test_a_list_has_damaged_runs_too_and_they_say_why(self, tmp_path: Path) -> None:
        write_run(tmp_path, "good")
        (write_run(tmp_path, "bad", seed=1) / "manifest.json").write_text("{")
        said = {run.name: repr(run) for run in lab.Run.list(tmp_path)}
        assert "damaged" in said["bad"] and "accuracy 0.625" in said["good"]
        assert all("<b>" in run._repr_html_() for run in lab.Run.list(tmp_path))


class TestTables:
    def test_predictions_are_the_table_with_names_beside_it(self, demo: lab.Run) -> None:
        frame, table = demo.predictions, demo.stored.predictions()
        assert list(frame.columns[: len(PREDICTION_COLUMNS)]) == PREDICTION_COLUMNS.names
        assert len(frame) == len(table)
        last = frame[frame.after_task == len(demo.tasks) - 1]
        assert last.right.mean() == pytest.approx(demo.metrics["final_accuracy_pooled"])
        assert (last.class_name == last.answer).equals(last.right)

    def test_images_embeddings_and_map_have_the_same_rows(self, demo: lab.Run) -> None:
        assert list(demo.images.columns[: len(IMAGE_COLUMNS)]) == IMAGE_COLUMNS.names
        assert {len(demo.embeddings(space)) for space in demo.spaces} == {len(demo.images)}
        first, last = demo.map(after_task=0), demo.map()
        assert set(first.task) == {0} and len(last) == len(demo.images)
        assert np.isfinite(last[["x", "y"]]).all(axis=None)

    @pytest.mark.parametrize("space", ["nowhere", "frozn"])
    def test_a_space_that_is_not_there_is_named(self, demo: lab.Run, space: str) -> None:
        for ask in (demo.embeddings, demo.map):
            with pytest.raises(lab.UserError, match=space):
                ask(space)

    def test_matrices_are_those_of_the_metrics(self, demo: lab.Run) -> None:
        for frame, kind in ((demo.accuracy, "class_incremental"), (demo.task_aware, "task_aware")):
            kept = np.array(demo.metrics["matrices"][kind], dtype=float)
            np.testing.assert_array_equal(frame.to_numpy(), kept)
            assert list(frame.columns) == list(frame.index) == demo.tasks
        assert demo.accuracy.iloc[-1].mean() == pytest.approx(demo.metrics["final_accuracy"])

    def test_an_unfinished_run_says_what_it_lacks(self, tmp_path: Path) -> None:
        run = lab.Run(lab.store.Run(write_run(tmp_path, tasks=1)))
        assert len(run.predictions) == 4
        with pytest.raises(lab.UserError, match="cancelled"):
            _ = run.accuracy


class TestShowing:
    def test_figures_are_plotlys_and_the_apps(self, demo: lab.Run) -> None:
        figure = demo.figures.accuracy()
        theirs = matrix(demo.measured("class_incremental"), demo.tasks, "light")
        assert figure.to_plotly_json()["data"][0]["customdata"] == theirs["data"][0]["customdata"]
        made = demo.figures
        assert made.curves().data and made.oracle().data and made.blocks().data and made.blocks(0, "dark").data
        assert len(lab.curves(demo, lab.Run.open("lda-split-digits")).data) == 2

    def test_a_run_without_adapters_or_without_that_task_has_no_blocks(self, demo: lab.Run) -> None:
        with pytest.raises(lab.UserError, match="adapts no block"):
            lab.Run.open("lda-split-digits").figures.blocks()
        with pytest.raises(lab.UserError, match="no task 7"):
            demo.figures.blocks(7)

    def test_a_mistake_is_explained_with_its_images(self, demo: lab.Run) -> None:
        answers = demo.predictions
        lost = answers[(answers.after_task == 4) & (answers.retrieved_task != answers.task)].iloc[0]
        found = demo.explain(lost.image)
        assert found.answer.verdict == "wrong task" and "It was sent to" in found.sentence
        assert found.gaps.iloc[0].gap == 0 and found.gaps.set_index("task").true.sum() == 1
        assert found._repr_html_().count("<img") == 1 + sum(len(near.images) for near in found.near)

    def test_names_are_never_markup(self, tmp_path: Path) -> None:
        run = lab.Run(lab.store.Run(write_run(tmp_path, title="<script>alert(1)</script>")))
        assert "<script" not in run._repr_html_()

    def test_an_image_that_was_not_asked_about_is_said(self, demo: lab.Run) -> None:
        with pytest.raises(lab.UserError, match="no test image"):
            demo.explain(10**6)

    def test_other_retrieval_answers_as_the_command_line_does(self, demo: lab.Run) -> None:
        found = demo.what_if(mixture="means")
        assert found.shares.loc["accuracy", "as trained"] == pytest.approx(demo.metrics["final_accuracy_pooled"])
        assert found.confusion.to_numpy().sum() == len(found.images)
        assert found.images.right.mean() == found.shares.loc["accuracy", "what if"]
        with pytest.raises(lab.UserError, match="unknown key “mixtur”"):
            demo.what_if(mixtur="means")

    def test_differences_come_first(self, demo: lab.Run) -> None:
        frame = lab.compare(demo, lab.Run.open("lda-split-digits"))
        assert frame.index[0] == ("setting", "method.name") and list(frame.iloc[0]) == ["proteus", "lda"]
        assert ("number", "final_accuracy") in frame.index
        with pytest.raises(lab.UserError, match="two runs"):
            lab.compare(demo)


class TestTraining:
    def test_a_finished_run_comes_back_and_events_were_told_in_order(self, trained: tuple[lab.Run, list[dict]]) -> None:
        run, told = trained
        assert run.status.state == "done" and run.manifest.title == "Small"
        kept = [event for event in told if event["kind"] != "progress"]
        assert kept == run.stored.events()
        fractions = [event["fraction"] for event in told if event["kind"] == "progress"]
        assert fractions == sorted(fractions) and fractions[-1] == 1
        assert {"task", "step", "loss"} <= set(run.losses.columns)

    def test_pictures_are_answered_alike_however_they_are_given(
        self, trained: tuple[lab.Run, list[dict]], tmp_path: Path
    ) -> None:
        run, _ = trained
        picture = run.thumbnail(0)
        picture.save(tmp_path / "a.png")
        said = run.predict([tmp_path / "a.png", picture, np.asarray(picture)])
        assert said.drop(columns="image").round(3).drop_duplicates().shape[0] == 1
        assert list(said.image) == [str(tmp_path / "a.png"), "image 2", "image 3"]
        assert len(run.predict(picture)) == len(run.predict(tmp_path / "a.png")) == 1
        assert run.explain(picture).answer.verdict == "unknown"

    def test_what_is_no_picture_is_said(self, trained: tuple[lab.Run, list[dict]], tmp_path: Path) -> None:
        run, _ = trained
        for wrong in (np.zeros((8, 8), np.float32), np.zeros((2, 8, 8, 3), np.uint8), tmp_path / "none.png"):
            with pytest.raises(lab.UserError):
                run.predict(wrong)
        assert len(run.predict(Image.new("RGBA", (9, 5)))) == 1

    def test_wrong_keys_are_said_before_anything_begins(self, tmp_path: Path) -> None:
        with pytest.raises(lab.UserError, match="Did you mean “epochs”"):
            lab.train({"training.epoch": 1}, runs=tmp_path)
        with pytest.raises(lab.UserError, match="leave the other arguments out"):
            lab.train(TINY, resume="x", runs=tmp_path)
        assert not list(tmp_path.iterdir())

    def test_an_interrupted_training_is_resumed(self, trained: tuple[lab.Run, list[dict]], tmp_path: Path) -> None:
        def stop(event: dict) -> None:
            if event["kind"] == "task" and event["task"] == 1:
                raise KeyboardInterrupt

        with pytest.raises(lab.UserError, match="2 of 5 tasks are finished; go on with `train\\(resume='half'\\)`"):
            lab.train(TINY, runs=tmp_path, name="half", on_event=stop, progress=False)
        again = lab.train(resume="half", runs=tmp_path, progress=False)
        assert again.accuracy.equals(trained[0].accuracy)

    def test_a_run_goes_out_and_comes_in(self, trained: tuple[lab.Run, list[dict]], tmp_path: Path) -> None:
        run, _ = trained
        found = lab.import_run(run.export(tmp_path / "a.zip"), runs=tmp_path / "runs")
        assert found.accuracy.equals(run.accuracy)


def test_importing_it_loads_nothing_heavy() -> None:
    heavy = ("torch", "sklearn", "pandas", "plotly", "streamlit", "umap", "timm")
    code = f"import sys, proteus_lab; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"
