"""The light app as a public demo, for a host that starts `streamlit run app/hosted/streamlit_app.py` itself."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import streamlit as st

# `streamlit run` puts this folder on the path, not the project's root.
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
os.environ.setdefault("PROTEUS_DEMO", "1")  # strangers may come, unless the host's settings say otherwise

from app.server import SCRIPT, around

app = st.App(SCRIPT, **around())
