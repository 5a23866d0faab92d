"""The rooms of the app: imports run one way, reading needs no Streamlit, and the engine knows nothing of the app."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def modules(package: str) -> dict[str, Path]:
    """Every module of a package by its dotted name."""
    files = sorted((ROOT / package).rglob("*.py"))
    return {".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): file for file in files}


def imported(file: Path) -> Iterator[str]:
    """What a module imports when it is imported itself, and inside its functions too; not what only types need."""
    tree = ast.parse(file.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{name.name}" for name in node.names)


@pytest.mark.parametrize("package", ["app", "core"])
def test_no_module_imports_itself_by_a_detour(package: str) -> None:
    known = modules(package)
    # A package's face may import its parts, which name the package they are in: that is no detour.
    arrows = {
        name: {
            other for other in imported(file) if other in known and not name.startswith(f"{other}.") and other != name
        }
        for name, file in known.items()
    }
    TopologicalSorter(arrows).prepare()  # raises CycleError with the circle


def test_reading_needs_no_streamlit_and_nothing_of_the_other_rooms() -> None:
    for name, file in modules("app").items():
        if name.startswith("app.reading"):
            for other in imported(file):
                assert other.partition(".")[0] != "streamlit", name
                assert not other.startswith("app.") or other.startswith("app.reading"), (name, other)


def test_the_engine_knows_nothing_of_the_app() -> None:
    for name, file in modules("core").items():
        assert not [other for other in imported(file) if other.partition(".")[0] in ("app", "streamlit")], name


def test_every_room_says_what_belongs_in_it() -> None:
    for folder in (file.parent for file in (ROOT / "app").glob("*/__init__.py")):
        said = ast.get_docstring(ast.parse((folder / "__init__.py").read_text()))
        assert said and len(said) > 60, folder


def test_a_component_keeps_its_python_javascript_and_css_together() -> None:
    components = ROOT / "app" / "components"
    for folder in (file.parent for file in components.glob("*/__init__.py")):
        kinds = {file.suffix for file in folder.rglob("*") if file.is_file()}
        shared = folder.name == "browser"
        assert shared or ((folder / "component.py").exists() and kinds & {".js", ".css"}), folder
    elsewhere = {file.parent for kind in ("js", "css", "html") for file in (ROOT / "app").rglob(f"*.{kind}")}
    assert {folder for folder in elsewhere if components not in folder.parents} <= {ROOT / "app" / "shell"}


def test_figures_are_made_without_streamlit() -> None:
    """The Python API has the very figures of the pages, in notebooks without an app."""
    wanted = "app.figures.accuracy, app.figures.blocks, app.reading.answers"
    code = f"import sys; sys.modules['streamlit'] = None; import {wanted}"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
