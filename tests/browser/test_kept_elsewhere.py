"""Kept elsewhere in a browser: a click opens a point, the dial moves it without a model, and a button measures."""

from __future__ import annotations

import pytest

from tests.browser.serving import at_rest

pytestmark = pytest.mark.browser
LONG = 240_000


def test_a_point_opens_by_a_click_and_its_cost_is_measured_here(page, server):
    page.goto(f"{server}/kept?point=lora-zero")
    front = page.locator(".js-plotly-plot").first
    front.wait_for(timeout=LONG)
    page.get_by_role("heading", name="LoRA everywhere from a head at zero").wait_for(timeout=LONG)
    at_rest(page, LONG)
    marks = front.locator(".scatterlayer .trace .points path")
    marks.first.wait_for(timeout=LONG)
    mark = marks.nth(marks.count() - 2)  # λ = 1: the last, λ = 3, has no open gate to measure
    mark.scroll_into_view_if_needed()
    box = mark.bounding_box()
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.wait_for_function("!new URL(location).search.includes('lora-zero')", timeout=LONG)
    page.get_by_role("heading", name="λ = 1").wait_for(timeout=LONG)
    page.get_by_role("button", name="Measure here").click()
    page.get_by_text("the quickest of 30 rounds").wait_for(timeout=LONG)
    assert page.get_by_test_id("stImage").count() > 0, "images whose answer changed"
