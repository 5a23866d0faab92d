"""Sweeps: axes become checked runs, runs are executed once, stopped ones go on, and the statistics are right."""

from __future__ import annotations

import csv
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from core.cli import main
from core.config import RunConfig, validate
from core.errors import UserError
from core.runs.jobs import flags, format_toml
from core.runs.liveness import true_status
from core.runs.store import Run
from core.sweep.execute import Sweep, rows_of, saved_plan, sweep_folder
from core.sweep.local import Local, threads
from core.sweep.plan import Plan, make_plan, read_plan
from core.sweep.summary import Group, against_best, figure, groups, interval, mean_curve, paired, write_summary
from tests.unit.interrupts import HEED_INTERRUPTS

ROOT = Path(__file__).resolve().parents[2]
BASE: dict[str, Any] = {
    "stream": {"name": "split-digits", "train_per_class": 6, "test_per_class": 3},
    "backbone": {"name": "tiny", "image_size": 32},
    "record": {"projection": False},
    "training": {"epochs": 1, "device": "cpu"},
}
SMALL = {"name": "small", "base": BASE, "axes": {"method": {"name": ["lda", "ncm"]}, "seeds": 2}}


class Here:
    """Executes runs in this process by the command that a process of their own would be given: real, only quicker."""

    def __init__(self) -> None:
        self.started: list[str] = []

    def room(self, going: int) -> bool:
        return going == 0

    def start(self, folder: Path, title: str) -> Here:
        self.started.append(folder.name)
        main(["train", "--quiet", *flags(folder, title), "--runs", str(folder.parent)])
        return self

    def ended(self) -> bool:
        return True

    def cancel(self) -> None:
        raise AssertionError("nothing goes on")

    stop = cancel

    def close(self) -> None:
        pass


def _executed(plan: Plan, runs: Path, resume: bool = False) -> Here:
    here = Here()
    Sweep(plan, runs, lambda: here, lambda progress: None, resume).run()
    return here


class TestPlan:
    def test_every_combination_of_the_axes(self) -> None:
        axes = {
            "method": {"name": ["proteus", "lda"]},
            "adapters": {"rank": {"from": 2, "to": 6, "step": 2}},
            "seeds": 3,
        }
        plan = make_plan({"base": BASE, "axes": axes})
        assert list(plan.axes) == ["method.name", "adapters.rank", "seed"]
        points = {tuple(run.point.values()) for run in plan.runs}
        assert points == {(m, r, s) for m in ("proteus", "lda") for r in (2, 4, 6) for s in (0, 1, 2)}
        assert len({run.name for run in plan.runs}) == 18
        for run in plan.runs:
            config = validate(RunConfig, run.config)
            assert (config.method.name, config.adapters.rank, config.seed) == tuple(run.point.values())
            assert config.stream.train_per_class == 6
        assert len({run.group for run in plan.runs}) == 6

    def test_a_value_may_be_a_table_that_sets_several_keys(self) -> None:
        methods = [{"name": "proteus", "head": "ranpac"}, {"name": "lda"}]
        plan = make_plan({"base": BASE, "axes": {"method": methods}})
        assert [run.config["method"] for run in plan.runs] == methods
        assert [run.group for run in plan.runs] == ["proteus ranpac", "lda"]

    def test_a_longer_sweep_has_the_runs_of_the_shorter_one(self) -> None:
        names = [{run.name for run in make_plan(SMALL | {"axes": SMALL["axes"] | {"seeds": n}}).runs} for n in (2, 3)]
        assert names[0] < names[1]

    def test_a_changed_base_is_another_run(self) -> None:
        other = make_plan(SMALL | {"base": BASE | {"adapters": {"rank": 3}}})
        assert not {run.name for run in other.runs} & {run.name for run in make_plan(SMALL).runs}

    @pytest.mark.parametrize("first", [-3, 0, 2])
    @pytest.mark.parametrize("count", [1, 2, 7, 30])
    @pytest.mark.parametrize("step", [0.1, 0.25, 1, 3])
    def test_a_range_has_its_end_and_no_rounding_noise(self, first: int, count: int, step: float) -> None:
        reach = {"from": first, "to": first + (count - 1) * step, "step": step}
        values = make_plan({"base": BASE, "axes": {"method": {"x": reach}}}).axes["method.x"]
        assert values == pytest.approx([first + i * step for i in range(count)], abs=1e-9)
        assert all(len(str(value)) < 8 for value in values)

    @pytest.mark.parametrize(
        ("change", "word"),
        [
            ({"axes": {}}, "axes"),
            ({"axes": {"seed": []}}, "axes.seed"),
            ({"axes": {"seed": [1, 1]}}, "twice"),
            ({"axes": {"seeds": 0}}, "axes.seeds"),
            ({"axes": {"seed": {"from": 3, "to": 1}}}, "no range"),
            ({"axes": {"seed": {"from": "a", "to": 1}}}, "in numbers"),
            ({"axes": {"seed": {"to": 1}}}, "in numbers"),
            ({"axes": {"seed": {"from": 0, "to": 9, "step": 0}}}, "no range"),
            ({"axes": {"seeds": 20_000}}, "more than"),
            ({"axes": {"method": {"name": ["ldaa"]}}}, "Did you mean “lda”"),
            ({"axes": {"adapters": {"rankk": [1]}}}, "Did you mean “rank”"),
            ({"axes": {"adapters": {"rank": [0]}}}, "rank"),
            ({"axis": {}}, "Did you mean “axes”"),
            ({"name": "../x"}, "no name"),
        ],
    )
    def test_every_fault_is_one_line_that_names_the_key(self, change: dict, word: str) -> None:
        with pytest.raises(UserError, match=word) as fault:
            make_plan(SMALL | change)
        assert "\n" not in str(fault.value)

    def test_the_sweeps_that_come_with_the_project_are_right(self) -> None:
        files = sorted((ROOT / "assets" / "sweeps").glob("*.toml"))
        assert files
        assert all(read_plan(file).runs for file in files)


class TestStatistics:
    def test_interval_of_three_values_by_hand(self) -> None:
        found = interval([1.0, 2.0, 3.0])  # standard error 1/√3, t(0.975, 2) = 4.30265
        assert (found.mean, found.n) == (2.0, 3)
        assert found.half == pytest.approx(4.30265 / math.sqrt(3), rel=1e-5)
        assert math.isnan(interval([0.5]).half)
        assert str(interval([])) == "–"

    def test_an_interval_covers_the_mean_as_often_as_it_says(self) -> None:
        draws = np.random.default_rng(0).normal(size=(4000, 4))
        hits = [abs(found.mean) <= found.half for found in map(interval, draws.tolist())]
        assert np.mean(hits) == pytest.approx(0.95, abs=0.015)

    def test_paired_test_uses_only_shared_seeds(self) -> None:
        def group(name: str, values: dict[int, float]) -> Group:
            return Group(name, {seed: {"final_accuracy": value} for seed, value in values.items()})

        one = group("one", {0: 0.9, 1: 0.7, 2: 0.8, 7: 0.1})
        two = group("two", {0: 0.8, 1: 0.65, 2: 0.78, 9: 1.0})
        found = paired(one, two)
        assert found.difference.n == 3
        assert found.difference.mean == pytest.approx(0.17 / 3)
        assert found.p == pytest.approx(stats.ttest_rel([0.9, 0.7, 0.8], [0.8, 0.65, 0.78]).pvalue)
        assert paired(two, one).difference.mean == pytest.approx(-found.difference.mean)
        assert math.isnan(paired(one, group("x", {0: 0.5})).p)
        assert [(test.first, test.second) for test in against_best([one, two])] == [("two", "one")]

    def test_threads_are_divided_and_an_earlier_word_is_kept(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
        assert threads(4)["OMP_NUM_THREADS"] == "4"
        monkeypatch.setenv("OMP_NUM_THREADS", "2")
        assert threads(4)["OMP_NUM_THREADS"] == "2"
        assert not Local(2).room(2)


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> tuple[Plan, Path]:
    """A finished sweep of four small runs; not to be changed."""
    runs, plan = tmp_path_factory.mktemp("runs"), make_plan(SMALL)
    assert _executed(plan, runs).started == [run.name for run in plan.runs]
    return plan, runs


class TestExecution:
    @pytest.mark.slow
    def test_every_run_is_an_ordinary_finished_run(self, swept: tuple[Plan, Path]) -> None:
        plan, runs = swept
        for run in plan.runs:
            found = Run(runs / run.name)
            assert found.status.state == "done"
            asked, told = validate(RunConfig, run.config).model_dump(mode="json"), found.manifest.config
            by_rule = {key for key, value in asked["training"].items() if value is None}
            assert told == asked | {"training": asked["training"] | {key: told["training"][key] for key in by_rule}}
        folder = sweep_folder(runs, plan.name)
        assert true_status(folder)["state"] == "done"
        assert saved_plan(folder) == plan

    def test_resume_does_nothing_twice_and_a_second_sweep_must_say_so(self, swept: tuple[Plan, Path]) -> None:
        plan, runs = swept
        with pytest.raises(UserError, match="--resume"):
            Sweep(plan, runs, Here, lambda progress: None)
        assert _executed(plan, runs, resume=True).started == []

    def test_a_run_that_fails_does_not_stop_the_others(self, tmp_path: Path) -> None:
        methods = [{"name": "proteus", "nonsense": 1}, {"name": "lda"}]
        plan = make_plan(SMALL | {"axes": {"method": methods}})
        progress = Sweep(plan, tmp_path, Here, lambda progress: None).run()
        assert [row.state for row in progress.rows] == ["failed", "done"]
        assert "nonsense" in progress.failed[0].message
        assert true_status(sweep_folder(tmp_path, plan.name))["state"] == "failed"

    def test_a_sweep_is_executed_by_one_process_at_a_time(self, tmp_path: Path) -> None:
        plan = make_plan(SMALL)
        sweep_folder(tmp_path, plan.name).mkdir(parents=True)
        holder = (
            "import sys; from pathlib import Path; from core.runs.liveness import Claim\n"
            "claim = Claim(Path(sys.argv[1])); print('held', flush=True); sys.stdin.read()"
        )
        command = [sys.executable, "-c", holder, str(sweep_folder(tmp_path, plan.name))]
        with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "held\n"
            with pytest.raises(UserError, match="another process"):
                Sweep(plan, tmp_path, Here, lambda progress: None)
            process.communicate("")

    def test_summary_has_what_the_runs_have(self, swept: tuple[Plan, Path]) -> None:
        plan, runs = swept
        folder = sweep_folder(runs, plan.name)
        found = write_summary(plan, runs, folder)
        assert [group.name for group in found] == ["lda", "ncm"]
        with (folder / "runs.csv").open() as file:
            rows = list(csv.DictReader(file))
        assert [row["run"] for row in rows] == [run.name for run in plan.runs]
        assert [float(row["final_accuracy"]) for row in rows] == [
            Run(runs / run.name).metrics["final_accuracy"] for run in plan.runs
        ]
        with (folder / "summary.csv").open() as file:
            lda = next(csv.DictReader(file))
        assert float(lda["final_accuracy"]) == pytest.approx(
            np.mean([float(row["final_accuracy"]) for row in rows[:2]])
        )
        assert (folder / "figure.html").stat().st_size > 1_000_000  # plotly's script is inside: no network

    def test_curves_are_means_over_the_tasks_seen(self, swept: tuple[Plan, Path]) -> None:
        plan, runs = swept
        group = groups(plan, runs)[0]
        mean, half = mean_curve(group)
        last = [metrics["final_accuracy"] for metrics in group.metrics.values()]
        assert mean[-1] == pytest.approx(np.mean(last))
        assert half[-1] == pytest.approx(interval(last).half)
        assert {trace.get("name") for trace in figure(groups(plan, runs))["data"]} == {None, "lda", "ncm"}


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_an_interrupted_sweep_leaves_runs_that_resume(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Real processes: Ctrl-C after the first run, then --resume; the first run is not touched again."""
    file, runs = tmp_path / "sweep.toml", tmp_path / "runs"
    base = BASE | {"training": {"epochs": 100, "device": "cpu"}}
    file.write_text(format_toml({"name": "cut", "base": base, "axes": {"method": {"name": ["lda", "sequential"]}}}))
    plan = read_plan(file)
    command = [sys.executable, "-c", HEED_INTERRUPTS, "-m", "core", "sweep", str(file), "--runs", str(runs)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True)
    second = runs / plan.runs[1].name
    end = time.monotonic() + 400  # seconds on a quiet machine, minutes on a busy one
    while not (second / "tasks" / "000").exists():
        assert time.monotonic() < end, "the second run never finished a task"
        assert process.poll() is None, process.stderr and process.stderr.read()
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=180)
    assert process.returncode == 130
    assert "--resume" in said.splitlines()[-1]
    assert [row.state for row in rows_of(plan, runs)] == ["done", "cancelled"]
    assert true_status(sweep_folder(runs, "cut"))["state"] == "cancelled"

    first = (runs / plan.runs[0].name / "metrics.json").stat().st_mtime_ns
    began = (second / "manifest.json").stat().st_mtime_ns
    assert _executed(plan, runs, resume=True).started == [second.name]
    assert [row.state for row in rows_of(plan, runs)] == ["done", "done"]
    assert (runs / plan.runs[0].name / "metrics.json").stat().st_mtime_ns == first
    assert (second / "manifest.json").stat().st_mtime_ns == began
    capsys.readouterr()
    assert main(["sweep", str(file), "--resume", "--json", "--quiet", "--runs", str(runs)]) == 0
    assert '"state":"done"' in capsys.readouterr().out.replace(" ", "")
