"""Why one image was answered as it was, in numbers and in one sentence, from a run's tables.

Pure functions: a view fills in an `Answer` from the predictions table, or from what `python -m core predict` said of a
new picture, whose truth is not known.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

Verdict = Literal["right", "wrong class", "wrong task", "unknown"]

NEIGHBOURS = 5
BARS = 8
_FAR = math.log(1000)
"""Above this many nats a ratio of likelihoods says no more than "far"."""


@dataclass(frozen=True)
class Names:
    """What tasks and classes are called."""

    tasks: Sequence[str]
    classes: Sequence[str]

    def task(self, task: int) -> str:
        return f"“{self.tasks[task]}”"

    def label(self, label: int) -> str:
        return f"“{self.classes[label]}”"


@dataclass(frozen=True)
class Answer:
    """What a model answered for one image; the truth is None for a picture from outside the run."""

    scores: tuple[float, ...]
    """One per task known at the time; higher is likelier."""
    retrieved: int
    predicted: int | None = None
    component: int = -1
    """Nearest component of the retrieved task; −1 for a model without mixtures."""
    task: int | None = None
    label: int | None = None
    given_task: int | None = None
    """The class that is answered with the true task given."""

    @property
    def verdict(self) -> Verdict:
        if self.task is None:
            return "unknown"
        if self.retrieved != self.task:
            return "wrong task"
        return "right" if self.predicted == self.label else "wrong class"

    @property
    def rival(self) -> int | None:
        """The task to compare with: the true one where it was missed, else the second best; None if there is none."""
        if self.task is not None and self.task != self.retrieved:
            return self.task
        others = [task for task in ranking(self.scores) if task != self.retrieved and math.isfinite(self.scores[task])]
        return others[0] if others else None

    def gap(self, task: int) -> float:
        """How far the task's score lies below the best, 0 or more; infinite for a task that was not considered."""
        best, own = max(self.scores), self.scores[task] if task < len(self.scores) else -math.inf
        return best - own if math.isfinite(own) and math.isfinite(best) else math.inf


@dataclass(frozen=True)
class Bar:
    """One task in the comparison of scores."""

    task: int
    gap: float
    length: float
    """Its gap as a share of the widest gap shown, 0 to 1."""
    true: bool
    retrieved: bool


@dataclass(frozen=True)
class Cluster:
    """A component of a task's mixture as a person sees it; `component` −1 stands for the whole task."""

    task: int
    component: int
    label: int | None
    """The class that most of its images have; None if it has none among the images kept."""
    images: tuple[int, ...]
    """Its images nearest the one explained, nearest first."""


def ranking(scores: Sequence[float]) -> list[int]:
    """Tasks from best to worst; equal scores in the order of the tasks, as in argmax."""
    return sorted(range(len(scores)), key=lambda task: -scores[task] if not math.isnan(scores[task]) else math.inf)


def bars(answer: Answer, most: int = BARS) -> tuple[Bar, ...]:
    """The best `most` tasks, best first; the true task is always among them."""
    order = ranking(answer.scores)
    shown = order[:most]
    if answer.task is not None and answer.task in order and answer.task not in shown:
        shown[-1] = answer.task
    gaps = [answer.gap(task) for task in shown]
    widest = max((gap for gap in gaps if math.isfinite(gap)), default=0.0) or 1.0
    return tuple(
        Bar(task, gap, min(1.0, gap / widest), task == answer.task, task == answer.retrieved)
        for task, gap in zip(shown, gaps, strict=True)
    )


def nearest(vectors: np.ndarray, image: int, among: np.ndarray, count: int = NEIGHBOURS) -> tuple[int, ...]:
    """The `count` rows of `among` nearest to row `image` of `vectors` (n, width), nearest first, without itself."""
    others = among[among != image]
    steps = vectors[others].astype(np.float32) - vectors[image].astype(np.float32)
    order = np.argsort(np.square(steps).sum(axis=1), kind="stable")[:count]
    return tuple(int(row) for row in others[order])


def cluster(
    image: int,
    task: int,
    component: int,
    *,
    tasks: np.ndarray,
    components: np.ndarray,
    labels: np.ndarray,
    train: np.ndarray,
    vectors: np.ndarray | None,
) -> Cluster:
    """The component of a task, with those of its images that lie nearest to `image`.

    All arrays have one row per image; `train` says which were trained on. A component is shown by its training images,
    of which it was made, and by test images only where none was kept. Without `vectors` the first images are taken.
    """
    inside = (tasks == task) & ((components == component) | (component < 0))
    kept = inside & train if (inside & train).any() else inside
    rows = np.flatnonzero(kept)
    chosen = nearest(vectors, image, rows) if vectors is not None else tuple(rows[rows != image][:NEIGHBOURS].tolist())
    common = int(np.bincount(labels[rows]).argmax()) if len(rows) and component >= 0 else None
    return Cluster(task, component, common, chosen)


def comparison_space(spaces: Sequence[str]) -> str | None:
    """The space in which to find neighbours: where tasks are told apart, else where one model sees all images.

    Embeddings of different adapters are not comparable, so 'own' counts only for a model that all tasks share.
    """
    shared = "own" in spaces and "retrieved" not in spaces
    order = ("whitened", "own", "frozen") if shared else ("whitened", "frozen")
    return next((space for space in order if space in spaces), None)


def sentence(answer: Answer, names: Names, nearest_to: Cluster | None = None) -> str:
    """One plain sentence that says why. `nearest_to` is the retrieved task's nearest component."""
    if len(answer.scores) < 2:
        only = names.task(answer.retrieved)
        return f"Only the task {only} was known, so there was none to pick; {_inside(answer, names)}."
    if answer.verdict == "wrong task":
        return f"{_sent(answer, names, nearest_to)}, {_advantage(answer, names)}; {_had_it_been_told(answer, names)}."
    if answer.verdict == "unknown":
        return f"{_sent(answer, names, nearest_to)}, {_advantage(answer, names)}; {_inside(answer, names)}."
    found = f"Its task {names.task(answer.retrieved)} was found, {_advantage(answer, names)}"
    if answer.verdict == "right":
        return f"{found}; {_inside(answer, names)}."
    return f"{found}; the mistake came after, inside the task, where {_inside(answer, names)}."


def _sent(answer: Answer, names: Names, nearest_to: Cluster | None) -> str:
    task = names.task(answer.retrieved)
    if nearest_to is None or nearest_to.component < 0:
        return f"Its score was highest in the task {task}"
    of = f" of {names.label(nearest_to.label)}" if nearest_to.label is not None else ""
    return f"It was sent to {task} because it lies nearest to a component{of} there"


def _advantage(answer: Answer, names: Names) -> str:
    """How far the retrieved task is ahead of its rival."""
    rival = answer.rival
    if rival is None:
        return "the only one that was considered"
    whose = "its own" if rival == answer.task else "the next"
    gap = answer.gap(rival)
    if not math.isfinite(gap):
        return f"while {whose}, {names.task(rival)}, was not considered"
    if answer.component < 0:
        return f"{gap:.2g} ahead of {whose}, {names.task(rival)}"
    takes = "" if answer.verdict in ("right", "wrong class") else "which makes that task "
    return f"{takes}{ratio(gap)} {whose}, {names.task(rival)}"


def ratio(nats: float) -> str:
    """How much likelier than, in words."""
    if nats < math.log(1.1):
        return "a hair likelier than"
    if nats >= _FAR:
        return "over a thousand times likelier than"
    times = math.exp(nats)
    return f"{times:.1f} times likelier than" if times < 10 else f"{times:.0f} times likelier than"


def _inside(answer: Answer, names: Names) -> str:
    if answer.predicted is None:
        return "no class was asked for"
    if answer.label is None:
        return f"inside it the answer is {names.label(answer.predicted)}"
    if answer.predicted == answer.label:
        return f"inside it {names.label(answer.predicted)} is right"
    return f"it answered {names.label(answer.predicted)} instead of {names.label(answer.label)}"


def _had_it_been_told(answer: Answer, names: Names) -> str:
    if answer.given_task is None or answer.given_task < 0 or answer.label is None:
        return "what it would have answered inside its own task was not measured"
    if answer.given_task == answer.label:
        return f"told the right task, it would have answered {names.label(answer.label)}, which is right"
    return f"even told the right task, it would have answered {names.label(answer.given_task)}"
