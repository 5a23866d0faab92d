"""A reader's answers: the controls that ask for them, the address that keeps them, and the run's answer beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import streamlit as st

from app.components.curve_drawing import curve_drawing
from app.figures import lesson_figures, plots
from app.figures.palette import ACCENT
from app.reading import lesson_numbers
from app.reading.cards import RunCard
from app.reading.lessons import Draw, Lesson, Question
from app.shell.address import parameter, set_parameters

Guess = float | int | np.ndarray
"""A number, the place of a choice from 0, or (T,) shares of a curve."""


def key_of(at: int) -> str:
    """The key of the address that keeps the answer to step `at`, from 0: a1, a2, …"""
    return f"a{at + 1}"


def points(step: Question, runs: Mapping[str, RunCard], found: Lesson) -> int:
    """How many points a curve has."""
    return _run(step, runs, found).tasks


def given(at: int, step: Question, count: int) -> Guess | None:
    """What the address says; None where it says nothing that can be understood."""
    return parsed(parameter(key_of(at), ""), step, count)


def parsed(said: str, step: Question, count: int) -> Guess | None:
    """An answer as the address or a room keeps it, as a number; None for what is no answer to this step."""
    try:
        values = [float(part) for part in said.split("_")]
    except ValueError:
        return None
    if not all(np.isfinite(values)):
        return None
    if step.form == "curve":
        return np.clip(np.array(values), 0, 100) / 100 if len(values) == count else None
    if len(values) != 1:
        return None
    if step.form == "choice":
        place = int(values[0]) - 1
        return place if 0 <= place < len(step.choices) else None
    return float(np.clip(values[0], step.least, step.most))


def ask(found: Lesson, at: int, step: Question, runs: Mapping[str, RunCard], *, large: bool) -> None:
    """The control for a prediction; what it holds goes into the address as soon as it is moved."""
    if step.form == "choice":
        pick(at, step.choices, "Your prediction")
        return
    count = points(step, runs, found)
    before = given(at, step, count)
    if isinstance(step, Draw):
        _ask_to_draw(at, step, count, before if isinstance(before, np.ndarray) else None, large)
    elif step.form == "curve":
        _ask_curve(at, count, before if isinstance(before, np.ndarray) else np.full(count, 0.5))
    else:
        middle = round((step.least + step.most) / 2)
        _slider(f"Your prediction, {step.unit}", at, 0, step.least, step.most, middle if before is None else before)


def _ask_to_draw(at: int, step: Draw, count: int, before: np.ndarray | None, large: bool) -> None:
    across, upwards = _axes(step)

    def drawn(percent: list[int]) -> None:
        set_parameters(**{key_of(at): "_".join(map(str, percent))})

    curve_drawing(before, count, drawn, across=across, upwards=upwards, large=large, key=f"lesson-drawing-{at}")


def show_drawn(
    found: Lesson, at: int, step: Draw, guess: Guess | None, runs: Mapping[str, RunCard], *, large: bool
) -> None:
    """The run's curve, drawn over what the reader drew at step `at`."""
    across, upwards = _axes(step)
    told = _series(step).read(_run(step, runs, found))
    curve_drawing(
        guess if isinstance(guess, np.ndarray) else None, len(told), None,
        across=across, upwards=upwards, told=told, large=large, key=f"lesson-drawn-{at}",
    )  # fmt: skip


def _series(step: Question) -> lesson_numbers.Series:
    return lesson_numbers.CURVES[str(step.answer).rpartition(".")[2]]


def _axes(step: Question) -> tuple[str, str]:
    series = _series(step)
    return series.across, series.upwards


def _ask_curve(at: int, count: int, before: np.ndarray) -> None:
    controls, drawn = st.columns([1, 1], gap="medium")
    with controls:
        for point in range(count):
            _slider(f"After task {point + 1}, %", at, point, 0, 100, 100 * before[point])
    with drawn:
        ground = plots.theme()
        line = plots.Line("your prediction", before, ACCENT[ground], dash=True, wide=True)
        ticks = [str(point + 1) for point in range(count)]
        figure = plots.curves([line], ticks, ground, titles=("after task", "right answers"))
        figure["layout"]["yaxis"]["range"] = [-0.04, 1.04]
        said = ", ".join(f"{value:.0%}" for value in before)
        plots.draw(figure, key=f"lesson-curve-{at}", alt=f"Your prediction, task after task: {said}.")


def _slider(label: str, at: int, point: int, least: float, most: float, value: object) -> None:
    widget = f"lesson-guess-{at}-{point}"
    st.session_state[widget] = round(float(value))  # type: ignore[arg-type]
    st.slider(label, round(least), round(most), key=widget, on_change=_moved, args=(at,))


def _moved(at: int) -> None:
    widgets = [key for key in st.session_state if str(key).startswith(f"lesson-guess-{at}-")]
    places = sorted(widgets, key=lambda key: int(str(key).rpartition("-")[2]))
    set_parameters(**{key_of(at): "_".join(str(st.session_state[widget]) for widget in places)})


def keep(at: int, step: Question) -> None:
    """What the controls hold counts as the prediction, also where nobody moved them."""
    if step.form != "choice" and not isinstance(step, Draw):
        _moved(at)


def waits(at: int, step: Question) -> str | None:
    """What the reader has to do before they can go on, if anything."""
    asks = step.form == "choice" or isinstance(step, Draw)
    if not asks or parameter(key_of(at), ""):
        return None
    return "Draw your curve first" if isinstance(step, Draw) else "Choose first"


def pick(at: int, choices: Sequence[str], label: str) -> int | None:
    """Choices as radio buttons; the place of the chosen one, from 0, or None."""
    said = parameter(key_of(at), "", [str(place + 1) for place in range(len(choices))])
    widget = f"lesson-pick-{at}"
    st.session_state[widget] = int(said) - 1 if said else None
    st.radio(
        label, range(len(choices)), key=widget, format_func=lambda place: choices[place],
        on_change=lambda: set_parameters(**{key_of(at): st.session_state[widget] + 1}),
    )  # fmt: skip
    return int(said) - 1 if said else None


def compared(found: Lesson, step: Question, guess: Guess | None, runs: Mapping[str, RunCard]) -> None:
    """One line: what was predicted and what is; for a number, as bars as well."""
    if step.form == "choice":
        assert isinstance(step.answer, int)
        right = step.choices[step.answer - 1]
        if guess is None:
            st.markdown(f"The answer: **{right}**")
        elif guess == step.answer - 1:
            st.success(f"You were right: **{right}**", icon=":material/check:")
        else:
            st.info(f"You said “{step.choices[int(guess)]}”. It is: **{right}**", icon=":material/lightbulb:")  # type: ignore[arg-type]
        return
    card, name = _run(step, runs, found), str(step.answer).rpartition(".")[2]
    if step.form == "curve":
        if isinstance(guess, np.ndarray):
            off = float(np.nanmean(np.abs(guess - _series(step).read(card))))
            st.markdown(f"Your curve is **{100 * off:.0f} points** from the run's, on average. It is the dotted one.")
        return
    answer = lesson_numbers.guessable(card, name)
    if guess is not None:
        ground = plots.theme()
        said = f"{guess:g}{'' if step.unit == '%' else ' '}{step.unit}"
        st.markdown(f"You said **{said}**. The run says **{lesson_numbers.shown(card, name)}**.")
        drawn = lesson_figures.guessed(float(guess), answer, step.unit, ground, step.most)  # type: ignore[arg-type]
        plots.draw(drawn.figure, key=f"lesson-guessed-{name}", alt=f"You said {said}; the run says {answer:.3g}.")


def _run(step: Question, runs: Mapping[str, RunCard], found: Lesson) -> RunCard:
    run = str(step.answer).rpartition(".")[0] if isinstance(step.answer, str) else ""
    return runs[run or found.first]
