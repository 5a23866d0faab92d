"""What all tests share: no model hub, the shared data where it is, and no silent gap on a build server."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from functools import cache
from pathlib import Path

import pytest

os.environ["HF_HUB_OFFLINE"] = "1"
# What a test computes does not depend on the processor it meets: `auto` is float32, unless the caller says otherwise.
os.environ.setdefault("PROTEUS_PRECISION", "float32")
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # as many processes as cores: threads of theirs would only wait

# And `auto` is the CPU also where there is a GPU, unless `--device cuda` asks for that.
os.environ.setdefault("PROTEUS_DEVICE", "cpu")

ROOT = Path(__file__).resolve().parents[1]
SHARED_DATA = ROOT.parent / "shared" / "data"
CI = os.environ.get("CI", "").lower() in ("true", "1")
NO_WEIGHTS = "no weights of dinov2-s14 in the cache: run `python -m core fetch dinov2-s14` with a network"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real images beside the checkout; the test is skipped where there is none."""
    if not SHARED_DATA.is_dir():
        pytest.skip("no ../shared/data beside the project: the test needs its images")
    return SHARED_DATA


@pytest.fixture(params=["float32", "bfloat16"])
def each_precision(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The test runs twice, with `auto` meaning either precision, here and in the processes that it starts.

    bfloat16 is emulated, slowly, where the processor has no instructions for it: for tests of little work only.
    """
    monkeypatch.setenv("PROTEUS_PRECISION", request.param)
    return str(request.param)


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Small products wait for a second thread on a busy machine; and in another order, sums differ in the last bit."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--device", default=None, help="what `auto` means in the tests: cpu (the default), cuda or cuda:N")


def pytest_configure(config: pytest.Config) -> None:
    if (device := config.getoption("--device")) is None:
        return
    import torch

    if device.startswith("cuda") and not torch.cuda.is_available():
        pytest.exit("There is no GPU here that torch can use: leave --device out.", 2)
    os.environ["PROTEUS_DEVICE"] = device


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests first: of several processes none shall be left alone with one at the end."""
    slow = {item.path for item in items if item.get_closest_marker("slow") or item.get_closest_marker("browser")}
    items.sort(key=lambda item: item.path not in slow)


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("weights") and not _weights_here():
        pytest.skip(NO_WEIGHTS)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A browser test that cannot run is skipped on someone's machine, and fails on a build server."""
    report = yield
    if CI and report.skipped and item.get_closest_marker("browser") and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"With CI=true a browser test must run, but: {_reason(report)}"
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    skipped = [report for report in terminalreporter.getreports("skipped") if NO_WEIGHTS in str(report.longrepr)]
    if skipped:
        terminalreporter.write_line(f"WEIGHTS MISSING: {len(skipped)} tests did not run; {NO_WEIGHTS}.", red=True)


def _reason(report: pytest.TestReport) -> str:
    """The text given to `pytest.skip`."""
    return report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)


@cache
def _weights_here() -> bool:
    from core.backbones.weights import cached

    return cached("dinov2-s14") is not None
