"""Your data: the built-in streams can be looked into like images of one's own."""

from __future__ import annotations

from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from core.data.catalog import SPLIT_FASHION


@pytest.fixture(autouse=True)
def _runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROTEUS_RUNS", str(tmp_path / "runs"))


def page(**query: str) -> AppTest:
    def script() -> None:
        import streamlit as st

        from app.shell import navigation
        from app.views import data

        st.navigation([navigation.page(path) for path in navigation.entries()], position="hidden")
        data.render()

    test = AppTest.from_function(script, default_timeout=60)
    test.query_params.update(query)
    test.run()
    assert not test.exception, [error.value for error in test.exception]
    return test


def test_nothing_is_read_before_something_is_chosen() -> None:
    test = page()
    assert not test.metric
    assert any("appears here" in caption.value for caption in test.caption)


def test_choosing_a_built_in_stream_shows_what_is_in_it() -> None:
    test = page()
    test.selectbox(key="data-stream").set_value(SPLIT_FASHION).run()
    assert test.query_params["stream"] == SPLIT_FASHION
    shown = {metric.label: metric.value for metric in test.metric}
    assert shown["Tasks"] == "5" and shown["Training images"] == "2,000" and shown["Test images"] == "600"
    assert shown["Files left out"] == "0"


def test_a_stream_that_would_be_downloaded_is_not_read() -> None:
    assert not page(stream="cifar100").metric
