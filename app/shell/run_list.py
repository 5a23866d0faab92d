"""The runs there are: open one, take one away as a zip, bring one in."""

from __future__ import annotations

import io
import tempfile
from functools import partial
from pathlib import Path
from typing import IO

import streamlit as st

from app.reading.cards import RunCard
from app.reading.run_words import figures, mark, stream_title, when
from app.shell import demo, layout
from app.shell.run_choice import available, runs_folder
from core.errors import UserError
from core.runs.liveness import ACTIVE
from core.runs.share import export_run, import_run
from core.runs.store import Run

SHOWN = 8


def run_list() -> None:
    """Every run with its actions, one's own before the recorded ones, and the way in for another's."""
    cards = sorted(available(), key=lambda card: card.recorded)
    shown = cards if st.session_state.get("runs-all") else cards[:SHOWN]
    for card in shown:
        _row(card)
    if len(cards) > len(shown):
        st.button(f"Show all {len(cards)} runs", key="runs-more", on_click=_show_all)
    if not demo.enabled():
        _import()


def _show_all() -> None:
    st.session_state["runs-all"] = True


def _row(card: RunCard) -> None:
    what, where, zipped = st.columns([6, 2, 2], vertical_alignment="center")
    with what:
        notes = [
            stream_title(card.stream),
            when(card),
            mark(card),
            *(f"{f.text} {f.label}" for f in figures(card)[:1]),
            card.name,
        ]
        about = layout.plain(" · ".join(filter(None, notes)))
        st.markdown(f"**{layout.plain(card.title)}**  \n:small[:gray[{about}]]")
        if card.problem:
            st.caption(layout.plain(demo.without_paths(card.problem)))
    with where:
        if card.ready:
            layout.page_link("Open", "map", icon=":material/scatter_plot:", run=card.name, t=None)
        elif not card.problem:
            layout.page_link("Progress", "train", icon=":material/monitoring:", run=card.name, t=None)
    with zipped:
        if card.state not in ACTIVE and not card.problem and card.tasks:
            st.download_button(
                "Zip",
                partial(zipped_run, card.folder),
                f"{card.name}.zip",
                "application/zip",
                key=f"zip-{card.name}",
                icon=":material/download:",
                on_click="ignore",
                help="The whole run as one file, to hand on. It opens in any Proteus Lab.",
            )


def zipped_run(folder: Path) -> bytes:
    """The run in `folder` as the bytes of a zip file. Raises UserError when it is still going."""
    with tempfile.TemporaryDirectory() as beside:
        return export_run(Run(folder), Path(beside) / "run.zip").read_bytes()


def _import() -> None:
    number = st.session_state.setdefault("import-number", 0)
    file = st.file_uploader(
        "Open a run that somebody exported", type="zip", key=f"import-{number}", help="Nothing in it is executed."
    )
    if file is None:
        return
    try:
        with st.spinner("Checking every file in it…"):
            run = take_in(file, file.name)
    except UserError as error:
        layout.problem_line(str(error))
        return
    st.session_state["import-number"] = number + 1  # an uploader of its own for the next: this one keeps its bytes
    layout.open_page("map" if run.status.state == "done" else "train", run=run.name, t=None)


def take_in(file: IO[bytes], name: str) -> Run:
    """Import the run in an uploaded zip. Raises UserError, naming the file as the person knows it."""
    with tempfile.TemporaryDirectory() as beside:
        path = Path(beside) / "upload.zip"
        file.seek(0)
        with path.open("wb") as target:
            while chunk := file.read(io.DEFAULT_BUFFER_SIZE * 64):
                target.write(chunk)
        try:
            return import_run(path, runs_folder())
        except UserError as error:
            raise UserError(_for_people(str(error), path, name)) from None


def _for_people(text: str, path: Path, name: str) -> str:
    text = text.replace(str(path), name).replace(path.name, name)
    return text.replace(": import it under another name with --name.", ".")
