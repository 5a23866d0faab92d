"""Words of the glossary: marked texts become elements that say what they mean, and every mark in the app is a term."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from html import escape
from pathlib import Path

import pytest

from app.reading.glossary import glossary, meaning, terms_in, with_terms
from app.shell import layout
from tests.app.opened_page import page

APP = Path(__file__).resolve().parents[2] / "app"


def marked(file: Path) -> Iterator[str]:
    """Every text of a module that marks terms."""
    nodes = list(ast.walk(ast.parse(file.read_text(encoding="utf-8"))))
    inside = {id(part) for node in nodes if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in nodes:
        parts = node.values if isinstance(node, ast.JoinedStr) else [] if id(node) in inside else [node]
        text = "".join(str(part.value) for part in parts if isinstance(part, ast.Constant))
        if "[[" in text:
            yield text


MODULES = [file for room in ("views", "components") for file in (APP / room).rglob("*.py") if any(marked(file))]


def test_terms_say_what_they_mean_and_no_html_gets_through() -> None:
    shown = with_terms("A <b>[[task]]</b> and [[test images|test image]]")
    assert "<b>" not in shown and shown.startswith("A &lt;b>")
    assert (
        'aria-description="A group of classes' in shown and 'tabindex="0"' in shown and ">test images</span>" in shown
    )


@pytest.mark.parametrize("name", ["<img src=x>", "\\<i>", "[[task]]", "a [[b|c]]"])
def test_names_of_a_run_are_neither_html_nor_terms(name: str) -> None:
    plain = layout.plain(name)
    assert with_terms(plain) == plain, "what is escaped stays as it is"


def test_a_backslash_that_is_itself_escaped_lets_no_html_through() -> None:
    assert "<" not in with_terms("\\\\<b>") and "<" not in with_terms("\\\\\\\\<b>") and with_terms("\\<b>") == "\\<b>"


@pytest.mark.parametrize("file", MODULES, ids=lambda file: str(file.relative_to(APP)))
def test_pages_mark_only_words_of_the_glossary_and_each_once(file: Path) -> None:
    if file.name == "captions.py":
        return  # it tells how marks are written
    terms = [term for text in marked(file) for term in terms_in(text)]
    assert terms and set(terms) <= set(glossary()), set(terms) - set(glossary())
    assert max(Counter(terms).values()) == 1, "a term is marked where a page uses it first"
    assert all(len(terms_in(text)) <= 3 for text in marked(file)), "a text full of dotted lines"


@pytest.mark.parametrize(
    ("name", "terms"),
    [("forgetting", ("task", "task-aware", "LDA")), ("blocks", ("gate", "unit", "coefficient")),
     ("theory", ("mixture", "bound")), ("errors", ("retrieved task",)), ("map", ("retrieval",))],
)  # fmt: skip
def test_a_page_says_what_its_words_mean(name: str, terms: tuple[str, ...]) -> None:
    test = page(name, {"run": "proteus-split-fashion"})
    assert not test.exception
    text = " ".join(each.value for each in (*test.caption, *test.markdown))
    assert "[[" not in text
    for term in terms:
        assert f'aria-description="{escape(meaning(term))}"' in text, term
