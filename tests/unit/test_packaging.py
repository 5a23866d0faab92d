"""`pip install .`: the wheel holds all that its three faces need, found from any folder."""

from __future__ import annotations

import configparser
import importlib
import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this working copy, unpacked. Built in a copy: setuptools writes beside what it reads."""
    place = tmp_path_factory.mktemp("wheel")
    source = place / "source"
    for part in ("core", "app", "assets"):
        shutil.copytree(ROOT / part, source / part, ignore=shutil.ignore_patterns("__pycache__"))
    files = [file for kind in ("txt", "md", "toml", "py") for file in ROOT.glob(f"*.{kind}")]
    for file in (*files, ROOT / "LICENSE"):
        shutil.copy(file, source)
    command = [sys.executable, "-m", "pip", "wheel", str(source), "--no-deps", "--no-build-isolation", "-q"]
    subprocess.run([*command, "--wheel-dir", str(place)], check=True, timeout=240)
    with zipfile.ZipFile(next(place.glob("*.whl"))) as wheel:
        wheel.extractall(place / "site")
    return place / "site"


def _run(installed: Path, *command: str) -> str:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PROTEUS")}
    environment |= {"PYTHONPATH": str(installed), "PROTEUS_PRECISION": "float32"}
    done = subprocess.run(
        [sys.executable, *command],
        check=False,
        cwd=installed.parent,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.mark.slow
def test_the_python_api_finds_the_recorded_runs(installed: Path) -> None:
    code = "import proteus_lab as lab; print(lab.__file__); print(lab.Run.open('proteus-split-digits').accuracy.shape)"
    where, shape = _run(installed, "-c", code).splitlines()
    assert Path(where) == installed / "proteus_lab.py" and shape == "(5, 5)"


@pytest.mark.slow
def test_the_default_stream_comes_along(installed: Path) -> None:
    code = "from core.config import StreamConfig; from core.data.streams import open_stream;"
    code += "print(open_stream(StreamConfig(), 0).report.images)"
    assert _run(installed, "-c", code) == "2600\n"


@pytest.mark.slow
def test_the_app_has_its_parts(installed: Path) -> None:
    app = {file.relative_to(ROOT / "app") for file in (ROOT / "app").rglob("*") if file.is_file()}
    wanted = {file for file in app if file.suffix not in (".pyc",)}
    assert wanted == {file.relative_to(installed / "app") for file in (installed / "app").rglob("*") if file.is_file()}
    assert (installed / "assets" / "icon.png").is_file() and not (installed / "assets" / "screenshots").exists()


@pytest.mark.slow
@pytest.mark.parametrize("of", ["core.kept_elsewhere", "core.sweep.ablations"])
def test_what_was_recorded_comes_along(installed: Path, of: str) -> None:
    code = f"from {of} import known; print(','.join(known()))"
    assert _run(installed, "-c", code).strip() == ",".join(importlib.import_module(of).known()) != ""


@pytest.mark.slow
def test_there_is_a_command(installed: Path) -> None:
    entries = configparser.ConfigParser()
    entries.read(next(installed.glob("*.dist-info")) / "entry_points.txt")
    module, _, function = entries["console_scripts"]["proteus-lab"].partition(":")
    code = f"import sys; sys.argv[1:] = ['list', 'methods']; import {module} as module; module.{function}()"
    assert "proteus" in _run(installed, "-c", code)


def test_what_a_light_installation_takes_has_no_model_library() -> None:
    light, full = ((ROOT / f"requirements-{name}.txt").read_text() for name in ("explore", "train"))
    for library in ("torch", "timm", "umap", "open_clip"):
        assert library not in _packages(light) and library in _packages(full)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["dynamic"]
    assert project["dependencies"] == {"file": ["requirements-explore.txt"]}
    assert set(project["optional-dependencies"]) == {"explore", "app", "cluster", "dev"}


def _packages(requirements: str) -> str:
    return "\n".join(line for line in requirements.splitlines() if not line.startswith("#"))
