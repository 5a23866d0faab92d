"""`python -m core doctor`: true facts, every fault with its remedy, nothing private, no request."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest
import torch

from core import doctor
from core.cli import main
from tests.unit.run_folder import write_run


def test_a_bug_report_is_one_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(socket.socket, "connect", lambda *each: pytest.fail("a request to the network"))
    monkeypatch.setenv("HOME", str(tmp_path))
    write_run(tmp_path / "runs", "whole")
    write_run(tmp_path / "runs", "half", tasks=1)
    (write_run(tmp_path / "runs", "odd") / "manifest.json").write_text("{")
    assert main(["doctor", "--json", "--runs", str(tmp_path / "runs")]) == 0
    text = capsys.readouterr().out
    found = json.loads(text)
    assert str(tmp_path) not in text and found["disk"]["runs"].startswith("~/runs: ")
    assert found["packages"]["torch"] == torch.__version__.partition("+")[0] or found["packages"]["torch"] in text
    assert found["processor"]["precision"] in ("float32", "bfloat16") and found["processor"]["device"]
    assert found["processor"]["precision_reason"] == "PROTEUS_PRECISION asks for it"
    assert found["runs"] == "1 cancelled, 1 done, 1 that cannot be opened"
    assert main(["doctor", "--runs", str(tmp_path / "runs")]) == 0
    assert "1 that cannot be opened" in capsys.readouterr().out


def test_what_is_missing_comes_with_its_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROTEUS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(doctor, "_PACKAGES", ("torch", "no-such-package"))
    monkeypatch.setenv("PROTEUS_PRECISION", "half")
    found = doctor.examine(Path("/proc/no-runs-here"))
    problems = "\n".join(found["problems"])
    assert "no-such-package is not installed: run `make venv`" in problems
    assert "python -m core fetch dinov2-s14" in problems and found["weights"].endswith("missing")
    assert "PROTEUS_PRECISION is “half”: set it to" in problems
    assert "/proc/no-runs-here cannot be written" in problems


def test_damaged_weights_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from core.backbones.weights import DINOV2_S14, weights_path

    monkeypatch.setenv("PROTEUS_CACHE", str(tmp_path))
    path = weights_path(DINOV2_S14)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"not the weights")
    assert any("not here or damaged" in problem for problem in doctor.examine(tmp_path)["problems"])


def test_the_network_is_asked_only_when_told_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    found = doctor.examine(tmp_path, network=True)
    assert "no answer" in found["network"] and any("index does not answer" in each for each in found["problems"])


def test_a_full_disk_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_LITTLE", 1 << 60)
    assert any("free some space" in problem for problem in doctor.examine(tmp_path)["problems"])
