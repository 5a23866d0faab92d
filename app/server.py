"""The app as a server: Streamlit's pages and the route for thumbnails. Start it with `streamlit run app/server.py`."""

from __future__ import annotations

import sys
from pathlib import Path

import streamlit as st

# `streamlit run` puts this folder on the path, not the project's root.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from app.sprites import thumbnail_route
from app.views import start  # noqa: F401  a second of imports that the first visitor shall not wait for

app = st.App(
    Path(__file__).with_name("main.py"), routes=[thumbnail_route(str(st.get_option("server.baseUrlPath") or ""))]
)
