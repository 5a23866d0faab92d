"""The one pattern of a caption: what you see, what to look for, why it matters."""

from __future__ import annotations

import streamlit as st


def caption(see: str, look: str, why: str) -> None:
    """Explain the view above. The texts are our own (markdown); what comes from a run goes through `layout.plain`."""
    st.caption(f"**What you see:** {see}  \n**Look for:** {look}  \n**Why it matters:** {why}")
