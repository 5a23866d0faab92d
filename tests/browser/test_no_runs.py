"""Every page when there is nothing to show: an empty state with the next click, and no error."""

from __future__ import annotations

import pytest

from app.shell.navigation import entries
from tests.browser.serving import at_rest

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    empty = tmp_path_factory.mktemp("empty")
    return {"PROTEUS_RUNS": str(empty / "runs"), "PROTEUS_DEMOS": str(empty / "demos")}


@pytest.mark.parametrize("path", list(entries()))
def test_page_names_the_next_click(page, server, path):
    page.goto(f"{server}/{'' if path == 'start' else path}")
    at_rest(page)
    main = page.get_by_test_id("stMainBlockContainer")
    # The heading comes first, and the way on a moment later: it is waited for, not counted.
    # Kept elsewhere is never empty: it brings a recorded sweep, and its own empty state is tested with its page.
    acts = path in ("train", "data", "sweep", "lessons", "kept")
    way_on = main.locator("a[href], button, input") if acts else main.get_by_role("link")
    way_on.first.wait_for(timeout=15_000)
    assert page.get_by_test_id("stAlertContentError").count() == 0
