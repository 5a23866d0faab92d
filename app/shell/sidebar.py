"""The links to all pages, in the sidebar."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from app.shell import layout, navigation

_closes_when_a_page_is_chosen = st.components.v2.component(
    "proteus_sidebar", js=Path(__file__).with_name("sidebar.js").read_text(encoding="utf-8")
)


def links() -> None:
    """Our own links instead of Streamlit's navigation: that one drops the run and the task from the URL."""
    group = None
    for path, entry in navigation.entries().items():
        if entry.group != group:
            group = entry.group
            st.caption(group)
        layout.page_link(entry.title, path)


def close_on_a_phone() -> None:
    """Where the sidebar lies over the page, it goes away once a page is chosen. Shows nothing."""
    _closes_when_a_page_is_chosen(key="sidebar")
