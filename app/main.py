"""The entry of the app: which page, which run, which task. Everything else is in the pages."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from app.shell import layout, navigation, run_picker
from app.shell.run_choice import chosen
from app.training import job_pill
from core.errors import UserError

_ICON = Path(__file__).resolve().parents[1] / "assets" / "icon.png"
_STYLE = """<style>
.stMainBlockContainer { padding-top: 3rem; padding-bottom: 3rem; }
[data-testid="stSidebarHeader"] { height: 3rem; margin-bottom: 0; }
[data-testid="stSidebarUserContent"] .stVerticalBlock { gap: 0.4rem; }
.st-key-actions a { border: 1px solid rgb(128 128 128 / 60%); width: 100%; padding: 0.5rem 0.75rem; }
.st-key-actions a * { white-space: normal; }
.st-key-actions .stPageLink, .st-key-actions .stElementContainer { width: 100%; }
</style>"""


def main() -> None:
    """Show the page that the URL names."""
    st.set_page_config(page_title="Proteus Lab", page_icon=str(_ICON), layout="wide", initial_sidebar_state="expanded")
    st.html(_STYLE)
    st.logo(str(_ICON), size="large")
    # Our own links instead of Streamlit's: those drop the run and the task from the URL.
    page = st.navigation([navigation.page(path) for path in navigation.entries()], position="hidden")
    with st.sidebar:
        _links()
        card, _ = chosen()
        run_picker.run_picker(card)
        run_picker.task_slider(card)
        job_pill.job_pill()
    try:
        page.run()
    except UserError as error:
        layout.problem_line(str(error))


def _links() -> None:
    group = None
    for path, entry in navigation.entries().items():
        if entry.group != group:
            group = entry.group
            st.caption(group)
        layout.page_link(entry.title, path)


main()
