"""Training from the browser: to the end, cancelled, resumed, killed, and over a restart of the server."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest
from playwright.sync_api import expect

from core.runs import jobs
from core.runs.liveness import worker
from core.runs.titles import method_title
from tests.browser.serving import ROOT, served

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(1200)]

PATIENCE_MS = 600_000
"""A machine that does other work too takes minutes for what else takes seconds."""
SMALL = "settings=1&stream=split-digits&backbone=tiny&method=sequential&limit=4&tasks=2"


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def environment(runs: Path) -> dict[str, str]:
    return {"PROTEUS_RUNS": str(runs)}


@pytest.fixture(autouse=True)
def _nothing_left(runs: Path):
    yield
    if name := jobs.running(runs):
        jobs.cancel(name, runs, grace=2)


def train(page, server: str, settings: str = "") -> None:
    page.goto(f"{server}/train?{SMALL}&{settings}")
    page.get_by_role("button", name="Train with these").click(timeout=60_000)
    page.get_by_role("heading", name="Training:").wait_for(timeout=60_000)


def heading(page, text: str):
    return page.get_by_role("heading", name=text)


def begun(runs: Path, seconds: float = 300) -> str:
    """The name of the job, once its first step is done."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        name = jobs.running(runs)
        if name and '"loss"' in _read(runs / name / "events.jsonl"):
            return name
        time.sleep(0.2)
    raise AssertionError("no run began to train")


def _read(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def test_digits_to_the_end_over_a_reload_and_in_a_second_tab(open_page, server, runs):
    page = open_page()
    train(page, server, "epochs=1")
    assert "run=" in page.url
    expect(page.get_by_role("button", name="Train", exact=True).first).to_be_disabled()
    page.reload()
    heading(page, "Training:").or_(heading(page, "Finished:")).wait_for(timeout=60_000)
    second = open_page()
    second.goto(f"{server}/train")
    heading(page, f"Finished: {method_title('sequential')}").wait_for(timeout=PATIENCE_MS)
    expect(page.get_by_text("of the test images right after the last task")).to_be_visible()
    expect(page.locator("[data-testid=stVegaLiteChart]")).to_have_count(2)
    heading(second, "Choose what to watch").wait_for(timeout=60_000)
    expect(heading(second, "Training:")).to_have_count(0, timeout=30_000)
    page.get_by_role("link", name="See the map").click()
    page.locator("canvas.points").wait_for(timeout=60_000)


def test_cancel_resume_and_a_killed_worker(page, server, runs):
    train(page, server, "epochs=5000")
    name = begun(runs)
    page.get_by_test_id("stMain").get_by_role("button", name="Cancel").click()
    heading(page, "Cancelled:").wait_for(timeout=PATIENCE_MS)
    expect(page.get_by_text("0 of 2 tasks are finished and kept.")).to_be_visible()
    page.get_by_role("button", name="Resume").click()
    heading(page, "Training:").wait_for(timeout=PATIENCE_MS)
    assert begun(runs) == name
    os.killpg(worker(runs / name), signal.SIGKILL)
    heading(page, "Stopped:").wait_for(timeout=60_000)
    expect(page.get_by_text("Its process ended without a message")).to_be_visible()
    expect(page.get_by_role("button", name="Resume")).to_be_visible()


def test_a_run_outlives_the_server(open_page, runs, server, tmp_path):
    name = jobs.start(
        {"stream": {"name": "split-digits"}, "backbone": {"name": "tiny"}, "training": {"epochs": 5000}}, runs
    )
    with served(ROOT / "app/server.py", tmp_path / "log.txt", {"PROTEUS_RUNS": str(runs)}):
        pass  # a server that found it came and went
    assert jobs.running(runs) == name
    page = open_page()
    page.goto(f"{server}/train")
    heading(page, "Training:").wait_for(timeout=60_000)
    expect(page.get_by_text("One run trains at a time")).to_be_visible()


def test_wrong_settings_are_said_in_one_line(page, server):
    page.goto(f"{server}/train?{SMALL}&blocks=nonsense&retrieval=oracle&side=15")
    page.get_by_role("button", name="Train with these").click(timeout=60_000)
    heading(page, "Stopped:").wait_for(timeout=PATIENCE_MS)
    expect(page.get_by_test_id("stAlertContentError").first).to_contain_text("15")
