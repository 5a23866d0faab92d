"""Mistakes that lie together, each group with its images and a name made of its commonest pair of classes."""

from __future__ import annotations

import numpy as np
import streamlit as st

from app.components import thumbnails
from app.components.captions import caption
from app.reading.cards import RunCard
from app.reading.error_groups import Group, groups
from app.reading.explain import comparison_space
from app.reading.tables import Predictions, class_names, embeddings, spaces
from app.shell import layout
from app.shell.address import link, parameter, set_parameters
from core.errors import UserError

_SHOWN = 5
"""Images shown of a group."""
_HEIGHT = 560
"""Pixels of the list of groups."""


def found(card: RunCard, answers: Predictions) -> list[tuple[Group, np.ndarray]]:
    """The groups of mistakes, each with the images in it; none where the run kept no embeddings."""
    wrong = np.flatnonzero(answers.predicted != answers.label)
    try:
        space = comparison_space(spaces(card))
        places = embeddings(card, space) if space else None
    except UserError:
        places = None
    if places is None or not len(wrong):
        return []
    images = answers.image[wrong]
    made = groups(places[images], answers.label[wrong], answers.predicted[wrong])
    return [(group, images[group.rows]) for group in made]


def chosen(card: RunCard, answers: Predictions) -> np.ndarray | None:
    """The images of the group that `?group=` names, counted from 1; None where it names none."""
    wanted = parameter("group", "")
    known = found(card, answers) if wanted.isdecimal() and parameter("view", "") == "groups" else []
    return known[int(wanted) - 1][1] if 0 < int(wanted or 0) <= len(known) else None


def matrix(card: RunCard, answers: Predictions) -> None:
    """The groups, the largest first."""
    known = found(card, answers)
    if not known:
        with st.container(border=True):
            st.markdown("There are no mistakes to group, or this run kept no embeddings.")
        return
    names = class_names(card)
    wanted = parameter("group", "")
    with st.container(height=_HEIGHT, border=False):
        for number, (group, images) in enumerate(known, 1):
            _group(card, number, group.name(names), images, wanted == str(number))


def _group(card: RunCard, number: int, name: str, images: np.ndarray, here: bool) -> None:
    with st.container(border=True, gap="small", key=f"group-{number}"):
        st.button(
            f"**{number}** · {layout.plain(name)} · {len(images):,} images",
            key=f"errors-group-{number}",
            type="primary" if here else "tertiary",
            on_click=set_parameters,
            kwargs={"group": None if here else number, "image": None, "show": "mistakes"},
        )
        first = images[:_SHOWN].tolist()
        links = [link("errors", view="groups", group=number, image=image) for image in first]
        thumbnails.grid(card, first, columns=_SHOWN, size=52, links=links, key=f"errors-group-images-{number}")


def explain_view() -> None:
    """How to read the groups."""
    caption(
        "mistakes whose [[embeddings|embedding]] lie together in the space in which tasks are told apart; of each "
        "group the most typical images.",
        "what the images of one group share that their class does not: a pose, a background, a kind.",
        "one cause often stands behind a whole group, and one remedy may answer all of it.",
    )
