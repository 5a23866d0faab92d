"""On a stream: one adapter that moves on from task to task, and an adapter of its own for every task."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import streamlit as st

from app.components.captions import caption
from app.figures import plots
from app.figures.kept_elsewhere import choices
from app.reading import block_maps
from app.reading.cards import RunCard
from app.reading.tables import gates, manifest, own_adapters, task_names
from app.shell import layout
from core.errors import UserError


def beside(cards: Sequence[RunCard]) -> None:
    """The first run that chooses blocks for every task, beside one adapter for all tasks of the same stream."""
    run = next((card for card in cards[:30] if _chooses(card)), None)
    if run is None:
        return
    st.header("The same choice on a stream", anchor=False)
    alike = (card for card in cards if card.ready and card.fingerprint == run.fingerprint)
    single = next((card for card in alike if card.method in ("selective-lora", "sequential")), None)
    said = (
        "`selective-lora` is *one* adapter that every task moves on, and forgets as any such adapter does. Choosing "
        "few blocks **for each task, in an adapter of its own**, is what `proteus` with `active_blocks` does: an "
        "earlier task's adapter is never touched again."
    )
    if single is not None and single.accuracy is not None and run.accuracy is not None:
        said += (
            f" On {layout.plain(run.stream)}, “{layout.plain(single.title)}” ends at {single.accuracy:.1%} over all "
            f"tasks, “{layout.plain(run.title)}” at **{run.accuracy:.1%}**."
        )
    st.markdown(said)
    known = gates(run)
    maps = block_maps.block_maps(known, manifest(run).backbone.depth)
    active = np.array([[block in found.active_blocks for block in range(found.norm.shape[1])] for found in maps])
    ticks = plots.task_ticks(task_names(run)[: len(maps)])
    left, right = st.columns(2, gap="large")
    with left:
        told = "; ".join(f"task {task + 1} {found.active_blocks}" for task, found in enumerate(maps))
        plots.draw(choices(active, ticks, plots.theme()), key="kept-stream-blocks", alt=f"Blocks changed: {told}.")
    with right:
        shared = block_maps.choices_shared(maps)
        figure = plots.heat_map(
            shared, ticks, [str(task + 1) for task in range(len(maps))], plots.theme(),
            hover=[[f"tasks {k + 1} and {j + 1} share {v:.0%} of their blocks" for j, v in enumerate(row)]
                   for k, row in enumerate(shared.tolist())],
            cells=[[plots.percent(v) for v in row] for row in shared.tolist()], titles=("task", ""), row_height=34,
        )  # fmt: skip
        others = shared[~np.eye(len(shared), dtype=bool)]
        mean = float(others.mean()) if len(others) else float("nan")
        plots.draw(figure, key="kept-stream-overlap", alt=f"Overlap of choices: {plots.percent(mean)} in the mean.")
    chance = block_maps.chance_shared([len(found.active_blocks) for found in maps], len(maps[0].adapted_blocks))
    caption(
        f"left, the blocks that each task's adapter changes; right, what two tasks' choices have in common, as a share "
        f"of all that either changes: {plots.percent(mean)} in the mean, where choices by lot would share "
        f"{plots.percent(chance)}.",
        "blocks that every task takes, and tasks that choose alike.",
        "tasks may choose the same block without disturbing each other, because each keeps its own change of it.",
    )
    layout.page_link("Open its blocks, task by task", "blocks", icon=":material/arrow_forward:", run=run.name, t=None)


def _chooses(card: RunCard) -> bool:
    """Whether a run gives each task an adapter of its own, of few blocks."""
    if not card.ready or card.tasks < 2:
        return False
    try:
        return own_adapters(card) and all(block_maps.budget(task) is not None for task in gates(card))
    except UserError:
        return False
