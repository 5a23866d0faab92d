"""Retrieval errors: from confused tasks, confused classes or groups of mistakes to the images, and to why.

`listing` says which images are listed (a slice that the address names) and lists them; `tasks`, `classes` and `grouped`
are three ways to see what was confused, each of which chooses a slice; `take_away` and `mending` are about all that is
listed, and `one_image` explains one of the listed images. `never_learned` shows where images of held-out classes go.
"""

from __future__ import annotations

import numpy as np
import streamlit as st

from app.components.choice import choice
from app.reading.held_out import held_out
from app.reading.slices import history
from app.reading.tables import Predictions, disturbed, predictions, shifts
from app.shell import layout
from app.shell.address import current_task, parameter
from app.views.errors import classes, grouped, listing, mending, never_learned, one_image, take_away, tasks

VIEWS = {"tasks": "By task", "classes": "By class", "groups": "In groups"}
NEVER_LEARNED = {"held-out": "Held-out classes"}
"""Offered where a run has such classes."""


def render() -> None:
    """The page."""
    layout.heading("Retrieval errors")
    card = layout.run_to_explore()
    if card is None:
        return
    task = current_task(card.tasks)
    everything = predictions(card)
    shift = parameter("shift", "", shifts(card))
    answers = disturbed(card, shift) if shift else everything.after(task)
    if not len(answers):
        layout.empty("This run has no test images to look at.", "Train another", "train")
        return
    _summary(answers, shift)
    views = VIEWS | NEVER_LEARNED if held_out(card) else VIEWS
    view = choice("See what was confused", "view", views, "tasks", widget="errors-view")
    if view == "held-out":
        never_learned.render(card, everything.after(card.tasks - 1))
        return
    past = history(everything, int(answers.after_task[0]))
    shown = {"tasks": tasks, "classes": classes, "groups": grouped}[view]
    listed = listing.listed(card, answers, past)
    left, right = st.columns([9, 11], gap="medium")
    with left:
        shown.matrix(card, answers)
    with right:
        listing.browse(card, answers, past, listed, one_image.chosen_image(answers, listed))
    shown.explain_view()
    if view == "classes":
        classes.mean_evidence(card, answers)
    take_away.offer(card, answers, past, listed)
    mending.offer(card, listed)
    image = one_image.chosen_image(answers, listed)
    if image is not None:
        one_image.explained(card, answers, listed, image)


def _summary(answers: Predictions, shift: str) -> None:
    wrong = answers.predicted != answers.label
    lost = int((wrong & (answers.retrieved_task != answers.task)).sum())
    after = f"After task {int(answers.after_task[0]) + 1},"
    if shift:
        after += f" with test images disturbed by {layout.plain(shift)},"
    if not wrong.any():
        st.markdown(f"{after} all **{len(answers):,}** answers are right.")
        return
    st.markdown(
        f"{after} **{np.count_nonzero(wrong):,} of {len(answers):,}** answers are wrong; "
        f"**{lost / wrong.sum():.0%}** of the mistakes are of images sent to the wrong task."
    )
