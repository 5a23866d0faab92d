"""The app as a server: Streamlit's pages, thumbnails, and who may come in. `streamlit run app/server.py` starts it."""

from __future__ import annotations

import gc
import sys
from pathlib import Path

import streamlit as st
from starlette.middleware import Middleware

# `streamlit run` puts this folder on the path, not the project's root.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from app.shell.access import Access
from app.shell.sprites import thumbnail_route
from app.views import start  # noqa: F401  a second of imports that the first visitor shall not wait for

_BASE = str(st.get_option("server.baseUrlPath") or "")
_NAME = str(st.get_option("browser.serverAddress") or "")
_ADDRESS = str(st.get_option("server.address") or "")

app = st.App(
    Path(__file__).with_name("main.py"),
    routes=[thumbnail_route(_BASE)],
    middleware=[Middleware(Access, address=_ADDRESS, base=_BASE, name=_NAME)],
)

# Streamlit collects garbage after every run of a script, and goes through all that was ever imported: 0.1 s a time.
gc.collect()
gc.freeze()
