"""How often the task of a *new* image will be missed: estimated from training images that are left out one by one.

The whitened space knows its training images: each one pulls its own mean towards itself and adds its own residual to
the covariance. So a training image is scored as if it had never been seen (`left_out_scores`, in closed form), while
its task is learned and its image is still there. The shares of a task's left-out images that are sent to each task
known then are all that is kept (four bytes for each). An image of an earlier task that a later
task attracts is not seen by this; our assumption is that two tasks are confused equally often in both directions.
Components keep the other images that they have: clustering is not repeated (our decision).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from core.retrieval.kept import Kept
from core.retrieval.space import PooledCovariance, Whitening

_ROWS = 512
"""Images left out at a time, so that memory stays bounded."""
_MOST = 500
"""Training images of a task, at most, that are left out one by one to estimate the error on new images."""
_TEMPERATURES = torch.logspace(0, 2, 101)
"""Those that are tried."""


def left_out_scores(
    pooled: PooledCovariance,
    whitening: Whitening,
    shrinkage: float | None,
    x: Tensor,
    class_means: Tensor,
    own_class: Tensor,
    class_counts: Tensor,
    means: Tensor,
    own_component: Tensor,
    component_counts: Tensor,
) -> Tensor:
    """(n, K): −½ the squared distance of each training image to every component, in the space fitted without it.

    `x` (n, features) are training images; `class_means` (C, features) of all classes and `means` (K, features) of all
    components contain them; `own_class` and `own_component` (n,) say where, with the images there (`class_counts`,
    `component_counts`, (n,), itself included). NaN for an image that is alone in its class: nothing could be known of
    it. −inf for its own component where it is alone there.

    Our derivation. Let L Lᵀ be the shrunk covariance, z = L⁻¹(x − centre), and δ the same of x minus its class mean.
    Without x the class mean moves by −δ / (n_c − 1), its component m by −(z − m) / (n_k − 1), and the covariance, whose
    number of images and shrinkage stay as they are, becomes L (I − g δδᵀ) Lᵀ, g = (1 − share) n_c / (n_c − 1) / N.
    So the metric is A = I + δδᵀ g / (1 − g‖δ‖²) (Sherman and Morrison 1950). The space is spanned by differences of
    class means: with Q the old span and n the direction of x outside it, the new span is what p is normal to in (Q, n),
        p = (‖z_n‖ / (n_c − 1)) y_c + (1 − δ·y_c / (n_c − 1)) n,    y_c the dual vector of class c in Q,
    and for v = z − m the squared distance is  vᵀA v − (p·v)² / (‖p‖² − g (δ·p)²).
    """
    parts = [
        _scores(pooled, whitening, shrinkage, class_means, means, *rows)
        for rows in zip(
            *(part.split(_ROWS) for part in (x, own_class, class_counts, own_component, component_counts)), strict=True
        )
    ]
    return torch.cat(parts)


def _scores(
    pooled: PooledCovariance,
    whitening: Whitening,
    shrinkage: float | None,
    class_means: Tensor,
    means: Tensor,
    x: Tensor,
    own_class: Tensor,
    class_counts: Tensor,
    own_component: Tensor,
    component_counts: Tensor,
) -> Tensor:
    factor = pooled.factor(shrinkage)

    def white(rows: Tensor) -> Tensor:
        return torch.linalg.solve_triangular(factor, (rows - whitening.centre).T, upper=False).T.double()

    z, m = white(x), white(means)
    z_in, m_in, u = (whitening(rows).double() for rows in (x, means, class_means))
    outside = (z.square().sum(1) - z_in.square().sum(1)).clamp_min(0).sqrt()
    m_out = (z @ m.T - z_in @ m_in.T) / outside.clamp_min(1e-12)[:, None]

    delta_in, delta_out = z_in - u[own_class], outside
    others = (class_counts - 1).double()
    g = (1 - pooled.share(shrinkage)) * class_counts / others / pooled.images
    v_in = z_in[:, None, :] - m_in
    v_out = outside[:, None] - m_out
    along = torch.einsum("nd,nkd->nk", delta_in, v_in) + delta_out[:, None] * v_out
    size = delta_in.square().sum(1) + delta_out.square()
    room = (1 - g * size).clamp_min(1e-9)  # it is positive: x is one of the images of the covariance
    squared = v_in.square().sum(2) + v_out.square() + (g / room)[:, None] * along.square()
    if whitening.projection.shape[1] == len(class_means) - 1:
        dual = torch.linalg.pinv(u).T[own_class]
        p_in = (delta_out / others)[:, None] * dual
        p_out = 1 - (delta_in * dual).sum(1) / others
        across = torch.einsum("nd,nkd->nk", p_in, v_in) + p_out[:, None] * v_out
        along_p = (delta_in * p_in).sum(1) + delta_out * p_out
        squared = squared - across.square() / (p_in.square().sum(1) + p_out.square() - g * along_p.square())[:, None]
    else:  # the class means already span all directions, or there is one class alone
        squared = squared - v_out.square()
    away = component_counts / (component_counts - 1).double()  # of its own component, which moves away from x
    own = own_component[:, None]
    squared = squared.scatter(1, own, squared.gather(1, own) * away.square()[:, None])
    scores = torch.where(squared.isnan() | (squared == torch.inf), -torch.inf, -squared / 2)
    return scores.masked_fill((class_counts < 2)[:, None], torch.nan)


def temperature(scores: Tensor, own_class: Tensor) -> float | None:
    """How many times too sure class scores are of new images: T, for which softmax(scores / T) predicts best.

    `scores` (n, classes) are those of left-out images, in nats, and `own_class` (n,) their columns. The fewer images
    there are for each feature, the farther new images lie from everything and the larger all differences become. Our
    decision: one T for all classes (temperature scaling, Guo et al. 2017, arXiv 1706.04599, there on held-out images).
    None where no image is left out, or none is taken for another class: any small T would do then.
    """
    known = scores.isfinite().all(1)
    scores, own_class = scores[known], own_class[known]
    if not len(scores) or bool((scores.argmax(1) == own_class).all()):
        return None
    losses = torch.stack([F.cross_entropy(scores / t, own_class) for t in _TEMPERATURES.to(scores)])
    return float(_TEMPERATURES[losses.argmin()])


def rows_left_out(x: Tensor) -> Tensor:
    """Which of a task's training images x (n, …) are left out, one by one: at most 500, spread evenly."""
    return torch.linspace(0, len(x) - 1, min(len(x), _MOST), device=x.device).round().long()


def owners(rows: Sequence[Tensor]) -> Tensor:
    """(rows of all tasks,): the task that each belongs to, of `rows` a task."""
    return torch.cat([torch.full((len(own),), task, device=own.device) for task, own in enumerate(rows)])


def sent_to(scores: Tensor, owners: Tensor, counts: Tensor, own_component: Tensor) -> np.ndarray:
    """(tasks,) the share of left-out images, all of the newest task, that would be sent to each task.

    `scores` (n, K) as from `left_out_scores`; `owners` (K,) the task of each component and `counts` (K,) its images.
    NaN throughout where no image could be left out.
    """
    tasks = int(owners.max()) + 1
    known = ~scores.isnan().any(1)
    if not known.any():
        return np.full(tasks, np.nan, np.float32)
    scores, own = scores[known], own_component[known]
    weights = counts.double().repeat(len(scores), 1)
    weights[torch.arange(len(scores)), own] -= 1
    likely = scores + weights.log()
    by_task = torch.stack([likely[:, owners == task].logsumexp(1) for task in range(tasks)], dim=1)
    totals = torch.stack([weights[:, owners == task].sum(1) for task in range(tasks)], dim=1)
    found = (by_task - totals.log()).argmax(1)
    return (torch.bincount(found, minlength=tasks).double() / len(found)).float().cpu().numpy()


def sent_by_best(scores: Tensor, owners: Tensor) -> np.ndarray:
    """(tasks,) as `sent_to`, for methods that pick the task of the best class, whatever else the task has.

    `scores` (n, classes) of left-out images, NaN for those that cannot be; `owners` (classes,) the task of each class.
    """
    tasks = int(owners.max()) + 1
    known = ~scores.isnan().any(1)
    if not known.any():
        return np.full(tasks, np.nan, np.float32)
    found = owners[scores[known].argmax(1)]
    return (torch.bincount(found, minlength=tasks).double() / len(found)).float().cpu().numpy()


def left_out_places(scores: Tensor, class_means: Tensor) -> Tensor:
    """(n, dimensions) where images would lie in a space, as seen from its class means, had the space not seen them.

    `scores` (n, classes) are those of `left_out_scores` for class means, `class_means` (classes, dimensions) the means
    in the space. Leaving an image out turns and stretches the space, for each image in another way. What stays the same
    for all is what an image's distances say: so its place is the one whose −½‖place − mean‖² differ between classes as
    its scores do. With classes − 1 dimensions there is exactly one (our definition); with fewer, the nearest.
    NaN for an image that cannot be left out.
    """
    centre, scores = class_means.double().mean(0), scores.double()
    means = class_means.double() - centre
    halves = means.square().sum(1) / 2
    wanted = scores - scores.mean(1, keepdim=True) + halves - halves.mean()
    return wanted @ torch.linalg.pinv(means).T + centre


def expected_error(sent: Sequence[np.ndarray | None]) -> float | None:
    """The error of picking the task of a new image that is expected after the last of these tasks, as a fraction.

    `sent[t]` is (t + 1,), as from `sent_to` when task t was learned; tasks weigh the same. An image of task i keeps its
    right task when it was right at time i, and no later task j attracts it; that happens, we assume, as often as task i
    attracted images of j, and independently for each j: right_i = sent[i][i] Π_{j>i} (1 − sent[j][i]).
    None where any task has no left-out images.
    """
    if not sent or any(shares is None or np.isnan(shares).any() for shares in sent):
        return None
    rows = [np.asarray(shares, dtype=np.float64) for shares in sent if shares is not None]
    right = [row[task] * np.prod([1 - later[task] for later in rows[task + 1 :]]) for task, row in enumerate(rows)]
    return float(1 - np.mean(right))


class SentImages(Kept):
    """The shares of each task's left-out images that are sent to each task known then, where the best class decides."""

    def __init__(self) -> None:
        self.of_tasks: list[np.ndarray | None] = []
        """Per task, (task + 1,); None where an earlier version learned the task."""

    def add(self, scores: Tensor, owners: Tensor) -> None:
        """Take in the next task's left-out images by their `scores` of classes and the `owners` of those, as
        `sent_by_best` does."""
        self.of_tasks.append(sent_by_best(scores, owners))

    def expected_error(self) -> float | None:
        return expected_error(self.of_tasks)

    def task_arrays(self, task: int) -> dict[str, np.ndarray]:
        sent = self.of_tasks[task]
        return {} if sent is None else {"left_out": sent}

    def load_task(self, arrays: Mapping[str, np.ndarray]) -> None:
        self.of_tasks.append(arrays.get("left_out"))
