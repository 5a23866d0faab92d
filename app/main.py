"""The entry of the app: which page, which run, which task. Everything else is in the pages."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from app.shell import layout, navigation, run_picker, sidebar
from app.shell.run_choice import chosen
from app.training import job_pill
from core.errors import UserError

_ICON = Path(__file__).resolve().parents[1] / "assets" / "icon.png"
_STYLE = Path(__file__).parent / "shell" / "app.css"


def main() -> None:
    """Show the page that the URL names."""
    # "auto": the sidebar is open beside the page, and closed where it would lie over it, on a phone.
    st.set_page_config(page_title="Proteus Lab", page_icon=str(_ICON), layout="wide", initial_sidebar_state="auto")
    st.html(_STYLE)
    st.logo(str(_ICON), size="large")
    page = st.navigation([navigation.page(path) for path in navigation.entries()], position="hidden")
    with st.sidebar:
        sidebar.links()
        card, _ = chosen()
        if navigation.entries()[page.url_path or navigation.DEFAULT].own_runs:
            st.caption(f"{page.title} choose their runs themselves.")
        else:
            run_picker.run_picker(card)
            run_picker.task_slider(card)
        job_pill.job_pill()
        sidebar.close_on_a_phone()
    try:
        page.run()
    except UserError as error:
        layout.problem_line(str(error))


main()
