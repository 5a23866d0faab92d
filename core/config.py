"""The configuration of a run: frozen models, read from TOML or from command-line flags.

The resolved configuration is stored in the run folder's manifest and is enough to repeat the run.
"""

from __future__ import annotations

import math
import tomllib
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from core.errors import UserError, nearest

RetrievalMode = Literal["whitened", "likelihood", "means", "kmeans", "energy", "oracle"]
Projection = Literal["q", "k", "v", "o", "fc1", "fc2"]


_EPOCHS, _STEPS = 5, 40
"""Passes over a task's images where nothing is configured, and the steps that they should make at least."""
_RATE, _RATE_OF_FEW = 1e-3, 3e-3


class Section(BaseModel):
    """A part of the configuration: immutable, and closed to keys that it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class StreamConfig(Section):
    """Which images, and how they are cut into tasks."""

    name: str = "split-fashion"
    """A built-in stream, a torchvision data set, a folder or zip of class folders, or several joined by '+'."""
    tasks: int | None = Field(None, ge=1, le=1000)
    """Number of tasks; None is the stream's own choice."""
    task_by: Literal["classes", "prefix"] = "classes"
    """'classes' divides a seeded class order evenly; 'prefix' makes a task of each `Prefix--class` prefix."""
    task_classes: tuple[tuple[str, ...], ...] | None = None
    """An explicit list of class names for each task; overrides `tasks` and `task_by`."""
    train_per_class: int | None = Field(None, ge=1)
    test_per_class: int | None = Field(None, ge=1)
    test_fraction: float = Field(0.2, gt=0, lt=1)
    """Share of each class kept for testing where the data has no test folder."""
    held_out: int = Field(0, ge=0)
    """Classes, drawn by the seed, that no task learns: what the model still knows of them is its retention."""
    held_out_per_class: int = Field(20, ge=1)
    """Images of each held-out class, at most, that serve as neighbours, and as many that are asked about."""


class BackboneConfig(Section):
    """The frozen vision model."""

    name: str = "dinov2-s14"
    """`dinov2-s14`, `tiny`, `timm/<model>` or `open_clip/<model>`."""
    pretrained: str | None = None
    """open_clip's pretrained tag, or the path of a local checkpoint for either family."""
    image_size: int | None = Field(None, ge=8, le=1024)
    """Side of the square input in pixels; None is the stream's or else the backbone's own."""


class AdapterConfig(Section):
    """Where adapters sit, and how large they are."""

    blocks: str = "last:4"
    """'all', 'last:N', 'first:N' or a list of block numbers such as '8,9,11' (from 0)."""
    projections: tuple[Projection, ...] = ("q", "v")
    rank: int = Field(4, ge=1, le=1024)
    """Rank of a later task's new units."""
    first_rank: int | None = Field(16, ge=1, le=1024)
    """Rank of the first task's units; None is `rank`."""
    alpha: float = Field(1.0, gt=0)
    """Scale of every update."""
    given: tuple[str, ...] = ()
    """PEFT folders of LoRA adapters trained elsewhere, one per task (proteus): they stay as they are, and one head per
    task is learned. `python -m core assemble` writes this and the settings that go with it."""
    strength: float = Field(1.0, ge=0, le=1)
    """Share of every trained update that is used in answers: a smaller one keeps more of what the backbone knew."""


class TrainingConfig(Section):
    """The one training loop."""

    epochs: int | None = Field(None, ge=0, le=10_000)
    """Passes over each task's training images; None is what `passes` says."""
    batch_size: int = Field(32, ge=1)
    learning_rate: float | None = Field(None, gt=0)
    """Adam's step size; None is what `rate` says."""
    weight_decay: float = Field(0.0, ge=0)
    clip_norm: float = Field(1.0, gt=0)
    warmup_steps: int = Field(0, ge=0)
    head_start: Literal["zero", "discriminant"] = "zero"
    """How a task's head begins: at zero, or as a linear discriminant of the task's images. The discriminant changes the
    embedding less, and so keeps more of what the backbone knew; it costs one more pass over the training images."""
    augment: Literal["auto", "none", "flip", "crops"] = "auto"
    """How training images are varied: 'flip' adds their mirror images, 'crops' takes random parts of them, half of them
    mirrored. 'auto' is 'flip' for named streams of photographs and 'none' for all others (letters and digits)."""
    augment_views: int = Field(4, ge=1, le=1000)
    """Crops per image. They are drawn once, and epochs take them in turn; each is encoded once, where there is room."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    device: str = "auto"
    """'auto', 'cpu', 'cuda' or 'cuda:N'."""
    cache: Literal["auto", "memory", "disk", "off"] = "auto"
    """Where the activations of the frozen first blocks are kept; 'auto' is memory, then disk, then off."""
    cache_mb: int | None = Field(None, ge=0)
    """Megabytes of memory that 'auto' may fill; None is a quarter of what is free when the run begins."""

    def steps_in_a_pass(self, images: int) -> int:
        """Steps of the optimiser in a pass over so many images."""
        return math.ceil(images / self.batch_size)

    def passes(self, images: int) -> int:
        """Passes over the `images` of a task: `epochs`, or else five, and as many as make forty steps of few images.

        Our decision, as is `rate`: adapters that start from zero hardly learn in fewer steps (docs/results.md).
        """
        if self.epochs is not None:
            return self.epochs
        return max(_EPOCHS, math.ceil(_STEPS / max(1, self.steps_in_a_pass(images))))

    def rate(self, images: int) -> float:
        """Adam's step size for a task of `images` images: `learning_rate`, or else 1e-3, and 3e-3 where five passes
        over them make fewer than forty steps."""
        if self.learning_rate is not None:
            return self.learning_rate
        return _RATE_OF_FEW if _EPOCHS * self.steps_in_a_pass(images) < _STEPS else _RATE


class RetrievalConfig(Section):
    """How the task of a test image is found."""

    mode: RetrievalMode = "whitened"
    features: str = "last:6"
    """Frozen features for whitening, lda, ncm and ranpac: 'final' is the final CLS embedding; 'last:N' joins the CLS
    and mean patch tokens of the last N block outputs."""
    first_adapter: bool = True
    """Methods with one adapter per task join the embedding with the first task's adapter to the frozen features."""
    views: Literal[1, 2] = 1
    """2 averages the frozen features of an image and its mirror image, in training and testing; costs a second frozen
    pass. For photographs, not for letters or digits."""
    shrinkage: float | None = Field(None, ge=0, le=1)
    """Share of the scaled identity in the pooled within-class covariance; None follows the numbers of features and of
    images so far."""
    draw_in: bool = False
    """Draw the means of clusters in towards the centre of all classes, as far as left-out training images say
    (whitened, means and kmeans, and lda)."""
    components: int = Field(20, ge=1, le=1000)
    """Truncation of a task's Dirichlet process (likelihood), or number of a task's clusters (kmeans)."""
    class_components: int = Field(2, ge=1, le=100)
    """Truncation of a class's Dirichlet process (whitened: components are seeded by class)."""
    concentration: float = Field(0.1, gt=0)
    covariance: Literal["full", "diagonal", "tied"] = "full"
    dimensions: int = Field(32, ge=1)
    """Principal components kept before a likelihood mixture is fitted."""
    shortlist: int = Field(1, ge=1)
    """How many tasks, picked in the frozen space, have their adapters run for an image."""
    head_weight: float = Field(0.5, ge=0)
    """Weight of the task head's log-softmax beside the whitened class score inside a task, in units of how many times
    too sure that score is of left-out images."""


class RetentionConfig(Section):
    """What is measured beside the stream's own accuracy."""

    neighbours: int = Field(20, ge=1)
    """k of the nearest-neighbour accuracy on held-out classes."""
    templates: tuple[str, ...] = ("a photo of a {}.",)
    """Sentences for zero-shot answers about held-out classes, where the backbone has a text tower; {} is the class."""
    shifts: tuple[str, ...] = ()
    """Corruptions of the test images after the last task, such as gaussian-noise; ("all",) is every one."""
    severities: tuple[Literal[1, 2, 3, 4, 5], ...] = (1, 2, 3, 4, 5)
    shift_images: int = Field(200, ge=1)
    """At most so many test images, spread over the tasks, are corrupted."""
    dial: int = Field(0, ge=0, le=100)
    """With held-out classes: into how many steps the strength of the update is divided after the last task, from 0, the
    frozen model, to 1; learned and held-out classes are asked at each, which costs a pass over those images. 0 asks at
    strength 0 and at `adapters.strength` alone."""

    @field_validator("templates")
    @classmethod
    def _has_a_place(cls, templates: tuple[str, ...]) -> tuple[str, ...]:
        if not templates or any(template.count("{}") != 1 for template in templates):
            raise ValueError("write at least one template, each with one {} for the class")
        return templates


class RecordConfig(Section):
    """What the run folder keeps for looking at."""

    train_per_class: int = Field(20, ge=0)
    """Training images per class whose thumbnails and embeddings are kept beside all test images."""
    thumbnail: int = Field(64, ge=16, le=256)
    """Pixels that a thumbnail is wide; smaller images keep their own."""
    projection: bool = True
    """Compute map coordinates (UMAP where installed, otherwise principal components)."""


class MethodConfig(BaseModel):
    """A method by name; every other key is checked against that method's own options when it is built."""

    model_config = ConfigDict(frozen=True, extra="allow")

    name: str = "proteus"

    @property
    def options(self) -> dict[str, Any]:
        return dict(self.model_extra or {})


class RunConfig(Section):
    """Everything that decides a run's outcome."""

    seed: int = Field(0, ge=0)
    stream: StreamConfig = StreamConfig()
    backbone: BackboneConfig = BackboneConfig()
    adapters: AdapterConfig = AdapterConfig()
    method: MethodConfig = MethodConfig()
    training: TrainingConfig = TrainingConfig()
    retrieval: RetrievalConfig = RetrievalConfig()
    retention: RetentionConfig = RetentionConfig()
    record: RecordConfig = RecordConfig()


def read_config(path: Path) -> dict[str, Any]:
    """The nested keys of a TOML file, unchecked.

    Raises UserError when the file is missing or is not TOML.
    """
    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"No configuration file at {path}: check the path.") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UserError(f"{path} cannot be read as TOML: {error}.") from None


def merge(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """`base` with the nested keys of `over` laid on top; neither is changed."""
    merged = dict(base)
    for key, value in over.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = merge(merged[key], value) if both else value
    return merged


def validate(model: type[Section] | type[RunConfig], values: dict[str, Any], where: str = "configuration") -> Any:
    """`model` built from `values`.

    Raises UserError with one line for the first fault; an unknown key names the nearest valid one.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise UserError(f"{where}: {_first_fault(model, error)}") from None


def _first_fault(model: type[BaseModel], error: ValidationError) -> str:
    fault = error.errors()[0]
    path = ".".join(str(part) for part in fault["loc"])
    if fault["type"] != "extra_forbidden":
        return f"“{path}” is {fault['input']!r}: {fault['msg'][0].lower()}{fault['msg'][1:]}."
    known = _section_at(model, fault["loc"][:-1]).model_fields
    return f"unknown key “{path}”.{nearest(str(fault['loc'][-1]), known)} Valid here: {', '.join(known)}."


def _section_at(model: type[BaseModel], path: tuple[int | str, ...]) -> type[BaseModel]:
    for key in path:
        annotation = model.model_fields[str(key)].annotation
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            model = annotation
    return model
