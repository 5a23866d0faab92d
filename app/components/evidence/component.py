"""The parts of an image's evidence: heat map, bars and sentence, from a `core.runs.evidence.Evidence`."""

from __future__ import annotations

import streamlit as st

from app.components.evidence.bars import bars
from app.components.heat_map import Picture, heat_map
from app.reading.explain import Names
from app.shell import layout
from core.runs.evidence import Evidence
from core.runs.saying import TERM_NAMES, sentence


def side_names(evidence: Evidence, names: Names) -> tuple[str, str]:
    """What the two sides are called."""
    if evidence.kind == "task":
        return names.task(evidence.own), names.task(evidence.against)
    if evidence.kind == "class":
        return names.label(evidence.own), names.label(evidence.against)
    return f"component {evidence.own + 1}", f"component {evidence.against + 1}"


def evidence_view(evidence: Evidence, picture: Picture, names: Names, *, key: str, narrow: bool = False) -> None:
    """Everything that `evidence` says of the image in `picture`."""
    own, against = side_names(evidence, names)
    st.markdown(layout.plain(sentence(evidence, own, against)))
    left, right = (st.container(), st.container()) if narrow else st.columns([5, 7], gap="medium")
    with left:
        _map(evidence, picture, own, against, key)
    with right:
        if evidence.how == "exact":
            _bars(evidence)
    _said(evidence)


def _map(evidence: Evidence, picture: Picture, own: str, against: str, key: str) -> None:
    if not evidence.heat.size:
        st.caption("The features of this run have no patches: there is nothing to show over the image.")
        return
    heat_map(picture, evidence.heat, (f"speaks for {own}", f"speaks for {against}"), key=f"heat-{key}")


def _bars(evidence: Evidence) -> None:
    """What each block, and each other term, adds; the sum is the difference of the two scores."""
    rows = [(f"block {block + 1}", value) for block, value in zip(evidence.blocks, evidence.by_block, strict=True)]
    terms = [(name, getattr(evidence, term)) for term, name in TERM_NAMES.items()]
    terms = [(name, value) for name, value in terms if abs(value) >= 0.005]
    bars(rows, terms, evidence.difference, "nats")


def _said(evidence: Evidence) -> None:
    if evidence.how == "occlusion":
        st.caption(
            "Measured by occlusion: each patch is painted over, and its number is what the difference then loses. "
            "Patches work together, so these numbers do not sum to the difference."
        )
        return
    adapter = " The first task's adapter mixes the patches, so it is a bar of its own." if evidence.adapter else ""
    st.caption(
        "Exact, in nats of log-likelihood: patches, class tokens and the other bars sum to the difference of the two "
        f"scores.{adapter} Neighbouring blocks often say nearly the opposite of each other, so the picture shows each "
        "patch summed over blocks."
    )
