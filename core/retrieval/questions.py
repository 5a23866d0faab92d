"""What can be asked about the retrieval of a finished run, and what an answer holds.

Nothing heavy is imported, as the app's server needs this; `core.retrieval.answering` does the answering.

How a task is modelled (`Settings.mixture`):
    class-seeded  each class clustered by a Dirichlet-process mixture; components are unit spheres (as the run does it)
    dp-gmm        one Dirichlet-process mixture with covariances a task (the literal recipe, in a shared space)
    gaussian      one Gaussian a task
    means         one unit sphere a class: linear discriminant analysis where the space is whitened
    kmeans        clusters of the task, blind to classes, as unit spheres
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal

import numpy as np
from pydantic import Field

from core.config import Section
from core.evaluation.metrics import confusion
from core.runs import formats
from core.runs.store import Run

SPHERES = ("class-seeded", "means", "kmeans")
"""Mixtures whose components are spheres of one size: the within-class scatter of the space, which is its unit."""
_COMPONENTS = {"class-seeded": 2, "dp-gmm": 20, "kmeans": 20}


class Settings(Section):
    """What is asked. `concentration` counts for Dirichlet processes, `covariance` and `dimensions` for mixtures that
    have covariances (dp-gmm, gaussian)."""

    space: Literal["whitened", "frozen", "frozen-whitened"] = "whitened"
    """The run's whitened space as stored; final CLS; or that, whitened from the kept training images."""
    mixture: Literal["class-seeded", "dp-gmm", "gaussian", "means", "kmeans"] = "class-seeded"
    components: int | None = Field(None, ge=1, le=100)
    """Truncation per class (class-seeded: 2 by default) or task (dp-gmm: 20), or clusters per task (kmeans: 20)."""
    concentration: float = Field(0.1, gt=0)
    covariance: Literal["full", "diagonal", "tied"] = "full"
    """'tied' is shared by the components of a task."""
    dimensions: int = Field(32, ge=1, le=1024)
    """Principal components of all tasks' images that are kept before covariances are fitted."""
    shortlist: int = Field(1, ge=1)
    """k of recall@k."""
    after_task: int | None = Field(None, ge=0)
    """Only tasks up to this one take part; None: all."""
    expect: bool = True
    """Whether the error on new images is expected too, which takes ten fits beside the one that answers."""
    extra: tuple[int, ...] = Field((), max_length=100)
    """Test images that are fitted beside the training images of their class, as if they had been kept; they are then
    not asked about."""

    @property
    def most_components(self) -> int:
        """`components`, or its default; 1 for a mixture whose number of components is no choice."""
        default = _COMPONENTS.get(self.mixture)
        return 1 if default is None else self.components or default


@dataclass(frozen=True)
class Shares:
    """Shares of the test images; every image weighs the same."""

    retrieval: float
    """Sent to the right task."""
    accuracy: float
    """Answered with the right class, the task unknown."""
    recall: float
    """True task among the k best; NaN where the run kept no scores."""


@dataclass(frozen=True, eq=False)
class Answer:
    """The test images of the tasks that take part, (n,) each, and what became of them."""

    image: np.ndarray
    """Rows of images.parquet."""
    task: np.ndarray
    retrieved_before: np.ndarray
    """The task that the run retrieved."""
    retrieved: np.ndarray
    """The task that would be retrieved."""
    right_before: np.ndarray
    """bool: the run's class was right."""
    right: np.ndarray
    margin: np.ndarray
    """Best minus second-best log-likelihood, in nats."""
    before: Shares
    after: Shares
    bound: float
    """Union–Bhattacharyya bound on the error of retrieval, if images came from the mixtures; may exceed 1."""
    sampled_error: float
    """Error of retrieval on images drawn from the mixtures."""
    expected_error: float | None
    """Error of retrieval on new images, from training images that were left out, tasks counted as the test images count
    them. None where it was not asked for, or cannot be known."""
    components: list[int]
    """A task: those that are the likeliest one for some training image of it."""
    dimensions: int
    train_images: int
    """That were fitted."""
    run_train_images: int
    """That the run saw."""
    seconds: float

    @property
    def confusion(self) -> np.ndarray:
        """int (tasks, tasks): images of each true task (row) that would be sent to each task (column)."""
        return confusion(self.task, self.retrieved, len(self.components))

    @property
    def became_right(self) -> np.ndarray:
        return self.right & ~self.right_before

    @property
    def became_wrong(self) -> np.ndarray:
        return self.right_before & ~self.right

    @property
    def moved(self) -> np.ndarray:
        """Sent to another task than before, and as wrong as before."""
        return (self.retrieved != self.retrieved_before) & ~self.right & ~self.right_before

    def summary(self) -> dict[str, Any]:
        """What people and scripts read, without one row per image: shares, theory, confusion, images that changed."""
        changed = {name: self.image[getattr(self, name)] for name in ("became_right", "became_wrong", "moved")}
        theory, fitted = ("expected_error", "bound", "sampled_error"), ("components", "dimensions")
        names = (*theory, *fitted, "train_images", "run_train_images", "seconds")
        shares = {"as_trained": vars(self.before), "what_if": vars(self.after)}
        return shares | {name: getattr(self, name) for name in names} | {"confusion": self.confusion} | changed

    def document(self) -> dict[str, Any]:
        """As JSON, for `from_document`."""
        return {name: _plain(value) for name, value in vars(self).items()}

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Answer:
        """What `document` described."""
        arrays = {f.name: np.asarray(document[f.name]) for f in fields(cls) if f.type == "np.ndarray"}
        shares = {name: Shares(**document[name]) for name in ("before", "after")}
        return cls(**{**document, **arrays, **shares})


def _plain(value: Any) -> Any:
    if isinstance(value, Shares):
        return vars(value)
    return value.tolist() if isinstance(value, np.ndarray) else value


def unanswerable(run: Run) -> str | None:
    """Why nothing can be asked about `run`, in words that follow its name; None where it can be.

    Raises UserError when a file of it is damaged.
    """
    if "past_is_frozen" not in run.manifest.promises:
        return "has one model for all tasks, and retrieves none"
    if not run.metrics or not (run.folder / "embeddings.npz").exists():
        return "kept no embeddings"
    if "frozen" not in spaces(run):
        return "kept no embeddings of the frozen backbone"
    if "train" not in run.images()["split"].cast("string").unique().to_pylist():
        return "kept no training images, and mixtures are fitted on those"
    return None


def spaces(run: Run) -> tuple[str, ...]:
    """The choices of `Settings.space` that the run has. Raises UserError when its embeddings are damaged."""
    kept = formats.names_of_arrays(run.folder / "embeddings.npz")
    return tuple(name for name in ("whitened", "frozen", "frozen-whitened") if name.split("-")[0] in kept)
