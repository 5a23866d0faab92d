"""How it works: one image's way through the run on screen, drawn stage by stage; each stage unfolds into detail."""

from __future__ import annotations

from collections.abc import Callable
from html import escape

import numpy as np
import streamlit as st

from app.components import explanation, thumbnails
from app.components.captions import caption, explained
from app.components.image_way import image_way
from app.reading import textbook
from app.reading.block_maps import scores, threshold
from app.reading.cards import RunCard
from app.reading.tables import Predictions, class_names, gates, images, manifest, metrics, predictions, task_names
from app.reading.way import Way, component_counts, evenly, mixture_weights, way
from app.shell import layout
from app.shell.address import current_task, link, parameter, set_parameters

_STAGES = 8
_PER_COMPONENT, _COMPONENTS = 6, 8
_STYLE = """<style>
.tower { display: grid; grid-template-columns: fit-content(30%) 1fr max-content; gap: 6px 12px; align-items: center;
  font-size: .9rem; }
.tower .name { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.tower .blocks { display: flex; gap: 3px; }
.tower .block { flex: 1 1 0; min-width: 0; height: 34px; display: grid; place-items: center; overflow: hidden;
  border: 1px solid #8a8f9880; border-radius: 4px; font-size: .75rem; font-variant-numeric: tabular-nums;
  background: color-mix(in srgb, #0072b2 var(--change, 0%), transparent); }
.tower .block.changed { border-color: #0072b2; }
.tower .block.against { background: color-mix(in srgb, #d55e00 var(--change, 0%), transparent); }
.tower .note { opacity: .75; }
.shares { display: grid; grid-template-columns: max-content 1fr max-content; gap: 2px 10px; align-items: center;
  font-size: .9rem; font-variant-numeric: tabular-nums; max-width: 48rem; }
.shares .bar { height: 12px; border-radius: 2px; background: #0072b2; min-width: 1px; }
.shares .bar.against { background: #d55e00; }
/* Where it is narrow, the blocks have a line of their own below name and note. */
@media (max-width: 640px) {
  .tower { grid-template-columns: minmax(0, 1fr) max-content; grid-auto-flow: dense; }
  .tower .blocks { grid-column: 1 / -1; }
}
</style>"""


def render() -> None:
    """The page."""
    layout.heading("How it works")
    card = layout.run_to_explore()
    if card is None:
        return
    after = current_task(card.tasks)
    answers = predictions(card).after(after)
    if not len(answers):
        layout.empty("This run has answered no test image yet.", "See how runs are trained", "train")
        return
    image = _image(answers)
    found = way(card, image, after, parameter("site", ""))
    step = int(parameter("step", "1", [str(number + 1) for number in range(_STAGES)])) - 1
    image_way(card, found, step, lambda to: set_parameters(step=to + 1), key=f"way-{card.name}")
    stage = found.stages[step]
    title, inside = _INSIDE[stage.key]
    if not stage.missing:
        with st.expander(f"Look inside: {title}", icon=":material/zoom_in:", key=f"how-inside-{stage.key}"):
            inside(card, found)
    with st.expander("Send another image along this way", icon=":material/image:", key="how-choose"):
        _choose(card, answers, found, step)


def _image(answers: Predictions) -> int:
    """`?image=`, or a typical one where it names no test image that was answered."""
    wanted = parameter("image", "")
    known = {str(image): int(image) for image in answers.image}
    return known[wanted] if wanted in known else int(answers.image[typical(answers)])


def typical(answers: Predictions) -> int:
    """The row of an image in the middle: right if any is, and of the right ones with the median margin."""
    right = np.flatnonzero((answers.retrieved_task == answers.task) & (answers.predicted == answers.label))
    rows = right if len(right) else np.arange(len(answers))
    return int(rows[np.argsort(answers.margin[rows], kind="stable")[len(rows) // 2]])


def _choose(card: RunCard, answers: Predictions, found: Way, step: int) -> None:
    """All test images of a class; a click sends one along."""
    classes, present = class_names(card), found.answer.label
    labels = np.unique(answers.label).tolist()
    label = st.selectbox(
        "Class",
        labels,
        index=labels.index(present) if present in labels else 0,
        format_func=lambda number: classes[number],
        key=f"how-class-{found.image}",
    )
    rows = answers.where(answers.label == label)
    wrong = rows.predicted != rows.label
    order = np.argsort(~wrong, kind="stable")
    thumbnails.grid(
        card,
        rows.image[order].tolist(),
        columns=12,
        captions=["wrong" if wrong[row] else "" for row in order],
        links=[link("how", run=card.name, image=image, step=step + 1) for image in rows.image[order]],
        size=56,
        key="how-others",
    )


def _patches(card: RunCard, found: Way) -> None:
    backbone = manifest(card).backbone
    side = backbone.image_size / found.patches
    thumbnails.one(card, found.image, size=128, key="how-image")
    caption(
        f"the recorded thumbnail of this test image; the model saw it with {backbone.image_size} pixels a side, so a "
        f"patch is {side:.0f} × {side:.0f} of them.",
        "what a single patch shows: hardly ever enough to name the class.",
        "the model must put patches together, and that is what the [[blocks|block]] do.",
    )


def _blocks(card: RunCard, found: Way) -> None:
    gated = gates(card)[found.adapter_task] if gates(card) else {}
    known = scores(gated)
    if known:
        line = threshold(gated)
        explained(
            "A [[gate]] beside each of these places says whether its units are used"
            + (f"; it is open from a score of **{line:.2f}** on." if np.isfinite(line) else ".")
        )
        active = {str(gate) for gate in gated.get("blocks", {}).get("active", ())}
        _shares([(f"block {gate}{'' if gate in active else ' (closed)'}", score) for gate, score in known.items()])
    elif found.kind == "none":
        st.markdown("This method changes no block and has no gates.")
    else:
        st.markdown("This run was trained without gates: which blocks are adapted was set beforehand.")
    if found.kind != "none":
        layout.page_link("Every block and projection", "blocks", icon=":material/grid_on:")


def _embedding(card: RunCard, found: Way) -> None:
    if not len(found.vector):
        st.markdown("This run keeps no embeddings.")
        return
    whose = "shared model gave after the last task" if found.kind == "shared" else "frozen model gives"
    largest = int(np.argmax(np.abs(found.vector)))
    caption(
        f"the {len(found.vector)} numbers that the {whose} for this image, in rows from the upper left.",
        f"the one farthest from zero: number {largest + 1}, which is {found.vector[largest]:.2f}. Send another image "
        "along: alike images have alike patterns.",
        "all that follows sees these numbers only, never the image.",
    )


def _space(card: RunCard, found: Way) -> None:
    task = found.answer.retrieved
    shares, fitted = mixture_weights(card, task)
    config = manifest(card).config.get("retrieval", {})
    concentration = config.get("concentration")
    explanation.facts({"Task": f"{task + 1} · {task_names(card)[task]}"})
    if len(shares):
        _shares([(f"component {number + 1}", share) for number, share in enumerate(shares)], percent=True)
        if fitted:
            used = int((shares > 0.01).sum())
            st.markdown(
                f"A Dirichlet process decided this: it starts with {len(shares)} components and a prior that expects "
                f"few of them (concentration {concentration}); what the images do not need shrinks towards no weight. "
                f"**{used} of {len(shares)}** have more than 1%."
            )
        elif found.kind == "none":
            st.markdown("Shares are those of the training images. Here every class has one component: its mean.")
        else:
            most = config.get("class_components")
            st.markdown(
                "Shares are those of the training images. A Dirichlet process decided inside each class how many it "
                f"needs, up to {most}, with a prior that expects few (concentration {concentration}). The file keeps "
                "means and counts, not how the process came to them."
            )
    else:
        st.markdown("The run folder keeps no mixture of this task.")
    _component_images(card, task)
    layout.page_link("See the components on the map", "map", icon=":material/scatter_plot:")


def _component_images(card: RunCard, task: int) -> None:
    known = images(card)
    inside = (known.task == task) & (known.split == "train")
    kept = np.unique(known.component[inside & (known.component >= 0)])
    if not len(kept):
        return
    for component in kept[:_COMPONENTS]:
        rows = np.flatnonzero(inside & (known.component == component))[:_PER_COMPONENT].tolist()
        name, pictures = st.columns([1, 5], vertical_alignment="center")
        name.markdown(f"Component {component + 1}")
        with pictures:
            thumbnails.grid(card, rows, columns=_PER_COMPONENT, size=64, key=f"how-{component}")
    counted = component_counts(card)[task]
    caption(
        f"one row per [[component]] of this task ({min(len(kept), _COMPONENTS)} of {counted} among the images kept), "
        "with training images that lie in it.",
        "what the images of a row have in common, and whether a class needs more than one row.",
        "this summary is all that is left of a task's images when an image of unknown task comes.",
    )


def _nearest(card: RunCard, found: Way) -> None:
    explanation.component_images(card, found.near, found.names, found.answer, key="how-near")
    caption(
        f"the component that this image lies nearest to. The bars above are gaps to the best task, in "
        f"{explanation.unit(found.answer)}.",
        "the length of the second bar: the shorter it is, the closer the call.",
        "everything after depends on it, for the answer comes from the [[retrieved task]]'s classes only.",
    )
    layout.page_link("Take this image apart", "errors", icon=":material/troubleshoot:", image=found.image, show="all")


def _adapter(card: RunCard, found: Way) -> None:
    if len(found.sites) > 1 and found.update is not None:
        st.session_state["how-site"] = found.update.site
        st.selectbox(
            "Block and projection of the two thin matrices above",
            found.sites,
            key="how-site",
            format_func=lambda site: "block {}, {}".format(*site.split("/")),
            on_change=lambda: set_parameters(site=st.session_state["how-site"]),
        )
    if found.update is not None:
        st.caption(
            "Blue is above zero, orange below. A matrix that has more rows or columns than can be drawn shows the "
            "largest number of each patch. A and B are the newest units; ΔW is all that is added, with earlier ones."
        )
        _earlier(card, found)
    known, changes, results = manifest(card), gates(card), metrics(card)
    st.markdown(textbook.next_task(known, changes, results))
    first = textbook.first_task_accuracy(results)
    depth = known.backbone.depth
    rows = [
        (
            f"{task + 1} · {known.tasks[task].name}",
            textbook.block_norms(changes[task], depth),
            f"{first[task]:.1%} on task 1" if len(first) > 1 and task < len(first) else "",
        )
        for task in range(min(len(changes), found.after + 1))
    ]
    _tower(rows if len(first) > 1 else rows[-1:])
    caption(
        "one row per task as it was learned, and how well the first task was still known afterwards.",
        "the numbers at the right: a fall is [[forgetting]], whatever its cause. Move the task slider to go back in "
        "time.",
        "a model that keeps learning is only useful if what it knew before is still there.",
    )
    layout.page_link("All tasks and all times", "forgetting", icon=":material/trending_down:")


def _earlier(card: RunCard, found: Way) -> None:
    """The coefficients of earlier tasks' units at the site in view."""
    update = found.update
    if update is None or not any(len(units) for units in update.earlier):
        st.markdown("No units of earlier tasks are borrowed here.")
        return
    names = task_names(card)
    most = max(float(np.abs(units).max(initial=0)) for units in update.earlier) or 1.0
    explained(
        "One square per [[unit]] of an earlier task, with its [[coefficient]]: coloured by how strongly it is "
        f"borrowed here: blue added, orange taken away. The strongest counts **{most:.2g}**, where each of the task's "
        "own units counts 1."
    )
    rows = "".join(
        f'<span class="name" title="{escape(names[task])}">{task + 1} · {escape(names[task])}</span>'
        f'<span class="blocks">{"".join(_unit(float(unit), most) for unit in units)}</span>'
        f'<span class="note">{len(units)} units</span>'
        for task, units in enumerate(update.earlier)
        if len(units)
    )
    st.html(f'{_STYLE}<div class="tower" role="group" aria-label="Earlier units">{rows}</div>')


def _unit(coefficient: float, most: float) -> str:
    share, sign = 70 * abs(coefficient) / most, "against" if coefficient < 0 else "changed"
    return f'<span class="block {sign}" style="--change: {share:.0f}%" title="{coefficient:.2g}"></span>'


def _head(card: RunCard, found: Way) -> None:
    answer, names = found.answer, found.names
    told = answer.given_task
    if told is None or told < 0:
        st.markdown("What it would answer with the task given was not measured.")
    else:
        explanation.facts({"With the task given": names.classes[told]})
    caption(
        "one bar per class (the eight likeliest): its score, and the share of it after softmax.",
        "whether two bars are close, which is a close call inside the task.",
        "a right task does not make a right answer: a mistake here is one that the [[head]] has to learn to avoid.",
    )


def _answer(card: RunCard, found: Way) -> None:
    st.markdown(textbook.mistakes(metrics(card)))
    answers = predictions(card).after(card.tasks - 1)
    wrong = answers.where(answers.predicted != answers.label)
    if not len(wrong):
        return
    shown = wrong.where(evenly(np.argsort(wrong.retrieved_task == wrong.task, kind="stable"), 20))
    classes = class_names(card)
    thumbnails.grid(
        card,
        shown.image.tolist(),
        columns=10,
        captions=[f"{classes[a]} → {classes[b]}" for a, b in zip(shown.label, shown.predicted, strict=True)],
        links=[link("errors", run=card.name, image=image) for image in shown.image],
        key="how-mistakes",
    )
    caption(
        "images answered wrongly after the last task: true class → answer.",
        "whether you would have known better. Choose an image to see why it was answered so.",
        "a mistake of [[retrieval]] may be mended by retrieving in another way; one inside a task has to be learned.",
    )
    layout.page_link("Look at every mistake", "errors", icon=":material/troubleshoot:")


def _shares(rows: list[tuple[str, float]], *, percent: bool = False) -> None:
    """A bar for each (name, number); orange where it is below zero."""
    most = max((abs(value) for _, value in rows), default=0.0) or 1.0
    cells = "".join(
        f"<span>{escape(name)}</span>"
        f'<div class="bar{" against" if value < 0 else ""}" style="width: {100 * abs(value) / most:.1f}%"></div>'
        f"<span>{f'{value:.1%}' if percent else f'{value:.2g}'}</span>"
        for name, value in rows
    )
    st.html(f'{_STYLE}<div class="shares" role="group" aria-label="Sizes">{cells}</div>')


def _tower(rows: list[tuple[str, np.ndarray, str]]) -> None:
    """A row of blocks for each (name, change a block, note); all rows share one scale."""
    most = max((float(changes.max(initial=0)) for _, changes, _ in rows), default=0.0) or 1.0
    st.html(
        f'{_STYLE}<div class="tower" role="group" aria-label="Blocks">{"".join(_row(*row, most) for row in rows)}</div>'
    )


def _row(name: str, changes: np.ndarray, note: str, most: float) -> str:
    blocks = "".join(_block(block, float(change), most) for block, change in enumerate(changes))
    return (
        f'<span class="name" title="{escape(name)}">{escape(name)}</span>'
        f'<span class="blocks">{blocks}</span><span class="note">{escape(note)}</span>'
    )


def _block(block: int, change: float, most: float) -> str:
    state, share = ("changed", 12 + 43 * change / most) if change > 0 else ("", 0)
    # Counted from 0, as on the page Adapter blocks, in the configuration and in the files.
    title = f"block {block}: changed by {change:.3g}" if change > 0 else f"block {block}: frozen"
    return f'<span class="block {state}" style="--change: {share:.0f}%" title="{title}">{block}</span>'


_INSIDE: dict[str, tuple[str, Callable[[RunCard, Way], None]]] = {
    "patches": ("what one patch is", _patches),
    "blocks": ("gates, and which blocks are adapted", _blocks),
    "embedding": ("the numbers", _embedding),
    "space": ("the mixture, and how many components it needs", _space),
    "nearest": ("the component that won", _nearest),
    "adapter": ("the two thin matrices, earlier units, the next task", _adapter),
    "head": ("with the task given", _head),
    "answer": ("all answers of this run, and where it goes wrong", _answer),
}
