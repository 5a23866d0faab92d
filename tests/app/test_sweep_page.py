"""The Sweep page: choices become a sweep file, the grid opens runs, and a sweep in the background stops and goes on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from app.figures.ablations import differences, sheet
from app.figures.svg import svg
from app.views.sweep import curves_figure
from core.errors import UserError
from core.runs import jobs
from core.runs.liveness import true_status
from core.sweep import background
from core.sweep.ablations import FULL, MEASURES, RECORDED, Cell, Study, known, read, rows
from core.sweep.execute import Sweep, rows_of, saved_plan, sweep_folder
from core.sweep.plan import make_plan, read_plan
from core.sweep.summary import Group, groups, mean_curve, write_summary
from tests.unit.test_sweep import BASE, SMALL, Here
from tests.waiting import wait_until


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A runs folder with a finished sweep; not to be changed."""
    runs, plan = tmp_path_factory.mktemp("runs"), make_plan(SMALL)
    Sweep(plan, runs, Here, lambda progress: None).run()
    write_summary(plan, runs, sweep_folder(runs, plan.name))
    return runs


def page(runs: Path, monkeypatch: pytest.MonkeyPatch, **query: str) -> AppTest:
    monkeypatch.setenv("PROTEUS_RUNS", str(runs))

    def script() -> None:
        from app.views import sweep

        sweep.render()

    test = AppTest.from_function(script, default_timeout=60)
    for key, value in query.items():
        test.query_params[key] = value
    return test.run()


def test_a_finished_sweep_shows_every_run_and_its_means(swept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    test = page(swept, monkeypatch)
    assert not test.exception
    plan = saved_plan(sweep_folder(swept, "small"))
    links = [element.proto for element in test.main if element.type == "page_link"] or test.get("page_link")
    assert len(links) == 4
    labels = [getattr(link, "label", None) or link.proto.label for link in links]
    assert sorted(labels) == sorted(f"{row.accuracy:.1%}" for row in rows_of(plan, swept))
    table = test.dataframe[0].value
    assert list(table["runs"]) == ["lda", "ncm"]
    assert "±" in table["final accuracy"][0]


def test_without_a_sweep_one_can_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    test = page(tmp_path, monkeypatch)
    assert not test.exception
    assert test.button(key="sweep-start").label == "Start 9 runs"
    test.number_input(key="sweep-seeds").set_value(2).run()
    test.multiselect(key="sweep-ranks").set_value([2, 8]).run()
    assert test.button(key="sweep-start").label == "Start 12 runs"
    written = tmp_path / "made.toml"
    written.write_text(next(code.value for code in test.code if code.language == "toml"))
    plan = read_plan(written)
    assert len(plan.runs) == 12
    assert plan.axes["adapters.rank"] == [2, 8]


def test_a_sweep_learns_the_images_that_are_chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    test = page(tmp_path, monkeypatch)
    assert '"stream"."name" = "split-fashion"' in next(code.value for code in test.code if code.language == "toml")
    test.selectbox(key="sweep-images").set_value("stream=split-digits").run()
    assert '"stream"."name" = "split-digits"' in next(code.value for code in test.code if code.language == "toml")


def test_the_band_is_the_interval(swept: Path) -> None:
    found = groups(saved_plan(sweep_folder(swept, "small")), swept)
    figure = curves_figure(found, "light")
    mean, half = mean_curve(found[0])
    band = np.array(figure["data"][0]["y"])
    assert band[: len(mean)] == pytest.approx(np.clip(mean + half, 0, 1))
    single = Group("one", dict(list(found[0].metrics.items())[:1]))
    assert len(curves_figure([single], "light")["data"]) == 1  # one seed has no interval


@pytest.fixture
def behind(tmp_path: Path) -> Iterator[Path]:
    """A runs folder in which no sweep is left going on."""
    yield tmp_path
    name = jobs.sweeping(tmp_path)
    if name is not None:
        background.request_cancel(name, tmp_path)
        wait_until(lambda: jobs.sweeping(tmp_path) is None)


@pytest.mark.slow
def test_a_sweep_in_the_background_is_cancelled_and_goes_on(behind: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = {"name": "behind", "base": BASE, "axes": {"method": {"name": ["lda", "ncm"]}}}
    assert background.start(values, behind) == "behind"
    assert jobs.sweeping(behind) == "behind"
    with pytest.raises(UserError, match="sweep behind is going on"):
        jobs.start(BASE, behind)
    plan = make_plan(values)
    first = behind / plan.runs[0].name
    wait_until((first / "status.json").exists)
    test = page(behind, monkeypatch)
    assert not test.exception
    assert test.button(key="sweep-start").disabled
    test.button(key="sweep-cancel").click().run()
    assert not test.exception
    wait_until(lambda: jobs.sweeping(behind) is None)
    assert background.state("behind", behind)["state"] == "cancelled"
    assert true_status(first)["state"] in ("cancelled", "failed", "done")

    test = page(behind, monkeypatch, sweep="behind")
    test.button(key="sweep-resume").click().run()
    assert not test.exception
    wait_until(lambda: background.state("behind", behind)["state"] == "done")
    assert [row.state for row in rows_of(plan, behind)] == ["done", "done"]


def test_recorded_ablations_are_told_beside_the_full_method(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    test = page(tmp_path, monkeypatch)
    assert not test.exception
    shown = test.segmented_control(key="ablations")
    assert len(shown.options) == len(known())
    for name in known():
        test.segmented_control(key="ablations").set_value(name).run()
        assert not test.exception
        found = rows(read(name))
        table = test.dataframe[0].value
        assert list(table["variant"]) == [FULL, *(row.variant for row in found if row.is_part)]
        others = [row for row in found[1:] if not row.is_part]
        assert len(test.dataframe) == (2 if others else 1)
        full = found[0].means["final_accuracy"].mean
        assert table["class-incremental"][0].startswith(f"{100 * full:.1f}")
        assert any(f"`{read(name).command}`" in one.value for one in test.caption)


def test_differences_are_drawn_in_points_with_their_intervals() -> None:
    full = [Cell(FULL, seed, dict.fromkeys(MEASURES, 0.5)) for seed in (0, 1)]
    less = [Cell("less", seed, dict.fromkeys(MEASURES, 0.4 + 0.02 * seed)) for seed in (0, 1)]
    found = rows(Study("few", "", "", "", "", [*full, *less]))[1:]
    figure = differences(found, {"final_accuracy": "class-incremental"}, "light")
    line, marks = figure["data"]
    assert marks["x"] == pytest.approx([-9])
    half = found[0].differences["final_accuracy"].half
    assert line["x"][:2] == pytest.approx([-9 - 100 * half, -9 + 100 * half])
    assert differences(found, {"forgetting": "forgetting"}, "dark")["data"][1]["name"] == "forgetting"
    assert "<svg" in svg(figure, "what is lost")


@pytest.mark.parametrize("name", known())
def test_the_figures_of_the_documentation_are_those_of_the_record(name: str) -> None:
    assert (RECORDED / f"{name}.svg").read_text(encoding="utf-8") == sheet(read(name)), "measure or draw it again"
