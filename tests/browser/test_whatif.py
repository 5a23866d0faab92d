"""What if in a real browser: another mixture, other numbers, and an image that changed its mind."""

from __future__ import annotations

import re
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest

from app.reading.cards import RECORDED_RUNS
from core.retrieval.answering import ask
from core.retrieval.questions import Settings
from core.runs.store import Run
from tests.browser.serving import at_rest

pytestmark = pytest.mark.browser

DEMO = "proteus-split-digits"


def query(page) -> dict[str, str]:
    return {key: values[0] for key, values in parse_qs(urlsplit(page.url).query).items()}


def tile(page, label: str):
    """The value in the tile called `label`."""
    return page.get_by_test_id("stMetric").filter(has_text=label).get_by_test_id("stMetricValue")


def answered(page, value: str) -> None:
    """Wait until the page shows an answer with `value` for the share of right tasks."""
    tile(page, "Right task retrieved").filter(has_text=value).wait_for(timeout=90_000)
    at_rest(page)


def test_another_mixture_changes_the_numbers_and_an_image_that_changed_its_mind_opens(page, server):
    run = Run(RECORDED_RUNS / DEMO)
    found = ask(run, Settings(space="frozen", mixture="dp-gmm"))
    page.goto(f"{server}/whatif?run={DEMO}")
    answered(page, f"{ask(run, Settings()).after.retrieval:.1%}")

    page.get_by_role("radio", name="Literal").click()
    answered(page, f"{found.after.retrieval:.1%}")
    assert tile(page, "Measured error").inner_text() == f"{1 - found.after.retrieval:.1%}"
    tile(page, "Expected error").filter(has_text=f"{found.expected_error:.1%}").wait_for(timeout=90_000)
    assert query(page) == {"run": DEMO, "space": "frozen", "mixture": "dp-gmm"}
    assert f"{int(found.became_wrong.sum())} became wrong" in page.get_by_test_id("stMain").inner_text()

    task, sent = np.argwhere(found.confusion * (1 - np.eye(5)))[0]
    page.locator(f'.confusion [data-cell="{task}-{sent}"]').click()
    page.get_by_text(f"{found.confusion[task, sent]} images").wait_for(timeout=30_000)

    page.reload()
    answered(page, f"{found.after.retrieval:.1%}")
    link = page.locator(".thumbnails a.item").first
    image = parse_qs(urlsplit(link.get_attribute("href")).query)["image"][0]
    assert "/thumbnails/" in link.locator(".picture").evaluate("e => e.style.backgroundImage")
    link.focus()
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(rf"/errors\?.*image={image}(&|$)"), timeout=15_000)
    page.locator(".why").first.wait_for(timeout=30_000)
