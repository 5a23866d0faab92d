"""What would fix the mistakes that are listed: other retrieval, or one more image kept, nothing retrained."""

from __future__ import annotations

import streamlit as st

from app.reading.cards import RunCard
from app.reading.remedies import Remedy, Tally, remedies, tally
from app.reading.tables import Predictions
from app.shell import layout
from app.shell.address import current_task, parameter, set_parameters
from app.workers import questions
from core.errors import UserError


def offer(card: RunCard, listed: Predictions) -> None:
    """A button, and once it was pressed (`?mend=1`) a line per remedy."""
    wrong = listed.where(listed.predicted != listed.label)
    task = current_task(card.tasks)
    if not len(wrong) or task < 1 or card.tasks < 2:
        return
    if parameter("mend", "") != "1":
        st.button(
            f"What would fix these {len(wrong):,}?" if len(wrong) > 1 else "What would fix this one?",
            key="errors-mend",
            icon=":material/build:",
            on_click=set_parameters,
            kwargs={"mend": 1},
        )
        return
    with st.container(border=True, key="mending"):
        title, close = st.columns([8, 2], vertical_alignment="center")
        title.markdown(f"**What would fix these {len(wrong):,} mistakes?**")
        close.button("Close", key="errors-mend-close", on_click=set_parameters, kwargs={"mend": None})
        reason = questions.why_not(card)
        if reason:
            st.markdown(f"“{layout.plain(card.title)}” {reason}: no other retrieval can be tried on it.")
            return
        _tried(card, wrong, task)


def _tried(card: RunCard, wrong: Predictions, task: int) -> None:
    offered = remedies(questions.known_spaces(card), task, int(wrong.image[0]))
    found: list[tuple[Remedy, Tally]] = []
    line = st.progress(0.0, "Trying other retrieval; the first answer takes some seconds")
    try:
        for number, remedy in enumerate(offered):
            line.progress(number / len(offered), f"{number + 1} of {len(offered)}: {remedy.title}")
            answer = questions.ask(card, remedy.settings, lambda: None)
            beside = questions.ask(card, remedy.beside, lambda: None) if remedy.beside else None
            found.append((remedy, tally(answer, wrong.image, beside)))
    except UserError as error:
        layout.problem_line(str(error))
    finally:
        line.empty()
    for remedy, came in sorted(found, key=lambda pair: -pair[1].net):
        _line(remedy, came)
    st.caption(
        "Each line answers all test images again from the run's embeddings; nothing is trained. Mixtures are fitted on "
        "the training images that were kept, so even the run's own settings can change some answers. “One more image "
        "kept” takes the first listed image for a training image of its class: class mean and whitening are computed "
        "anew, exactly, and it is compared with the same settings without that image."
    )


def _line(remedy: Remedy, came: Tally) -> None:
    what, numbers, more = st.columns([5, 6, 2], vertical_alignment="center")
    what.markdown(f"**{remedy.title}**")
    sign = "+" if came.net > 0 else "−" if came.net < 0 else "±"
    numbers.markdown(
        f"fixes **{came.mends:,} of {came.asked:,}** and {came.mends_others:,} others, breaks **{came.breaks:,}** · "
        f"{sign}{abs(came.net):,} in all"
    )
    if remedy.beside is None:
        with more:
            layout.page_link("What if", "whatif", icon=":material/tune:", **dict(remedy.values))
