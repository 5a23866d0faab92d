"""Forgetting: the accuracy on every task after every task, down to the images, and all methods on one axis."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import streamlit as st

from app.components import thumbnails
from app.components.captions import caption
from app.components.choice import choice
from app.components.save_figure import save_figure
from app.figures import accuracy as figures
from app.figures import plots
from app.reading import accuracy
from app.reading.cards import RunCard
from app.reading.tables import Predictions, class_names, metrics, predictions, task_names
from app.shell import layout
from app.shell.address import current_task, link, parameter, set_parameters
from app.shell.run_choice import available
from core.evaluation import metrics as measures

_SHOWN = 60
"""Thumbnails below the matrix."""
_MOST = 24
"""Runs on one axis: more curves cannot be told apart."""


def render() -> None:
    """The page."""
    layout.heading("Forgetting")
    card = layout.run_to_explore()
    if card is None:
        return
    found = accuracy.matrices(metrics(card), card.tasks)
    if "class_incremental" not in found:
        layout.empty("This run kept no accuracies task by task.", "Train one that does", "train")
        return
    after = accuracy.measured_after(found["class_incremental"], current_task(card.tasks))
    _tiles(found, after)
    _matrix(card, found, after)
    _over_time(card, found, after)
    _methods(card, after)


def _tiles(found: dict[str, np.ndarray], after: int) -> None:
    """Four numbers as they were after task `after`."""
    seen = {kind: a[: after + 1, : after + 1] for kind, a in found.items()}
    a = seen["class_incremental"]
    aware = seen.get("task_aware")
    learned = float(np.mean(np.diagonal(a)))
    values = (
        ("When just learned", plots.percent(learned, 1), "Mean accuracy on each task right after it was learned."),
        (
            f"After task {after + 1}",
            plots.percent(measures.final_accuracy(a), 1),
            "Mean accuracy on the tasks learned by now.",
        ),
        (
            "Forgetting, points",
            _points(measures.forgetting(a)),
            "How far earlier tasks have fallen below their best accuracy, on average. Below zero they have gained.",
        ),
        (
            "Lost to retrieval, points",
            _points(float("nan") if aware is None else measures.oracle_gap(a, aware)),
            "Accuracy with the task given minus accuracy without: what picking the task costs.",
        ),
    )
    for column, (label, value, meaning) in zip(st.columns(len(values)), values, strict=True):
        column.metric(label, value, help=meaning, border=True)


def _points(share: float) -> str:
    """A difference of two shares."""
    return "–" if np.isnan(share) else f"{100 * share:.1f}"


def _matrix(card: RunCard, found: dict[str, np.ndarray], after: int) -> None:
    st.subheader("Every task after every task", anchor=False)
    kind = _kind(found)
    a, names, ground = found[kind], task_names(card), plots.theme()
    cell = _cell(a, after)
    left, right = st.columns([3, 2], gap="large")
    with left:
        figure = figures.matrix(a, names, ground, chosen=cell, pickable=True)
        plots.draw(figure, key=f"matrix-{card.name}-{kind}", alt=_alt(kind, a), on_pick=_pick)
        caption(
            "one row per moment: the share of right answers on every [[task]] learned by then. The diagonal: new "
            "tasks.",
            "columns that fade downwards. Click a cell for the images behind it.",
            "the average hides which task paid for the newest one.",
        )
        save_figure(
            lambda ground: figures.matrix(a, names, ground),
            f"Every task after every task: {accuracy.KINDS[kind].lower()}.",
            [card], file=f"{card.name}-matrix", key="matrix",
        )  # fmt: skip
    with right:
        _behind(card, kind, cell)


def _kind(kinds: Collection[str]) -> str:
    options = {kind: title for kind, title in accuracy.KINDS.items() if kind in kinds}
    label = "Share of answers that are right"
    return choice(label, "of", options, "class_incremental", widget="forgetting-kind")


def _cell(a: np.ndarray, after: int) -> plots.Cell:
    """`?cell=after-task`, both counted from 0; by default the task with the lowest accuracy after task `after`."""
    row, _, column = parameter("cell", "").partition("-")
    if row.isdecimal() and column.isdecimal():
        t, i = int(row), int(column)
        if max(t, i) < len(a) and not np.isnan(a[t, i]):
            return t, i
    after = accuracy.measured_after(a, after)
    return after, int(np.nanargmin(a[after]))


def _pick(cell: plots.Cell) -> None:
    set_parameters(cell=f"{cell[0]}-{cell[1]}")


def _alt(kind: str, a: np.ndarray) -> str:
    last = ", ".join(f"task {i + 1} {plots.percent(v)}" for i, v in enumerate(a[-1]))
    return f"Accuracy on every task after every task, {accuracy.KINDS[kind].lower()}. After the last: {last}."


def _behind(card: RunCard, kind: str, cell: plots.Cell) -> None:
    """The images that a cell counts as wrong; those that had been right once come first."""
    names = task_names(card)
    after, task = _cell_controls(card, names, cell)
    found = accuracy.cell_images(predictions(card), kind, after, task)
    if not found.images:
        st.markdown("Nothing was measured here: task after task, only what has been learned is asked for.")
        return
    wrong = len(found.wrong)
    st.markdown(
        f"**{found.images - wrong} of {found.images}** images of “{layout.plain(names[task])}” are right after task "
        f"{after + 1}. {_wrong_in_words(found, after == task)}"
    )
    if not wrong:
        return
    with st.container(height=360 if wrong > 12 else "content", border=False):
        if found.forgotten:
            _thumbnails(card, kind, found.wrong, 0, found.forgotten, "Right when new, wrong now")
        if wrong > found.forgotten:
            told = "Wrong already when new" if after > task else ""
            _thumbnails(card, kind, found.wrong, found.forgotten, wrong, told)
    st.caption("Below each image is the answer it was given. Each opens its explanation.")


def _thumbnails(card: RunCard, kind: str, rows: Predictions, start: int, end: int, told: str) -> None:
    """The images of the rows from `start` to before `end`, under a line that says what they are."""
    if told:
        more = f", the first {_SHOWN} shown" if end - start > _SHOWN else ""
        st.markdown(f"**{told}** ({end - start}{more})")
    rows = rows.where(np.arange(start, min(end, start + _SHOWN)))
    links = [link("errors", run=card.name, t=int(rows.after_task[0]), image=image) for image in rows.image.tolist()]
    answers = accuracy.answers(task_names(card) if kind == "retrieval" else class_names(card), rows, kind)
    thumbnails.grid(
        card, rows.image.tolist(), columns=8, captions=answers, links=links, key=f"behind-{card.name}-{start}"
    )


def _cell_controls(card: RunCard, names: list[str], cell: plots.Cell) -> plots.Cell:
    """The same choice as a click on the matrix, for the keyboard."""
    st.session_state["forgetting-task"], st.session_state["forgetting-after"] = cell[1], cell[0]

    def choose() -> None:
        task = st.session_state["forgetting-task"]
        _pick((max(task, st.session_state["forgetting-after"]), task))

    left, right = st.columns(2)
    task = left.selectbox(
        "Images of task",
        range(card.tasks),
        key="forgetting-task",
        format_func=lambda t: f"{t + 1}: {names[t]}",
        on_change=choose,
    )
    after = right.selectbox(
        "after task", range(card.tasks), key="forgetting-after", format_func=lambda t: str(t + 1), on_change=choose
    )
    return int(after), int(task)


def _wrong_in_words(found: accuracy.CellImages, new: bool) -> str:
    wrong = len(found.wrong)
    if not wrong:
        return "None is wrong."
    once = "" if new else f"; **{found.forgotten}** of them had been right when the task was new"
    return f"{wrong} {'is' if wrong == 1 else 'are'} wrong{once}. {found.astray} went to a wrong task."


def _over_time(card: RunCard, found: dict[str, np.ndarray], after: int) -> None:
    """One curve per task, and the accuracy if the task were known."""
    a, ground, names = found["class_incremental"], plots.theme(), task_names(card)
    left, right = st.columns([3, 2], gap="large")
    with left:
        st.subheader("One curve per task", anchor=False)
        figure = figures.task_curves(a, names, ground, lit=_lit(a, after), at=after)
        plots.draw(figure, key=f"curves-{card.name}", alt="Accuracy on each task over task time.")
        caption(
            "the [[accuracy]] on each task from the moment it was learned, with the task unknown.",
            "a step down when one particular task arrives: the two may have classes that look alike.",
            "a sudden loss points to one later task; a slow slope to many that each take a little.",
        )
        save_figure(
            lambda ground: figures.task_curves(a, names, ground, lit=_lit(a, after)),
            "The accuracy on each task from the moment it was learned, with the task unknown.",
            [card], file=f"{card.name}-curves", key="curves",
        )  # fmt: skip
    with right:
        st.subheader("If the task were known", anchor=False)
        _oracle(card, found, after)


def _lit(a: np.ndarray, after: int) -> int:
    """The task of the chosen cell, which stands out where there are too many tasks for one colour each."""
    return _cell(a, after)[1]


def _oracle(card: RunCard, found: dict[str, np.ndarray], after: int) -> None:
    if "task_aware" not in found:
        st.caption("This method does not answer with the task given.")
        return
    unknown, given = (found[kind][after, : after + 1] for kind in ("class_incremental", "task_aware"))
    figure = figures.told_and_untold(unknown, given, task_names(card), plots.theme())
    plots.draw(figure, key=f"oracle-{card.name}", alt="Accuracy per task without and with the task given.")
    caption(
        "for each task, the accuracy when the model must find the task (dot) and when [[the task is "
        "given|task-aware]] (ring).",
        "long bars: there the classes of the task are still told apart, but the task is not found.",
        "what lies between dot and ring is lost in finding the task, and only the rest inside it.",
    )
    save_figure(
        lambda ground: figures.told_and_untold(unknown, given, task_names(card), ground),
        "For each task, the accuracy when the model must find the task (dot) and when it is given (ring).",
        [card], file=f"{card.name}-task-given", key="oracle",
    )  # fmt: skip


def _methods(card: RunCard, after: int) -> None:
    """All runs of the same images, one curve each."""
    st.subheader("All methods on one axis", anchor=False)
    peers = same_stream(card)
    ground = plots.theme()
    place = [peer.name for peer in peers].index(card.name)
    seen = [accuracy.seen_accuracy(_matrices(p)["class_incremental"]) for p in peers]
    lines = figures.run_lines(distinct_titles(peers), seen, place, ground)
    figure = figures.run_curves(lines, card.tasks, ground, at=after)
    plots.draw(figure, key="methods", alt=_methods_alt(lines))
    caption(
        f"the mean accuracy on all tasks learned so far, for {len(peers)} runs of the same images in the same order; "
        "the wide line is this run.",
        "which methods start high and which end high: they are seldom the same.",
        "a method that loses to a [[frozen]] model with a simple classifier ([[LDA]]) has not paid for its "
        "[[adapters|adapter]].",
    )
    save_figure(
        lambda ground: figures.run_curves(
            figures.run_lines(distinct_titles(peers), seen, place, ground), card.tasks, ground
        ),
        "The mean accuracy on all tasks learned so far, one curve for each run of the same images.",
        peers, file=f"{card.stream}-methods", key="methods",
    )  # fmt: skip
    _beaten(card, peers)
    if len(peers) > 1:
        other = next(peer for peer in peers if peer.name != card.name)
        runs = f"{card.name},{other.name}"
        layout.page_link("Compare two of them", "compare", icon=":material/compare_arrows:", runs=runs)
    else:
        layout.page_link("Train another method on it", "train", icon=":material/play_arrow:")


def _beaten(card: RunCard, peers: list[RunCard]) -> None:
    """Say so on the page where a frozen backbone with a simple classifier does better than this run."""
    frozen = [peer for peer in peers if peer.method == "lda" and peer.backbone == card.backbone]
    own, best = card.accuracy, max((peer.accuracy or 0.0 for peer in frozen), default=0.0)
    if own is not None and card.method != "lda" and best > own:
        st.info(
            f"On this stream the same frozen model with a simple classifier (lda) ends at {best:.1%}, above this "
            f"run's {own:.1%}.",
            icon=":material/info:",
        )


def _methods_alt(lines: list[plots.Line]) -> str:
    return "Mean accuracy at the end: " + ", ".join(f"{line.name} {plots.percent(line.values[-1])}" for line in lines)


def same_stream(card: RunCard) -> list[RunCard]:
    """Finished runs of the same images in the same tasks, with accuracies to draw: `card`, the recorded ones, and of
    the others the newest."""
    alike = [
        other
        for other in available()
        if other.ready and other.tasks == card.tasks and other.fingerprint == card.fingerprint
    ]
    kept = [other for other in alike if other.recorded or other.name == card.name]
    newest = [other for other in alike if other not in kept][: max(0, _MOST - len(kept))]
    return [
        other
        for other in alike
        if other.name == card.name or ((other in kept or other in newest) and "class_incremental" in _matrices(other))
    ]


def _matrices(card: RunCard) -> dict[str, np.ndarray]:
    return accuracy.matrices(metrics(card), card.tasks)


def distinct_titles(cards: list[RunCard]) -> list[str]:
    """What to call each run beside the others: its title, its backbone where they differ, the end of its name where
    two would still share one."""
    backbones = [card.backbone for card in cards]
    differ = len(set(backbones)) > 1
    titles = [f"{card.title} ({name})" if differ else card.title for card, name in zip(cards, backbones, strict=True)]
    return [
        f"{title} · {card.name[-4:]}" if titles.count(title) > 1 else title
        for title, card in zip(titles, cards, strict=True)
    ]
