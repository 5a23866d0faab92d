"""After every task: the error of picking the task that is expected of new images, and the one that was measured.

Beside them stands what theory says about retrieval by the fitted mixtures: the error if tasks were the mixtures.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from core.evaluation.evaluator import Evaluator
from core.retrieval.theory import log_determinant_ratio, sampled_error, separation, union_bound

_POINTS = 5000
"""Points drawn in all for `sampled_error`, whose standard error is then at most 0.007."""


_OF_MIXTURES = ("bound", "sampled_error", "separation", "log_determinant_ratio")


@torch.no_grad()
def theory(evaluator: Evaluator, retrieval: Sequence[float | None], seed: int) -> dict[str, float | None]:
    """The values of TaskDone.theory; empty for methods that have neither mixtures nor an expected error.

    bound, sampled_error    of maximum likelihood, were images drawn from the fitted mixtures (core.retrieval.theory);
                            None where mixtures live in different spaces, so that densities cannot be compared, and
                            where no mixture picks the task
    expected_error          of new images, from training images that were left out (core.retrieval.leave_out); None
                            where adapters rank the tasks again, or a task was learned without it
    measured_error          1 − the mean over tasks of `retrieval`, their retrieval accuracies now (None: unmeasured)
    separation              δ on the test images watched so far; nothing is fitted to them
    log_determinant_ratio   κ
    """
    expected, of_mixtures = evaluator.method.expected_error(), _of_mixtures(evaluator, seed)
    if expected is None and of_mixtures is None:
        return {}
    measured = [accuracy for accuracy in retrieval if accuracy is not None]
    found = {
        "expected_error": expected,
        **(of_mixtures or dict.fromkeys(_OF_MIXTURES)),
        "measured_error": 1 - float(np.mean(measured)) if measured else None,
    }
    return {name: None if value is None or np.isnan(value) else value for name, value in found.items()}


def _of_mixtures(evaluator: Evaluator, seed: int) -> dict[str, float | None] | None:
    """What theory says of the mixtures by which the method picks tasks; None for methods without."""
    method = evaluator.method
    tests = [evaluator.inputs(watched.data, watched.task, watched.memo) for watched in evaluator.tests]
    if shared := method.task_mixtures():
        spaces = [method.whitened(inputs) for inputs in tests]
        points = [space.cpu().numpy() for space in spaces if space is not None]
        return {
            "bound": union_bound(shared),
            "sampled_error": sampled_error(shared, max(1, _POINTS // len(shared)), seed),
            "separation": separation(shared, lambda k, i: points[k]),
            "log_determinant_ratio": log_determinant_ratio(shared),
        }
    if own := method.own_mixtures():
        return {
            "bound": None,
            "sampled_error": None,
            "separation": separation(own, lambda k, i: method.in_own_space(tests[k], i).cpu().numpy()),
            "log_determinant_ratio": log_determinant_ratio(own),
        }
    return None
