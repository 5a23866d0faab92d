"""Which images are listed, and the list: a slice that the address names, its filters, and the table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import streamlit as st

from app.components.answer_table import ROWS, answer_table
from app.reading.cards import RunCard
from app.reading.slices import FATES, History, Slice
from app.reading.tables import Predictions, class_names, shifts, task_names
from app.shell import layout
from app.shell.address import parameter, set_parameters
from app.views.errors import grouped

SHOW = {"mistakes": "All mistakes", "task": "Wrong task", "class": "Right task, wrong class", "all": "All images"}
ORDER = {"sure": "Surest first", "close": "Closest calls first", "stream": "In order of the stream"}


def present(card: RunCard) -> Slice:
    """The slice that the address names; what the run does not have is left open."""
    return Slice.parse(st.query_params).within(len(task_names(card)), len(class_names(card)))


def choose(card: RunCard, answers: Predictions, inside: np.ndarray, **values: int | None) -> None:
    """Put other values into the slice. It opens with whatever is in it: all images where none of them is a mistake."""
    show = parameter("show", "mistakes", SHOW)
    if not (inside & of_kind(answers, show)).any():
        show = "mistakes" if (inside & of_kind(answers, "mistakes")).any() else "all"
    set_parameters(**replace(present(card), **values).address(), show=show, image=None)


def of_kind(answers: Predictions, show: str) -> np.ndarray:
    """bool (n,): which answers a choice of SHOW means."""
    lost, wrong = answers.retrieved_task != answers.task, answers.predicted != answers.label
    choices = {"mistakes": wrong | lost, "task": lost, "class": wrong & ~lost, "all": np.ones(len(answers), bool)}
    return choices[show]


def listed(card: RunCard, answers: Predictions, past: History) -> Predictions:
    """What the table lists, in its order."""
    inside = _inside(card, answers, past)
    return _ordered(answers.where(inside & of_kind(answers, parameter("show", "mistakes", SHOW))))


def _inside(card: RunCard, answers: Predictions, past: History) -> np.ndarray:
    inside = present(card).rows(answers, past)
    group = grouped.chosen(card, answers)
    return inside if group is None else inside & np.isin(answers.image, group)


def _ordered(answers: Predictions) -> Predictions:
    order = parameter("order", "sure", ORDER)
    if order == "stream":
        return answers
    if order == "close":
        return answers.where(np.argsort(answers.margin, kind="stable"))
    return answers.where(np.lexsort((-answers.margin, answers.retrieved_task == answers.task)))


def browse(card: RunCard, answers: Predictions, past: History, shown: Predictions, image: int | None) -> None:
    """Filters and table."""
    inside = _inside(card, answers, past)
    _filters(answers, inside)
    _narrow(card, answers)
    _chips(card)
    if len(shown):
        answer_table(card, shown, image, _pick_image, key=f"answers-{card.name}", height=330)
        if len(shown) > ROWS:
            st.caption(f"The first {ROWS} of {len(shown):,} images.")
    else:
        _nothing(card)


def _pick_image(image: int) -> None:
    set_parameters(image=image)


def _filters(answers: Predictions, inside: np.ndarray) -> None:
    totals = {show: int((inside & of_kind(answers, show)).sum()) for show in SHOW}
    show, order = st.columns([3, 2])
    st.session_state["errors-show"] = parameter("show", "mistakes", SHOW)
    st.session_state["errors-order"] = parameter("order", "sure", ORDER)
    show.selectbox(
        "Show",
        list(SHOW),
        key="errors-show",
        format_func=lambda name: f"{SHOW[name]} ({totals[name]:,})",
        on_change=lambda: set_parameters(show=st.session_state["errors-show"], image=None),
    )
    order.selectbox(
        "Order",
        list(ORDER),
        key="errors-order",
        format_func=ORDER.__getitem__,
        help="How sure: by how much the best task leads the second best. The surest of a wrong task come first.",
        on_change=lambda: set_parameters(order=st.session_state["errors-order"], image=None),
    )


def _narrow(card: RunCard, answers: Predictions) -> None:
    """Every property by which images can be chosen."""
    now = present(card)
    tasks, classes = task_names(card)[: int(answers.task.max()) + 1], class_names(card)
    seen = np.unique(answers.label).tolist()
    with st.popover("Narrow down", icon=":material/filter_list:", help="Choose by task, class, margin, or history"):
        left, right = st.columns(2)
        with left:
            _pick_one(card, "True task", "task", range(len(tasks)), tasks)
            _pick_one(card, "True class", "label", seen, classes)
            _pick_one(card, "History", "fate", list(FATES), FATES)
        with right:
            _pick_one(card, "Sent to", "retrieved", range(len(tasks)), tasks)
            _pick_one(card, "Answer", "predicted", seen, classes)
            after = range(int(answers.after_task[0]) + 1)
            _pick_one(
                card, "Wrong since task", "since", after, [f"{task + 1}: {name}" for task, name in enumerate(tasks)]
            )
        if now.retrieved is not None:
            known = np.unique(answers.nearest_component[answers.retrieved_task == now.retrieved]).tolist()
            known = [component for component in known if component >= 0]
            _pick_one(card, "Component of that task", "component", known, {c: f"component {c + 1}" for c in known})
        _margin(card, answers, now)
        _shift(card)


def _pick_one(card: RunCard, label: str, name: str, options: Sequence[object], words: object) -> None:
    """A list of one property's values; None is open."""
    key, value = f"errors-slice-{name}", getattr(present(card), name)
    options = list(options)
    st.session_state[key] = value if value in options else None
    st.selectbox(
        label,
        options,
        key=key,
        format_func=lambda option: str(words[option]),  # type: ignore[index]
        placeholder="any",
        on_change=lambda: _set(card, **{name: st.session_state[key]}),
    )


def _margin(card: RunCard, answers: Predictions, now: Slice) -> None:
    top = float(np.ceil(answers.margin[np.isfinite(answers.margin)].max(initial=0)))
    if top <= 0:
        return
    low = min(now.least or 0.0, top)
    st.session_state["errors-margin"] = (low, max(low, min(top if now.most is None else now.most, top)))
    st.slider(
        "Lead of the best task over the second best",
        0.0,
        top,
        key="errors-margin",
        on_change=_set_margin,
        args=(card, top),
    )


def _shift(card: RunCard) -> None:
    """Answers for corrupted images, where the run asked for them."""
    known = shifts(card)
    if not known:
        return
    st.session_state["errors-shift"] = parameter("shift", "", known) or None
    st.selectbox(
        "Test images disturbed by",
        known,
        key="errors-shift",
        placeholder="nothing",
        help="Corruptions with their severity, 1 to 5; asked after the last task.",
        on_change=lambda: set_parameters(shift=st.session_state["errors-shift"], image=None),
    )


def _set_margin(card: RunCard, top: float) -> None:
    least, most = st.session_state["errors-margin"]
    _set(card, least=least if least > 0 else None, most=most if most < top else None)


def _set(card: RunCard, **values: object) -> None:
    changed = replace(present(card), **values)  # type: ignore[arg-type]
    if "retrieved" in values:
        changed = changed.without("component")
    set_parameters(**changed.address(), image=None)


def _chips(card: RunCard) -> None:
    """What narrows the list down; a click takes it away."""
    now = present(card)
    words = _words(card, now)
    shift = parameter("shift", "", shifts(card))
    group = parameter("group", "") if parameter("view", "tasks") == "groups" else ""
    if not words and not group and not shift:
        return
    with st.container(horizontal=True, gap="small"):
        for name, text in words.items():
            open_again = ("retrieved", "component") if name == "retrieved" else (name,)
            _chip(text, f"chip-{name}", now.without(*open_again).address())
        if shift:
            _chip(f"disturbed by {layout.plain(shift)}", "chip-shift", {"shift": None})
        if group:
            _chip(f"group {layout.plain(group)}", "chip-group", {"group": None})


def _chip(text: str, key: str, changed: dict[str, str | None]) -> None:
    st.button(
        text, key=f"errors-{key}", icon=":material/close:", help="Take this away",
        on_click=set_parameters, kwargs={**changed, "image": None},
    )  # fmt: skip


def _words(card: RunCard, now: Slice) -> dict[str, str]:
    """Property → what a chip says of it."""
    tasks, classes = task_names(card), class_names(card)

    def name(names: Sequence[str], place: int) -> str:
        return layout.plain(names[place]) if place < len(names) else str(place + 1)

    texts = {
        "task": lambda value: f"of {name(tasks, value)}",
        "retrieved": lambda value: f"sent to {name(tasks, value)}",
        "label": lambda value: f"{name(classes, value)}",
        "predicted": lambda value: f"answered {name(classes, value)}",
        "component": lambda value: f"component {value + 1}",
        "least": lambda value: f"lead from {value:g}",
        "most": lambda value: f"lead to {value:g}",
        "fate": lambda value: FATES[value],
        "since": lambda value: f"wrong since task {value + 1}",
    }
    return {prop: texts[prop](getattr(now, prop)) for prop in now.chosen}


def _nothing(card: RunCard) -> None:
    with st.container(border=True):
        st.markdown("There is nothing of this kind here.")
        if present(card).chosen or parameter("group", ""):
            cleared = dict.fromkeys((*Slice().address(), "group"))
            st.button("Look at all of them", on_click=set_parameters, kwargs=cleared)
        else:
            st.button("Look at all images", on_click=set_parameters, kwargs={"show": "all"})
