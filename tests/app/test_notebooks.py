"""The notebooks that are shipped run from the first cell to the last, and what each cell shows can be drawn."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "assets" / "notebooks").glob("*.ipynb"))


def shown(source: str, names: dict[str, object]) -> object:
    """Run a cell; the value of its last line if that is an expression, as a notebook shows it."""
    tree = ast.parse(source)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "cell", "exec"), names)
    return None if last is None else eval(compile(ast.Expression(last.value), "cell", "eval"), names)


def test_there_is_a_notebook() -> None:
    assert NOTEBOOKS


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_cell_runs_and_shows_something(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(ROOT))
    notebook = json.loads(path.read_text(encoding="utf-8"))
    names: dict[str, object] = {}
    for cell in notebook["cells"]:
        if cell["cell_type"] != "code":
            continue
        assert not cell["outputs"], "notebooks are shipped without outputs: clear them before committing"
        value = shown("".join(cell["source"]), names)
        if hasattr(value, "to_json") and hasattr(value, "add_trace"):  # a Plotly figure draws itself in the browser
            assert json.loads(value.to_json())["data"]
        elif hasattr(value, "_repr_html_"):
            assert "<" in value._repr_html_()
