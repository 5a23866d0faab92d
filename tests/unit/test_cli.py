"""The command line: what scripts read, what people read, and how mistakes are answered."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from core import flags, listing
from core.cli import main
from core.errors import UserError
from core.failures import guarded
from core.runs.liveness import identity
from core.runs.schema import Status
from core.runs.store import Run
from core.terminal import progress, seconds, size
from tests.unit import run_folder
from tests.unit.interrupts import HEED_INTERRUPTS

ROOT = Path(__file__).resolve().parents[2]
QUICK = [
    *("--backbone", "tiny", "--stream", "split-digits", "--method", "lda", "--image-size", "32"),
    *("--train-per-class", "6", "--test-per-class", "3", "--set", "record.projection=false"),
]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A done run, a stopped one, and a damaged one; not to be changed."""
    folder = tmp_path_factory.mktemp("runs")
    run_folder.write_run(folder, "first", seed=1, title="First try")
    run_folder.write_run(folder, "second", seed=2, tasks=1, title="Second try")
    broken = run_folder.write_run(folder, "damaged", seed=3)
    (broken / "manifest.json").write_text("{")
    return folder


def _error(capsys: pytest.CaptureFixture[str], *arguments: str, status: int = 2) -> str:
    """The one line on stderr of a command that goes wrong, and prints nothing else."""
    assert main(arguments) == status
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    return err


def _module(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "core", *arguments]
    return subprocess.run(
        command, cwd=ROOT, env=os.environ | environment, capture_output=True, text=True, check=False, timeout=60
    )


class TestList:
    def test_imports_nothing_heavy(self, runs: Path) -> None:
        program = (
            "import sys; sys.argv = ['core', 'list', '--runs', sys.argv[1]]\n"
            "from core.__main__ import main; assert main() == 0\n"
            "heavy = {'torch', 'timm', 'open_clip', 'sklearn', 'umap', 'pyarrow', 'pydantic', 'numpy', 'typer'}\n"
            "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
        )
        done = subprocess.run(
            [sys.executable, "-c", program, str(runs)], cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        for word in ("split-fashion", "split-digits", "dinov2-s14", "proteus", "first"):
            assert word in done.stdout

    def test_json_of_each_list(self, runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["list", "--json", "--runs", str(runs)]) == 0
        every = json.loads(capsys.readouterr().out)
        assert set(every) == set(listing.LISTS)
        for kind in listing.LISTS:
            assert main(["list", kind, "--json", "--runs", str(runs)]) == 0
            assert json.loads(capsys.readouterr().out) == every[kind]
        assert [row["run"] for row in every["runs"]][-2:] == ["second", "first"]
        assert {row["run"]: row["final_accuracy"] for row in every["runs"]}["first"] == 0.625
        assert {row["run"]: bool(row["problem"]) for row in every["runs"]} == {
            "first": False, "second": False, "damaged": True,
        }  # fmt: skip

    def test_the_quick_way_and_the_usual_way_print_the_same(
        self, runs: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        quick = _module("list", "runs", PROTEUS_RUNS=str(runs), PYTHONIOENCODING="utf-8")
        assert main(["list", "runs", "--runs", str(runs)]) == 0
        assert quick.stdout == capsys.readouterr().out
        assert (quick.returncode, quick.stderr) == (0, "")

    @pytest.mark.parametrize("words", [["list", "--help"], ["list", "strems"], ["list", "--runs"], ["list", "a", "b"]])
    def test_what_needs_an_explanation_is_not_quick(self, words: list[str]) -> None:
        assert listing.quick(words) is None

    def test_of_runs_shows_states_and_problems(self, runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["list", "runs", "--runs", str(runs)]) == 0
        out = capsys.readouterr().out
        assert "cancelled" in out
        assert "0.625" in out
        assert "manifest.json is damaged" in out

    def test_of_no_runs_names_the_next_step(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["list", "runs", "--runs", str(tmp_path)]) == 0
        assert "python -m core train" in capsys.readouterr().out

    def test_into_a_closed_pipe_is_silent(self, runs: Path) -> None:
        command = [sys.executable, "-m", "core", "list", "--runs", str(runs)]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            process.stdout.close()
            assert process.stderr.read() == b""


class TestMistakes:
    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (["trian"], "Did you mean 'train'"),
            (["train", "--methd", "lda"], "--method"),
            (["train", "--tasks", "many"], "--tasks"),
            (["train", "--tasks", "0"], "“stream.tasks” is 0"),
            (["train", "--task-by", "colour"], "“stream.task_by” is 'colour'"),
            (["train", "--retrieval", "magic"], "“retrieval.mode” is 'magic'"),
            (["train", "--set", "retrieval.componets=3"], "Did you mean “components”"),
            (["train", "--set", "retrieval.components"], "is not KEY.PATH=VALUE"),
            (["train", "--set", "=3"], "is not KEY.PATH=VALUE"),
            (["train", "--config", "nowhere.toml"], "No configuration file at nowhere.toml"),
            (["train", "--name", "../up"], "is not a run name"),
            (["train", "--resume", "x", "--epochs", "3"], "leave the other flags out"),
            (["train", "--resume", "none"], "No run “none”"),
            (["list", "strems"], "Did you mean “streams”"),
            (["show", "nothing"], "No run “nothing”"),
            (["show", "../first"], "is not a run name"),
            (["show", "damaged"], "manifest.json is damaged"),
            (["show"], "Missing argument 'RUN'"),
            (["compare", "first"], "needs two runs or more"),
            (["predict", "first", "no.png"], "There is no image at no.png"),
            (["fetch", "no-such-model"], "Unknown backbone “no-such-model”"),
            (["export", "first", "--to", "/proc/none/x.zip"], "cannot be written"),
            (["import", "nowhere.zip"], "There is no file at nowhere.zip"),
        ],
    )
    def test_are_one_line_that_helps(
        self, runs: Path, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:  # fmt: skip
        monkeypatch.setenv("PROTEUS_RUNS", str(runs))
        line = _error(capsys, *arguments)
        assert line.startswith("error: ")
        assert said in line

    def test_show_their_traceback_only_when_asked(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        for arguments in (["--debug", "show", "x"], ["show", "x", "--debug"]):
            assert main([*arguments, "--runs", str(tmp_path)]) == 2
            err = capsys.readouterr().err
            assert "Traceback" in err
            assert err.splitlines()[-1].startswith("error: No run “x”")

    @pytest.mark.parametrize(
        ("error", "status", "said"),
        [
            (UserError("two\nlines"), 2, "error: two lines"),
            (MemoryError(), 2, "error: out of memory: use a smaller --batch-size"),
            (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), 2, "error: out of memory"),
            (RuntimeError("can't start new thread"), 2, "error: out of memory"),
            (OSError(28, "No space left on device"), 2, "error: The disk is full"),
            (PermissionError(13, "Permission denied", "x.json"), 2, "error: x.json: Permission denied."),
            (KeyError("k"), 1, "error: KeyError: 'k'. This is a defect"),
            (KeyboardInterrupt(), 130, "cancelled"),
        ],
    )
    def test_of_every_kind_end_in_one_line(
        self, error: BaseException, status: int, said: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        def fail() -> None:
            raise error

        assert guarded(fail) == status
        err = capsys.readouterr().err
        assert err.startswith(said)
        assert err.count("\n") == 1

    def test_no_words_at_all_show_the_help(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main([]) == 0
        out = capsys.readouterr().out
        for verb in ("train", "list", "show", "compare", "predict", "fetch", "export", "import"):
            assert f"\n  {verb} " in out


class TestShow:
    def test_prints_what_ran_and_how_it_went(self, runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["show", "fir", "--runs", str(runs)]) == 0
        out = capsys.readouterr().out
        for word in ("First try", "2 of 2 finished", "final accuracy", "0.625", "1 min 15 s", "2.0 kB", "task 1"):
            assert word in out

    def test_json_has_everything(self, runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["show", "first", "--runs", str(runs), "--json"]) == 0
        shown = json.loads(capsys.readouterr().out)
        assert shown["manifest"]["title"] == "First try"
        assert shown["status"]["state"] == "done"
        assert shown["metrics"]["per_task"][1]["final_accuracy"] == 0.75
        assert shown["seconds"] == 75.0
        assert shown["forgetting"] is None

    def test_takes_the_path_that_a_shell_completes(self, runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["show", f"{runs / 'first'}/", "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["run"] == "first"

    def test_of_an_unfinished_run(self, runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["show", "second", "--runs", str(runs)]) == 0
        assert "1 of 2 finished" in capsys.readouterr().out


class TestCompare:
    def test_differences_come_first(self, runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["compare", "first", "second", "--runs", str(runs)]) == 0
        out = capsys.readouterr().out
        assert out.index("seed") < out.index("final accuracy")
        assert "First try" in out
        assert "method.name" not in out  # it is the same

    def test_json(self, runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["compare", "first", "second", "--runs", str(runs), "--json"]) == 0
        compared = json.loads(capsys.readouterr().out)
        assert compared["runs"] == ["first", "second"]
        assert compared["differences"] == {"seed": [1, 2]}
        assert compared["metrics"]["final_accuracy"] == [0.625, None]
        assert compared["same"]["method.name"] == "lda"


def test_a_run_is_exported_and_imported(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["export", "first", "--runs", str(runs), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["file"] == "first.zip"
    assert said["bytes"] == (tmp_path / "first.zip").stat().st_size
    assert main(["import", "first.zip", "--runs", "here", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["run"] == "first"
    assert Run(tmp_path / "here" / "first").metrics["final_accuracy"] == 0.625
    assert main(["import", "first.zip", "--runs", "here"]) == 2
    assert main(["import", "first.zip", "--runs", "here", "--name", "again"]) == 0


class TestConfiguration:
    def test_later_ones_win_and_only_given_flags_count(self, tmp_path: Path) -> None:
        file = tmp_path / "c.toml"
        file.write_text('seed = 1\n[training]\nepochs = 2\nbatch_size = 8\n[method]\nname = "lda"\n')
        given = flags.nested({"training.epochs": 3, "stream.tasks": None, "seed": None})
        settings = ["training.batch_size=16", "method.name=proteus", 'adapters.projections=["q", "k"]']
        assert flags.configuration(file, given, settings) == {
            "seed": 1,
            "training": {"epochs": 3, "batch_size": 16},
            "method": {"name": "proteus"},
            "adapters": {"projections": ["q", "k"]},
        }

    @pytest.mark.parametrize(
        ("text", "value"),
        [
            ("3", 3),
            ("3e-4", 3e-4),
            ("true", True),
            ("'a b'", "a b"),
            ("last:4", "last:4"),
            ("[1, 2]", [1, 2]),
            ("", ""),
        ],
    )
    def test_values_are_toml_or_else_words(self, text: str, value: object) -> None:
        assert flags._toml_value(text) == value


class TestProgress:
    def test_without_a_terminal_is_a_line_a_task(self, capsys: pytest.CaptureFixture[str]) -> None:
        with progress(quiet=False) as listener:
            for step in range(200):
                status = Status(state="running", phase="train", task=step // 100, tasks=2, step=step % 100, steps=100)
                listener(status.model_copy(update={"fraction": step / 200, "eta_s": 90.0, "message": "loss 0.1"}))
            listener(Status(state="done", fraction=1.0))
        out, err = capsys.readouterr()
        assert out == ""
        assert err.splitlines() == [
            "starting: reading the images and the model",
            "  0%  task 1/2 train  step 0/100 · loss 0.1 · 1 min 30 s left",
            " 50%  task 2/2 train  step 0/100 · loss 0.1 · 1 min 30 s left",
            "100%  done",
        ]

    def test_can_be_left_out(self, capsys: pytest.CaptureFixture[str]) -> None:
        with progress(quiet=True) as listener:
            listener(Status(state="running"))
        assert capsys.readouterr() == ("", "")

    def test_units(self) -> None:
        assert [seconds(x) for x in (None, 4.4, 75, 3700)] == ["–", "4 s", "1 min 15 s", "1 h 01 min"]
        assert [size(x) for x in (None, 0, 999, 2048, 1.5e6, 3e9, 4e12)] == [
            "–", "0 B", "999 B", "2.0 kB", "1.5 MB", "3.0 GB", "4000.0 GB",
        ]  # fmt: skip


class TestTrain:
    @pytest.mark.slow
    def test_prints_the_contract_as_its_last_line(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["train", *QUICK, "--tasks", "2", "--runs", str(tmp_path), "--json", "--title", "Mine"]) == 0
        out, err = capsys.readouterr()
        result = json.loads(out.splitlines()[-1])
        for key in (
            "final_accuracy", "final_accuracy_pooled", "task_aware_accuracy", "retrieval_accuracy",
            "average_incremental_accuracy", "forgetting", "seconds", "train_seconds", "peak_memory_bytes",
            "bytes_per_task",
        ):  # fmt: skip
            assert isinstance(result[key], float | int), key
        assert (result["stream"], result["method"], result["tasks"], result["title"]) == (
            "split-digits", "lda", 2, "Mine",
        )  # fmt: skip
        assert Run(tmp_path / result["run"]).status.state == "done"
        assert "100%  done" in err

        assert main(["train", "--resume", result["run"], "--runs", str(tmp_path)]) == 2
        assert "is done: there is nothing to resume" in capsys.readouterr().err
        assert main(["train", *QUICK, "--name", result["run"], "--runs", str(tmp_path)]) == 2
        assert "already in" in capsys.readouterr().err
        assert Run(tmp_path / result["run"]).status.state == "done"

    def test_a_live_run_is_not_resumed_twice(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        folder = run_folder.write_run(tmp_path, tasks=1)
        with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
            (folder / "status.json").write_text(json.dumps({"state": "running"} | identity(process.pid)))
            assert "being trained by process" in _error(capsys, "train", "--resume", "a-run", "--runs", str(tmp_path))
            process.kill()

    def test_a_failure_before_the_run_began_leaves_no_folder(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert "no-such-method" in _error(
            capsys, "train", *QUICK, "--method", "no-such-method", "--runs", str(tmp_path), "--quiet"
        )
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.slow
    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_ctrl_c_cancels_and_says_how_to_go_on(
        self, tmp_path: Path, number: signal.Signals, capsys: pytest.CaptureFixture[str]
    ) -> None:
        name = "stopped"
        longer = [*QUICK, "--method", "sequential", "--epochs", "300", "--tasks", "2"]
        command = [sys.executable, "-m", "core", "train", *longer, "--name", name, "--runs", str(tmp_path)]
        command[1:1] = ["-c", HEED_INTERRUPTS]
        with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
            end = time.monotonic() + 90
            while not (tmp_path / name / "events.jsonl").exists() and time.monotonic() < end:
                time.sleep(0.1)
            process.send_signal(number)
            _, err = process.communicate(timeout=60)
        assert process.returncode == 130, err
        assert err.splitlines()[-1] == (
            "cancelled: 0 of 2 tasks are finished; go on with `python -m core train --resume stopped`."
        )
        assert "Traceback" not in err
        assert Run(tmp_path / name).status.state == "cancelled"
