"""A choice among a few, kept in the URL."""

from __future__ import annotations

from collections.abc import Mapping

import streamlit as st

from app.shell.address import parameter, set_parameters


def choice(label: str, key: str, options: Mapping[str, str], default: str, *, widget: str) -> str:
    """Buttons side by side for `?key=`: one of the names in `options`, shown by its text (markdown).

    `widget` names the control among all of the app's.
    """
    present = parameter(key, default, options)
    st.session_state[widget] = present
    chosen = st.segmented_control(
        label,
        list(options),
        key=widget,
        format_func=lambda name: options.get(name, name),
        required=True,
        on_change=lambda: set_parameters(**{key: st.session_state[widget]}),
    )
    return chosen or present
