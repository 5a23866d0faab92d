"""One page of the app, opened by itself with what stands behind the question mark of its address."""

from __future__ import annotations

from streamlit.testing.v1 import AppTest


def page(path: str, query: dict[str, str]) -> AppTest:
    def script() -> None:
        from importlib import import_module

        import streamlit as st

        from app.shell import navigation

        pages = {path: navigation.page(path) for path in navigation.entries()}
        st.navigation(list(pages.values()), position="hidden")
        import_module(f"app.views.{navigation.entries()[st.session_state.opened].module}").render()

    test = AppTest.from_function(script, default_timeout=60)
    test.session_state.opened = path
    test.query_params.update(query)
    return test.run()
