"""How it works: continual learning with adapters in six steps, told with the numbers of the run on screen."""

from __future__ import annotations

from collections.abc import Callable
from html import escape

import numpy as np
import streamlit as st

from app.components import explanation, thumbnails
from app.components.captions import caption
from app.reading import textbook
from app.reading.cards import RunCard
from app.reading.tables import Predictions, class_names, gates, images, manifest, metrics, predictions, task_names
from app.shell import layout
from app.shell.address import current_task, link, parameter, set_parameters

STEPS = ("Freeze", "Adapter", "Next task", "Clusters", "Retrieve", "Mistakes")
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
.tower .note { opacity: .75; }
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
    step = int(parameter("step", "1", [str(number + 1) for number in range(len(STEPS))]))
    _contents(step)
    st.subheader(f"{step}. {_TITLES[step - 1]}", anchor=False)
    _PAGES[step - 1](card)
    _turn(step)


def _contents(step: int) -> None:
    st.session_state["how-step"] = step
    st.segmented_control(
        "Step",
        range(1, len(STEPS) + 1),
        key="how-step",
        format_func=lambda number: f"{number} {STEPS[number - 1]}",
        label_visibility="collapsed",
        required=True,
        on_change=lambda: set_parameters(step=st.session_state["how-step"]),
    )


def _turn(step: int) -> None:
    """Links to the previous and the next step, and after the last step to the page that goes deeper."""
    with st.container(horizontal=True, vertical_alignment="center"):
        before, after = step - 1, step + 1
        st.button("Previous", shortcut="P", disabled=before < 1, on_click=set_parameters, kwargs={"step": before})
        if after <= len(STEPS):
            label = f"Next: {STEPS[after - 1].lower()}"
            st.button(label, shortcut="N", type="primary", on_click=set_parameters, kwargs={"step": after})
        else:
            layout.page_link("Look at every mistake", "errors", icon=":material/troubleshoot:")


def _freeze(card: RunCard) -> None:
    known = manifest(card)
    st.markdown(textbook.freeze(known))
    picture, tower = st.columns([1, 4], vertical_alignment="center")
    with picture:
        thumbnails.one(card, 0, size=128, key="how-image")
    with tower:
        _tower([(known.backbone.title, np.zeros(known.backbone.depth), f"→ {known.backbone.width} numbers")])
    caption(
        "one test image of this run, and the blocks it goes through, in order.",
        "nothing is coloured: no block has been changed.",
        "whatever is learned from here on is kept outside of the backbone, where it can be told apart.",
    )


def _adapter(card: RunCard) -> None:
    known, changes = manifest(card), gates(card)
    st.markdown(textbook.adapter(known, changes, metrics(card)))
    if textbook.kind(known, changes) == "none":
        return
    _tower([(known.tasks[0].name, textbook.block_norms(changes[0], known.backbone.depth), "after task 1")])
    caption(
        "the blocks, coloured by the size of the first task's correction (the norm of ΔW).",
        "which blocks were left alone: by default only the last ones are adapted.",
        "early blocks that never change give the same result for every task, and need to run only once.",
    )
    layout.page_link("Every block and projection", "blocks", icon=":material/grid_on:")


def _next_task(card: RunCard) -> None:
    known, changes, found = manifest(card), gates(card), metrics(card)
    st.markdown(textbook.next_task(known, changes, found))
    learned = range(min(len(changes), current_task(card.tasks) + 1))
    first = textbook.first_task_accuracy(found)
    depth = known.backbone.depth
    _tower(
        [
            (
                f"{task + 1} · {known.tasks[task].name}",
                textbook.block_norms(changes[task], depth),
                f"{first[task]:.1%} on task 1" if task < len(first) else "",
            )
            for task in learned
        ]
    )
    caption(
        "one row per task as it was learned, and how well the first task was still known afterwards.",
        "the numbers at the right: a fall is forgetting, whatever its cause. Move the task slider to go back in time.",
        "a model that keeps learning is only useful if what it knew before is still there.",
    )
    layout.page_link("All tasks and all times", "forgetting", icon=":material/trending_down:")


def _clusters(card: RunCard) -> None:
    known, tasks = images(card), task_names(card)
    counts = [len(np.unique(found[found >= 0])) for found in _by_task(card)]
    st.markdown(textbook.clusters(counts if any(counts) else []))
    if not any(counts):
        return
    task = current_task(card.tasks)
    explanation.facts({"Task": f"{task + 1} · {tasks[task]}"})
    inside = (known.task == task) & (known.split == "train")
    for component in np.unique(known.component[inside & (known.component >= 0)])[:_COMPONENTS]:
        rows = np.flatnonzero(inside & (known.component == component))[:_PER_COMPONENT].tolist()
        name, pictures = st.columns([1, 5], vertical_alignment="center")
        name.markdown(f"Component {component + 1}")
        with pictures:
            thumbnails.grid(card, rows, columns=_PER_COMPONENT, size=64, key=f"how-{component}")
    caption(
        "one row per component of the task at the slider, with training images that lie in it.",
        "what the images of a row have in common, and whether a class needs more than one row.",
        "this summary is all that is left of a task's images when an image of unknown task comes.",
    )
    layout.page_link("See the components on the map", "map", icon=":material/scatter_plot:")


def _by_task(card: RunCard) -> list[np.ndarray]:
    known = images(card)
    return [known.component[known.task == task] for task in range(card.tasks)]


def _retrieve(card: RunCard) -> None:
    st.markdown(textbook.retrieve(metrics(card)))
    answers = predictions(card).after(current_task(card.tasks))
    if not len(answers):
        return
    row = typical(answers)
    image, names = int(answers.image[row]), explanation.names_of(card)
    answer = explanation.answer_of(answers, row)
    near = explanation.clusters_of(card, image, answer)
    explanation.why(answer, names, near[0])
    picture, scores = st.columns([1, 3], gap="medium")
    with picture:
        thumbnails.one(card, image, size=128, key="how-typical")
    with scores:
        explanation.gaps(answer, names)
    caption(
        f"one image whose task was found, and how far each task lies behind the best, in {explanation.unit(answer)}.",
        "the length of the second bar: the shorter it is, the closer the call.",
        "everything after depends on it, for the answer comes from the retrieved task's classes only.",
    )
    layout.page_link("Take this image apart", "errors", icon=":material/troubleshoot:", image=image, show="all")


def typical(answers: Predictions) -> int:
    """The row of an image in the middle: right if any is, and of the right ones with the median margin."""
    right = np.flatnonzero((answers.retrieved_task == answers.task) & (answers.predicted == answers.label))
    rows = right if len(right) else np.arange(len(answers))
    return int(rows[np.argsort(answers.margin[rows], kind="stable")[len(rows) // 2]])


def _mistakes(card: RunCard) -> None:
    st.markdown(textbook.mistakes(metrics(card)))
    answers = predictions(card).after(card.tasks - 1)
    wrong = answers.where(answers.predicted != answers.label)
    if not len(wrong):
        return
    shown = wrong.where(_spread(np.argsort(wrong.retrieved_task == wrong.task, kind="stable"), 20))
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
        "a mistake of retrieval may be mended by retrieving in another way; one inside a task has to be learned.",
    )


def _spread(rows: np.ndarray, most: int) -> np.ndarray:
    """At most `most` of the rows, evenly spaced from first to last, because neighbours in a stream are much alike."""
    return rows[np.unique(np.linspace(0, len(rows) - 1, min(most, len(rows))).astype(int))]


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


_TITLES = (
    "A model that stays as it is",
    "An adapter learns the first task",
    "The next task comes",
    "What is kept of each task",
    "Which task is this image from?",
    "Where it goes wrong",
)
_PAGES: tuple[Callable[[RunCard], None], ...] = (_freeze, _adapter, _next_task, _clusters, _retrieve, _mistakes)
