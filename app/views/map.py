"""Map: every image as a point, in the space and colour of choice, over task time."""

from __future__ import annotations

import csv
import io

import numpy as np
import streamlit as st

from app.components import thumbnails
from app.components.captions import caption
from app.components.choice import choice
from app.components.point_map import point_map, run_points
from app.reading.cards import RunCard
from app.reading.tables import Images, class_names, images, predictions, spaces, task_names
from app.reading.telling_map import telling_colour, telling_space
from app.shell import layout
from app.shell.address import current_task, link, parameter, set_parameters

_SHOWN = 120
"""Thumbnails below the map; the table and the CSV have the whole selection."""


def render() -> None:
    """The map, and what is selected on it."""
    layout.heading("Map")
    card = layout.run_to_explore()
    if card is None:
        return
    if not spaces(card):
        layout.empty("This run was made without a map.", "Train one with a map", "train")
        return
    space, colour, outlines = _choices(card)
    points = run_points.build(card, space, colour, current_task(card.tasks), outlines)
    event = point_map(points, key=f"map-{card.name}", height=560)
    caption(
        f"every [[test image]] and some training images, {run_points.space_words(card, space).where}. Ring: wrong task "
        "[[retrieved|retrieval]].",
        "clusters of one task that touch another's, and rings between them.",
        "an image is answered with a class of the task that was retrieved for it. Distances between far clusters "
        "carry no meaning: only who is near whom does.",
    )
    if event.clicked is not None:
        set_parameters(image=int(points.numbers[event.clicked]))
    _selection(card, event.selected)


def _choices(card: RunCard) -> tuple[str, str, bool]:
    """Space, colour and whether components are outlined, from the URL and from the controls beside the map."""
    known = spaces(card)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        titles = {name: run_points.space_words(card, name).title for name in known}
        space = choice("Space", "space", titles, telling_space(known), widget="map-space")
        default = telling_colour(predictions(card).after(card.tasks - 1), card.tasks)
        colour = choice("Colour", "colour", run_points.COLOURS, default, widget="map-colour")
        # Components are fitted in the space where tasks are retrieved; elsewhere their outlines overlap.
        default = "on" if space == "whitened" else "off"
        outlines = choice("Components", "outlines", {"off": "hidden", "on": "outlined"}, default, widget="map-outlines")
    return space, colour, outlines == "on"


def _selection(card: RunCard, selected: np.ndarray) -> None:
    known = images(card)
    clicked = _clicked(known)
    if clicked is not None:
        _one(card, known, clicked)
    if not len(selected):
        if clicked is None:
            st.caption(
                "Click or tap a point for one image. Draw around points for a grid and a table of them: drag with "
                "Shift, or hold a finger still and then draw."
            )
        return
    more = f", the first {_SHOWN} shown" if len(selected) > _SHOWN else ""
    st.subheader(f"{len(selected)} selected{more}", anchor=False)
    shown = selected[:_SHOWN].tolist()
    thumbnails.grid(card, shown, columns=16, links=[_explained(known, image) for image in shown], key="selection")
    rows = _rows(card, known, selected)
    with st.expander("Table", icon=":material/table_rows:"):
        st.dataframe({name: [row[name] for row in rows] for name in rows[0]}, hide_index=True)
    st.download_button(
        "CSV",
        lambda: _csv(rows),
        f"{card.name}-selection.csv",
        "text/csv",
        icon=":material/download:",
        on_click="ignore",
    )


def _clicked(known: Images) -> int | None:
    try:
        image = int(parameter("image", ""))
    except ValueError:
        return None
    return image if 0 <= image < len(known) else None


def _explained(known: Images, image: int) -> str:
    """Only test images have an answer to explain."""
    return link("errors", image=image) if known.split[image] == "test" else ""


def _one(card: RunCard, known: Images, image: int) -> None:
    row = _rows(card, known, np.array([image]))[0]
    with st.container(border=True):
        picture, text, close = st.columns([1, 7, 1])
        with picture:
            thumbnails.one(card, image, size=112, key="clicked")
        with text:
            st.text(f"{row['class']} of task {row['task']} ({known.name[image]}, {row['split']} image)")
            if row["retrieved task"]:
                st.text(f"Answered {row['answer']}; the task that was retrieved for it: {row['retrieved task']}.")
                layout.page_link("Explain this answer", "errors", icon=":material/troubleshoot:", image=image)
        close.button("Close", icon=":material/close:", key="map-close", on_click=lambda: set_parameters(image=None))


def _rows(card: RunCard, known: Images, chosen: np.ndarray) -> list[dict[str, str | int]]:
    """What the table and the CSV say of each chosen image, after the present task."""
    tasks, classes = task_names(card), class_names(card)
    answers = predictions(card).after(current_task(card.tasks))
    place = dict(zip(answers.image.tolist(), range(len(answers)), strict=True))
    rows: list[dict[str, str | int]] = []
    for image in chosen.tolist():
        at = place.get(image)
        rows.append(
            {
                "image": image,
                "name": str(known.name[image]),
                "split": str(known.split[image]),
                "task": tasks[known.task[image]],
                "class": classes[known.label[image]],
                "retrieved task": "" if at is None else tasks[answers.retrieved_task[at]],
                "answer": "" if at is None else classes[answers.predicted[at]],
            }
        )
    return rows


def _csv(rows: list[dict[str, str | int]]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]))
    writer.writeheader()
    writer.writerows({key: _harmless(value) for key, value in row.items()} for row in rows)
    return text.getvalue().encode()


def _harmless(value: str | int) -> str | int:
    """A class may be called '=cmd…': a leading quote keeps spreadsheets from computing it."""
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")) else value
