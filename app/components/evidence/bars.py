"""Bars to either side of a middle: what blocks, and other terms, add to a sum."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path

import streamlit as st

_STYLE = f"<style>{Path(__file__).with_name('evidence.css').read_text(encoding='utf-8')}</style>"

Row = tuple[str, float]
"""What it is called, and how much it adds."""


def bars(blocks: Sequence[Row], terms: Sequence[Row], total: float, unit: str) -> None:
    """A bar for each, and below them their sum; `unit` is for screen readers."""
    widest = max((abs(value) for _, value in [*blocks, *terms]), default=0) or 1.0
    body = _lines(blocks, widest)
    if terms:
        body += f'<span class="rule"></span>{_lines(terms, widest)}'
    together = f'<span class="total">together</span><span></span><span class="value total">{_signed(total)}</span>'
    st.html(
        f'{_STYLE}<div class="shares" role="group" aria-label="What each block adds, in {escape(unit)}">{body}'
        f'<span class="rule"></span>{together}</div>'
    )


def _lines(rows: Sequence[Row], widest: float) -> str:
    return "".join(
        f'<span>{escape(name)}</span><span class="track"><span class="bar {"own" if value >= 0 else "against"}" '
        f'style="width: {50 * abs(value) / widest:.1f}%"></span></span><span class="value">{_signed(value)}</span>'
        for name, value in rows
    )


def _signed(value: float) -> str:
    return f"{'−' if value < 0 else '+'}{abs(value):.2f}"
