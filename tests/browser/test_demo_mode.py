"""The public demo behind a password, in real browsers: two visitors, and the job of one that the other never meets."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.browser.serving import at_rest

pytestmark = pytest.mark.browser
PASSWORD = "open sesame"
_TRAIN = "/train?settings=1&stream=split-digits&backbone=tiny&method=lda"


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    runs = tmp_path_factory.mktemp("runs")
    return {"PROTEUS_RUNS": str(runs), "PROTEUS_DEMO": "1", "PROTEUS_PASSWORD": PASSWORD, "OMP_NUM_THREADS": "1"}


@pytest.fixture
def visitors(browser: Browser) -> Iterator[list[BrowserContext]]:
    contexts = [browser.new_context(), browser.new_context()]
    yield contexts
    for context in contexts:
        context.close()


def test_two_visitors_meet_the_form_then_the_app_and_never_each_other(visitors, server):
    one, two = (_entered(context, server) for context in visitors)
    one.goto(server + _TRAIN)
    one.get_by_role("button", name="Train with these").click()
    one.wait_for_url(re.compile(r"run=20"), timeout=60_000)
    name = re.search(r"run=([^&]+)", one.url)[1]
    expect(one.get_by_text("Training:").first).to_be_visible(timeout=60_000)
    two.goto(f"{server}/train?run={name}")
    at_rest(two)
    expect(two.get_by_text("This is a public demo")).to_be_visible()
    assert name not in two.locator("body").inner_text()
    assert two.get_by_role("button", name="Cancel").count() == 0
    assert two.get_by_role("link", name="Your data").count() == 0
    one.get_by_test_id("stMainBlockContainer").get_by_role("button", name="Cancel").click()
    expect(one.get_by_text("Training:").first).not_to_be_visible(timeout=120_000)


def _entered(context: BrowserContext, server: str) -> Page:
    page = context.new_page()
    answer = page.goto(f"{server}/map")
    assert answer.status == 401 and page.locator("input").count() == 1
    page.get_by_label("Password").fill("not it")
    page.get_by_role("button", name="Enter").click()
    expect(page.get_by_role("alert")).to_have_text("That is not the password.")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Enter").click()
    page.get_by_role("heading", name="What does a model forget?").wait_for(timeout=60_000)
    assert {cookie["name"] for cookie in context.cookies()} >= {"proteus_access", "proteus_visitor"}
    return page
