"""The control for which images to train on, shared by Train and Sweep."""

from __future__ import annotations

from typing import Any

import streamlit as st

from app.shell.address import set_parameters
from app.training import sources


def image_choice(key: str, **beside: Any) -> sources.Source:
    """The source that is chosen now; the URL keeps the choice, and `beside` with it."""
    known = [*sources.catalogue(), *sources.uploaded()]
    source = sources.chosen()
    if source not in known:
        known.append(source)
    names = {f"{one.key}={one.value}": one for one in known}
    st.session_state[key] = f"{source.key}={source.value}"
    st.selectbox(
        "Images",
        list(names),
        key=key,
        format_func=lambda name: _shown(names[name]) if name in names else name,
        on_change=lambda: set_parameters(**beside, **names[st.session_state[key]].parameters),
    )
    return source


def _shown(source: sources.Source) -> str:
    return f"{source.name} (downloaded on first use)" if source.network else source.name
