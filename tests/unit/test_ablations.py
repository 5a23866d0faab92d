"""Recorded ablations: paired differences, what is kept, and other retrieval asked of the same adapters."""

from __future__ import annotations

import math
from itertools import chain

import pytest

from core.config import RunConfig, validate
from core.errors import UserError
from core.runs.store import Run
from core.sweep.ablations import FULL, MEASURES, Cell, Study, known, numbered, read, rows, write
from core.sweep.summary import Interval
from core.training.run import start_run
from tests.benchmarks.ablations import ANSWERED, PLANS, TRAINED, configuration
from tests.benchmarks.retrieved_anew import retrieved_anew


def study(cells: list[Cell]) -> Study:
    return Study("few", "Few images", "About them.", "python -m something", "float32", cells)


def cell(variant: str, seed: int, value: float) -> Cell:
    return Cell(variant, seed, dict.fromkeys(MEASURES, value))


def test_differences_are_paired_by_seed():
    found = rows(study([cell(FULL, 0, 0.5), cell("less", 0, 0.4), cell(FULL, 1, 0.9), cell("less", 1, 0.8)]))
    assert [row.variant for row in found] == [FULL, "less"]
    difference = found[1].differences["final_accuracy"]
    assert difference.mean == pytest.approx(-0.1) and difference.half == pytest.approx(0, abs=1e-9), "seeds agree"
    assert found[1].means["final_accuracy"].half > 1, "though the seeds themselves lie far apart"
    assert found[0].differences["final_accuracy"].n == 0


def test_a_seed_without_the_full_method_has_no_difference():
    found = rows(study([cell(FULL, 0, 0.5), cell("less", 0, 0.4), cell("less", 1, 0.1)]))
    assert found[1].differences["forgetting"].n == 1 and math.isnan(found[1].differences["forgetting"].half)
    assert found[1].means["forgetting"].n == 2


def test_another_number_of_tasks_is_no_part_of_the_method():
    found = rows(study([cell(variant, 0, 0.5) for variant in (FULL, numbered(5, 10), "without composition")]))
    assert [row.is_part for row in found] == [False, False, True]


def test_a_share_in_points_says_its_sign_where_it_is_a_difference():
    assert Interval(0.017, 0.0106, 3).points("+") == "+1.7 ± 1.1" and Interval(0.5, math.nan, 1).points() == "50.0"
    assert Interval(-0.002, math.nan, 1).points() == "-0.2" and Interval(math.nan, math.nan, 0).points() == "–"


def test_a_study_is_read_as_it_was_written(tmp_path):
    made = study([cell(FULL, 0, 0.25)])
    write(made, tmp_path)
    assert known(tmp_path) == ["few"]
    assert read("few", tmp_path) == made
    assert made.cell(FULL, 0) and not made.cell(FULL, 1)


def test_what_is_missing_or_damaged_is_said_in_a_line(tmp_path):
    with pytest.raises(UserError, match="recorded study"):
        read("few", tmp_path)
    (tmp_path / "few.json").write_text('{"name": "few"}')
    with pytest.raises(UserError, match="damaged"):
        read("few", tmp_path)


def test_what_comes_with_the_project_can_be_read_and_is_of_variants_that_can_be_measured():
    for name in known():
        found = read(name)
        first, *others = PLANS[name].numbers
        variants = {*TRAINED, *ANSWERED, *(numbered(number, first) for number in others)}
        assert {one.variant for one in found.cells} <= variants
        assert all(set(one.measured) == set(MEASURES) for one in found.cells)


@pytest.mark.parametrize("name", PLANS)
def test_a_study_cuts_the_same_classes_into_other_numbers_of_tasks(name):
    plan = PLANS[name]
    streams = [configuration(plan, "cifar100-subset.zip", 0, number, {}).stream for number in plan.numbers]
    if name == "fashion":
        assert [stream.tasks for stream in streams] == list(plan.numbers)
    else:
        assert [len(stream.task_classes) for stream in streams] == list(plan.numbers)
        assert len({tuple(chain(*stream.task_classes)) for stream in streams}) == 1, "in the same order"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Run:
    config = {
        "backbone": {"name": "tiny"},
        "stream": {"name": "split-digits", "train_per_class": 10, "test_per_class": 5, "tasks": 3},
        "training": {"epochs": 2},
        "record": {"projection": False},
    }
    return Run(start_run(validate(RunConfig, config), tmp_path_factory.mktemp("runs"), lambda status: None))


def test_with_the_same_settings_a_run_answers_as_it_did(trained):
    again = retrieved_anew(trained, {}, {})
    for key in (*MEASURES, "matrices", "confusion"):
        assert again[key] == trained.metrics[key], key


@pytest.mark.slow
@pytest.mark.parametrize("variant", ANSWERED)
def test_other_retrieval_is_what_training_with_it_would_have_given(trained, variant, tmp_path):
    config = validate(RunConfig, {**trained.manifest.config, "retrieval": ANSWERED[variant]})
    anew = Run(start_run(config, tmp_path, lambda status: None))
    answered = retrieved_anew(trained, ANSWERED[variant])
    assert answered["matrices"] == anew.metrics["matrices"]
