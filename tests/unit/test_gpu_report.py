"""The command for machines with a GPU says so where there is none, and its parts run on a CPU."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from core.training.device import pick_device
from tests.benchmarks import gpu

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
@pytest.mark.parametrize(
    "command", [["tests.benchmarks.gpu"], ["pytest", "--device", "cuda", "tests/unit/test_cost.py"]]
)
def test_without_a_gpu_it_is_one_line(command: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", *command], check=False, cwd=ROOT, capture_output=True, text=True, timeout=200
    )
    said = (done.stdout + done.stderr).strip()
    assert done.returncode == 2 and "There is no GPU here" in said
    assert len(said.splitlines()) == 1


def test_the_profile_adds_up(one_thread: None) -> None:
    said = gpu.profile(torch.device("cpu"), "tiny", images=40)
    assert "in products and attention" in said and "| `aten::" in said


def test_two_runs_with_one_seed_are_equal() -> None:
    assert "all tensors are equal; answers are equal" in gpu.determinism("cpu", per_class=5)


def test_the_environment_says_what_auto_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROTEUS_DEVICE", "cpu")
    assert pick_device("auto") == torch.device("cpu")
