"""The pages for people: every link leads somewhere, and every command, target, path and key that they name exists."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
import typer

from core.cli import app
from core.config import RunConfig
from core.methods import method_class, method_names

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]
BENCHMARKS = ROOT / "tests" / "benchmarks"

each_page = pytest.mark.parametrize("page", PAGES, ids=NAMES)


def code(page: Path) -> Iterator[str]:
    """What a page sets in code: lines of indented blocks (joined where they end in a backslash), and inline code."""
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    lines = text.splitlines()
    for line in lines:
        if line.startswith("    "):
            # A comment follows two spaces, so that “#” in a command is none.
            yield re.split(r"\s{2,}#", line.strip())[0]
    prose = "\n".join(line for line in lines if not line.startswith("    "))
    for found in re.findall(r"`([^`]+)`", prose):
        yield " ".join(found.split())


def commands(page: Path, beginning: str) -> Iterator[list[str]]:
    """The words after `beginning` of each command in a page's code, up to the next command on the same line."""
    for line in code(page):
        for found in re.findall(re.escape(beginning) + r"([^;&]*)", line):
            yield shlex.split(found)


@cache
def anchors(page: Path) -> set[str]:
    """What `#…` may name in a page: its headings as GitHub writes them."""
    text = page.read_text(encoding="utf-8")
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@each_page
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), f"{page.name} links to {target}"
        assert not anchor or anchor in anchors(file), f"{page.name} links to {target}: no such heading"


def test_the_index_names_every_page() -> None:
    index = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    for page in ROOT.glob("docs/*.md"):
        assert page.name == "README.md" or f"({page.name})" in index, page.name


def test_every_method_has_its_equations_and_every_page_its_row() -> None:
    methods = (ROOT / "docs" / "methods.md").read_text(encoding="utf-8")
    assert not [name for name in method_names() if f"`{name}" not in methods]
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    navigation = ast.parse((ROOT / "app" / "shell" / "navigation.py").read_text(encoding="utf-8"))
    calls = [node for node in ast.walk(navigation) if isinstance(node, ast.Call)]
    titles = [ast.literal_eval(call.args[0]) for call in calls if ast.unparse(call.func) == "Entry"]
    assert titles
    assert not [title for title in titles if title not in readme]


@each_page
def test_commands_of_the_command_line_are_understood(page: Path) -> None:
    verbs = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    for verb, *words in commands(page, "python -m core "):
        assert verb in verbs, f"{page.name}: python -m core {verb}"
        if words and not {"…", "--help"} & set(words):
            verbs[verb].make_context(verb, words)  # raises for an option that is not there


def test_every_benchmark_is_named() -> None:
    page = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    programs = [file.stem for file in BENCHMARKS.glob("*.py") if "__main__" in file.read_text(encoding="utf-8")]
    assert programs
    assert not [name for name in programs if f"`{name}`" not in page and f"tests.benchmarks.{name}" not in page]


@each_page
def test_benchmarks_and_their_options_exist(page: Path) -> None:
    for name, *words in commands(page, "python -m tests.benchmarks."):
        file = BENCHMARKS / f"{name}.py"
        if name == "NAME":
            continue
        assert file.exists(), f"{page.name}: tests.benchmarks.{name}"
        for option in (word for word in words if word.startswith("--") and word != "--help"):
            assert option in options(file), f"{page.name}: tests.benchmarks.{name} {option}"


def options(file: Path) -> set[str]:
    """The options of a program whose `main` typer runs, read without importing it."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    main = next(node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "main")
    named = {f"--{each.arg.replace('_', '-')}" for each in [*main.args.args, *main.args.kwonlyargs]}
    return named | set(re.findall(r'"(--[a-z-]+)"', ast.unparse(main).replace("'", '"')))


@each_page
def test_targets_of_make_exist(page: Path) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for words in commands(page, "make "):
        if words and re.fullmatch(r"[a-z]+", words[0]):
            assert re.search(rf"^{words[0]}:", makefile, re.MULTILINE), f"{page.name}: make {words[0]}"


@each_page
def test_paths_exist(page: Path) -> None:
    for line in code(page):
        for path in re.findall(r"(?<![\w./-])(?:core|app|tests|assets|docs|docker)/[\w./-]*\w", line):
            assert "NAME" in path or (ROOT / path).exists(), f"{page.name} names {path}"


@each_page
def test_keys_of_the_configuration_exist(page: Path) -> None:
    known = {f"{section}.{key}" for section, keys in _sections().items() for key in keys}
    names = "|".join(_sections())
    for line in code(page):
        for key in re.findall(rf"(?<![\w./])((?:{names})\.[a-z_]+)(?=$|[=\s])", line):
            assert key in known, f"{page.name} names {key}"


@cache
def _sections() -> dict[str, set[str]]:
    """Section → its keys; those of `method` are the options of all methods."""
    sections = {
        name: set(field.annotation.model_fields)
        for name, field in RunConfig.model_fields.items()
        if hasattr(field.annotation, "model_fields")
    }
    for method in method_names():
        sections["method"] |= set(method_class(method).Options.model_fields)
    return sections


def test_the_worked_example_is_the_method_and_is_short() -> None:
    """docs/adding-a-method.md shows the whole of lwf.py below its docstring, which has at most 40 lines of code."""
    text = (ROOT / "core" / "methods" / "lwf.py").read_text(encoding="utf-8")
    below = text[text.index("from __future__") :]
    shown = re.search(r"```python\n(.*?)```", (ROOT / "docs" / "adding-a-method.md").read_text(encoding="utf-8"), re.S)
    assert shown and shown[1].strip() == below.strip()
    tree = ast.parse(text)
    code = [
        node for node in ast.walk(tree)
        if isinstance(node, ast.stmt) and not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
    ]  # fmt: skip
    lines = {line for node in code if not isinstance(node, ast.ClassDef | ast.FunctionDef | ast.For | ast.With)
             for line in range(node.lineno, node.end_lineno + 1)}  # fmt: skip
    lines |= {node.lineno for node in code}
    assert len(lines) <= 40, len(lines)
