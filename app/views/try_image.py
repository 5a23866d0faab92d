"""Try an image: the run's model answers for a new picture, with the same explanation as for its mistakes."""

from __future__ import annotations

import hashlib
import io
import tempfile
import time
from pathlib import Path
from typing import IO, Any

import numpy as np
import streamlit as st
from PIL import Image

from app.components import explanation, thumbnails
from app.components.captions import caption
from app.components.evidence import details, evidence_view
from app.components.heat_map import Picture
from app.reading.answers import answer_said, cluster_near
from app.reading.cards import RunCard
from app.reading.tables import images
from app.shell import demo, layout
from app.shell.address import link, parameter, set_parameters
from app.workers.helper import helper
from app.workers.why import asked
from core.errors import UserError
from core.runs.evidence import Evidence
from core.runs.sprites import PIXEL_ART, read_thumbnail

SOURCES = {"sample": "A test image", "upload": "Upload", "camera": "Camera"}
SAMPLES = 20
_TYPES = ["png", "jpg", "jpeg", "webp", "bmp", "gif", "tif", "tiff"]
_LARGEST_MB = 50
_TINIEST = 4
_SAME = 1.5
"""Grey levels, on average: what packing changes in pixel art is far below this, and the squares of a photograph are
further from it."""


def render() -> None:
    """The page."""
    layout.heading("Try an image")
    if layout.lacks_models("Answering for a new image"):
        return
    card = layout.run_to_explore()
    if card is None:
        return
    left, right = st.columns([2, 3], gap="large")
    with left:
        picture = _picture(card)
    with right:
        if picture is None:
            st.caption("The answer appears here.")
        else:
            _answered(card, picture)


def _picture(card: RunCard) -> bytes | None:
    """The bytes of the chosen image file, None while there is none."""
    source = parameter("from", "sample", SOURCES)
    st.session_state["try-from"] = source
    st.segmented_control(
        "Image from",
        list(SOURCES),
        key="try-from",
        format_func=SOURCES.__getitem__,
        required=True,
        on_change=lambda: set_parameters(**{"from": st.session_state["try-from"], "image": None}),
    )
    if source == "sample":
        return _sample(card)
    if source == "upload":
        file = st.file_uploader(
            "An image",
            type=_TYPES,
            key="try-upload",
            max_upload_size=demo.LARGEST_UPLOAD_MB if demo.enabled() else _LARGEST_MB,
        )
    else:
        # The browser asks for the camera as soon as this is on the page.
        file = st.camera_input("Take a picture", key="try-camera")
    return _bytes(file)


def _bytes(file: IO[bytes] | None) -> bytes | None:
    if file is None:
        return None
    file.seek(0)
    return file.read()


def _sample(card: RunCard) -> bytes | None:
    """One of the run's test images, as its thumbnail."""
    shown = samples(images(card).split, images(card).label)
    if not len(shown):
        st.caption("This run kept no test images.")
        return None
    chosen = parameter("image", "")
    st.caption("Choose one:")
    links = [link("try", image=int(image)) for image in shown]
    thumbnails.grid(card, shown.tolist(), columns=5, links=links, size=64, key=f"samples-{card.name}")
    if not (chosen.isdecimal() and int(chosen) < len(images(card))):
        return None
    known = images(card)
    picture = read_thumbnail(card.folder / "sprites", int(known.sheet[int(chosen)]), int(known.cell[int(chosen)]))
    return _encoded(without_squares(picture))


def without_squares(picture: Image.Image) -> Image.Image:
    """A thumbnail as small as what it shows: tiny images are kept enlarged, and their squares would mislead a model."""
    grey = np.asarray(picture.convert("L"), dtype=np.float32)
    for side in range(_TINIEST, picture.width // PIXEL_ART + 1):
        small = picture.resize((side, side), Image.Resampling.NEAREST)
        again = small.resize(picture.size, Image.Resampling.NEAREST).convert("L")
        if np.abs(np.asarray(again, dtype=np.float32) - grey).mean() < _SAME:
            return small
    return picture


def samples(split: np.ndarray, label: np.ndarray, count: int = SAMPLES) -> np.ndarray:
    """At most `count` test images with the classes evenly among them: the first of each class, then the second, …"""
    rows = np.flatnonzero(split == "test")
    order = np.argsort(label[rows], kind="stable")
    _, starts = np.unique(label[rows][order], return_index=True)
    turn = np.arange(len(rows)) - np.repeat(starts, np.diff([*starts, len(rows)]))
    return np.sort(rows[order][np.argsort(turn, kind="stable")[:count]])


def _encoded(picture: Image.Image) -> bytes:
    packed = io.BytesIO()
    picture.save(packed, "PNG")
    return packed.getvalue()


def _answered(card: RunCard, picture: bytes) -> None:
    """The answer and what speaks for it."""
    try:
        said = _ask(card, picture)
    except UserError as error:
        layout.problem_line(str(error))
        return
    answer, names = answer_said(said), explanation.names_of(card)
    near = cluster_near(card, said)
    st.markdown(f"#### “{layout.plain(said['class_name'])}”")
    st.caption(f"from task {answer.retrieved + 1}, “{layout.plain(said['task_name'])}”")
    explanation.why(answer, names, near)
    image, scores = st.columns([2, 5], gap="medium")
    with image:
        _preview(card, picture)
    with scores:
        st.markdown("**Gap to the best task**")
        explanation.gaps(answer, names)
        st.caption(f"In {explanation.unit(answer)}; a shorter bar is a likelier task.")
    if len(said["classes"]) > 1:
        st.markdown("**Inside the task: which class, and what speaks for it**")
        explanation.inside(said["classes"])
    _evidence(card, picture)
    st.markdown("**The images it lies near**")
    explanation.component_images(card, near, names, answer, key=f"try-near-{card.name}")
    _truth(card)
    caption(
        "the [[task|retrieved task]] and class that the model picks, how far the other tasks lie behind, and the "
        "cluster it lies nearest.",
        "a picture of something the run never saw: it is still sent to some task, and answered there.",
        "the model cannot say that it does not know; the gap between tasks says how sure it is of the task only.",
    )


def _evidence(card: RunCard, picture: bytes) -> None:
    """Where in the picture the decision comes from, and what the model looks at."""
    if card.tasks < 2:
        return
    st.markdown("**Where the decision comes from**")
    try:
        found = asked(card, picture)
    except UserError as error:
        layout.problem_line(str(error))
        return
    evidence, names = Evidence.from_document(found), explanation.names_of(card)
    evidence_view(evidence, Picture(found["picture"]), names, key=f"try-{card.name}")
    with st.expander("Block by block, and what the model looks at"):
        details(evidence, found)


def _preview(card: RunCard, picture: bytes) -> None:
    if parameter("from", "sample", SOURCES) == "sample":
        thumbnails.one(card, int(parameter("image", "0")), size=112, key="try-one")
    else:
        st.image(picture, width="stretch")


def _truth(card: RunCard) -> None:
    """A test image is also in the tables, where the truth is known."""
    if parameter("from", "sample", SOURCES) != "sample":
        return
    st.caption("Answered from its small thumbnail, so the numbers may differ a little from those measured in the run.")
    layout.page_link(
        "Its measured answer, with the truth", "errors", icon=":material/troubleshoot:", image=parameter("image", "0")
    )


def _ask(card: RunCard, picture: bytes) -> dict[str, Any]:
    """What the model says; on the page while it is loading, for how long. Asked once for the same picture."""
    key = (card.name, hashlib.sha256(picture).hexdigest())
    kept = st.session_state.get("try-answer")
    if kept is not None and kept[0] == key:
        return dict(kept[1])
    line = st.empty()
    try:
        said = _asked(card, picture, line)
    finally:
        line.empty()
    st.session_state["try-answer"] = (key, said)
    return said


def _asked(card: RunCard, picture: bytes, line: Any) -> dict[str, Any]:
    began = time.monotonic()

    def tick() -> None:
        seconds = time.monotonic() - began
        doing = "Asking the model" if seconds < 1 else "Loading the model and asking it"
        line.caption(f":material/hourglass_top: {doing}: {seconds:.0f} s")

    with tempfile.TemporaryDirectory() as beside:
        path = Path(beside) / "picture"
        path.write_bytes(picture)
        try:
            return helper("answer_images").ask({"run": str(card.folder.resolve()), "image": str(path)}, tick)
        except UserError as error:
            raise UserError(str(error).replace(str(path), "The picture")) from None
