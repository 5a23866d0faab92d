"""Which classes are confused: the matrix of classes, and the pairs that cost the most accuracy."""

from __future__ import annotations

from functools import partial

import numpy as np
import streamlit as st

from app.components.captions import caption
from app.components.class_matrix import ClassCell, class_matrix
from app.components.evidence import evidence_view
from app.components.heat_map import Picture
from app.reading.answers import names_of
from app.reading.cards import RunCard
from app.reading.class_confusion import Pair, confusion, order, pairs
from app.reading.pictures import Pictures, data_url
from app.reading.tables import Predictions, class_names, evidence
from app.shell import layout
from app.views.errors import listing
from core.runs.evidence import Kind

_PAIRS = 8
"""So many of the costliest pairs are listed."""


def matrix(card: RunCard, answers: Predictions) -> None:
    """The confusion of classes, and the costliest pairs below it."""
    names = class_names(card)
    seen = int(max(answers.label.max(), answers.predicted.max())) + 1
    table = confusion(answers, seen)
    present = listing.present(card)
    known = present.label is not None and present.predicted is not None
    cell = (present.label, present.predicted) if known and max(present.label, present.predicted) < seen else None
    class_matrix(table, order(table), names[:seen], cell, partial(_pick, card, answers), key=f"classes-{card.name}")
    _costliest(card, answers)


def _pick(card: RunCard, answers: Predictions, cell: ClassCell | None) -> None:
    inside = np.ones(len(answers), bool)
    if cell is not None:
        inside = (answers.label == cell[0]) & (answers.predicted == cell[1])
    listing.choose(card, answers, inside, label=cell and cell[0], predicted=cell and cell[1])


def _costliest(card: RunCard, answers: Predictions) -> None:
    names = class_names(card)
    found = pairs(answers)
    if not found:
        return
    shown = found[:_PAIRS]
    st.markdown(
        f"**What costs the most** · {100 * sum(pair.share for pair in shown):.1f} of {100 * _lost(answers):.1f} points"
    )
    with st.container(key="pairs", gap=None):
        for pair in shown:
            st.button(
                _said(pair, names),
                key=f"pair-{pair.label}-{pair.predicted}",
                help=_details(pair),
                type="tertiary",
                on_click=_pick,
                args=(card, answers, (pair.label, pair.predicted)),
            )


def _lost(answers: Predictions) -> float:
    return float((answers.predicted != answers.label).mean())


def _said(pair: Pair, names: list[str]) -> str:
    true, answered = layout.plain(names[pair.label]), layout.plain(names[pair.predicted])
    return f"**{100 * pair.share:.1f}** · {true} → {answered} ({pair.images:,})"


def _details(pair: Pair) -> str:
    return (
        f"{pair.of_class:.0%} of the class; {pair.from_wrong_task:,} of {pair.images:,} were sent to the wrong task; "
        f"told the right task, {pair.told:,} would be answered rightly."
    )


def mean_evidence(card: RunCard, answers: Predictions) -> None:
    """What the images of the chosen pair have, on average, that speaks for the answer; over their mean picture."""
    present, recorded = listing.present(card), evidence(card)
    if present.label is None or present.predicted in (None, present.label) or recorded is None:
        return
    pair = (answers.label == present.label) & (answers.predicted == present.predicted)
    lost = pair & (answers.retrieved_task != answers.task)
    kind: Kind = "task" if 2 * lost.sum() >= pair.sum() else "class"
    chosen = answers.image[lost if kind == "task" else pair & ~lost]
    rows = recorded.rows(kind)
    rows = rows[np.isin(recorded.image[rows], chosen)]
    if not len(rows):
        return
    names = class_names(card)
    true, answered = layout.plain(names[present.label]), layout.plain(names[present.predicted])
    with st.container(border=True):
        what = "were sent to the wrong task" if kind == "task" else "were sent to the right task"
        st.markdown(
            f"**{true} answered {answered}, on average** · the {len(rows):,} of {pair.sum():,} images that {what}"
        )
        mean = recorded.mean(rows)
        picture = Picture(data_url(Pictures(card).mean(recorded.image[rows].tolist())))
        evidence_view(mean, picture, names_of(card), key=f"pair-{present.label}-{present.predicted}")


def explain_view() -> None:
    """How to read the matrix."""
    caption(
        "test images by their true class (rows) and the class that was answered (columns). Classes that are confused "
        "stand beside each other. The list says how many points of accuracy a pair costs.",
        "blocks of orange, and whether the two classes of a pair belong to one task or to two.",
        "a pair inside one task stays confused when the task is told; one across two tasks is a mistake of "
        "[[retrieval]].",
    )
