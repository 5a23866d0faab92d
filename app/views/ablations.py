"""What each part of Proteus is worth, as it was recorded: a section of the page Sweep."""

from __future__ import annotations

import streamlit as st

from app.components.captions import caption
from app.figures import ablations as figures
from app.figures import plots
from core.sweep.ablations import Row, known, read, rows


def recorded() -> None:
    """The recorded studies, one at a time; nothing where there are none."""
    studies = {name: read(name) for name in known()}
    if not studies:
        return
    st.subheader("What each part of Proteus is worth", anchor=False, divider="gray")
    first = next(iter(studies))
    chosen = st.segmented_control(
        "Images",
        list(studies),
        default=first,
        format_func=lambda name: studies[name].title,
        key="ablations",
        label_visibility="collapsed",
    )
    study = studies[chosen or first]
    found = rows(study)
    seeds = len({cell.seed for cell in study.cells})
    st.markdown(f"{study.about} Each part is taken away by itself, on {_seeds(seeds)}.")
    parts = [row for row in found if row.is_part]
    plots.draw(figures.differences(parts, figures.DRAWN, plots.theme()), key=f"ablations-{study.name}", alt=_alt(parts))
    st.dataframe([_line(row) for row in (found[0], *parts)], hide_index=True)
    caption(
        "the full method, and how many points more (or fewer) each variant reaches, in the mean over seeds; the line "
        "through a mark is the 95% interval of the difference on the same seeds.",
        "marks whose line stays on one side of zero: that part helps (left of it) or harms (right of it) here.",
        "a part that changes no figure is no reason for a figure; and what helps on one stream may not on the next.",
    )
    others = [row for row in found[1:] if not row.is_part]
    if others:
        st.markdown("**The same classes in other numbers of tasks**")
        st.dataframe([_line(row, whole=True) for row in (found[0], *others)], hide_index=True)
    st.caption(f"Measured with `{study.command}`, in {study.precision}.")


def _seeds(count: int) -> str:
    return "one seed, so there are no intervals" if count == 1 else f"{count} seeds"


def _line(row: Row, *, whole: bool = False) -> dict[str, str]:
    return {"variant": row.variant, **row.points(whole=whole), "seeds": str(row.seeds)}


def _alt(found: list[Row]) -> str:
    said = [f"{row.variant}: {row.differences['final_accuracy'].points('+')} points" for row in found]
    return "Class-incremental accuracy beside the full method: " + "; ".join(said)
