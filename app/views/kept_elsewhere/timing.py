"""A button that measures what an answer costs on this machine, beside what was computed."""

from __future__ import annotations

import time

import streamlit as st

from app.components.captions import caption
from app.reading import block_maps
from app.reading.comparison import told
from app.reading.kept_elsewhere import Comparison, Setting
from app.shell import layout
from app.workers.helper import helper
from core.errors import UserError

_RANK = 4
_NAMES = {
    "frozen": "frozen model",
    "unmerged": "LoRA at every gate, beside the weights",
    "gated": "the open gates alone, beside the weights",
    "merged": "the open gates, folded into the weights",
}


def offer(found: Comparison, chosen: Setting) -> None:
    """The button, and the last measurement of this visit."""
    st.header("What an answer costs", anchor=False)
    gates = chosen.runs[0].gates
    opened = block_maps.open_sites(gates)
    if not opened:
        st.markdown("No gate is open here. Open another point above to measure what its open gates cost.")
        return
    if layout.lacks_models("Measuring an answer"):
        return
    st.markdown(
        f"For “{layout.plain(chosen.title)}”, with {len(opened)} matrices changed: the same images are answered in "
        "four ways, on this machine, now. It takes some seconds, more on a busy machine."
    )
    every = [f"{block}/{name}" for block in range(found.backbone.depth) for name in block_maps.ORDER]
    key = f"kept-timing-{chosen.key}"
    if st.button("Measure here", icon=":material/timer:", key="kept-measure"):
        question = {
            "backbone": found.backbone.name,
            "image_size": found.backbone.image_size,
            "every": every,
            "opened": opened,
            "rank": _RANK,
        }
        try:
            st.session_state[key] = _asked(question)
        except UserError as error:
            layout.problem_line(str(error))
    measured = st.session_state.get(key)
    if measured is None:
        return
    plain = measured["rows"][0]
    st.dataframe(
        [
            {
                "model": _NAMES[row["what"]],
                "measured, ms": f"{row['ms']:.2f}",
                "of frozen time": f"{row['ms'] / plain['ms']:.2f} ×",
                "computed, MFLOP": f"{row['flops'] / 1e6:,.1f}",
                "of frozen work": f"{row['flops'] / plain['flops']:.3f} ×",
                "adapter": told(row["bytes"], "bytes") if row["bytes"] else "–",
            }
            for row in measured["rows"]
        ],
        hide_index=True,
    )
    caption(
        f"milliseconds an image, {measured['batch']} images at once ({measured['device']}, one thread), the quickest "
        f"of {measured['rounds']} rounds in which the four take turns, with random adapters of rank {_RANK} at these "
        "places: what was learned changes no cost.",
        "that the folded model takes the frozen one's work and, within what a busy machine varies, its time.",
        "folded adapters are free in an answer, but only one can be folded at a time; beside the weights, few open "
        "gates are cheaper than many.",
    )


def _asked(question: dict[str, object]) -> dict[str, list[dict[str, float]]]:
    line, began = st.empty(), time.monotonic()

    def tick() -> None:
        line.caption(f":material/hourglass_top: Measuring: {time.monotonic() - began:.0f} s")

    try:
        return helper("measure_answers").ask(question, tick)
    finally:
        line.empty()
