"""What the model itself says of an image, once it is loaded: each block's map, occlusion, and attention."""

from __future__ import annotations

import streamlit as st

from app.components import explanation
from app.components.evidence import details, evidence_view
from app.components.heat_map import Picture
from app.reading.cards import RunCard
from app.shell import layout
from app.shell.address import parameter, set_parameters
from app.workers.why import asked
from core.errors import UserError
from core.runs.evidence import Evidence


def offer(card: RunCard, image: int, key: str, narrow: bool, recorded: bool) -> None:
    """A button, and once it was pressed (`?look=1`) what the model says; `recorded` evidence is on the page already."""
    if parameter("look", "") != "1":
        st.button(
            "What does the model look at?",
            key=f"errors-look-{key}",
            icon=":material/visibility:",
            help="Loads the run's model in a process beside the server: some seconds the first time.",
            on_click=set_parameters,
            kwargs={"look": 1},
        )
        return
    try:
        found = asked(card, image)
    except UserError as error:
        layout.problem_line(str(error))
        return
    evidence = Evidence.from_document(found)
    if not recorded:
        picture = Picture(found["picture"])
        evidence_view(evidence, picture, explanation.names_of(card), key=f"live-{key}", narrow=narrow)
    details(evidence, found)
    st.button("Close", key=f"errors-look-close-{key}", on_click=set_parameters, kwargs={"look": None})
