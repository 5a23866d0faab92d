"""Start here: what one recorded run shows, before anything is trained."""

from __future__ import annotations

import streamlit as st

from app.widgets import layout


def render() -> None:
    """The first screen."""
    st.title("Start here")
    card = layout.run_to_explore()
    if card is not None:
        layout.share_link()
