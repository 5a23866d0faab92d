"""One step of a lesson on the screen, and the way to the next."""

from __future__ import annotations

import numpy as np
import streamlit as st

from app.components.captions import explained
from app.components.save_figure import save_figure
from app.figures import lesson_figures, plots
from app.figures.lesson_figures import Drawn
from app.figures.palette import Theme
from app.reading import lesson_numbers, lessons
from app.reading.cards import RECORDED_RUNS, RunCard, run_card
from app.reading.glossary import glossary, terms_in
from app.reading.lessons import Check, Do, Draw, Lesson, Question, Reveal, Step
from app.shell import layout, navigation
from app.shell.address import RUN, parameter, set_parameters
from app.views.lessons import answering, presenting, taken
from core.errors import UserError

_STYLE = """<style>
[class*="st-key-lesson-step"] { max-width: 56rem; }
@media (max-width: 640px) { .stMain h1 { font-size: 1.6rem; padding: 0.5rem 0; } }
</style>"""


def play(found: Lesson, at: int) -> None:
    """Step `at` (from 0) of the lesson."""
    shown = presenting.begin(found, at)
    st.html(_STYLE)
    runs = _runs(found)
    step = _written(found.steps[at], runs)
    if not shown:
        layout.heading(found.title)
        st.caption(f"{found.question}")
    else:
        st.title(found.title, anchor=False)
    st.progress((at + 1) / len(found.steps), text=f"Step {at + 1} of {len(found.steps)}")
    # A step is a container of its own name, so that nothing of the last one stays on the screen.
    with st.container(key=f"lesson-step-{at}"):
        st.subheader(step.title, anchor=False)
        _step(found, at, step, runs)
    _turn(found, at, shown)
    _words(step.text)
    if shown:
        presenting.invitation(found, at)
    else:
        _away(found, runs)


def _runs(found: Lesson) -> dict[str, RunCard]:
    """The lesson's runs. Raises UserError where one is not there."""
    cards = {name: run_card(RECORDED_RUNS / run, True) for name, run in found.runs.items()}
    for card in cards.values():
        if not card.ready:
            raise UserError(
                f"This lesson needs the recorded run “{card.name}”, which is not here: choose another lesson."
            )
    return cards


def _written(step: Step, runs: dict[str, RunCard]) -> Step:
    return lessons.written(step, {name: lesson_numbers.Numbers(card) for name, card in runs.items()})


def _step(found: Lesson, at: int, step: Step, runs: dict[str, RunCard]) -> None:
    if isinstance(step, Reveal):
        _reveal(found, at, step, runs)
        return
    explained(step.text)
    _figure(found, step, runs)
    if isinstance(step, Question):
        answering.ask(found, at, step, runs, large=presenting.is_presented())
        presenting.send(found, at)
    elif isinstance(step, Do):
        _do(found, step)
    elif isinstance(step, Check):
        _check(at, step)


def _reveal(found: Lesson, at: int, step: Reveal, runs: dict[str, RunCard]) -> None:
    """The run's answer, with the reader's prediction in the figure; not before there is a prediction."""
    place = found.before(at)
    assert place is not None  # a lesson without it is refused when it is read
    asked = _written(found.steps[place], runs)
    assert isinstance(asked, Question)
    if presenting.is_presented():
        presenting.histogram(found, place, asked)
    guess = answering.given(place, asked, answering.points(asked, runs, found))
    if guess is None and not presenting.is_presented() and parameter("show", "") != str(at + 1):
        st.info(
            "You have not predicted yet. A guess, even a wrong one, makes the answer stick.", icon=":material/edit:"
        )
        with st.container(horizontal=True):
            st.button("Predict first", type="primary", on_click=set_parameters, kwargs={"step": place + 1})
            st.button("Show it anyway", on_click=set_parameters, kwargs={"show": at + 1})
        return
    answering.compared(found, asked, guess, runs)
    if isinstance(asked, Draw):
        answering.show_drawn(found, place, asked, guess, runs, large=presenting.is_presented())
    _figure(found, step, runs, guess if asked.form == "curve" else None, drawn_already=isinstance(asked, Draw))
    explained(step.text)


def _figure(
    found: Lesson,
    step: Step,
    runs: dict[str, RunCard],
    curve: np.ndarray | None = None,
    *,
    drawn_already: bool = False,
) -> None:
    """The step's figure with the reader's own curve, if there is one; below it what it shows, and a way to save it.

    Where the reader's drawing shows the same already, only what stands below.
    """
    name, of = step.figure, step.run or found.first
    if name is None:
        return

    def drawn(ground: Theme) -> Drawn | None:
        figure = lesson_figures.draw(name, runs, of, ground)
        return figure if figure is None or curve is None else lesson_figures.with_curve(figure, curve, ground)

    shown = drawn(plots.theme())
    if shown is None:
        st.caption("The recorded run does not hold what this figure shows.")
        return
    if not drawn_already:
        plots.draw(shown.figure, key=f"lesson-{found.name}-{name}-{of}", alt=shown.caption)
    taken.caption_of(shown.caption, runs[of])
    save_figure(
        lambda ground: drawn(ground).figure,  # type: ignore[union-attr]
        shown.caption, lesson_figures.runs_in(name, runs, of), file=f"{found.name}-{name}", key=f"{name}-{of}",
    )  # fmt: skip


def _do(found: Lesson, step: Do) -> None:
    if step.page not in navigation.entries():
        st.info("This page is not offered here: in an installation of your own it is.", icon=":material/info:")
        return
    chosen = {RUN: found.runs[step.run or found.first], "t": None} | step.parameters
    if step.page in ("train", "sweep"):
        chosen[RUN] = None  # or the page would show that run in place of what can be started
    with st.container(key="actions"):
        layout.page_link(step.label, step.page, icon=":material/science:", **chosen)
    st.caption("Your place in this lesson is in the address: come back with the browser's Back.")


def _check(at: int, step: Check) -> None:
    """The choices; the reason appears with the choice."""
    picked = answering.pick(at, [choice.text for choice in step.choices], "Your answer")
    if picked is None:
        return
    choice = step.choices[picked]
    if choice.right:
        st.success(f"**Right.** {choice.why}", icon=":material/check:")
    else:
        st.warning(f"**Not this one.** {choice.why} Try another.", icon=":material/close:")


def _turn(found: Lesson, at: int, shown: bool) -> None:
    """Back and Next; on the last step, to the list and the next lesson."""
    step = found.steps[at]
    with st.container(horizontal=True, vertical_alignment="center", key="lesson-turn"):
        st.button(
            "Back", key="lesson-back", icon=":material/arrow_back:", shortcut="Left" if shown else "P",
            disabled=at == 0, on_click=set_parameters, kwargs={"step": at},
        )  # fmt: skip
        if at + 1 < len(found.steps):
            waits = answering.waits(at, step) if isinstance(step, Question) and not shown else None
            st.button(
                "Next", key="lesson-next", type="primary", icon=":material/arrow_forward:", disabled=bool(waits),
                shortcut="Right" if shown else "N", on_click=_next, args=(found, at, shown),
                help=waits,
            )  # fmt: skip
        else:
            _after(found)
        st.button("All lessons", key="lesson-list", type="tertiary", on_click=_leave)


def _next(found: Lesson, at: int, shown: bool) -> None:
    step = found.steps[at]
    if isinstance(step, Question) and not shown:
        answering.keep(at, step)
    set_parameters(step=at + 2)


def _after(found: Lesson) -> None:
    names = lessons.lesson_names()
    following = names[names.index(found.name) + 1 :] if found.name in names else []
    if following:
        st.button("Next lesson", key="lesson-next", type="primary", on_click=_leave, args=(following[0],))


def _leave(lesson: str | None = None) -> None:
    """Go to the list or to another lesson: answers of this one leave the address."""
    for key in [key for key in st.query_params if key[:1] == "a" and key[1:].isdecimal()]:
        set_parameters(**{key: None})
    set_parameters(lesson=lesson, step=1 if lesson else None, show=None)


def _words(text: str) -> None:
    """What the marked words mean, for those who cannot point at them."""
    terms = terms_in(text)
    if terms:
        words = glossary()
        with st.expander("Words on this page", icon=":material/dictionary:"):
            st.markdown("\n".join(f"- **{layout.plain(words[term].name)}**: {words[term].means}" for term in terms))


def _away(found: Lesson, runs: dict[str, RunCard]) -> None:
    with st.container(horizontal=True, key="lesson-away"):
        taken.handout_button(found, runs)
        st.button(
            "Present", key="lesson-present", icon=":material/slideshow:", type="tertiary",
            on_click=set_parameters, kwargs={"present": 1, "room": None},
            help="Large type, arrow keys, and a code with which a class joins",
        )  # fmt: skip
