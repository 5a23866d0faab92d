"""Evidence: what in an image speaks for one task (or class) rather than for another, as people and run folders have it.

`core.retrieval.evidence` computes it; here it is described, kept in evidence.npz and read back, and
`core.runs.saying` puts it in words.
Nothing heavy is imported, because the app's server reads this.

All numbers are nats of difference between two log-likelihoods: above 0 they speak for `own`, below 0 for `against`.
Where the run records evidence of a test image, `own` is the true task, and `against` the retrieved one, or the
runner-up where the true task was retrieved; so the terms of a retrieval error sum to less than 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np

from core.errors import UserError
from core.files import replacing
from core.runs import formats
from core.runs.files import damaged
from core.runs.store import Run

Kind = Literal["task", "class", "component"]
How = Literal["exact", "occlusion"]
KINDS: tuple[Kind, Kind] = ("task", "class")
"""Of the rows that a run records, by the number in its file."""
TERMS = ("weights", "others", "adapter", "head")
"""What is neither a class token's nor a patch's: the log ratio of the two components' weights; what the other
components of both sides add to the log-sum-exps; the first task's adapter; what the tasks' heads add."""


@dataclass(frozen=True, eq=False)
class Evidence:
    """The difference between two scores of one image, split into terms that sum to it (`how` is "exact").

    Where `how` is "occlusion" nothing sums: a patch's number is what the difference loses when that patch is painted
    over, and `blocks`, `class_tokens`, `block_patches` and the terms are empty or 0. Exact evidence may hold an
    occlusion as well: of the first adapter's term, or of the difference where the features have no patches.
    """

    how: How
    kind: Kind
    own: int
    """A task (from 0), a class (position in the manifest's `class_names`) or a component of all tasks' together."""
    against: int
    own_component: int
    """The likeliest component of `own`, counted within its task; −1 where there is none."""
    against_component: int
    difference: float
    """Score of `own` minus score of `against`, as the method itself computes them."""
    weights: float
    others: float
    adapter: float
    head: float
    blocks: np.ndarray
    """int (blocks,): those whose tokens are in the features, from 0."""
    class_tokens: np.ndarray
    """(blocks,)."""
    block_patches: np.ndarray
    """(blocks,): all patches of a block together."""
    patches: np.ndarray
    """(rows, columns): each patch, all blocks together; (0, 0) where the features have no patches."""
    block_maps: np.ndarray | None = None
    """(blocks, rows, columns): each patch of each block; a run folder does not keep it."""
    occluded: np.ndarray | None = None
    """(rows, columns), by occlusion: what `occluded_part` loses when each patch is painted over."""
    occluded_part: Literal["adapter", "difference"] | None = None
    window: int = 1
    """Patches a side that were painted over together for `occluded`; they share the loss equally."""

    @property
    def total(self) -> float:
        """The sum of all terms: `difference`, up to rounding, where the evidence is exact."""
        terms = self.weights + self.others + self.adapter + self.head
        return float(terms + self.class_tokens.sum() + self.block_patches.sum())

    @property
    def heat(self) -> np.ndarray:
        """(rows, columns) to show over the image: the patches' own terms, or what occlusion found where none are."""
        if self.patches.size or self.occluded is None:
            return self.patches
        return self.occluded

    @property
    def by_block(self) -> np.ndarray:
        """(blocks,): class token and patches of each block."""
        return np.asarray(self.class_tokens + self.block_patches)

    def document(self) -> dict[str, Any]:
        """As JSON, for `from_document`; `total` is there for readers."""
        plain = {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in vars(self).items()}
        return plain | {"total": self.total}

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Evidence:
        """What `document` described."""
        values = {field.name: document[field.name] for field in fields(cls)}
        for name in ("blocks", "class_tokens", "block_patches", "patches", "block_maps", "occluded"):
            if values[name] is not None:
                values[name] = np.asarray(values[name])
        if not values["patches"].size:
            values["patches"] = np.zeros((0, 0))
        return cls(**values)


@dataclass(frozen=True, eq=False)
class Apart:
    """What sets two images apart: their squared distance where tasks are told apart, split into terms that sum to it.

    Above 0 sets them apart, below 0 brings them together. Of each block and of the adapter both images have the same
    half, so those are said once, for both; patches are each image's own. Where `how` is "occlusion" nothing sums: a
    patch's number is what the squared distance loses when that patch of that image is painted over, and there are no
    blocks.
    """

    how: How
    squared: float
    """Where the space is whitened, in units of the variance within a class."""
    adapter: float
    """The first task's adapter."""
    blocks: np.ndarray
    """int (blocks,): those whose tokens are in the features, from 0."""
    by_block: np.ndarray
    """(blocks,): class tokens and patches of both images."""
    patches: np.ndarray
    """(2, rows, columns): of the one image and of the other, all blocks together."""

    def document(self) -> dict[str, Any]:
        """As JSON, for `from_document`."""
        return {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in vars(self).items()}

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Apart:
        """What `document` described."""
        values = {field.name: document[field.name] for field in fields(cls)}
        return cls(**values | {name: np.asarray(values[name]) for name in ("blocks", "by_block", "patches")})


@dataclass(frozen=True, eq=False)
class RecordedEvidence:
    """The exact evidence that a run keeps, summed over blocks, one row per image and kind. Arrays are (rows,) if not
    said otherwise.

    Every retrieval error has a row of kind "task", and with it every wrong answer inside the right task one of kind
    "class" (the class against the answered one). Rows of right answers are there as far as they cost little, the
    closest calls first.
    """

    image: np.ndarray
    """int32: rows of images.parquet."""
    kind: np.ndarray
    """uint8: positions in `KINDS`."""
    own: np.ndarray
    """int32: the true task, or class."""
    against: np.ndarray
    """int32: the retrieved task, or the runner-up; or the answered class."""
    own_component: np.ndarray
    """int16, within the task of `own`; −1 where a class has no components of its own."""
    against_component: np.ndarray
    difference: np.ndarray
    """float32, as are `weights`, `others`, `adapter` and `head`."""
    weights: np.ndarray
    others: np.ndarray
    adapter: np.ndarray
    head: np.ndarray
    class_tokens: np.ndarray
    """float16 (rows, blocks)."""
    block_patches: np.ndarray
    """float16 (rows, blocks)."""
    patches: np.ndarray
    """float16 (rows, patches a side, patches a side); (rows, 0, 0) where the features have no patches."""
    blocks: np.ndarray
    """int16 (blocks,): numbers of the blocks, from 0."""

    def __len__(self) -> int:
        return len(self.image)

    @classmethod
    def of_each(cls, images: Sequence[int], evidence: Sequence[Evidence]) -> RecordedEvidence:
        """From the exact evidence of each of `images` (one or more), all of one method."""
        columns: dict[str, Any] = {
            name: [getattr(each, name) for each in evidence]
            for name in _TYPES
            if name not in ("image", "kind", "blocks")
        }
        kinds = [KINDS.index(each.kind) for each in evidence]
        columns |= {"image": list(images), "kind": kinds, "blocks": evidence[0].blocks}
        return cls(**{name: np.asarray(columns[name]).astype(kind) for name, kind in _TYPES.items()})

    def arrays(self) -> dict[str, np.ndarray]:
        """For evidence.npz."""
        return {name: np.asarray(getattr(self, name), kind) for name, kind in _TYPES.items()}

    def rows(self, kind: Kind = "task") -> np.ndarray:
        """Numbers of the rows of a kind."""
        return np.flatnonzero(self.kind == KINDS.index(kind))

    @cached_property
    def _places(self) -> dict[tuple[int, int], int]:
        return {
            (int(image), int(kind)): row for row, (image, kind) in enumerate(zip(self.image, self.kind, strict=True))
        }

    def of(self, image: int, kind: Kind = "task") -> Evidence | None:
        """The evidence kept for a test image, by its row of images.parquet; None where none is."""
        row = self._places.get((image, KINDS.index(kind)))
        return None if row is None else self.at(row)

    def at(self, row: int) -> Evidence:
        """Row `row` as the evidence of one image."""
        values: dict[str, Any] = {}
        for name in ("own", "against", "own_component", "against_component"):
            values[name] = int(getattr(self, name)[row])
        for name in ("difference", *TERMS):
            values[name] = float(getattr(self, name)[row])
        for name in ("class_tokens", "block_patches", "patches"):
            values[name] = getattr(self, name)[row].astype(np.float64)
        return Evidence("exact", KINDS[int(self.kind[row])], blocks=self.blocks.astype(int), **values)

    def mean(self, rows: np.ndarray) -> Evidence:
        """The mean of some rows (one or more), such as all errors of one pair; its two sides are those of the first."""
        values: dict[str, Any] = {name: float(getattr(self, name)[rows].mean()) for name in ("difference", *TERMS)}
        for name in ("class_tokens", "block_patches", "patches"):
            values[name] = getattr(self, name)[rows].astype(np.float64).mean(0)
        return replace(self.at(int(rows[0])), own_component=-1, against_component=-1, **values)


_TYPES: dict[str, type[np.generic]] = {
    **dict.fromkeys(("image", "own", "against"), np.int32),
    "kind": np.uint8,
    **dict.fromkeys(("own_component", "against_component", "blocks"), np.int16),
    **dict.fromkeys(("difference", *TERMS), np.float32),
    **dict.fromkeys(("class_tokens", "block_patches", "patches"), np.float16),
}


def evidence_file(run: Run) -> Path:
    """Where a run keeps its evidence; it need not be there."""
    return run.folder / "evidence.npz"


def read_evidence(run: Run) -> RecordedEvidence | None:
    """The evidence that a run recorded; None where it has none (see `why_no_evidence`).

    Raises UserError when the file is damaged.
    """
    path = evidence_file(run)
    if not path.exists():
        return None
    arrays = formats.read_arrays(path)
    rows = len(arrays.get("image", ()))
    blocks = arrays.get("blocks", np.empty(0))
    shapes: dict[str, tuple[int, ...]] = {**dict.fromkeys(_TYPES, (rows,)), "blocks": blocks.shape}
    shapes |= dict.fromkeys(("class_tokens", "block_patches"), (rows, len(blocks)))
    shapes["patches"] = (rows, *arrays.get("patches", np.empty(0)).shape[1:])
    for name, kind in _TYPES.items():
        found = arrays.get(name)
        if found is None or found.shape != shapes[name] or found.dtype != kind:
            raise damaged(path, f"“{name}” is missing or not as it must be")
        if not np.isfinite(found).all():
            raise damaged(path, f"“{name}” holds numbers that are not finite")
    if arrays["patches"].ndim != 3 or blocks.ndim != 1 or arrays["kind"].max(initial=0) >= len(KINDS):
        raise damaged(path, "its arrays do not fit together")
    return RecordedEvidence(**{name: arrays[name] for name in _TYPES})


def write_evidence(run: Run, evidence: RecordedEvidence) -> None:
    """Add evidence.npz to a run that is finished. Raises UserError when it cannot be written."""
    try:
        with replacing(evidence_file(run)) as file:
            formats.write_arrays(file, evidence.arrays())
    except OSError as error:
        raise UserError(
            f"{evidence_file(run)} cannot be written ({error.strerror}): make room, or copy the run."
        ) from None


def why_no_evidence(run: Run) -> str | None:
    """Why a run holds no recorded evidence and how to get some, in words that follow its name; None where it holds it.

    Raises UserError when a file of it is damaged.
    """
    if evidence_file(run).exists():
        return None
    if not run.metrics:
        return "is not finished: evidence is recorded at the end"
    if len(run.manifest.tasks) < 2:
        return "has one task, and nothing to retrieve"
    if "whitened" not in formats.names_of_arrays(run.folder / "embeddings.npz"):
        one = f"python -m core explain {run.name} IMAGE"
        return f"compares no tasks in a whitened space, where evidence is exact: `{one}` shows an image's by occlusion"
    return f"was made before evidence was recorded: `python -m core explain {run.name} --all` adds it"
