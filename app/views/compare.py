"""Compare: two or more runs of one stream, what differs first; the same images, and who is right where."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import streamlit as st

from app.components import thumbnails
from app.components.captions import caption
from app.components.choice import choice
from app.components.save_figure import save_figure
from app.figures import plots
from app.figures.palette import GREY, Theme, colours
from app.reading import accuracy, comparison
from app.reading.cards import RunCard
from app.reading.comparison import SameImages
from app.reading.tables import class_names, images, manifest, metrics, predictions, task_names
from app.shell import layout
from app.shell.address import current_task, link, parameter, set_parameters
from app.shell.run_choice import available
from app.views.forgetting import distinct_titles

MOST = 6
"""Runs side by side."""
_SHOWN = 60


def render() -> None:
    """The page."""
    layout.heading("Compare")
    card = layout.run_to_explore()
    if card is None:
        return
    runs = _choice(card)
    if len(runs) < 2:
        _one_is_not_enough(card)
        return
    names = distinct_titles(runs)
    _numbers(runs, names)
    _settings(runs, names)
    same = [run for run in runs if _stream(run) == _stream(runs[0])]
    if len(same) < len(runs):
        st.info(
            "Not all of these runs learned the same images in the same order: tasks and images are compared only for "
            f"the {len(same)} that share the first run's.",
            icon=":material/info:",
        )
    _kept([run for run in available() if run.ready and _stream(run) == _stream(card)], runs)
    if len(same) > 1:
        _tasks(same, distinct_titles(same), card)
        _images(same, card)


def _stream(card: RunCard) -> str:
    return card.fingerprint


def _choice(card: RunCard) -> list[RunCard]:
    """`?runs=` with the run of the sidebar always first; by default that one and the next of its stream."""
    ready = {run.name: run for run in available() if run.ready}
    others = {name: run for name, run in ready.items() if name != card.name}
    wanted = parameter("runs", "")
    if wanted:
        chosen = [name for name in dict.fromkeys(wanted.split(",")) if name in others]
    else:
        chosen = [name for name, run in others.items() if _stream(run) == _stream(card)][:1]
    titles = dict(zip(others, distinct_titles([card, *others.values()])[1:], strict=True))
    st.session_state["compare-runs"] = chosen[: MOST - 1]

    def choose() -> None:
        set_parameters(runs=",".join([card.name, *st.session_state["compare-runs"]]))

    st.multiselect(
        f"“{layout.plain(card.title)}” beside",
        sorted(others, key=lambda name: _stream(others[name]) != _stream(card)),
        key="compare-runs",
        format_func=lambda name: titles.get(name, name),
        max_selections=MOST - 1,
        placeholder="Choose one or more runs",
        help="The first is the run chosen in the sidebar; runs of the same images in the same order come first here.",
        on_change=choose,
    )
    return [card, *(others[name] for name in chosen[: MOST - 1])]


def _one_is_not_enough(card: RunCard) -> None:
    if sum(run.ready for run in available()) > 1:
        st.markdown("Choose a second run above to see how the two differ.")
    else:
        layout.empty("There is only one finished run: a second one is needed to compare.", "Train another", "train")


def _numbers(runs: list[RunCard], names: list[str]) -> None:
    """The measures that differ, the best of each row marked."""
    st.subheader("What differs", anchor=False)
    differ, same = comparison.measures([metrics(run) for run in runs])
    if not differ:
        st.markdown("Every measure is the same.")
        return
    st.dataframe(_table(differ, names), hide_index=True, height=35 * (len(differ) + 1) + 3)
    if same:
        equal = ", ".join(
            f"{row.measure.title.lower()} {comparison.told(row.values[0], row.measure.unit)}" for row in same
        )
        st.caption(f"The same for all: {equal}.")
    caption(
        "each measure of the runs; ★ marks the best. Shares come first, the largest difference on top.",
        "a run that wins on one line and loses on another: [[accuracy]] is bought with time, work or memory.",
        "one number never ranks methods; what was paid for it belongs beside it.",
    )


def _table(rows: list[comparison.Row], names: list[str]) -> list[dict[str, str]]:
    unique = _unique(names)
    table = []
    for row in rows:
        said = {"measure": row.measure.title}
        for name, value, best in zip(unique, row.values, row.best, strict=True):
            said[name] = comparison.told(value, row.measure.unit) + (" ★" if best else "")
        if len(unique) == 2:
            said["difference"] = _difference(row)
        table.append(said)
    return table


def _difference(row: comparison.Row) -> str:
    first, second = row.values
    if first is None or second is None:
        return "–"
    if row.measure.unit == "share":
        return f"{100 * (second - first):+.1f} points"
    if first > 0 and second > 0:
        times = second / first
        return f"× {times:,.0f}" if times >= 10 else f"× {times:.2g}"
    sign = "+" if second > first else "−"
    return sign + comparison.told(abs(second - first), row.measure.unit)


def _unique(names: list[str]) -> list[str]:
    """Column titles: no two alike, and none that a column has already."""
    taken = {"measure", "difference", "setting"}
    found = []
    for name in names:
        while name in taken:
            name += " ′"
        taken.add(name)
        found.append(name)
    return found


def _settings(runs: list[RunCard], names: list[str]) -> None:
    differ, same = comparison.settings([manifest(run).config for run in runs])
    unique = _unique(names)
    with st.expander(f"Settings: {len(differ)} differ, {same} are the same", icon=":material/tune:"):
        if differ:
            table = [{"setting": key, **dict(zip(unique, values, strict=True))} for key, values in differ.items()]
            st.dataframe(table, hide_index=True)
        else:
            st.markdown("The runs were made with the same settings.")


def _kept(stream: list[RunCard], chosen: list[RunCard]) -> None:
    """One point for every finished run of the stream that measured how much of never learned classes it still knew."""
    found = [(run, kept) for run in stream if (kept := comparison.kept(metrics(run))) is not None]
    asked = {probe: name for probe, name in comparison.PROBES.items() if any(probe in kept.lost for _, kept in found)}
    if not asked:
        return
    st.subheader("Gained, and lost elsewhere", anchor=False)
    probe = choice("What is lost, asked of", "lost", asked, next(iter(asked)), widget="compare-lost")
    measured = [(run, kept) for run, kept in found if probe in kept.lost]
    places = {run.name: place for place, run in enumerate(chosen)}
    names = distinct_titles([run for run, _ in measured])

    def marks(ground: Theme) -> list[plots.Point]:
        paint = colours(max(len(chosen), 1), ground)
        return [
            plots.Point(name, kept.lost[probe], kept.gained,
                          paint[places[run.name]] if run.name in places else GREY[ground],
                          f"{name}: gained {100 * kept.gained:.1f} points, lost {100 * kept.lost[probe]:.1f}")
            for name, (run, kept) in zip(names, measured, strict=True)
        ]  # fmt: skip

    def figure(ground: Theme) -> plots.Figure:
        titles = ("lost on classes never learned", "gained on the classes learned")
        return plots.points(marks(ground), ground, titles=titles)

    ground = plots.theme()
    alt = "Gained and lost. " + "; ".join(mark.hover for mark in marks(ground))
    plots.draw(figure(ground), key=f"kept-{probe}", alt=alt)
    caption(
        "upwards what nearest neighbours gained on the learned classes; across, what held-out classes lost: "
        f"{_ASKED[probe]}. A point for every finished run of these images, those compared here in colour.",
        "points at the top left: they learned much and lost little.",
        "fewer blocks, heads fitted first and less strength keep more; how much height that costs is seen here.",
    )
    save_figure(
        figure, f"Gained on the learned classes, and lost on held-out ones: {_ASKED[probe]}.",
        [run for run, _ in measured], file=f"{chosen[0].stream}-kept", key="kept",
    )  # fmt: skip


_ASKED = {
    "readout": "a classifier of them that was fitted on the frozen backbone is asked again, as it is",
    "zero_shot": "the text tower answers for them, as it did for the frozen backbone",
    "knn": "nearest neighbours among images embedded anew; below zero where a task teaches about other classes too",
}


def _tasks(runs: list[RunCard], names: list[str], card: RunCard) -> None:
    """Accuracy per task, one bar per run."""
    task = current_task(card.tasks)
    st.subheader(f"Task by task, after task {task + 1}", anchor=False)
    kind = choice("Share of answers that are right", "of", accuracy.KINDS, "class_incremental", widget="compare-kind")
    rows = {}
    for place, run in enumerate(runs):
        a = accuracy.matrices(metrics(run), run.tasks).get(kind)
        if a is not None:
            rows[place] = a[accuracy.measured_after(a, task)]
    if not rows:
        st.caption("None of these runs measured this.")
        return
    shown = max(int(np.flatnonzero(~np.isnan(row)).max()) + 1 for row in rows.values())
    ticks = plots.task_ticks(task_names(card))[:shown]
    title = accuracy.KINDS[kind].lower()

    def groups(ground: Theme) -> list[plots.Line]:
        paint = colours(len(runs), ground)
        return [plots.Line(names[place], row[:shown], paint[place]) for place, row in rows.items()]

    def figure(ground: Theme) -> plots.Figure:
        return plots.bars(groups(ground), ticks, ground, titles=("task", "share of right answers"))

    ground = plots.theme()
    plots.draw(figure(ground), key=f"tasks-{kind}", alt=_alt(groups(ground)))
    caption(
        f"for each task the share of right answers ({title}), one bar for each run.",
        "tasks on which another run is ahead than on average.",
        "equal averages can hide that two methods fail on different tasks.",
    )
    save_figure(
        figure, f"For each task the share of right answers ({title}) after task {task + 1}, one bar for each run.",
        [runs[place] for place in rows], file=f"{card.stream}-compared", key="compared",
    )  # fmt: skip


def _alt(groups: Sequence[plots.Line]) -> str:
    told = (f"{group.name}: {', '.join(plots.percent(value) for value in group.values)}" for group in groups)
    return "Accuracy per task. " + "; ".join(told)


def _images(runs: list[RunCard], card: RunCard) -> None:
    """The same images under two runs, and which run is right on which."""
    st.subheader("The same images", anchor=False)
    first, second = runs[0], _second(runs)
    task, kind = current_task(card.tasks), parameter("of", "class_incremental", accuracy.KINDS)
    found = comparison.same_images(
        (predictions(first).after(task), images(first)), (predictions(second).after(task), images(second)), kind
    )
    if not len(found.outcome):
        st.markdown("The two runs have no test image in common.")
        return
    names = distinct_titles([first, second])
    shown = _outcome(found, names)
    rows = np.flatnonzero(found.outcome == comparison.OUTCOMES.index(shown))
    if not len(rows):
        st.markdown("There is no such image.")
        return
    _grid(first, second, found, rows[:_SHOWN], kind, shown)
    more = f" The first {_SHOWN} of {len(rows):,} are shown." if len(rows) > _SHOWN else ""
    st.caption(
        f"Below each image: the answer of “{layout.plain(names[0])}”, then that of “{layout.plain(names[1])}”. Each "
        f"opens the explanation of the run that is wrong.{more}"
    )


def _second(runs: list[RunCard]) -> RunCard:
    """Which of the others is compared with the first."""
    others = {run.name: run for run in runs[1:]}
    if len(others) == 1:
        return runs[1]
    titles = dict(zip(others, distinct_titles(list(others.values())), strict=True))
    st.session_state["compare-with"] = parameter("with", runs[1].name, others)
    name = st.selectbox(
        f"“{layout.plain(runs[0].title)}” against",
        list(others),
        key="compare-with",
        format_func=lambda name: titles.get(name, name),
        on_change=lambda: set_parameters(**{"with": st.session_state["compare-with"]}),
    )
    return others[name]


def _outcome(found: SameImages, names: list[str]) -> str:
    """Which images to show: those first on which the runs differ."""
    counts = found.counts()
    titles = {
        "first": f"Only {layout.plain(names[0])} is right ({counts['first']:,})",
        "second": f"Only {layout.plain(names[1])} is right ({counts['second']:,})",
        "neither": f"Both are wrong ({counts['neither']:,})",
        "both": f"Both are right ({counts['both']:,})",
    }
    default = next((name for name in titles if counts[name]), "both")
    return choice("Who is right", "who", titles, default, widget="compare-who")


def _grid(first: RunCard, second: RunCard, found: SameImages, rows: np.ndarray, kind: str, shown: str) -> None:
    one, two = found.first.where(rows), found.second.where(rows)
    said = [accuracy.answers(run_names(run, kind), part, kind) for run, part in ((first, one), (second, two))]
    blamed, part = (second, two) if shown == "first" else (first, one)
    thumbnails.grid(
        first,
        one.image.tolist(),
        columns=12,
        captions=[f"{a} | {b}" for a, b in zip(*said, strict=True)],
        links=[
            link("errors", run=blamed.name, t=int(after), image=image, runs=None)
            for after, image in zip(part.after_task.tolist(), part.image.tolist(), strict=True)
        ],
        key=f"same-{first.name}-{second.name}",
    )


def run_names(card: RunCard, kind: str) -> list[str]:
    """The names that an answer of this kind is one of."""
    return task_names(card) if kind == "retrieval" else class_names(card)
