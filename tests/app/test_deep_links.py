"""Any link opens a page: whatever a stranger writes behind the question mark, there is no error and no file is read."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from app.reading import cards
from app.shell.navigation import entries
from core.errors import UserError
from tests.app.learned_run import learned_run
from tests.app.opened_page import page

LINKS = 2 * int(os.environ.get("FUZZ", "1"))
"""Of each page."""
KEYS = (
    *("run", "t", "backbone", "blocks", "by", "cell", "colour", "components", "concentration", "covariance", "data"),
    *("dimensions", "epochs", "folder", "from", "image", "limit", "method", "mixture", "of", "order", "rank", "runs"),
    *("seed", "settings", "shortlist", "show", "side", "site", "space", "start", "step", "stream", "tasks", "with"),
    *("budget", "heldout", "lost", "strength"),
)
VALUES = (
    *("", "0", "-1", "1", "3", "1e9", "99999999999999999999999", "nan", "-inf", "٣", "²", "1-0", "1-0-2", "0x10"),
    *("../../etc/passwd", "/etc/passwd", "/nowhere/at/all.zip", "~root", "~nobody-at-all/x", "a\0b", "a-run", "A-RUN"),
    *("<img src=x onerror=alert(1)>", "[a](javascript:alert(1))", "';--", "x" * 5000, "猫\u202e", "\ud7ff", "whitened"),
    *("own", "task", "class", "sample", "upload", "prefix", "lda", "tiny", "full", "a-run,a-run", "split-digits"),
)


@pytest.mark.parametrize("path", sorted(entries()))
def test_any_link_opens_its_page(path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = tmp_path / "runs"
    monkeypatch.setenv("PROTEUS_RUNS", str(runs))
    monkeypatch.setattr(cards, "RECORDED_RUNS", tmp_path / "demos")
    learned_run(runs, "a-run")
    rng = random.Random(path)
    for number in range(LINKS):
        query = {key: rng.choice(VALUES) for key in rng.sample(KEYS, rng.randint(1, len(KEYS)))}
        if number % 3 < 1:
            query.pop("run", None)  # or hardly any page would get far
        test = page(path, query)
        assert not test.exception, (query, [error.value for error in test.exception])
        assert not any("<img src" in text.value.replace("\\<", "") for text in test.markdown), query
    assert sorted(left.name for left in tmp_path.iterdir()) == ["runs"]


@pytest.mark.parametrize(("path", "key"), [("train", "run"), ("train", "folder"), ("data", "folder"), ("data", "data")])
@pytest.mark.parametrize("value", ["a\0b", "~nobody-at-all/x", "x" * 5000, "\ud7ff", ".."])
def test_what_is_no_path_is_said_or_passed_over(
    path: str, key: str, value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROTEUS_RUNS", str(tmp_path / "runs"))
    monkeypatch.setattr("app.training.datasets.inspect", _unread)
    test = page(path, {key: value})
    assert not test.exception, [error.value for error in test.exception]


def _unread(*arguments: object) -> dict[str, object]:
    raise UserError("not read here")
