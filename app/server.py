"""The app as a server: Streamlit's pages, thumbnails, and who may come in. `streamlit run app/server.py` starts it."""

from __future__ import annotations

import gc
import sys
from pathlib import Path
from typing import Any

import pandas  # noqa: F401  Streamlit imports it with a page's first chart: two at once found it half imported
import plotly.graph_objects  # noqa: F401
import streamlit as st
from starlette.middleware import Middleware

# `streamlit run` puts this folder on the path, not the project's root.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from app.shell.access import Access
from app.shell.sprites import thumbnail_routes
from app.views import lessons, start  # noqa: F401  a second of imports that the first visitors shall not wait for

SCRIPT = Path(__file__).with_name("main.py")


def around() -> dict[str, Any]:
    """What `st.App` puts around Streamlit's own routes: the thumbnails, and who may come in."""
    base, name, address = (
        str(st.get_option(option) or "") for option in ("server.baseUrlPath", "browser.serverAddress", "server.address")
    )
    return {
        "routes": thumbnail_routes(base),
        "middleware": [Middleware(Access, address=address, base=base, name=name)],
    }


app = st.App(SCRIPT, **around())

# Streamlit collects garbage after every run of a script, and goes through all that was ever imported: 0.1 s a time.
gc.collect()
gc.freeze()
