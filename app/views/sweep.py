"""Sweep: many runs from a few choices; the grid fills, any run opens, and means with intervals say what differs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import streamlit as st

from app.components.captions import caption
from app.figures import plots
from app.figures.palette import colours
from app.reading.glossary import meaning
from app.shell import layout
from app.shell.address import parameter, set_parameters
from app.shell.run_choice import runs_folder
from app.training import sources
from app.training.estimates import duration
from app.training.image_choice import image_choice
from app.training.presets import configuration
from app.views import ablations
from core.backbones import EMBEDDED
from core.errors import UserError
from core.methods import method_names
from core.runs import jobs
from core.runs.liveness import ACTIVE
from core.sweep import background
from core.sweep.execute import Row, rows_of, saved_plan, sweep_folder
from core.sweep.summary import MEASURES, Group, against_best, groups, interval, mean_curve

SWEEP = "sweep"
MOST_CELLS = 60
"""More runs than this are listed without links."""
_MARKS = {"waiting": "·", "queued": "starting", "failed": "failed", "cancelled": "cancelled"}
_TITLES = {"final_accuracy": "final accuracy", "average_incremental_accuracy": "average incremental accuracy"}


def render() -> None:
    """The page."""
    layout.heading("Sweep")
    known = background.names(runs_folder())
    active = jobs.sweeping(runs_folder())
    name = active or parameter(SWEEP, known[0] if known else "")
    if name in known:
        _chooser(known, name)
        if active == name:
            _live(name)
        else:
            _ended(name)
    elif active is not None:
        _starting(active)
    _new(jobs.running(runs_folder()) is not None or active is not None)
    ablations.recorded()


def _chooser(known: Sequence[str], name: str) -> None:
    if len(known) > 1:
        st.session_state["sweep-name"] = name
        st.selectbox(
            "Sweep",
            known,
            key="sweep-name",
            on_change=lambda: set_parameters(**{SWEEP: st.session_state["sweep-name"]}),
        )


@st.fragment(run_every="1s")
def _starting(name: str) -> None:
    st.info(f"The sweep {layout.plain(name)} is starting.")
    if name in background.names(runs_folder()):
        st.rerun()


@st.fragment(run_every="1s")
def _live(name: str) -> None:
    said = background.state(name, runs_folder())
    if said["state"] not in ACTIVE:
        set_parameters(**{SWEEP: name})
        st.rerun()
    with st.container(border=True):
        title, button = st.columns([6, 1], vertical_alignment="center")
        done, count = said.get("done", 0), max(1, said.get("runs", 1))
        left = f" · about {duration(said['eta_s'])} left" if said.get("eta_s") is not None else ""
        title.markdown(f"##### Going on: {layout.plain(name)}")
        with button:
            _cancel(name)
        st.progress(done / count, text=f"{done} of {count} runs are done{left}")
        _grid(name)
        st.caption("It goes on in a process of its own: close this page, or stop the server.")


def _cancel(name: str) -> None:
    if (sweep_folder(runs_folder(), name) / "cancel").exists():
        st.button("Stopping…", disabled=True, key="sweep-stopping", width="stretch")
    else:
        st.button(
            "Cancel",
            icon=":material/stop:",
            key="sweep-cancel",
            width="stretch",
            on_click=background.request_cancel,
            args=(name, runs_folder()),
        )


def _ended(name: str) -> None:
    said = background.state(name, runs_folder())
    with st.container(border=True):
        words = {"done": ":material/check_circle: Finished", "cancelled": "Cancelled"}.get(said["state"], "Stopped")
        st.markdown(f"##### {words}: {layout.plain(name)}")
        if said["state"] != "done":
            st.markdown(f"{layout.plain(said.get('message', ''))}.")
            _resume(name)
        _grid(name)
    found = groups(saved_plan(sweep_folder(runs_folder(), name)), runs_folder())
    if any(group.metrics for group in found):
        _results(name, found)


def _resume(name: str) -> None:
    if st.button("Resume", icon=":material/play_arrow:", type="primary", key="sweep-resume"):
        try:
            background.resume(name, runs_folder())
        except UserError as error:
            layout.problem_line(str(error))
            return
        st.rerun()


def _grid(name: str) -> None:
    """One row per group, one column per seed; every cell opens its run."""
    rows = rows_of(saved_plan(sweep_folder(runs_folder(), name)), runs_folder())
    seeds = sorted({row.seed for row in rows})
    if len(rows) > MOST_CELLS or len(seeds) > 10:
        table = [{"runs": row.group, "seed": row.seed, "state": _cell(row)} for row in rows]
        st.dataframe(table, hide_index=True)
        return
    head = st.columns([3] + [1] * len(seeds))
    for place, seed in zip(head[1:], seeds, strict=True):
        place.caption(f"seed {seed}")
    for group in dict.fromkeys(row.group for row in rows):
        places = st.columns([3] + [1] * len(seeds), vertical_alignment="center")
        places[0].markdown(layout.plain(group))
        for row in rows:
            if row.group == group:
                with places[1 + seeds.index(row.seed)]:
                    _open(row)


def _open(row: Row) -> None:
    if row.state == "waiting":
        st.caption(_cell(row))
        return
    page = "forgetting" if row.state == "done" else "train"
    layout.page_link(_cell(row), page, run=row.name, t=None, **{SWEEP: None})


def _cell(row: Row) -> str:
    if row.state == "done":
        return "–" if row.accuracy is None else f"{row.accuracy:.1%}"
    return f"{row.fraction:.0%} …" if row.state == "running" else _MARKS.get(row.state, row.state)


def _results(name: str, found: list[Group]) -> None:
    st.subheader("Mean accuracy on the tasks seen", anchor=False)
    ground = plots.theme()
    plots.draw(curves_figure(found, ground), key=f"sweep-{name}", alt=_alt(found))
    caption(
        "accuracy with the task unknown, averaged over the tasks seen so far and over seeds; the band is the 95% "
        "interval of the mean.",
        "bands that do not touch; a single seed has no band.",
        "a seed draws the first weights and the order of images, and of classes where the stream has no order of its "
        "own: a difference within the bands may be chance.",
    )
    table = []
    for group in found:
        row = {"runs": group.name, "seeds": len(group.metrics)}
        for measure in MEASURES:
            row[_title(measure)] = str(interval(list(group.values(measure).values())))
        table.append(row)
    st.dataframe(table, hide_index=True)
    for test in against_best(found):
        said = "too few seeds for a test" if math.isnan(test.p) else f"p = {test.p:.3g}"
        st.caption(
            f"{layout.plain(test.first)} − {layout.plain(test.second)}: {test.difference} of final accuracy on the "
            f"same {test.difference.n} seeds; paired t test, not corrected for many comparisons: {said}."
        )
    path = sweep_folder(runs_folder(), name) / "runs.csv"
    if path.is_file():
        st.download_button("CSV of the runs", path.read_bytes(), f"{name}.csv", "text/csv", icon=":material/download:")


def _title(measure: str) -> str:
    return _TITLES.get(measure, measure.replace("_", " "))


def curves_figure(found: Sequence[Group], ground: plots.Theme) -> plots.Figure:
    """One curve per group, with its interval as a band."""
    shown = [(group, *mean_curve(group)) for group in found if group.metrics]
    paint = colours(len(shown), ground)
    count = max((len(mean) for _, mean, _ in shown), default=0)
    lines, bands = [], []
    for (group, mean, half), colour in zip(shown, paint, strict=True):
        padded = np.pad(mean, (0, count - len(mean)), constant_values=np.nan)
        lines.append(plots.Line(group.name, padded, colour))
        known = np.flatnonzero(~np.isnan(mean) & ~np.isnan(half))
        if len(known):
            bands.append(_band(known, mean[known], half[known], colour))
    names = [str(task + 1) for task in range(count)]
    figure = plots.curves(lines, names, ground, titles=("tasks learned", "mean accuracy on the tasks seen"))
    figure["data"] = [*bands, *figure["data"]]
    return figure


def _band(at: np.ndarray, mean: np.ndarray, half: np.ndarray, colour: str) -> dict[str, Any]:
    low, high = np.clip(mean - half, 0, 1), np.clip(mean + half, 0, 1)
    return {
        "type": "scatter", "mode": "lines", "x": [*at.tolist(), *at[::-1].tolist()],
        "y": [*high.tolist(), *low[::-1].tolist()], "fill": "toself", "fillcolor": colour, "opacity": 0.18,
        "line": {"width": 0}, "hoverinfo": "skip", "showlegend": False,
    }  # fmt: skip


def _alt(found: Sequence[Group]) -> str:
    said = [f"{group.name}: {interval(list(group.values('final_accuracy').values()))} at the end" for group in found]
    return "; ".join(said)


def _new(busy: bool) -> None:
    st.subheader("New sweep", anchor=False, divider="gray")
    if busy:
        st.info("One job at a time. Wait for the one that is going on, or cancel it; what it has finished is kept.")
    st.caption(
        "Every combination learns these images, as an ordinary run; then means with intervals say what differs by more "
        "than chance."
    )
    images, learners = st.columns([1, 2])
    with images:
        image_choice("sweep-images")
    known = sorted(method_names())
    methods = learners.multiselect("Methods", known, ["proteus", "lda", "sequential"], key="sweep-methods")
    one, two, three, four = st.columns(4)
    seeds = one.number_input("Seeds", 1, 20, 3, key="sweep-seeds")
    epochs = two.number_input("Epochs per task", 0, 100, 2, key="sweep-epochs")
    ranks = three.multiselect("Ranks", [1, 2, 4, 8, 16, 32], [4], key="sweep-ranks", help=meaning("rank"))
    at_once = four.number_input("Runs at once", 1, 16, 1, key="sweep-jobs")
    title = st.text_input("Name", _free(runs_folder()), key="sweep-title", max_chars=40)
    values = sweep_values(title, methods, int(seeds), int(epochs), sorted(ranks))
    if not methods or not ranks:
        st.caption("Choose a method and a rank.")
        return
    count = len(methods) * int(seeds) * len(ranks)
    if st.button(f"Start {count} runs", type="primary", key="sweep-start", disabled=busy):
        try:
            with st.spinner("Starting…"):
                name = background.start(values, runs_folder(), int(at_once))
        except UserError as error:
            layout.problem_line(str(error))
            return
        set_parameters(**{SWEEP: name})
        st.rerun()
    with st.expander("The same from the command line"):
        st.code(jobs.format_toml(values), language="toml")
        st.code(f"python -m core sweep {values['name'] or 'sweep'}.toml --jobs {at_once}", language="bash")


def _free(runs: Path) -> str:
    """A name that no sweep has yet."""
    number = 1
    while (sweep_folder(runs, f"sweep-{number}")).exists():
        number += 1
    return f"sweep-{number}"


def sweep_values(
    name: str, methods: Sequence[str], seeds: int, epochs: int, ranks: Sequence[int], backbone: str | None = None
) -> dict[str, Any]:
    """The keys of the sweep file that the choices make, on the images that the URL names."""
    source = sources.chosen()
    base = configuration(
        {
            "stream.name": source.stream,
            "backbone.name": backbone or EMBEDDED,
            "training.epochs": epochs,
            "adapters.rank": ranks[0] if len(ranks) == 1 else None,
            "record.projection": False,
        }
    )
    axes: dict[str, Any] = {"method": {"name": list(methods)}}
    if len(ranks) > 1:
        axes["adapters"] = {"rank": list(ranks)}
    return {"name": name, "base": base, "axes": axes | {"seeds": seeds}}
