"""The texts of the textbook about a run, with its own numbers: pure functions over its documents that return markdown.

Names that come from a run are not part of these texts: a page shows them beside the text, as plain text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from app.reading.block_maps import USED, coefficients
from core.runs.schema import Manifest
from core.sweep import ablations
from core.sweep.ablations import WITHOUT_COMPOSITION

Kind = Literal["own", "shared", "none"]
"""own: each task has adapters, which never change again. shared: every task trains one adapter. none: no adapter."""

Gates = Sequence[Mapping[str, Any]]
"""gates.json of every finished task."""


def kind(manifest: Manifest, gates: Gates) -> Kind:
    """How the method adapts the backbone."""
    if not any(task.get("sites") for task in gates):
        return "none"
    return "own" if "past_is_frozen" in manifest.promises else "shared"


def block_norms(gates: Mapping[str, Any], depth: int) -> np.ndarray:
    """(depth,) how strongly a task's adapter changes each block: the root of its sites' summed squared norms."""
    squares = np.zeros(depth)
    for name, site in gates.get("sites", {}).items():
        block = int(name.partition("/")[0])
        if block < depth and site.get("active", True):
            squares[block] += float(site["norm"]) ** 2
    return np.sqrt(squares)


def patches(manifest: Manifest) -> str:
    """The image is cut up."""
    backbone = manifest.backbone
    return (
        f"An image is scaled to {backbone.image_size} × {backbone.image_size} pixels and cut into "
        f"**{backbone.tokens - 1} patches**. Each becomes a list of {backbone.width} numbers."
    )


def blocks(manifest: Manifest) -> str:
    """The image goes through the frozen blocks."""
    backbone = manifest.backbone
    return (
        f"**{backbone.depth} blocks** of attention let the patches look at each other. The model learned this from "
        f"other images long ago; all its **{_count(backbone.parameters)} weights stay as they are**, so nothing in it "
        "can be forgotten."
    )


def embedding(manifest: Manifest) -> str:
    """What the blocks give."""
    return (
        f"The blocks sum the image up in **{manifest.backbone.width} numbers**, its *embedding*: blue above zero, "
        "orange below, the stronger the farther from it."
    )


def adapter(manifest: Manifest, gates: Gates, found: Mapping[str, Any]) -> str:
    """What an adapter is."""
    if kind(manifest, gates) == "none":
        return (
            "This method trains **no adapter**: it keeps sums and means of the frozen embeddings, which is quick and "
            "overwrites nothing. Open a run of another method to see an adapter."
        )
    trained = (found.get("trainable_parameters_per_task") or [0])[0]
    norms = block_norms(gates[0], manifest.backbone.depth)
    share = trained / manifest.backbone.parameters
    return (
        "An *adapter* is a small correction beside a frozen weight matrix: the product of two thin matrices, which "
        f"starts at zero. For the first task this run trained **{_count(trained)} weights** (adapter and head), "
        f"**{_percent(share)}** of the backbone's, in **{int((norms > 0).sum())} of {len(norms)} blocks**."
    )


def next_task(manifest: Manifest, gates: Gates, found: Mapping[str, Any]) -> str:
    """What the next task does."""
    if _at_once(manifest, found):
        return "This method learned **all tasks at once**: none comes after another, and none can overwrite another."
    how = {
        "own": "Each task gets **an adapter of its own**, and those of earlier tasks are never touched again.",
        "shared": "All tasks share **one model**, which the next task goes on changing: it may overwrite the earlier.",
        "none": "The next task only adds its own means and sums to what is kept.",
    }[kind(manifest, gates)]
    overwrites = kind(manifest, gates) == "shared"
    return f"{how} {_reuse(gates)}{_first_task(found, overwrites)}"


def _at_once(manifest: Manifest, found: Mapping[str, Any]) -> bool:
    """Whether nothing was measured before the last task: all were learned together."""
    rows = found.get("matrices", {}).get("class_incremental", [])
    measured = [task for task, row in enumerate(rows) if any(value is not None for value in row)]
    return len(manifest.tasks) > 1 and measured == [len(manifest.tasks) - 1]


def _reuse(gates: Gates) -> str:
    units = coefficients(gates)
    if not len(units):
        return ""
    used = int((units > USED).sum())
    return (
        f"A new adapter may also borrow the units of earlier ones: here **{used:,} of {len(units):,}** are used with a "
        f"weight above {USED:g}. {_worth()}"
    )


def _worth() -> str:
    """What borrowing was worth where it was measured; nothing where no study is recorded."""
    studies = [ablations.read(name) for name in ablations.known()]
    found = [(study, ablations.row(study, WITHOUT_COMPOSITION).differences["task_aware_accuracy"]) for study in studies]
    measured = [f"{changed.points('+')} points on {study.title}" for study, changed in found if changed.n]
    if not measured:
        return ""
    return f"Without it, accuracy with the task given changes by {'; '.join(measured)} (page *Sweep*). "


def _first_task(found: Mapping[str, Any], overwrites: bool) -> str:
    first = first_task_accuracy(found)
    if len(first) < 2:
        return ""
    went = f"On the first task, accuracy went from **{_percent(first[0])}** to **{_percent(first[-1])}** at the end."
    if overwrites or first[-1] >= first[0]:
        return went
    told = found.get("matrices", {}).get("task_aware", [])
    still = (
        f": with the task given, it is still **{_percent(told[-1][0])}**" if told and told[-1][0] is not None else ""
    )
    return f"{went} Nothing was overwritten, but every new task is one more to be confused with{still}."


def first_task_accuracy(found: Mapping[str, Any]) -> list[float]:
    """Accuracy on the first task after each task that was measured, with the task unknown."""
    rows = found.get("matrices", {}).get("class_incremental", [])
    return [row[0] for row in rows if row and row[0] is not None]


def clusters(components: Sequence[int]) -> str:
    """What is kept of a task. `components`: how many each task has; empty for a method without mixtures."""
    if not components:
        return (
            "This method keeps **no clusters**: it compares the scores of all classes it knows, and the task is that "
            "of the best class."
        )
    return (
        "To recognise a task later without its images, its embeddings are summed up as a few *components*: a mean and "
        "a count each. How many are needed is found by the data (a Dirichlet-process Gaussian mixture, DP-GMM, or one "
        f"component per class). Here {_list(components)}."
    )


def retrieve(found: Mapping[str, Any]) -> str:
    """How the task is found."""
    second = found.get("recall_at_2")
    also = f" and among the first two for **{_percent(second)}**" if second is not None else ""
    return (
        "At test time nobody says which task an image belongs to. Each task is scored, and **the best score names the "
        f"task**: the *retrieved task*, and the answer is one of its classes. The right task comes first for "
        f"**{_percent(found.get('retrieval_accuracy'))}** of the images{also}."
    )


def mistakes(found: Mapping[str, Any]) -> str:
    """Where it goes wrong."""
    wrong, lost = found.get("mistakes"), found.get("mistakes_from_wrong_task")
    if not wrong:
        return f"This run answers **all {found.get('images', 0):,}** test images correctly in the end."
    rescued = found.get("mistakes_right_given_task")
    told = (
        f" With the task given, it would get **{round(rescued * wrong):,}** of them right."
        if rescued is not None
        else ""
    )
    return (
        f"In the end **{wrong:,} of {found.get('images', 0):,}** test images are answered wrongly. "
        f"**{round((lost or 0) * wrong):,}** of the mistakes went to the wrong task.{told} So the gap between "
        f"**{_percent(found.get('task_aware_accuracy'))}** with the task given and "
        f"**{_percent(found.get('final_accuracy'))}** without is the price of retrieval."
    )


def _list(numbers: Sequence[int]) -> str:
    """How many components each task has, as a clause."""
    words = [str(number) for number in numbers]
    if len(set(words)) == 1:
        return f"every task has **{words[0]}**" if len(words) > 1 else f"the task has **{words[0]}**"
    if len(words) > 6:
        return f"a task has **{min(numbers)} to {max(numbers)}**"
    return f"the tasks have **{', '.join(words[:-1])} and {words[-1]}**"


def _count(number: float) -> str:
    for size, unit in ((1e9, "billion"), (1e6, "million")):
        if number >= size:
            return f"{number / size:.1f} {unit}"
    return f"{int(number):,}"


def _percent(share: float | None) -> str:
    if share is None:
        return "–"
    return f"{share:.1%}" if share >= 0.01 or share == 0 else f"{share:.2%}"
