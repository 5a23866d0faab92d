"""Adapter blocks: where a task's adapter changed the backbone, what it took from earlier tasks, and what it costs."""

from __future__ import annotations

import numpy as np
import streamlit as st

from app.components.captions import caption
from app.components.choice import choice
from app.components.save_figure import save_figure
from app.figures import plots
from app.figures.blocks import block_figure, hover_text, mark_text
from app.figures.palette import ACCENT, Theme, colours
from app.reading import accuracy, block_maps
from app.reading.block_maps import BlockMap
from app.reading.cards import RunCard, stamp
from app.reading.tables import gates, manifest, metrics, own_adapters, task_names
from app.shell import layout
from app.shell.address import TASK, current_task, set_parameters
from app.shell.run_choice import available
from core.errors import UserError
from core.runs.schema import TaskDone
from core.runs.store import Run

SCALES = {"own": "This task's own", "shared": "Shared by all tasks"}


def render() -> None:
    """The page."""
    layout.heading("Adapter blocks")
    card = layout.run_to_explore()
    if card is None:
        return
    known = gates(card)
    maps = block_maps.block_maps(known, manifest(card).backbone.depth)
    if not any(len(found.adapted_blocks) for found in maps):
        _nothing_adapted(card)
        return
    task = min(current_task(card.tasks), len(maps) - 1)
    _tiles(card, maps[task], task)
    _one_task(card, maps, task)
    if block_maps.scores(known[task]):
        _gates(card, known[task], task)
    if len(maps) > 1:
        _all_tasks(card, maps, task)
        _between_tasks(card)
    _costs(card, maps[task], task)


def _nothing_adapted(card: RunCard) -> None:
    """This method has no adapters: offer a run that has."""
    message = f"“{layout.plain(card.title)}” adapts no block: its backbone stays as it was."
    other = next((peer for peer in available()[:20] if peer.ready and _adapts(peer)), None)
    if other is None:
        layout.empty(message, "Train one that does", "train")
    else:
        layout.empty(message, f"Look at “{layout.plain(other.title)}”", "blocks", run=other.name, t=None)


def _adapts(card: RunCard) -> bool:
    try:
        return bool(block_maps.projections(gates(card)))
    except UserError:
        return False


def _done(card: RunCard, task: int) -> TaskDone | None:
    try:
        return Run(card.folder).task(task).done
    except UserError:
        return None


def _tiles(card: RunCard, found: BlockMap, task: int) -> None:
    backbone, cost, done = manifest(card).backbone, metrics(card).get("flops_per_image"), _done(card, task)
    plain = block_maps.block_flops(backbone) * backbone.depth
    values = (
        ("Blocks changed", f"{len(found.active_blocks)} of {backbone.depth}", "Blocks with an adapter that is on."),
        (
            "Trained for this task",
            "–" if done is None else f"{done.trainable_parameters:,}",
            f"Numbers that training changed. The frozen backbone has {backbone.parameters:,}.",
        ),
        (
            "Kept for this task",
            "–" if done is None else size(done.stored_bytes),
            "Adapter, head and clusters that must be kept to answer for this task.",
        ),
        (
            "Work for an answer",
            "–" if not cost else f"{cost / plain:.2f} ×",
            "Floating-point operations for one image after the last task, as a multiple of one full pass through the "
            "plain backbone's blocks. The last block need be computed for one token only: it can be below 1.",
        ),
    )
    for column, (label, value, meaning) in zip(st.columns(len(values)), values, strict=True):
        column.metric(label, value, help=meaning, border=True)


def size(count: float) -> str:
    """Bytes, for people."""
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" or count >= 10 else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"


def _one_task(card: RunCard, maps: list[BlockMap], task: int) -> None:
    st.subheader(f"Layer by layer: task {task + 1}", anchor=False)
    scale = choice("Colour scale", "scale", SCALES, "own", widget="blocks-scale") if len(maps) > 1 else "own"
    names = block_maps.projections(gates(card))
    found, ground = maps[task], plots.theme()
    shown = maps if scale == "shared" else [found]
    figure = block_figure(found, names, shown, ground)
    plots.draw(figure, key=f"blocks-{card.name}-{task}-{scale}", alt=_alt(found, names, task))
    whose = (
        "this task's own adapter moves"
        if own_adapters(card)
        else "everything learned up to this task, in the one model that all tasks share, has moved"
    )
    caption(
        f"how far {whose} each layer's weights (Frobenius norm of ΔW). Grey: never touched; “off”: its [[gate]] is "
        "closed.",
        "the strongest colour, and whether q (what attention looks for) or v (what it passes on) changes more.",
        "a [[block]] that nobody changes is computed once for all tasks, and costs nothing to keep.",
    )
    save_figure(
        lambda ground: block_figure(found, names, shown, ground),
        f"How far task {task + 1} moves each layer's weights (Frobenius norm of ΔW), after its training.",
        [card], file=f"{card.name}-blocks-{task + 1}", key="blocks",
    )  # fmt: skip


def _alt(found: BlockMap, names: list[str], task: int) -> str:
    if not found.active_blocks:
        return f"Task {task + 1} changes no block."
    row, block = np.unravel_index(int(np.nanargmax(found.norm)), found.norm.shape)
    return f"Task {task + 1} changes blocks {found.active_blocks}; most of all {names[row]} of block {block}."


def _gates(card: RunCard, task_gates: block_maps.Gates, task: int) -> None:
    """The scores of the gates beside the threshold, and their course during training."""
    st.subheader("Gates", anchor=False)
    kept = block_maps.scores(task_gates)
    on = block_maps.active_by_gate(task_gates) or []
    wanted = block_maps.budget(task_gates)
    plots.draw(
        _scores(task_gates, plots.theme()),
        key=f"gates-{card.name}-{task}",
        alt=f"Scores of {len(kept)} gates; on: {', '.join(on)}.",
    )
    if wanted is None:
        caption(
            f"the learned score of each gate; {len(on)} of {len(kept)} are above the line, and on.",
            "scores that were pushed below it: the task did not need that block enough to pay for it.",
            "a block that is off is skipped: it costs no time, and computes what the frozen model computed.",
        )
    else:
        caption(
            f"the score of each gate that is on: {len(on)} of {len(kept)}, exactly as many as the budget asked for.",
            "where in the backbone the budget was spent.",
            "a block that is off is skipped: it costs no time, no bytes, and computes what the frozen model computed.",
        )
    save_figure(
        lambda ground: _scores(task_gates, ground),
        f"The learned score of each gate of task {task + 1}"
        + ("; those above the line are on." if wanted is None else " that is on: as many as the budget asked for."),
        [card], file=f"{card.name}-gates-{task + 1}", key="gates",
    )  # fmt: skip
    _gate_history(card, task_gates, task)


def _scores(task_gates: block_maps.Gates, ground: Theme) -> plots.Figure:
    """A bar per gate; without a budget with the line above which gates are on, with one those that are on alone."""
    kept, on = block_maps.scores(task_gates), block_maps.active_by_gate(task_gates) or []
    budgeted = block_maps.budget(task_gates) is not None
    values = np.array([np.nan if budgeted and gate not in on else score for gate, score in kept.items()])
    ticks = [plots.text(gate if "/" in gate else f"block {gate}") for gate in kept]
    scores = plots.Line("score", values, colours(1, ground)[0])
    figure = plots.bars([scores], ticks, ground, titles=("", "score"), form=".3f")
    if not budgeted:
        figure = plots.with_threshold(figure, block_maps.threshold(task_gates), "on from here", ground)
    figure["layout"]["height"] = 240
    return figure


def _gate_history(card: RunCard, task_gates: block_maps.Gates, task: int) -> None:
    """One line per gate over the steps of this task's training."""
    steps, lines = block_maps.history(task_gates)
    if len(steps) < 2:
        return
    closed = len(lines) - len(set(block_maps.active_by_gate(task_gates) or ()))
    plots.draw(
        _courses(task_gates, plots.theme()),
        key=f"gate-history-{card.name}-{task}",
        alt=f"Scores of {len(lines)} gates over {int(steps[-1])} steps; {closed} are off at the end.",
    )
    caption(
        "each gate's score while this task was learned; dotted and grey: off at the end. "
        + ("A line stops where the budget closed its gate." if block_maps.budget(task_gates) else ""),
        "when the lines part: before that, nothing tells one block from another.",
        "gates that were settled early were clear decisions; crossing lines are blocks that would do equally well.",
    )
    save_figure(
        lambda ground: _courses(task_gates, ground),
        f"The score of each gate while task {task + 1} was learned; dotted and grey: off at the end.",
        [card], file=f"{card.name}-gates-over-time-{task + 1}", key="gate-history",
    )  # fmt: skip


def _courses(task_gates: block_maps.Gates, ground: Theme) -> plots.Figure:
    """A line per gate; those that are off at the end are dotted and grey."""
    steps, lines = block_maps.history(task_gates)
    on = set(block_maps.active_by_gate(task_gates) or ())
    named = [gate for gate in lines if gate in on]
    colour = dict(zip(named, colours(len(named), ground), strict=True))
    curves = [
        plots.Line(
            gate if "/" in gate else f"block {gate}", values, colour.get(gate, plots.GREY[ground]), gate not in on
        )
        for gate, values in lines.items()
    ]
    figure = plots.trails(curves, steps, ground, titles=("step of this task's training", "score"))
    limit = block_maps.threshold(task_gates)
    return figure if np.isnan(limit) else plots.with_threshold(figure, limit, "on from here", ground)


def _every_site(card: RunCard, maps: list[BlockMap], task: int, ground: Theme) -> plots.Figure:
    """One row per task, one column per site; the row of `task` is outlined."""
    names = block_maps.projections(gates(card))
    blocks = sorted({block for found in maps for block in found.adapted_blocks})
    sites = [(block, row) for block in blocks for row in range(len(names))]
    values = np.array([[np.nan_to_num(m.norm[row, block]) for block, row in sites] for m in maps])
    several = len(maps) > plots.MANY or len(sites) > 24
    figure = plots.heat_map(
        values,
        plots.task_ticks(task_names(card)[: len(maps)]),
        [f"{block} {names[row]}" for block, row in sites],
        ground,
        hover=[
            [f"task {k + 1}<br>{hover_text(m, names, row, block)}" for block, row in sites] for k, m in enumerate(maps)
        ],
        cells=None if several else [[mark_text(m, row, block) for block, row in sites] for m in maps],
        ends=(0.0, float(values.max())),
        titles=("block and projection", ""),
        bar="size of ΔW",
        bar_format=".2g",
        row_height=max(14, min(38, 460 // len(maps))),
        pickable=True,
    )
    row = {"type": "rect", "x0": -0.49, "x1": len(sites) - 0.51, "y0": task - 0.47, "y1": task + 0.47}
    figure["layout"]["shapes"] = [row | {"line": {"color": ACCENT[ground], "width": 2.5}}]
    return figure


def _all_tasks(card: RunCard, maps: list[BlockMap], task: int) -> None:
    st.subheader("All tasks", anchor=False)
    plots.draw(
        _every_site(card, maps, task, plots.theme()),
        key=f"all-blocks-{card.name}",
        alt="Size of the change at every adapted layer, for every task.",
        on_pick=lambda cell: set_parameters(**{TASK: cell[0]}),
    )
    caption(
        "one row for each task, on one scale; the outlined row is the task above. Click a row to look at it.",
        "the first task, which often has more units than later ones; columns that every task uses.",
        "where all tasks change the same layer, they can get into each other's way."
        if not own_adapters(card)
        else "a layer that a task moves far is one where the frozen model did not do for it.",
    )
    save_figure(
        lambda ground: _every_site(card, maps, task, ground),
        f"How far each task moved each layer's weights (Frobenius norm of ΔW); task {task + 1} is outlined.",
        [card], file=f"{card.name}-all-blocks", key="all-blocks",
    )  # fmt: skip


def _between_tasks(card: RunCard) -> None:
    """Reuse of earlier units and overlap of directions, where the method records them."""
    known = gates(card)
    taken, shared = block_maps.reuse(known), block_maps.overlap(known)
    if np.isnan(taken).all() and np.isnan(shared).all():
        return
    left, right = st.columns(2, gap="large")
    if not np.isnan(taken).all():
        with left:
            _reuse(card, taken)
    if not np.isnan(shared).all():
        with right:
            _overlap(card, shared)
        _overlap_and_forgetting(card, shared)


def _triangle(values: np.ndarray, bar: str, what: str, ground: Theme) -> plots.Figure:
    """Rows: tasks from the second; columns: earlier tasks."""
    count = len(values)
    part = values[1:, :-1]
    rows, columns = [f"task {k + 1}" for k in range(1, count)], [str(j + 1) for j in range(count - 1)]
    hover = [
        [f"task {k + 2} and task {j + 1}<br>{what}: {part[k, j]:.2g}" for j in range(count - 1)]
        for k in range(count - 1)
    ]
    few = count <= plots.MANY
    return plots.heat_map(
        part,
        rows,
        columns,
        ground,
        hover=hover,
        cells=[["" if np.isnan(v) else short(v) for v in row] for row in part] if few else None,
        ends=(0.0, float(np.nanmax(part))),
        titles=("earlier task", ""),
        bar=bar,
        bar_format=".1g",
        row_height=max(14, min(44, 400 // count)),
    )


def _pairs(card: RunCard, values: np.ndarray, bar: str, what: str, words: tuple[str, str, str], key: str) -> None:
    """A number for every pair of tasks, the three `words` of its caption, and a way to save it."""
    figure = _triangle(values, bar, what, plots.theme())
    plots.draw(figure, key=f"{key}-{card.name}", alt=f"{what}, for every pair of tasks.")
    caption(*words)
    save_figure(
        lambda ground: _triangle(values, bar, what, ground),
        f"For every pair of tasks: {what}.", [card], file=f"{card.name}-{key}", key=key,
    )  # fmt: skip


def short(value: float) -> str:
    """Two digits, without an exponent where it is readable."""
    return f"{value:#.2g}" if value == 0 or abs(value) >= 0.001 else f"{value:.0e}".replace("e-0", "e-")


def _reuse(card: RunCard, taken: np.ndarray) -> None:
    st.subheader("Taken from earlier tasks", anchor=False)
    strongest = float(np.nanmax(taken))
    little = " Here all are far below 1: each task relies on its own units." if strongest < 0.05 else ""
    words = (
        "how strongly a task (row) uses the frozen [[units|unit]] of an earlier one (column), by the mean size of "
        "their [[coefficients|coefficient]]; its own count 1." + little,
        "a column that many rows use: what that task learned is of general use.",
        "what is reused need not be learned again, and cannot be forgotten.",
    )
    _pairs(card, taken, "coefficient", "mean size of the coefficients", words, "reuse")


def _overlap(card: RunCard, shared: np.ndarray) -> None:
    st.subheader("Overlap between tasks", anchor=False)
    width = manifest(card).backbone.width
    words = (
        "how far two tasks' [[adapters|adapter]] read the same directions: 0 is none, 1 is all. Two random ones would "
        f"overlap by about {block_maps.chance_overlap(width):.2g} at this width ({width}).",
        "pairs well above that.",
        "adapters that read different directions do not disturb each other.",
    )
    _pairs(card, shared, "overlap", "overlap of input directions", words, "overlap")


def _overlap_and_forgetting(card: RunCard, shared: np.ndarray) -> None:
    """For each task the later task that overlaps most, beside what the task has lost."""
    a = accuracy.matrices(metrics(card), card.tasks).get("class_incremental")
    names = task_names(card)
    rows = []
    for task in range(len(shared) - 1):
        later = shared[task + 1 :, task]
        if np.isnan(later).all():
            continue
        most = task + 1 + int(np.nanargmax(later))
        lost = float("nan") if a is None else a[task, task] - a[-1, task]
        rows.append(
            {
                "task": f"{task + 1}: {names[task]}",
                "overlaps most with": f"{most + 1}: {names[most]}",
                "overlap": float(shared[most, task]),
                "lost since it was learned": None if np.isnan(lost) else 100 * lost,
            }
        )
    with st.expander("Overlap beside forgetting", icon=":material/table_rows:"):
        st.dataframe(
            rows,
            hide_index=True,
            column_config={
                "overlap": st.column_config.NumberColumn(format="%.3f"),
                "lost since it was learned": st.column_config.NumberColumn(format="%.1f points"),
            },
        )


def _costs(card: RunCard, found: BlockMap, task: int) -> None:
    """The bytes to keep and the operations to compute for each block."""
    st.subheader("What a block costs", anchor=False)
    backbone = manifest(card).backbone
    file = card.folder / "tasks" / f"{task:03d}" / "adapter.safetensors"
    kept = block_maps.stored_bytes(file, stamp(card.folder))
    work = block_maps.block_flops(backbone)
    adapted = found.adapted_blocks
    rows = [
        {
            "block": block,
            "state": "off" if found.off[:, block].any() else "on" if block in found.active_blocks else "no change",
            "kept (kB)": kept.get(block, 0) / 1000,
            "one more pass (MFLOP)": work / 1e6,
        }
        for block in adapted
    ]
    left, right = st.columns([3, 2], gap="large")
    left.dataframe(
        rows,
        hide_index=True,
        height=min(38 + 35 * len(rows), 330),
        column_config={
            "kept (kB)": st.column_config.NumberColumn(format="%.1f"),
            "one more pass (MFLOP)": st.column_config.NumberColumn(format="%.1f"),
        },
    )
    first, depth = min(adapted), backbone.depth
    with right:
        st.markdown(
            f"Blocks 0 to {first - 1} are frozen and shared: one pass serves every task. "
            if first
            else "The very first block is adapted: nothing can be shared between tasks. "
        )
        st.caption(
            f"Bytes are read from this task's adapter file. The work of a pass is computed from the backbone's shape "
            f"({backbone.tokens} tokens of width {backbone.width}); {depth} blocks make "
            f"{work * depth / 1e9:.2f} GFLOP."
        )
