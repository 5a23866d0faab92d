"""Gained against lost, a point for every setting; the dial, and which point is open."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import streamlit as st

from app.components.captions import caption
from app.components.choice import choice
from app.figures import plots
from app.figures.kept_elsewhere import trade_off as figure_of
from app.reading.comparison import PROBES, told
from app.reading.kept_elsewhere import GAINS, Comparison, Place, Setting, front, places
from app.shell.address import parameter, set_parameters

_GAINED = {
    "own": "neighbours among training images of the learned classes, beside what they answer on the frozen model",
    "class_incremental": "accuracy on the learned classes, beside that of a linear discriminant on the features of the "
    "frozen model's last blocks: with few images a strong answer, below which a trained head may well stay",
}
_ASKED = {
    "readout": "a classifier of the held-out classes, fitted on the frozen model, is asked again as it is",
    "zero_shot": "the text tower answers for the held-out classes as it did for the frozen model",
    "knn": "neighbours among held-out images that are embedded anew; below zero where learning helps them too",
}


class Asked(NamedTuple):
    """What the page shows, as the address says."""

    gain: str
    """One of GAINS."""
    probe: str
    """One of PROBES."""
    strength: float
    """The share of the update that answers."""


def asked(found: Comparison) -> Asked:
    """The controls."""
    probes = found.probes(PROBES)
    gains = {name: title for name, title in GAINS.items() if not np.isnan(found.frozen(name))}
    left, right = st.columns([2, 3], gap="medium")
    with left:
        gain = choice("Gained, by", "gain", gains, next(iter(gains)), widget="kept-gain")
    with right:
        probe = choice("Lost, asked of", "lost", probes, next(iter(probes)), widget="kept-lost")
    return Asked(gain, probe, _dial(found.strengths))


def _dial(strengths: list[float]) -> float:
    by_name = {f"{strength:g}": strength for strength in strengths}
    present = parameter("strength", f"{strengths[-1]:g}", by_name)
    st.session_state["kept-strength"] = present
    st.select_slider(
        "Share of the update that answers",
        list(by_name),
        key="kept-strength",
        format_func=lambda name: f"{by_name[name]:.0%}",
        help="The answers at every share were recorded with the runs: moving the dial asks no model. "
        "At 0% the frozen model answers.",
        on_change=lambda: set_parameters(strength=st.session_state["kept-strength"]),
    )
    return by_name[present]


def trade_off(found: Comparison, wanted: Asked) -> Setting | None:
    """The figure, the table and the choice of a point; gives the chosen setting."""
    shown = places(found, *wanted)
    if not shown:
        st.markdown("No run was asked at this share of its update: move the dial.")
        return None
    best = front(shown)
    chosen = _chosen(shown, best)
    path = _path(found, wanted, chosen)
    figure = figure_of(
        shown,
        best,
        path,
        plots.theme(),
        chosen=chosen.key,
        titles=("lost on the classes held out", "gained on the classes learned"),
    )
    said = "; ".join(f"{p.setting.title}: gained {p.gained.points()}, lost {p.lost.points()}" for p in best)
    plots.draw(figure, key="kept-front", alt=f"Gained against lost. On the Pareto front: {said}.", on_mark=_open)
    caption(
        f"a mark for every setting, in the mean over its seeds, with lines from the lowest to the highest of them; "
        f"hollow marks began with a head at zero. Gained: {_GAINED[wanted.gain]}. Lost: {_ASKED[wanted.probe]}. "
        "The grey line is the Pareto front: "
        "no other setting gains more and loses less than those on it. The dotted line is what the dial does to the "
        "point that is open.",
        "marks at the top left; and whether few [[gates|gate]] get there without less strength. Click one to open it.",
        "two or three seeds and a few hundred images tell large differences only: where the lines of two marks "
        "overlap, they are not told apart.",
    )
    _table(shown, best)
    return chosen


def _open(key: str) -> None:
    set_parameters(point=key)


def _path(found: Comparison, wanted: Asked, chosen: Setting) -> list[tuple[float, float]]:
    """(lost, gained) of the chosen setting at every strength."""
    every = (places(found, wanted.gain, wanted.probe, strength) for strength in found.strengths)
    return [(p.lost.mean, p.gained.mean) for shown in every for p in shown if p.setting is chosen]


def _chosen(shown: list[Place], best: list[Place]) -> Setting:
    """`?point=`, by default that of the front which gained most, of those that changed anything."""
    by_key = {place.setting.key: place.setting for place in shown}
    moved = [place for place in (*best, *shown) if place.setting.kind != "frozen"]
    preferred = [place for place in best if place in moved] or moved or shown
    key = parameter("point", max(preferred, key=lambda place: place.gained.mean).setting.key, by_key)
    st.session_state["kept-point"] = key
    st.selectbox(
        "Open a point",
        list(by_key),
        key="kept-point",
        format_func=lambda name: by_key[name].title if name in by_key else name,
        on_change=lambda: set_parameters(point=st.session_state["kept-point"]),
    )
    return by_key[key]


def _table(shown: list[Place], best: list[Place]) -> None:
    rows = []
    for place in sorted(shown, key=lambda place: -place.gained.mean):
        active, total = place.setting.open_gates()
        rows.append(
            {
                "setting": place.setting.title + (" ★" if place in best else ""),
                "gates open": f"{active:g} of {total}" if total else "none",
                "gained, points": place.gained.points(),
                "lost, points": place.lost.points(),
                "kept": told(place.setting.cost("bytes_per_task"), "bytes"),
                "MFLOP an answer": f"{place.setting.cost('flops_per_image') / 1e6:,.0f}",
                "seeds": len(place.setting.runs),
            }
        )
    with st.expander(f"All {len(rows)} points with their costs", icon=":material/table_rows:"):
        st.dataframe(rows, hide_index=True)
        st.caption(
            "★: on the Pareto front. In brackets the lowest and highest seed. A finished adapter is folded into the "
            "weights before it answers, so that every point does the work of the frozen model; what differs is what "
            "must be kept beside it."
        )
