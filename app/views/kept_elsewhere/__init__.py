"""Kept elsewhere: what runs gained on the classes they learned, against what they lost on everything else.

`front` draws every setting as a point and lets one be chosen; `opened` is about the chosen one: its blocks, the classes
that lost most, corruptions; `causes` takes few gates, head start and strength apart; `stream` shows the same choice of
blocks with an adapter for every task, and `timing` measures what an answer costs here.
"""

from __future__ import annotations

import streamlit as st

from app.components.choice import choice
from app.reading.kept_elsewhere import Comparison, own, recorded, recorded_names
from app.shell import layout
from app.shell.address import parameter, set_parameters
from app.shell.run_choice import available
from app.views.kept_elsewhere import causes, front, opened, stream, timing
from core.errors import UserError

_OWN = "own"
"""In the address: runs of one's own instead of a recorded sweep."""


def render() -> None:
    """The page."""
    layout.heading("Kept elsewhere")
    st.markdown(
        "A backbone can do more than the classes that it is taught. Some classes are held out here: no run learns "
        "them. Every point is a way of learning the others: **up** is what it gained on them, **to the right** what "
        "the model lost on the classes held out."
    )
    found = _comparison()
    if found is None:
        return
    asked = front.asked(found)
    chosen = front.trade_off(found, asked)
    if chosen is not None:
        opened.point(found, chosen, asked)
        causes.taken_apart(found, asked)
    stream.beside(available())
    if chosen is not None:
        timing.offer(found, chosen)


def _comparison() -> Comparison | None:
    """The recorded sweep or the runs of one's own that the address names; None, with the next click, where none are."""
    every = {name: recorded(name) for name in recorded_names()}
    sweeps = dict(sorted(every.items(), key=lambda item: -item[1].planned))  # the fullest first
    options = {name: found.title for name, found in sweeps.items()} | {_OWN: "Your runs with held-out classes"}
    source = choice("Shown", "of", options, next(iter(options)), widget="kept-of")
    if source in sweeps:
        found = sweeps[source]
        runs = sum(len(setting.runs) for setting in found.settings)
        part = "" if runs == found.planned else f" of {found.planned}"
        st.caption(
            f"Recorded on {' and '.join(found.dates)}: {runs}{part} runs of `python -m core.kept_elsewhere {source}`, "
            f"each of which learned the same images. Held out: {layout.plain(', '.join(found.classes))}."
        )
        return found
    return _of_own()


def _of_own() -> Comparison | None:
    try:
        found = own(card for card in available() if not card.problem)
    except UserError as error:
        layout.problem_line(str(error))
        return None
    if not found:
        layout.empty(
            "No finished run of yours holds classes out yet. Open *All settings* there, and set how many classes are "
            "held out.",
            "Train one that does",
            "train",
        )
        return None
    names = list(found)
    wanted = parameter("stream", names[0], names)
    if len(names) > 1:
        st.session_state["kept-stream"] = wanted
        st.selectbox(
            "Learned and held out",
            names,
            key="kept-stream",
            on_change=lambda: set_parameters(stream=st.session_state["kept-stream"], point=None),
        )
    return found[wanted]
