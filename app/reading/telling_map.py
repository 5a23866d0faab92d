"""In which space, and in which colours, the map of a run says most: where the map opens unless the address says other.

The camera always begins with all images in sight, so that nothing that arrives during Play is out of it.
"""

from __future__ import annotations

from collections.abc import Sequence

from app.reading.tables import Predictions

_ORDER = ("whitened", "retrieved", "own", "frozen")


def telling_space(spaces: Sequence[str]) -> str:
    """The space in which the run decides, so that a wrong answer lies beside what misled it.

    That is the whitened one where tasks are compared in one. Otherwise what the adapter of the retrieved task sees; for
    a single shared model what that model sees at the end, and the frozen model's space is the last resort, as there
    nothing changes over task time. Raises ValueError without any space.
    """
    known = [space for space in _ORDER if space in spaces]
    if not known:
        raise ValueError("no space to choose from")
    return known[0]


def telling_colour(answers: Predictions, tasks: int) -> str:
    """What to colour by, for the answers after the last task: the task, which keeps its colour while rings mark what
    went wrong; the retrieved task where most images went wrong, as rings around everything say nothing; and with one
    task the class."""
    if tasks == 1:
        return "class"
    astray = answers.retrieved_task != answers.task
    return "retrieved" if len(answers) and astray.mean() > 0.5 else "task"
