"""What would mend some mistakes: other retrieval, or one more image kept; and what each of them breaks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from core.retrieval.questions import Answer, Settings

_WITH_ONE_MORE = {"space": "frozen-whitened", "mixture": "means", "expect": False}


@dataclass(frozen=True)
class Remedy:
    """Something that could be done about mistakes."""

    title: str
    settings: Settings
    values: Mapping[str, str]
    """What of it an address of the page What if says."""
    beside: Settings | None = None
    """The settings whose answers it is compared with; None compares with the run's own answers."""


@dataclass(frozen=True)
class Tally:
    """What came of a remedy."""

    mends: int
    """Of the mistakes asked about, those that it answers rightly."""
    asked: int
    mends_others: int
    """Mistakes beside those asked about that it answers rightly too."""
    breaks: int
    """Right answers, of all test images, that it makes wrong."""

    @property
    def net(self) -> int:
        """More right answers than before."""
        return self.mends + self.mends_others - self.breaks


def remedies(spaces: Sequence[str], task: int, typical: int | None) -> list[Remedy]:
    """What can be tried on a run that has `spaces` (as `core.retrieval.questions.spaces` names them) after `task`.

    `typical`: the test image to keep one more of its class with; None tries no such thing.
    """
    tried = [
        ("Class means instead of a mixture", {"mixture": "means"}),
        ("Five components per class", {"mixture": "class-seeded", "components": "5"}),
        ("k-means, blind to classes", {"mixture": "kmeans"}),
        ("One Gaussian per task", {"mixture": "gaussian"}),
        ("A Dirichlet-process mixture per task", {"mixture": "dp-gmm"}),
        ("Whitened from the kept images alone", {"space": "frozen-whitened", "mixture": "means"}),
        ("The literal recipe, in the frozen space", {"space": "frozen", "mixture": "dp-gmm"}),
    ]
    own = "whitened" if "whitened" in spaces else "frozen-whitened"
    found = []
    for title, values in tried:
        asked = {"space": own, **values}
        if asked["space"] in spaces and (asked["space"] != own or "space" not in values):
            settings = Settings.model_validate({**asked, "after_task": task, "expect": False})
            found.append(Remedy(title, settings, values))
    if typical is not None:
        plain = Settings.model_validate({**_WITH_ONE_MORE, "after_task": task})
        kept = plain.model_copy(update={"extra": (typical,)})
        found.append(Remedy("One more image of this class kept", kept, {}, beside=plain))
    return found


def tally(found: Answer, images: np.ndarray, beside: Answer | None = None) -> Tally:
    """What `found` does to the mistakes `images`; compared with the run's own answers, or those of `beside`."""
    before = found.right_before if beside is None else beside.right[np.isin(beside.image, found.image)]
    meant = np.isin(found.image, images)
    mended = found.right & ~before
    return Tally(
        mends=int((mended & meant).sum()),
        asked=int((meant & ~before).sum()),
        mends_others=int((mended & ~meant).sum()),
        breaks=int((before & ~found.right).sum()),
    )
