"""One image of the page: why it was answered so, alone or beside a pinned one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import streamlit as st

from app.components import explanation, thumbnails
from app.components.evidence import evidence_view
from app.components.heat_map import of_run
from app.reading.cards import RunCard
from app.reading.explain import Answer
from app.reading.tables import Predictions, evidence, images, no_evidence
from app.shell import layout
from app.shell.address import parameter, set_parameters
from app.views.errors import looking, neighbours
from core.runs.evidence import KINDS


def chosen_image(answers: Predictions, listed: Predictions) -> int | None:
    """`?image=` where it names a test image seen by now, else the first that is listed, if any is."""
    return _named(answers, "image") if _named(answers, "image") is not None else next(iter(listed.image.tolist()), None)


def _named(answers: Predictions, key: str) -> int | None:
    """The test image seen by now that the URL names."""
    wanted = parameter(key, "")
    return int(wanted) if wanted.isdecimal() and int(wanted) in answers.image else None


def explained(card: RunCard, answers: Predictions, listed: Predictions, image: int) -> None:
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
        st.caption("Training images, where some were kept; the most alike first.")
    _evidence(card, image, int(answers.after_task[row]), key, narrow)
    neighbours.offer(card, image, answer, key, narrow)


def _evidence(card: RunCard, image: int, after: int, key: str, narrow: bool) -> None:
    """Where in the image, and in which blocks, the decision comes from; as the run recorded it at its end."""
    st.markdown("**Where the decision comes from**")
    recorded = evidence(card)
    found = [] if recorded is None else [each for kind in KINDS if (each := recorded.of(image, kind)) is not None]
    if recorded is None:
        st.caption(f"“{layout.plain(card.title)}” {layout.plain(no_evidence(card) or 'recorded no evidence')}.")
    elif not found:
        st.caption("This answer is right and was no close call, so no evidence of it was recorded.")
    names, picture = explanation.names_of(card), of_run(card, image)
    for each in found:
        evidence_view(each, picture, names, key=f"{key}-{each.kind}", narrow=narrow)
    if found and after < card.tasks - 1:
        st.caption(f"Evidence is recorded after the last task; the answer above is the one after task {after + 1}.")
    looking.offer(card, image, key, narrow, bool(found))


def _places(narrow: bool) -> list:
    if narrow:
        picture, scores = st.columns([2, 3])
        return [picture, scores, st.container()]
    return list(st.columns([4, 5, 5], gap="medium"))


def _facts(card: RunCard, image: int, answer: Answer) -> dict[str, str]:
    names = explanation.names_of(card)
    known = {"True task": answer.task, "Sent to": answer.retrieved}
    classes = {"Class": answer.label, "Answer": answer.predicted, "With task given": answer.given_task}
    return {
        **{what: _name(names.tasks, task) for what, task in known.items()},
        **{what: _name(names.classes, label) for what, label in classes.items()},
        "File": str(images(card).name[image]),
    }


def _name(names: Sequence[str], place: int | None) -> str:
    return "not measured" if place is None or place < 0 else names[place]
