"""The map's test page, with the real route for thumbnails."""

from __future__ import annotations

import sys
from pathlib import Path

import streamlit as st

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from app.shell.sprites import thumbnail_routes

app = st.App(Path(__file__).with_name("map_page.py"), routes=thumbnail_routes())
