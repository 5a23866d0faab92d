"""Which tasks are confused: the matrix of tasks, whose cells are slices."""

from __future__ import annotations

from functools import partial

import numpy as np

from app.components import explanation
from app.components.captions import caption
from app.components.confusion import Cell, confusion, counts
from app.reading.cards import RunCard
from app.reading.tables import Predictions
from app.views.errors import listing


def matrix(card: RunCard, answers: Predictions) -> None:
    """The confusion of tasks."""
    tasks = int(answers.task.max()) + 1
    present = listing.present(card)
    known = present.task is not None and present.retrieved is not None
    cell = (present.task, present.retrieved) if known and max(present.task, present.retrieved) < tasks else None
    names = explanation.names_of(card).tasks[:tasks]
    table = counts(answers.task, answers.retrieved_task, tasks)
    confusion(table, names, cell, partial(_pick, card, answers), key=f"confusion-{card.name}")


def _pick(card: RunCard, answers: Predictions, cell: Cell | None) -> None:
    inside = np.ones(len(answers), bool)
    if cell is not None:
        inside = (answers.task == cell[0]) & (answers.retrieved_task == cell[1])
    listing.choose(card, answers, inside, task=cell and cell[0], retrieved=cell and cell[1])


def explain_view() -> None:
    """How to read the matrix."""
    caption(
        "test images by their true task and the task they were [[sent to|retrieved task]]; the diagonal was sent to "
        "the right one.",
        "a dark cell off the diagonal, and whether its mirror image is dark too: two tasks that look alike.",
        "an image that is sent to a wrong task is given one of its classes, and none of them is right.",
    )
