"""Texts that explain: the one pattern of a caption, and words that say what they mean when pointed at."""

from __future__ import annotations

import streamlit as st

from app.reading.glossary import with_terms


def caption(see: str, look: str, why: str) -> None:
    """Explain the view above: what you see, what to look for, why it matters.

    The texts are our own (markdown); what comes from a run goes through `layout.plain`. `[[term]]` or
    `[[words|term]]` points at a word of the glossary: mark one where a page uses it first.
    """
    text = f"**What you see:** {see}  \n**Look for:** {look}  \n**Why it matters:** {why}"
    st.caption(with_terms(text), unsafe_allow_html=True)


def explained(text: str) -> None:
    """Markdown of our own with marked terms, as in `caption`."""
    st.markdown(with_terms(text), unsafe_allow_html=True)
