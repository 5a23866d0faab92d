"""In class: the presenter's view, the way in for the room, and what the room predicts."""

from __future__ import annotations

import secrets
from itertools import pairwise

import numpy as np
import streamlit as st

from app.figures import lesson_figures, plots
from app.reading.lessons import Lesson, Question
from app.shell.address import parameter, set_parameters
from app.shell.rooms import Rooms
from app.views.lessons import answering

PRESENT, ROOM, HOST = "present", "room", "host"
_BINS = 10
_STYLE = """<style>
[data-testid="stSidebar"], [data-testid="stExpandSidebarButton"], [data-testid="stSidebarCollapsedControl"]
  { display: none !important; }
.stMain { font-size: 1.5rem; }
.stMain .stMarkdown p, .stMain .stMarkdown li, .stMain .stRadio label p { font-size: 1.5rem; line-height: 1.5; }
.stMain .stCaptionContainer p, .stMain .stSlider label p { font-size: 1.1rem; }
.stMain h1 { font-size: 2.2rem; } .stMain h3 { font-size: 2rem; }
.stMain .st-key-lesson-invitation { max-width: 60rem; }
[class*="st-key-lesson-step"] { max-width: 72rem !important; }
.qr { background: white; border-radius: 6px; width: 100%; }
@media (max-width: 640px) { .stMain .stMarkdown p, .stMain .stMarkdown li { font-size: 1.15rem; } }
</style>"""


@st.cache_resource(show_spinner=False)
def rooms() -> Rooms:
    """The rooms of this server."""
    return Rooms()


def room() -> str:
    """The code of the room that the address names; '' without one."""
    return parameter(ROOM, "").strip().upper()[:8]


def is_presented() -> bool:
    """Whether this is the presenter's view."""
    return parameter(PRESENT, "") == "1"


def begin(found: Lesson, at: int) -> bool:
    """Whether this is the presenter's view; then it has a room, and the room knows where it is."""
    if not is_presented():
        return False
    if not rooms().is_host(room(), parameter(HOST, "")):
        code, key = rooms().opened((found.name, at))
        set_parameters(**{ROOM: code, HOST: key})
    rooms().moved(room(), (found.name, at))
    st.html(_STYLE)
    return True


def address() -> str:
    """What the audience types: it opens the step at which the presenter is."""
    base = (st.context.url or "").partition("?")[0]
    return f"{base}?{ROOM}={room()}"


def invitation(found: Lesson, at: int) -> None:
    """The way in for the room, what it has predicted so far, and the way out of this view."""
    import segno

    st.divider()
    with st.container(horizontal=True, vertical_alignment="center", key="lesson-invitation"):
        code = segno.make(address(), error="m", micro=False).svg_data_uri(scale=5, border=2, light="white")
        st.html(f'<img class="qr" alt="A code that opens this step" src="{code}">', width=220)
        with st.container():
            st.markdown(f"**Join:** `{address()}`")
            step = found.steps[at]
            if isinstance(step, Question):
                _collected(found, at)
            st.button("Leave this view", key="lesson-leave", type="tertiary", on_click=_leave)


def _leave() -> None:
    set_parameters(**{PRESENT: None, ROOM: None, HOST: None})


@st.fragment(run_every="2s")
def _collected(found: Lesson, at: int) -> None:
    """How many have answered; what they said is for the reveal, or on request."""
    step = found.steps[at]
    assert isinstance(step, Question)
    count = len(rooms().answers(room(), (found.name, at)))
    st.markdown(f"**{count}** {'prediction' if count == 1 else 'predictions'} so far")
    with st.container(horizontal=True):
        shown = st.toggle("Show them", key=f"lesson-show-{found.name}-{at}", disabled=not count)
        st.button(
            "Reset", key="lesson-reset", disabled=not count, on_click=rooms().reset, args=(room(), (found.name, at)),
            help="Forget what the room predicted here",
        )  # fmt: skip
    if shown and count:
        histogram(found, at, step)


def histogram(found: Lesson, at: int, step: Question) -> None:
    """What the room predicted; nothing where nobody did."""
    said = rooms().answers(room(), (found.name, at))
    if not said:
        return
    counts, labels = counted(said, step)
    figure = lesson_figures.histogram(counts, labels, plots.theme())
    alt = ", ".join(f"{label}: {count:.0f}" for label, count in zip(labels, counts, strict=True))
    st.markdown(f"**The room predicted** ({int(counts.sum())})" + _of_curve(step))
    plots.draw(figure, key=f"lesson-room-{at}", alt=f"Predictions of the room. {alt}.")


def _of_curve(step: Question) -> str:
    return ", last point of the curve" if step.form == "curve" else ""


def counted(said: list[str], step: Question) -> tuple[np.ndarray, list[str]]:
    """How many gave each answer, and the answers' names; of a curve its last point counts."""
    if step.form == "choice":
        places = [found for each in said if isinstance(found := answering.parsed(each, step, 0), int)]
        return np.bincount(np.array(places, int), minlength=len(step.choices)).astype(float), list(step.choices)
    least, most = (0.0, 100.0) if step.form == "curve" else (step.least, step.most)
    values = []
    for each in said:
        guess = answering.parsed(each, step, each.count("_") + 1)
        if guess is not None:
            values.append(100 * float(guess[-1]) if isinstance(guess, np.ndarray) else float(guess))
    counts, edges = np.histogram(values, bins=_BINS, range=(least, most))
    labels = [f"{low:g}–{high:g}" for low, high in pairwise(edges)]
    return counts.astype(float), labels


def send(found: Lesson, at: int) -> None:
    """For somebody in a room: their prediction goes to it, without a name."""
    code = room()
    if not code or is_presented():
        return
    place = rooms().place(code)
    if place is None:
        st.caption("The room is closed.")
        return
    who = str(st.session_state.setdefault("lesson-tab", secrets.token_hex(8)))

    def give() -> None:
        step = found.steps[at]
        assert isinstance(step, Question)
        answering.keep(at, step)
        said = parameter(answering.key_of(at), "")
        taken = bool(said) and rooms().answer(code, (found.name, at), who, said)
        st.session_state["lesson-sent"] = (found.name, at) if taken else None
        if not taken:
            st.toast(f"{answering.waits(at, step)}." if not said else "The room takes no more predictions.")

    with st.container(horizontal=True, vertical_alignment="center"):
        st.button("Send to the room", key="lesson-send", icon=":material/send:", on_click=give, type="primary")
        if st.session_state.get("lesson-sent") == (found.name, at):
            st.markdown("Sent, without your name. You can change it and send it again.")
        if place != (found.name, at):
            st.button("Go to the presenter's step", key="lesson-follow", on_click=_follow, args=place)


def _follow(lesson: str, at: int) -> None:
    set_parameters(lesson=lesson, step=at + 1)
