"""What is kept of images once they are gone: statistics that save and load themselves."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from torch import Tensor


class Kept:
    """Statistics that a method fits and keeps. Each kind says which of its numbers are one task's and which are not.

    A task's arrays go into its folder and never change again; what is shared is carried from task to task; what
    answering takes is the part of it that a new image needs.
    """

    def task_arrays(self, task: int) -> dict[str, np.ndarray]:
        """For the mixture.npz of a task; empty where nothing is one task's alone."""
        return {}

    def load_task(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Take back what `task_arrays` returned; tasks come in order."""

    def shared_state(self) -> dict[str, Tensor]:
        """What is carried over tasks and is not any one task's."""
        return {}

    def load_shared(self, state: Mapping[str, Tensor]) -> None:
        """Take back what `shared_state` returned after the last finished task."""

    def expected_error(self) -> float | None:
        """Of picking the task of a new image by these, from training images that were left out; None where unknown."""
        return None

    def answer_state(self) -> dict[str, Tensor]:
        """The part of what is shared that answering takes; small, where `shared_state` may be large."""
        return {}

    def load_answer(self, state: Mapping[str, Tensor]) -> None:
        """Take back what `answer_state` returned: enough to answer, not to learn on."""
