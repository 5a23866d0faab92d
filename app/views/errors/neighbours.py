"""The training images that lie nearest to the chosen one, whatever their task, and what sets two of them apart."""

from __future__ import annotations

import streamlit as st

from app.components import explanation, thumbnails
from app.components.evidence import apart_view
from app.components.heat_map import Picture
from app.reading.answers import Neighbour, neighbours_of
from app.reading.cards import RunCard
from app.reading.explain import Answer
from app.shell import layout
from app.shell.address import link, parameter, set_parameters
from app.workers.why import asked_apart
from core.errors import UserError
from core.light import is_light
from core.runs.evidence import Apart


def offer(card: RunCard, image: int, answer: Answer, key: str, narrow: bool) -> None:
    """The neighbours; a click on one (`?near=image-neighbour`) shows what sets the two apart."""
    found = neighbours_of(card, image, len(answer.scores) - 1)
    if not found:
        return
    st.markdown("**Nearest training images, whatever their task**")
    names = explanation.names_of(card)
    light = is_light()  # it has no model to ask
    thumbnails.grid(
        card,
        [near.image for near in found],
        columns=5 if narrow else 10,
        captions=[f"{names.classes[near.label]} · task {near.task + 1} · {near.distance:.1f}" for near in found],
        links=[link("map", image=near.image) if light else _comparing(image, near.image) for near in found],
        asides=None if light else [link("map", image=near.image) for near in found],
        aside="on the map",
        size=72,
        key=f"neighbours-{key}",
    )
    own = sum(near.task == answer.task for near in found)
    click = "opens the map there" if light else "shows where in the two images the distance comes from"
    st.caption(
        f"{own} of the {len(found)} belong to its own task. Below each: class, task, and distance where tasks "
        f"are told apart; where that space is whitened, the unit is the spread within a class. A click {click}."
    )
    chosen = next((near for near in found if parameter("near", "") == f"{image}-{near.image}"), None)
    if chosen is not None and not light:
        _apart(card, image, chosen, key, narrow)


def _comparing(image: int, near: int) -> str:
    """This very view, with the neighbour `near` beside the image."""
    return link("errors", **{**st.query_params.to_dict(), "near": f"{image}-{near}"})


def _apart(card: RunCard, image: int, near: Neighbour, key: str, narrow: bool) -> None:
    names = explanation.names_of(card)
    with st.container(border=True, key=f"apart-{key}"):
        title, close = st.columns([8, 2], vertical_alignment="center")
        title.markdown(f"**What sets it apart from this {layout.plain(names.classes[near.label])}**")
        close.button("Close", key=f"errors-near-close-{key}", on_click=set_parameters, kwargs={"near": None})
        try:
            found = asked_apart(card, image, near.image)
        except UserError as error:
            layout.problem_line(str(error))
            return
        pictures = [Picture(address) for address in found["pictures"]]
        apart_view(Apart.from_document(found), pictures, key=f"{key}-{near.image}", narrow=narrow)
