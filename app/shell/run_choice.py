"""Which runs this visitor can look at, and which of them the address names."""

from __future__ import annotations

import secrets
from pathlib import Path

import streamlit as st

from app.reading import cards
from app.reading.cards import RunCard, run_card
from app.shell import demo
from app.shell.address import RUN
from core.runs.folders import run_folders

DEFAULT_DEMO = "proteus-split-fashion"
"""The recorded run that the app opens with; without it another recorded one."""


def runs_folder() -> Path:
    """Where the user's own runs are: PROTEUS_RUNS, by default `runs` where the server was started, or a visitor's."""
    return demo.visitors_folder(_visitor()) if demo.enabled() else demo.operators_runs()


def _visitor() -> str:
    """What names the visitor of a demo: their cookie, or where the browser keeps none this session."""
    token = st.context.cookies.get(demo.COOKIE, "")
    return token if demo.is_token(token) else str(st.session_state.setdefault("visitor", secrets.token_hex(16)))


def available() -> list[RunCard]:
    """Recorded runs, then the user's own, newest first. The card of a run that cannot be read says why in `problem`."""
    own = {folder.name: folder for folder in _folders(runs_folder())}
    shown = sorted(_folders(cards.RECORDED_RUNS), key=_demo_order)
    if demo.enabled():
        shown += _folders(demo.operators_runs())
    # Of two with one name the user's counts, as it does for the thumbnails.
    recorded = [folder for folder in shown if folder.name not in own]
    return [run_card(folder, True) for folder in recorded] + [run_card(folder, False) for folder in own.values()]


def _folders(runs: Path) -> list[Path]:
    try:
        return run_folders(runs)
    except OSError:
        return []


def _demo_order(folder: Path) -> tuple[bool, bool, bool, str]:
    """The run to open with, then those of its stream, then Proteus before the methods that it is compared with."""
    method, _, stream = DEFAULT_DEMO.partition("-")
    name = folder.name
    return name != DEFAULT_DEMO, not name.endswith(f"-{stream}"), not name.startswith(f"{method}-"), name


def chosen() -> tuple[RunCard | None, str | None]:
    """The run to show and None, or None and one line that says what is wrong with `?run=`.

    Without `?run=` it is the default demo, else the first run that is ready; both are None where there is no run.
    """
    cards = available()
    wanted = st.query_params.get(RUN)
    if wanted:
        found = next((card for card in cards if card.name == wanted), None)
        if found is None:
            return None, f"There is no run “{wanted[:120]}” here: choose another one in the sidebar."
        return found, f"This run cannot be opened. {found.problem}" if found.problem else None
    ready = [card for card in cards if card.ready]
    return next(iter(ready), None), None
