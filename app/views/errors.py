"""Retrieval errors: from the confusion of tasks to the images, and from an image to why it was answered so."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import streamlit as st

from app.components import explanation, thumbnails
from app.components.answer_table import ROWS, answer_table
from app.components.captions import caption
from app.components.confusion import Cell, address, chosen_cell, confusion, counts
from app.reading.cards import RunCard
from app.reading.explain import Answer
from app.reading.tables import Predictions, images, predictions
from app.shell import layout
from app.shell.address import current_task, parameter, set_parameters

SHOW = {"mistakes": "All mistakes", "task": "Wrong task", "class": "Right task, wrong class", "all": "All images"}
ORDER = {"sure": "Surest first", "close": "Closest calls first", "stream": "In order of the stream"}


def render() -> None:
    """The page."""
    layout.heading("Retrieval errors")
    card = layout.run_to_explore()
    if card is None:
        return
    task = current_task(card.tasks)
    answers = predictions(card).after(task)
    if not len(answers):
        layout.empty("This run has no test images to look at.", "Train another", "train")
        return
    _summary(answers)
    listed = _browse(card, answers)
    image = _image(answers, listed)
    if image is not None:
        _explained(card, answers, listed, image)


def _summary(answers: Predictions) -> None:
    wrong = answers.predicted != answers.label
    lost = int((wrong & (answers.retrieved_task != answers.task)).sum())
    after = f"After task {int(answers.after_task[0]) + 1},"
    if not wrong.any():
        st.markdown(f"{after} all **{len(answers):,}** answers are right.")
        return
    st.markdown(
        f"{after} **{wrong.sum():,} of {len(answers):,}** answers are wrong; "
        f"**{lost / wrong.sum():.0%}** of the mistakes are of images sent to the wrong task."
    )


def _browse(card: RunCard, answers: Predictions) -> Predictions:
    """The matrix and the table; gives what the table lists, in its order."""
    tasks = int(answers.task.max()) + 1
    cell = chosen_cell(tasks)
    listed = _ordered(answers.where(_inside(answers, cell) & _shown(answers, _show())))
    left, right = st.columns([9, 11], gap="medium")
    with left:
        matrix = counts(answers.task, answers.retrieved_task, tasks)
        names = explanation.names_of(card).tasks[:tasks]
        confusion(matrix, names, cell, partial(_pick_cell, answers), key=f"confusion-{card.name}")
    with right:
        _filters(answers, cell)
        if len(listed):
            answer_table(card, listed, _image(answers, listed), _pick_image, key=f"answers-{card.name}", height=330)
            _count(listed)
        else:
            _nothing(cell)
    caption(
        "test images by their true task and the task they were sent to; the diagonal was sent right.",
        "a dark cell off the diagonal, and whether its mirror image is dark too: two tasks that look alike.",
        "an image in the wrong task meets the wrong adapter and head, and no class there can be right.",
    )
    return listed


def _show() -> str:
    return parameter("show", "mistakes", SHOW)


def _inside(answers: Predictions, cell: Cell | None) -> np.ndarray:
    everywhere = np.ones(len(answers), bool)
    return everywhere if cell is None else (answers.task == cell[0]) & (answers.retrieved_task == cell[1])


def _shown(answers: Predictions, show: str) -> np.ndarray:
    lost, wrong = answers.retrieved_task != answers.task, answers.predicted != answers.label
    choices = {"mistakes": wrong | lost, "task": lost, "class": wrong & ~lost, "all": np.ones(len(answers), bool)}
    return choices[show]


def _ordered(answers: Predictions) -> Predictions:
    order = parameter("order", "sure", ORDER)
    if order == "stream":
        return answers
    if order == "close":
        return answers.where(np.argsort(answers.margin, kind="stable"))
    return answers.where(np.lexsort((-answers.margin, answers.retrieved_task == answers.task)))


def _pick_cell(answers: Predictions, cell: Cell | None) -> None:
    """A cell opens with whatever is in it: all its images where none of them is a mistake."""
    show = _show()
    if cell is not None and not (_inside(answers, cell) & _shown(answers, show)).any():
        mistakes = (_inside(answers, cell) & _shown(answers, "mistakes")).any()
        show = "mistakes" if mistakes else "all"
    set_parameters(cell=address(cell), show=show, image=None)


def _pick_image(image: int) -> None:
    set_parameters(image=image)


def _filters(answers: Predictions, cell: Cell | None) -> None:
    inside = _inside(answers, cell)
    totals = {show: int((inside & _shown(answers, show)).sum()) for show in SHOW}
    show, order = st.columns([3, 2])
    st.session_state["errors-show"], st.session_state["errors-order"] = _show(), parameter("order", "sure", ORDER)
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


def _count(listed: Predictions) -> None:
    if len(listed) > ROWS:
        st.caption(f"The first {ROWS} of {len(listed):,} images.")


def _nothing(cell: Cell | None) -> None:
    with st.container(border=True):
        st.markdown("There is nothing of this kind here.")
        if cell is not None:
            st.button("Look at the whole matrix", on_click=set_parameters, kwargs={"cell": None})
        else:
            st.button("Look at all images", on_click=set_parameters, kwargs={"show": "all"})


def _image(answers: Predictions, listed: Predictions) -> int | None:
    """`?image=` where it names a test image seen by now, else the first that is listed, if any is."""
    return _named(answers, "image") if _named(answers, "image") is not None else next(iter(listed.image.tolist()), None)


def _named(answers: Predictions, key: str) -> int | None:
    """The test image seen by now that the URL names."""
    wanted = parameter(key, "")
    return int(wanted) if wanted.isdecimal() and int(wanted) in answers.image else None


def _explained(card: RunCard, answers: Predictions, listed: Predictions, image: int) -> None:
    """The chosen image, beside the pinned one where there is one."""
    pinned = _named(answers, "pin")
    st.subheader("One image explained", divider="gray", anchor=False)
    wanted = parameter("image", "")
    if wanted and _named(answers, "image") is None:
        layout.problem_line(f"{_not_asked(card, wanted)} Here is the first one of the table instead.")
    _steps(image, listed, pinned)
    if pinned in (None, image):
        _explain(card, answers, image, "now")
        return
    left, right = st.columns(2, gap="large")
    with left:
        st.markdown("**Pinned**")
        _explain(card, answers, pinned, "pinned", narrow=True)
    with right:
        st.markdown("**Compared with**")
        _explain(card, answers, image, "now", narrow=True)


def _not_asked(card: RunCard, wanted: str) -> str:
    known = images(card)
    if not wanted.isdecimal() or int(wanted) >= len(known):
        return f"There is no image {wanted[:20]} in this run."
    if known.split[int(wanted)] == "train":
        return f"Image {wanted} was trained on, and only test images are asked about."
    return f"Image {wanted} belongs to a task that comes later."


def _steps(image: int, listed: Predictions, pinned: int | None) -> None:
    """Previous, next, pin."""
    place = np.flatnonzero(listed.image == image)
    at = int(place[0]) if len(place) else None
    before, after = (at - 1, at + 1) if at is not None else (-1, 0)
    with st.container(horizontal=True, vertical_alignment="center"):
        _step("Previous", "P", before, listed)
        _step("Next", "N", after, listed)
        if pinned != image:
            st.button("Pin to compare", icon=":material/keep:", on_click=set_parameters, kwargs={"pin": image})
        if pinned is not None:
            st.button("Unpin", icon=":material/keep_off:", on_click=set_parameters, kwargs={"pin": None})
        st.caption(f"{at + 1:,} of {len(listed):,} listed" if at is not None else "Not among the images listed above")


def _step(label: str, shortcut: str, place: int, listed: Predictions) -> None:
    there = 0 <= place < len(listed)
    target = int(listed.image[place]) if there else None
    st.button(label, shortcut=shortcut, disabled=not there, on_click=set_parameters, kwargs={"image": target})


def _explain(card: RunCard, answers: Predictions, image: int, key: str, narrow: bool = False) -> None:
    row = int(np.flatnonzero(answers.image == image)[0])
    answer, names = explanation.answer_of(answers, row), explanation.names_of(card)
    near = explanation.clusters_of(card, image, answer)
    explanation.why(answer, names, near[0])
    picture, scores, clusters = _places(narrow)
    with picture:
        thumbnails.one(card, image, size=112 if narrow else 160, key=f"one-{key}")
        explanation.facts(_facts(card, image, answer))
    with scores:
        st.markdown("**Gap to the best task**")
        explanation.gaps(answer, names)
        st.caption(f"In {explanation.unit(answer)}; a shorter bar is a likelier task.")
    with clusters:
        st.markdown("**What it lies near**")
        for place, found in enumerate(near):
            explanation.component_images(card, found, names, answer, key=f"near-{key}-{place}")
        st.caption("Images of training where they were kept, the most alike first.")


def _places(narrow: bool) -> list:
    if narrow:
        picture, scores = st.columns([2, 3])
        return [picture, scores, st.container()]
    return list(st.columns([3, 5, 6], gap="medium"))


def _facts(card: RunCard, image: int, answer: Answer) -> dict[str, str]:
    names = explanation.names_of(card)
    known = {"True task": answer.task, "Sent to": answer.retrieved}
    classes = {"Class": answer.label, "Answer": answer.predicted, "Told the task": answer.given_task}
    return {
        **{what: _name(names.tasks, task) for what, task in known.items()},
        **{what: _name(names.classes, label) for what, label in classes.items()},
        "File": str(images(card).name[image]),
    }


def _name(names: Sequence[str], place: int | None) -> str:
    return "not measured" if place is None or place < 0 else names[place]
