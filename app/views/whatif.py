"""What if: the same embeddings under other retrieval settings, and which images change their mind."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from functools import partial

import numpy as np
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from app.components import thumbnails
from app.components.captions import caption, explained
from app.components.choice import choice
from app.components.confusion import Cell, address, chosen_cell, confusion
from app.figures.plots import percent
from app.reading.cards import RunCard
from app.reading.tables import task_names
from app.shell import layout
from app.shell.address import TASK, current_task, link, set_parameters
from app.workers import questions
from core.errors import UserError
from core.light import has_clustering
from core.retrieval.questions import SPHERES, Answer, Settings

SHOWN = 48
"""Thumbnails of one kind."""
_SLOW_S = 2.0


def render() -> None:
    """The page."""
    layout.heading("What if")
    card = layout.run_to_explore()
    if card is None or not _possible(card):
        return
    known, task = questions.known_spaces(card), current_task(card.tasks)
    settings = questions.chosen(known, task)
    st.markdown(
        "What if tasks were told apart in another way? The embeddings and the adapters stay as they are; only "
        "retrieval is done again, with the settings below."
    )
    if not has_clustering():
        st.info("This light app compares class means only: `pip install scikit-learn` adds the other mixtures.")
    _presets(settings, known)
    controls, view = st.columns([4, 11], gap="medium")
    with controls:
        _controls(settings, known, task)
    with view:
        found = _asked(card, settings)
        if found is None:
            return
        expected = _tiles(found, settings)
        cell = chosen_cell(len(found.components))
        names = task_names(card)[: task + 1]
        confusion(found.confusion, names, cell, _pick_cell, key=f"whatif-confusion-{card.name}")
    _about(found)
    if cell is not None:
        _inside(card, found, cell, names)
    _changed(card, found)
    if found.expected_error is None:
        _expect(card, settings, expected)


def _possible(card: RunCard) -> bool:
    """Whether something can be asked; otherwise the page names the next click."""
    reason = questions.why_not(card)
    if reason:
        message, other = f"“{layout.plain(card.title)}” {reason}.", questions.another()
        if other is None:
            layout.empty(message, "Train one that retrieves tasks", "train")
        else:
            layout.empty(message, f"Look at “{layout.plain(other.title)}”", "whatif", run=other.name, t=None)
        return False
    if card.tasks < 2:
        layout.empty("This run has one task: there is none to pick.", "Train one with more tasks", "train")
        return False
    if current_task(card.tasks) == 0:
        message = "After the first task there is none to pick yet."
        layout.empty(message, f"Look at the end, after task {card.tasks}", "whatif", **{TASK: card.tasks - 1})
        return False
    return True


def _presets(settings: Settings, known: tuple[str, ...]) -> None:
    st.session_state["whatif-preset"] = questions.preset(settings, known)
    st.segmented_control(
        "Start from",
        list(questions.PRESETS),
        key="whatif-preset",
        format_func=lambda name: questions.PRESETS[name].title,
        on_change=_use_preset,
    )


def _use_preset() -> None:
    name = st.session_state["whatif-preset"]
    if name is not None:
        set_parameters(**{key: questions.PRESETS[name].values.get(key) for key in questions.KEYS}, cell=None)


def _controls(settings: Settings, known: tuple[str, ...], task: int) -> None:
    """Every setting, in the URL; those that make no difference to the chosen mixture are switched off."""
    clustered, fitted = settings.mixture in ("class-seeded", "dp-gmm"), settings.mixture not in SPHERES
    _list("Space", "space", {name: questions.SPACES[name] for name in known}, settings.space, help=_SPACE)
    _list(
        "Mixture", "mixture", questions.MIXTURES, settings.mixture, help=_MIXTURE, forget=("components", "covariance")
    )
    counted = _COUNTED.get(settings.mixture)
    _slider(counted or "Components", "components", questions.COMPONENTS, str(settings.most_components), off=not counted)
    concentration = f"{settings.concentration:g}"
    _slider("Concentration", "concentration", questions.CONCENTRATIONS, concentration, off=not clustered, help=_ALPHA)
    _list(
        "Covariance", "covariance", questions.covariances(settings.mixture), settings.covariance, off=not fitted,
        help=_COVARIANCE,
    )  # fmt: skip
    _slider(
        "Dimensions", "dimensions", questions.DIMENSIONS, str(settings.dimensions), off=not fitted, help=_DIMENSIONS
    )
    choice("Shortlist", "shortlist", questions.shortlists(task), "1", widget="whatif-shortlist")


_COUNTED = {
    "class-seeded": "Components per class, at most",
    "dp-gmm": "Components per task, at most",
    "kmeans": "Clusters per task",
}
_SPACE = (
    "Where distances are measured. The whitened space is the run's own, as it was at its end. The frozen embedding is "
    "the backbone's final token; whitening makes the spread within classes the same in all directions, here from the "
    "kept training images. Each adapter's own space, which the literal recipe compares, cannot be asked about: a run "
    "does not keep every image through every adapter."
)
_MIXTURE = (
    "How a task's images become a density. DP-GMM: a Gaussian mixture that finds its number of components by a "
    "Dirichlet process, for each class (seeded) or for the task as a whole."
)
_ALPHA = "The Dirichlet process's prior for new components: a higher value makes more of them."
_COVARIANCE = (
    "The shape of a component: any ellipsoid, one along the axes, or one ellipsoid for all components of a task. "
    "Class-seeded mixtures, class means and k-means have one sphere for all, as in the run."
)
_DIMENSIONS = "Principal components that are kept before ellipsoids are fitted: few images cannot fill many dimensions."


def _list(
    label: str, key: str, options: Mapping[str, str], value: str, *, help: str, off: bool = False,  # noqa: A002
    forget: tuple[str, ...] = (),
) -> None:  # fmt: skip
    """A choice of one; `forget` are the keys of the URL that belonged to the former choice."""
    widget = f"whatif-{key}"
    st.session_state[widget] = value
    st.selectbox(
        label, list(options), key=widget, format_func=lambda name: options.get(name, name), help=help, disabled=off,
        on_change=lambda: set_parameters(**{key: st.session_state[widget]}, **dict.fromkeys(forget)),
    )  # fmt: skip


def _slider(label: str, key: str, stops: tuple[str, ...], value: str, *, off: bool, help: str | None = None) -> None:  # noqa: A002
    """A choice among `stops`."""
    widget = f"whatif-{key}"
    st.session_state[widget] = value if value in stops else stops[0]
    st.select_slider(
        label, stops, key=widget, disabled=off, help=help,
        on_change=lambda: set_parameters(**{key: st.session_state[widget]}),
    )  # fmt: skip


def _asked(card: RunCard, settings: Settings) -> Answer | None:
    """The answer, perhaps still without the expected error; on the page while it is not there, for how long."""
    line, began = st.empty(), time.monotonic()

    def tick() -> None:
        seconds = time.monotonic() - began
        doing = "Retrieving again" if seconds < _SLOW_S else "Starting what fits mixtures, for the first answer only"
        line.caption(f":material/hourglass_top: {doing}: {seconds:.0f} s")

    try:
        known = questions.known(card, settings)
        return known or questions.ask(card, settings.model_copy(update={"expect": False}), tick)
    except UserError as error:
        layout.problem_line(str(error))
        return None
    finally:
        line.empty()


def _tiles(found: Answer, settings: Settings) -> DeltaGenerator:
    """What was measured on test images and what theory says of the mixtures; gives the place of the expected error."""
    k = settings.shortlist
    shares = [
        ("Right task retrieved", found.after.retrieval, found.before.retrieval, "Share of all test images."),
        ("Accuracy", found.after.accuracy, found.before.accuracy, _ACCURACY),
    ]
    if k > 1:
        help_text = f"Share of test images whose task is among the {k} best: what a shortlist of {k} would keep."
        shares.append((f"Right task among {k}", found.after.recall, found.before.recall, help_text))
    for column, (label, now, before, help_text) in zip(st.columns(len(shares)), shares, strict=True):
        _beside(column, label, now, before, help_text)
    measured, expected = st.columns(2)
    before = f"as trained {1 - found.before.retrieval:.1%}"
    _note(measured, "Measured error", f"{1 - found.after.retrieval:.1%}", before, _MEASURED)
    place = expected.empty()
    _expected(place, found)
    explained(_in_theory(found))
    return place


def _expected(place: DeltaGenerator, found: Answer | None) -> None:
    """The tile of the expected error; `found` is None where it cannot be known, and without it before it is known."""
    if found is None:
        value, note = "unknown", "in this run's own space"
    elif found.expected_error is None:
        value, note = "…", "leaving images out"
    else:
        share = found.expected_error
        off = 100 * math.sqrt(share * (1 - share) / found.train_images)
        value, note = f"{share:.1%}", f"± {off:.1f} points"
    _note(place, "Expected error", value, note, _EXPECTED)


def _expect(card: RunCard, settings: Settings, place: DeltaGenerator) -> None:
    """Fill the tile of the expected error once the page is there: it takes ten fits where the answer took one."""
    try:
        found = questions.ask(card, settings, lambda: None)
    except UserError as error:
        place.markdown(str(error))
        return
    _expected(place, found if found.expected_error is not None else None)


def _in_theory(found: Answer) -> str:
    """What theory says of these mixtures, in a sentence (markdown)."""
    guess = 1 - 1 / len(found.components)
    vacuous = f"says nothing: {found.bound:.2f} is no less than guessing"
    allows = f"is **{found.bound:.1%}**" if found.bound < guess else vacuous
    return (
        f"If tasks were the mixtures, the error would be **{found.sampled_error:.1%}** (± 1.1 points), and the "
        f"[[bound]] on it {allows}."
    )


_ACCURACY = (
    "Share of test images answered with the right class. Once the right task is found, the class is the one that the "
    "run answers there, so this is exact. Every image weighs the same; other pages average over tasks."
)
_MEASURED = "The share of test images that go to a wrong task."
_EXPECTED = (
    "The share of new images that will go to a wrong task, forecast from training images alone: the kept ones are "
    "left out in ten parts, space and mixtures are fitted to the others, and those left out are retrieved. In the "
    "run's own space, which was whitened with them, they are put where they would lie if the run had never seen them; "
    "runs made before 30 November 2026 do not say where that is. The range is one standard error, as images are few."
)


def _note(place: DeltaGenerator, label: str, value: str, note: str, help_text: str) -> None:
    place.metric(label, value, note, delta_color="off", delta_arrow="off", help=help_text, border=True)


def _beside(place: DeltaGenerator, label: str, now: float, before: float, help_text: str) -> None:
    """A share now, and how many points it is away from the run's own."""
    points = 100 * (now - before)
    if math.isnan(points) or abs(points) < 0.05:
        _note(place, label, percent(now, 1), "as trained", help_text)
    else:
        sign, colour, arrow = ("−", "red", "down") if points < 0 else ("+", "green", "up")
        place.metric(
            label, percent(now, 1), f"{sign}{abs(points):.1f}", colour, delta_arrow=arrow,
            delta_description=f"from {percent(before, 1)}", help=help_text, border=True,
        )  # fmt: skip


def _about(found: Answer) -> None:
    """What was fitted, and how to read the page."""
    st.caption(f"{_fitted(found)} {_above(found)}")
    caption(
        "[[retrieval]] done again on the run's stored [[embeddings|embedding]], and how far it is *from* the run as "
        "it was trained.",
        "a setting that keeps the tasks apart with fewer [[components|component]], or loses whole tasks; and whether "
        "the measured error is what was [[expected|expected error]] of new images.",
        "an answer can only be as good as the task that is retrieved; the [[mixture]] is a choice, with a price.",
    )


def _fitted(found: Answer) -> str:
    """The images, components and dimensions that the answer rests on."""
    few, many = min(found.components), max(found.components)
    holding = f"{few}" if few == many else f"{few} to {many}"
    if found.train_images == found.run_train_images:
        seen = f"Fitted on the **{found.train_images:,}** training images that the run saw."
    else:
        seen = (
            f"Fitted on the **{found.train_images:,}** kept training images of these tasks, so it differs from the "
            f"run, which saw **{found.run_train_images:,}**."
        )
    return (
        f"{seen} Components that hold images: {holding} per task. Dimensions: {found.dimensions}. "
        f"Answered in {found.seconds:.2f} s."
    )


def _above(found: Answer) -> str:
    if 1 - found.after.retrieval <= found.bound:
        return ""
    return (
        "The measured error is above the bound: theory speaks of images that come from the mixtures, and new images do "
        "not."
    )


def _pick_cell(cell: Cell | None) -> None:
    set_parameters(cell=address(cell))


def _inside(card: RunCard, found: Answer, cell: Cell, names: list[str]) -> None:
    """The images of the cell that was clicked."""
    rows = np.flatnonzero((found.task == cell[0]) & (found.retrieved == cell[1]))
    with st.container(horizontal=True, vertical_alignment="center"):
        true, sent = (layout.plain(names[task]) for task in cell)
        st.markdown(f"**“{true}” sent to “{sent}”: {len(rows):,} images**")
        st.button("Close", icon=":material/close:", on_click=partial(_pick_cell, None))
    if len(rows):
        _grid(card, found, rows, "cell")


def _changed(card: RunCard, found: Answer) -> None:
    """The images that go to another task than in the run."""
    st.subheader("Images with another answer", anchor=False, divider="gray")
    groups = {
        "became right": found.became_right,
        "became wrong": found.became_wrong,
        "went to another task and stayed wrong": found.moved,
    }
    counts = {name: int(rows.sum()) for name, rows in groups.items()}
    if not sum(counts.values()):
        st.markdown(f"None: all **{len(found.image):,}** test images are answered as the run answers them.")
        return
    of = f", of {len(found.image):,} test images."
    st.markdown(", ".join(f"**{count:,}** {name}" for name, count in counts.items()) + of)
    for place, (name, rows) in enumerate(groups.items()):
        if counts[name]:
            st.markdown(f"**{name[0].upper()}{name[1:]}**")
            _grid(card, found, np.flatnonzero(rows), f"changed-{place}")
    caption(
        "test images with the task that the run retrieved → the task that is retrieved now, the surest first. A click "
        "explains the run's own answer.",
        "whether those that became wrong look alike, or belong to one task.",
        "two settings with the same accuracy can fail on different images.",
    )


def _grid(card: RunCard, found: Answer, rows: np.ndarray, key: str) -> None:
    rows = rows[np.argsort(-found.margin[rows], kind="stable")]
    shown = rows[:SHOWN]
    images = found.image[shown].tolist()
    thumbnails.grid(
        card,
        images,
        columns=16,
        captions=[f"{found.retrieved_before[row] + 1} → {found.retrieved[row] + 1}" for row in shown],
        links=[link("errors", image=image) for image in images],
        size=64,
        key=f"whatif-{key}-{card.name}",
    )
    if len(rows) > SHOWN:
        st.caption(f"The first {SHOWN} of {len(rows):,}.")
