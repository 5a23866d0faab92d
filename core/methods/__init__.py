"""Continual-learning methods: one file each, one protocol (base.py).

A file that sets METHOD is a method: its name is the file's, and its summary the first line of the file's docstring. So
adding a method is adding a file.
"""

from __future__ import annotations

import ast
import importlib
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import unknown

if TYPE_CHECKING:
    from core.methods.base import Method


def method_names() -> dict[str, str]:
    """Name → one-line summary of every method, read without importing any of them."""
    sources = {path: ast.parse(path.read_text(encoding="utf-8")) for path in sorted(Path(__file__).parent.glob("*.py"))}
    return {path.stem.replace("_", "-"): _summary(tree) for path, tree in sources.items() if _defines_method(tree)}


def method_class(name: str) -> type[Method]:
    """The class that implements a method.

    Raises UserError with the nearest name when there is none.
    """
    known = method_names()
    if name not in known:
        raise unknown("method", name, known)
    module = importlib.import_module(f"core.methods.{name.replace('-', '_')}")
    found: type[Method] = module.METHOD
    return found


def _defines_method(tree: ast.Module) -> bool:
    targets = [target for node in tree.body if isinstance(node, ast.Assign) for target in node.targets]
    return any(isinstance(target, ast.Name) and target.id == "METHOD" for target in targets)


def _summary(tree: ast.Module) -> str:
    return (ast.get_docstring(tree) or "").partition("\n")[0]
