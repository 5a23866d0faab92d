"""One image's way through a run, stage by stage, with the numbers that the run recorded about it; no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from app.reading import tables, textbook
from app.reading.adapter_files import SiteUpdate, head_scores, site_update, stored_sites
from app.reading.answers import answer_of, clusters_of, names_of
from app.reading.cards import RunCard
from app.reading.explain import Answer, Cluster, Names, comparison_space, sentence
from app.reading.tables import embeddings, gates, images, manifest, maps, metrics, predictions, spaces
from core.errors import UserError

_POINTS = 400  # drawn of the map: more hide each other
_ORDER: Mapping[textbook.Kind, tuple[str, ...]] = {
    "own": ("patches", "blocks", "embedding", "space", "nearest", "adapter", "head", "answer"),
    "none": ("patches", "blocks", "embedding", "space", "nearest", "adapter", "head", "answer"),
    # One model for all tasks changes the blocks before they give an embedding.
    "shared": ("patches", "blocks", "adapter", "embedding", "space", "nearest", "head", "answer"),
}
NAMES = {
    "patches": ("Patches", "The image is cut into patches"),
    "blocks": ("Blocks", "Through a model that stays as it is"),
    "embedding": ("Embedding", "The image becomes a list of numbers"),
    "space": ("Space", "What is kept of each task"),
    "nearest": ("Task", "Which task is this image from?"),
    "adapter": ("Adapter", "What was learned, beside the frozen weights"),
    "head": ("Head", "A score for each class"),
    "answer": ("Answer", "The answer"),
}


@dataclass(frozen=True)
class Stage:
    """One stop on the way."""

    key: str
    name: str
    title: str
    text: str
    """A few sentences, **strong** and *emphasised* as in markdown."""
    missing: bool = False
    """Whether the method has no such stage; then the text says why."""


@dataclass(frozen=True, eq=False)
class Space:
    """The map of the space in which tasks are told apart, all coordinates from 0 to 1."""

    points: np.ndarray
    """(n, 2) training images of the tasks known."""
    tasks: np.ndarray
    """(n,) the task of each."""
    centres: np.ndarray
    """(c, 2) the means of the components' images on the map."""
    components: tuple[tuple[int, int], ...]
    """(task, component) of each centre."""
    image: tuple[float, float] | None
    """Where the image itself lies; None where it is not on the map."""


@dataclass(frozen=True, eq=False)
class Way:
    """Everything that the picture shows."""

    image: int
    after: int
    """The task after which the answer was given."""
    kind: textbook.Kind
    answer: Answer
    near: Cluster
    names: Names
    stages: tuple[Stage, ...]
    patches: int
    """Along one side of the image."""
    units: np.ndarray
    """(tasks, depth) how strongly each task's adapter changes each block; one row for a model that all tasks share."""
    lit: int
    """The row of `units` that answers this image."""
    vector: np.ndarray
    """(width,) the embedding; empty where none was recorded."""
    space: Space | None
    head: tuple[tuple[int, float], ...]
    """(class, score) of the head that answers; empty where there is none on record."""
    sites: tuple[str, ...]
    update: SiteUpdate | None
    """Of the site in view."""

    @property
    def adapter_task(self) -> int:
        """The task whose adapter file answers."""
        return self.answer.retrieved if self.kind == "own" else self.after


def way(card: RunCard, row_of: int, after: int, site: str = "") -> Way:
    """The way of test image `row_of` through the model as it was after task `after`.

    Raises UserError where the run has no answer for that image, and where a table is damaged.
    """
    answers = predictions(card).after(after)
    rows = np.flatnonzero(answers.image == row_of)
    if not len(rows):
        raise UserError(f"There is no answer for image {row_of} at this time.")
    known, changes, names = manifest(card), gates(card), names_of(card)
    answer, after = answer_of(answers, int(rows[0])), int(answers.after_task[rows[0]])
    kind = textbook.kind(known, changes)
    file_of = answer.retrieved if kind == "own" else after
    near = clusters_of(card, row_of, answer)[0]
    depth, tasks = known.backbone.depth, card.folder / "tasks"
    learned = (
        range(min(len(changes), after + 1)) if kind == "own" else [min(after, len(changes) - 1)] if changes else []
    )
    units = np.array([textbook.block_norms(changes[task], depth) for task in learned]).reshape(-1, depth)
    head = _head(card, row_of, answer, after, kind)
    space = _space(card, row_of, after) if answer.component >= 0 else None
    sites = tuple(stored_sites(tasks, file_of))
    chosen = site if site in sites else next(iter(sites), "")
    return Way(
        image=row_of,
        after=after,
        kind=kind,
        answer=answer,
        near=near,
        names=names,
        stages=_stages(card, answer, near, names, kind, head, space),
        patches=max(1, round((known.backbone.tokens - 1) ** 0.5)),
        units=units,
        lit=min(answer.retrieved, len(units) - 1) if kind == "own" else 0,
        vector=_vector(card, row_of, "own" if kind == "shared" else "frozen"),
        space=space,
        head=head,
        sites=sites,
        update=site_update(tasks, file_of, chosen) if chosen else None,
    )


def component_counts(card: RunCard) -> list[int]:
    """How many components each task has among the images kept; empty for a method without them."""
    counts = tables.component_counts(card)
    return counts.tolist() if counts.any() else []


def mixture_weights(card: RunCard, task: int) -> tuple[np.ndarray, bool]:
    """The share of each component in the mixture file of a task, and whether a Dirichlet process set them itself.

    Shares are a mixture's weights, or the counts of training images in each component. Empty where none are kept.
    """
    try:
        with np.load(card.folder / "tasks" / f"{task:03d}" / "mixture.npz", allow_pickle=False) as file:
            for name, fitted in (("weights", True), ("counts", False)):
                if name in file and (values := file[name].astype(float)).ndim == 1 and values.sum() > 0:
                    return values / values.sum(), fitted
    except (OSError, ValueError, KeyError):
        pass
    return np.zeros(0), False


def _stages(
    card: RunCard,
    answer: Answer,
    near: Cluster,
    names: Names,
    kind: textbook.Kind,
    head: Sequence[tuple[int, float]],
    drawn: Space | None,
) -> tuple[Stage, ...]:
    known, changes, found = manifest(card), gates(card), metrics(card)
    counts = component_counts(card)
    looked_up = answer.component >= 0
    no_task = "No task is looked up before the answer: it follows from the class that the heads choose."
    texts: dict[str, tuple[str, bool]] = {
        "patches": (textbook.patches(known), False),
        "blocks": (f"{textbook.blocks(known)} {_LIT[kind]}".strip(), False),
        "embedding": (textbook.embedding(known), False),
        "space": (_space_text(card, counts, answer, drawn), False) if looked_up else (textbook.clusters([]), True),
        "nearest": (textbook.retrieve(found), False) if looked_up else (no_task, True),
        "adapter": (textbook.adapter(known, changes, found), kind == "none"),
        "head": _head_text(answer, names, kind, head),
        "answer": (sentence(answer, names, near), False),
    }
    return tuple(Stage(key, *NAMES[key], *texts[key]) for key in _ORDER[kind])


_LIT: Mapping[textbook.Kind, str] = {
    "own": "Below, each row is one task's adapter; the stronger a square, the more it adds to that block.",
    "shared": "The row below is what all tasks together add: the stronger a square, the more it adds to that block.",
    "none": "",
}


def _space_text(card: RunCard, counts: Sequence[int], answer: Answer, drawn: Space | None) -> str:
    text = textbook.clusters(counts)
    if drawn is not None and (answer.retrieved, answer.component) not in drawn.components:
        text += " The nearest to this image has none among the training images kept, so the map does not show it."
    space = comparison_space(spaces(card))
    if space == "whitened":
        return f"{text} All tasks share one space, stretched so that a class scatters alike in all directions."
    return (
        f"{text} Each task has a space of its own; the picture shows that of the frozen model, which is common to all."
    )


def _head_text(
    answer: Answer, names: Names, kind: textbook.Kind, head: Sequence[tuple[int, float]]
) -> tuple[str, bool]:
    if kind == "none":
        return "There is no head to train: the answer is the class of the nearest component.", True
    whose = "The *head* of the retrieved task" if kind == "own" else "The *heads* of all tasks, side by side,"
    verb = "turns" if kind == "own" else "turn"
    text = f"{whose} {verb} the embedding with this adapter into **one score for each class**."
    if not head:
        return f"{text} For this image and this time the run keeps no embedding to show them with.", False
    best = max(head, key=lambda pair: pair[1])[0]
    if answer.predicted is not None and best != answer.predicted:
        alone = f"alone it would say {names.label(best)}"
        return f"{text} Here the components of the classes decided: {alone}.", False
    return text, False


def _head(card: RunCard, image: int, answer: Answer, after: int, kind: textbook.Kind) -> tuple[tuple[int, float], ...]:
    """Embeddings with an adapter are kept for the last time only: they count where the adapter is the same now."""
    final = predictions(card).after(card.tasks - 1)
    rows = np.flatnonzero(final.image == image)
    if kind == "none" or not len(rows):
        return ()
    last = int(final.after_task[rows[0]])
    same = int(final.retrieved_task[rows[0]]) == answer.retrieved if kind == "own" else after == last
    vector = _vector(card, image, "retrieved" if kind == "own" else "own")
    if not same or not len(vector):
        return ()
    scores = head_scores(card.folder / "tasks", answer.retrieved if kind == "own" else after, vector)
    tasks = manifest(card).tasks
    labels = tasks[answer.retrieved].classes if kind == "own" else [label for task in tasks for label in task.classes]
    if scores is None or len(scores) > len(labels):
        return ()
    return tuple((int(label), float(score)) for label, score in zip(labels, scores, strict=False))


def evenly(rows: np.ndarray, most: int) -> np.ndarray:
    """At most `most` of the rows, evenly spaced from first to last, because neighbours in a stream are much alike."""
    return rows[np.unique(np.linspace(0, len(rows) - 1, min(most, len(rows))).astype(int))]


def _vector(card: RunCard, image: int, space: str) -> np.ndarray:
    try:
        return np.asarray(embeddings(card, space)[image], np.float32)
    except (UserError, KeyError, IndexError):
        return np.zeros(0, np.float32)


def _space(card: RunCard, image: int, after: int) -> Space | None:
    try:
        space = comparison_space(spaces(card))
        drawn = maps(card, space) if space else None
    except UserError:
        return None
    if drawn is None:
        return None
    known, places = images(card), drawn.xy[drawn.at(after)]
    on_map = np.isfinite(places).all(axis=1)
    rows = np.flatnonzero(on_map & (known.split == "train") & (known.task <= after))
    if not len(rows):
        return None
    shown = np.append(rows, image) if on_map[image] else rows
    low, high = places[shown].min(axis=0), places[shown].max(axis=0)
    unit = (places - low) / np.maximum(high - low, 1e-9)
    pairs: dict[tuple[int, int], Any] = {}
    for row in rows:
        if known.component[row] >= 0:
            pairs.setdefault((int(known.task[row]), int(known.component[row])), []).append(unit[row])
    some = evenly(rows, _POINTS)
    return Space(
        points=unit[some],
        tasks=known.task[some],
        centres=np.array([np.mean(members, axis=0) for members in pairs.values()]).reshape(-1, 2),
        components=tuple(pairs),
        image=(float(unit[image, 0]), float(unit[image, 1])) if on_map[image] else None,
    )
