"""What a method may say beside what it must (base.py), and what holds where it says nothing.

A method overrides what is not true of it: which adapters it has, how they are penalised, what answering takes, what
people can see inside it. Saving and loading follow from what it declares: `kept` (statistics), and `adapter_state` and
`head_state` with `load_trained` (trained tensors), which the families of methods declare for their members.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor, nn

from core.adapters.mixed import mixed
from core.adapters.sites import parse_blocks, sites_of
from core.adapters.updates import AnyUpdates, Updates
from core.backbones.vit import Backbone
from core.config import RunConfig, Section, validate
from core.errors import UserError
from core.methods.inputs import Inputs
from core.retrieval.kept import Kept
from core.retrieval.mixture import GaussianMixture
from core.retrieval.scores import LikelihoodRetriever, WhitenedRetriever

PAST_IS_FROZEN: Literal["past_is_frozen"] = "past_is_frozen"
"""Promise: `embed(·, k)` is bit-equal ever after task k was learned."""


class NoOptions(Section):
    """The options of a method that has none."""


@dataclass(frozen=True)
class Step:
    """Where training stands: `fraction` of this task's steps are behind it."""

    task: int
    step: int
    steps: int

    @property
    def fraction(self) -> float:
        return self.step / max(1, self.steps)


@dataclass
class TaskState:
    """What one task leaves in its folder."""

    adapter: dict[str, Tensor] = field(default_factory=dict)
    head: dict[str, Tensor] = field(default_factory=dict)
    mixture: dict[str, np.ndarray] = field(default_factory=dict)
    gates: dict[str, Any] = field(default_factory=dict)

    def stored_bytes(self) -> int:
        """Bytes of its tensors and arrays."""
        tensors = [*self.adapter.values(), *self.head.values()]
        return sum(t.numel() * t.element_size() for t in tensors) + sum(a.nbytes for a in self.mixture.values())


class Defaults(nn.Module):
    """What holds for a method that says nothing else. The backbone is not part of its `state_dict`."""

    promises: ClassVar[frozenset[str]] = frozenset()
    mixes: ClassVar[bool] = False
    """Whether `embed_rows` takes images of different tasks in one pass."""
    takes_adapters: ClassVar[bool] = False
    """Whether `adapters.given` means something to it."""
    Options: ClassVar[type[Section]] = NoOptions
    best_class_decides: ClassVar[bool] = False
    """Whether a task's score is that of its best class."""
    shared_space: WhitenedRetriever | None = None
    """Compares all tasks in one whitened space of `shared_features`; None for methods that do not."""
    own_spaces: LikelihoodRetriever | None = None
    """Compares tasks each in the space of its own adapter; None for methods that do not."""

    def __init__(self, backbone: Backbone, features: int, config: RunConfig, device: torch.device) -> None:
        """`features` is the width of the frozen features. Raises UserError for an option that does not exist."""
        super().__init__()
        self._outside = (backbone,)  # in a tuple, so that it is no submodule: its weights are not the method's
        self.features, self.config, self.device = features, config, device
        if config.adapters.given and not self.takes_adapters:
            raise UserError(f"method {config.method.name} trains its own adapters: adapters.given is for proteus.")
        self.options: Any = validate(self.Options, config.method.options, f"method {config.method.name}")
        self.classes: list[tuple[int, ...]] = []
        self.answer_strength = config.adapters.strength
        """What `strength` is in answers; `answer_with` changes it."""
        self._shared_prefix: int | None = None

    # ------------------------------------------------------------------------------- what every method has

    @property
    def backbone(self) -> Backbone:
        return self._outside[0]

    @property
    def tasks(self) -> int:
        """Tasks begun so far."""
        return len(self.classes)

    @property
    def strength(self) -> float:
        """The share of a trained update that counts now: all of it in training.

        Published: between the weights before and after fine-tuning lie models that keep more of what the first knew and
        lose little of what the second learned (WiSE-FT, Wortsman et al. 2022, arXiv 2109.01903). Our decision: the head
        stays as it was trained.
        """
        return 1.0 if self.training else self.answer_strength

    @property
    def scale(self) -> float:
        """α as it counts now."""
        return self.config.adapters.alpha * self.strength

    @property
    def adapted_blocks(self) -> tuple[int, ...]:
        """The configured blocks, as numbers of this backbone's."""
        return parse_blocks(self.config.adapters.blocks, self.backbone.depth)

    @property
    def first_block(self) -> int:
        """The block that tokens enter; those before it are never changed. Depth for methods without adapters."""
        return min(self.adapted_blocks) if self._shared_prefix is None else self._shared_prefix

    @torch.no_grad()
    def first_changed(self) -> int:
        """The first block that any task learned so far does change; depth where there is none."""
        changed = [block for task in range(self.tasks) for block in self.updates(task)]
        return min(changed, default=self.backbone.depth)

    def share_prefix(self) -> None:
        """From here on tokens enter `first_changed`: for a method that learns no more."""
        self._shared_prefix = self.first_changed()

    def adapter_sites(self) -> tuple[Any, ...]:
        """The configured sites, with blocks resolved for this backbone."""
        return sites_of(self.adapted_blocks, self.config.adapters.projections)

    # -------------------------------------------------------------------------------------------- training

    def curriculum(self, tasks: int) -> list[tuple[int, ...]]:
        """The tasks of the stream that are learned together, in order. Only `joint` has more than one in a group."""
        return [(task,) for task in range(tasks)]

    def rank(self, task: int) -> int:
        """Units that task `task` adds at a site."""
        adapters = self.config.adapters
        return adapters.first_rank if task == 0 and adapters.first_rank else adapters.rank

    def start_heads(self, tasks: Sequence[int], inputs: Inputs) -> None:
        """Fit the heads of new `tasks` to their images before anything is trained; nothing where there are none."""

    def trainable(self) -> list[nn.Parameter]:
        """What the optimiser moves now; nothing for methods that only accumulate."""
        return [parameter for parameter in self.parameters() if parameter.requires_grad]

    def rates(self) -> list[tuple[list[nn.Parameter], float]]:
        """`trainable` in groups, each with its own multiple of the learning rate."""
        return [(self.trainable(), 1.0)]

    def after_step(self, step: Step, share: float) -> None:
        """Called after each step of the optimiser, for what is no gradient.

        `share` is the step's part of the task's training: its learning rate, of the sum of all steps' learning rates.
        """

    def penalties(self, step: Step) -> dict[str, Tensor]:
        """Scalar terms added to the cross-entropy, by name."""
        return {}

    def penalised(self, cross_entropy: Tensor, step: Step) -> tuple[Tensor, dict[str, Tensor]]:
        """What `loss` returns: the cross-entropy and this method's penalties, summed, and each by name."""
        parts = {"cross_entropy": cross_entropy, **self.penalties(step)}
        return torch.stack(list(parts.values())).sum(), parts

    # -------------------------------------------------------------------------------------------- adapters

    def updates(self, task: int) -> Updates:
        """What the adapters of `task` add to the backbone."""
        return {}

    def embed(self, tokens: Tensor, task: int, first: int | None = None) -> Tensor:
        """(n, width) embeddings with task `task`'s adapters, of tokens that enter block `first` (None: first_block)."""
        return embedded(self.backbone, tokens, self.first_block if first is None else first, self.updates(task))

    def embed_rows(self, tokens: Tensor, tasks: Tensor) -> Tensor:
        """(n, width) of n images, each with the adapters of the task that `tasks` (n,) names for it.

        They must all be one task's unless the method `mixes`. Tokens enter `first_block`.
        """
        named, owner = tasks.unique(return_inverse=True)
        if not self.mixes:
            return self.embed(tokens, int(named.item()))
        together = mixed([self.updates(task) for task in named.tolist()], owner.to(tokens.device))
        return embedded(self.backbone, tokens, self.first_block, together)

    def merge(self) -> None:
        """Fold the adapters into the weights for answering, where one adapter serves every task; undone by training."""

    # ------------------------------------------------------------------------------------------- answering

    def answer_with(self, strength: float) -> None:
        """From here on use this share of every trained update in answers; heads and statistics stay as they are."""
        self.answer_strength = strength
        self.merge()

    def passes(self) -> tuple[bool, int]:
        """What answering for one image takes: a frozen pass or not, and how many passes through adapted blocks."""
        return False, 1

    @property
    def views(self) -> int:
        """Views of an image over which its frozen features are averaged; 1 for methods that do not read them."""
        return self.config.retrieval.views if self.passes()[0] else 1

    # -------------------------------------------------------------------------- for people who look inside

    def class_parts(self, inputs: Inputs, task: int, rows: Tensor) -> dict[str, Tensor]:
        """What adds up to the scores of the task's classes, (rows, classes of task) each; empty for a single part."""
        return {}

    def scores_inside(self, inputs: Inputs, task: int) -> Tensor:
        """(n, classes of task): the class scores that `classify` compares inside the task."""
        parts = self.class_parts(inputs, task, torch.arange(len(inputs)))
        return torch.stack(list(parts.values())).sum(0)

    def nearest_component(self, inputs: Inputs, tasks: Tensor) -> Tensor:
        """(n,) position in the mixture of the task named for each image; −1 for methods without mixtures."""
        if self.shared_space:
            return self.shared_space.nearest_component(self.shared_features(inputs), tasks)
        if self.own_spaces:
            return self.own_spaces.nearest_component(inputs, tasks)
        return torch.full((len(inputs),), -1)

    def shared_features(self, inputs: Inputs) -> Tensor:
        """(n, features) that `shared_space` scores; what stands after the frozen features is the first adapter's."""
        return inputs.frozen

    def whitened(self, inputs: Inputs) -> Tensor | None:
        """(n, dimensions) in the method's whitened space, for the map; None where it has none."""
        return self.shared_space.whitening(self.shared_features(inputs)) if self.shared_space else None

    def task_mixtures(self) -> list[GaussianMixture] | None:
        """Each task's density in the space of `whitened`, if retrieval picks the likeliest there."""
        return None

    def expected_error(self) -> float | None:
        """Of picking the task of a new image, from training images that were left out; None where unknown."""
        found = [kept.expected_error() for kept in self.kept]
        return next((error for error in found if error is not None), None)

    def own_mixtures(self) -> list[GaussianMixture] | None:
        """Each task's density in the space of its own `in_own_space`, if retrieval picks the likeliest there."""
        return self.own_spaces.task_mixtures() if self.own_spaces else None

    def in_own_space(self, inputs: Inputs, task: int) -> Tensor:
        """(n, dimensions) in the space of the own mixture of `task`."""
        if not self.own_spaces:
            raise NotImplementedError(f"{type(self).__name__} has no mixtures in spaces of their own")
        return self.own_spaces.projected(inputs.embedding(task), task)

    def gates(self, task: int) -> dict[str, Any]:
        """For gates.json: what the adapters of `task` change, and where."""
        return {}

    # --------------------------------------------------------------------------------------------- saving and loading

    @property
    def kept(self) -> tuple[Kept, ...]:
        """The statistics that the method fits: each is saved with the run, and loaded, by itself."""
        return tuple(kept for kept in (self.shared_space, self.own_spaces) if kept is not None)

    def adapter_state(self, task: int) -> dict[str, Tensor]:
        """The tensors that were trained for `task`, heads aside, on the CPU."""
        return {}

    def head_state(self, task: int) -> dict[str, Tensor]:
        """The head's tensors that go into the folder of `task`, on the CPU."""
        return {}

    def load_trained(self, task: int, adapter: Mapping[str, Tensor], head: Mapping[str, Tensor]) -> None:
        """Take back what `adapter_state` and `head_state` returned, in the room that `begin_task` has made."""

    def make_room(self, task: int, classes: tuple[int, ...], state: TaskState) -> None:
        """Before a task is loaded: what `begin_task` does, without a draw that counts."""
        self.begin_task(task, classes, torch.Generator())

    def begin_task(self, task: int, classes: tuple[int, ...], generator: torch.Generator) -> None:
        """Declared by `Method`."""
        raise NotImplementedError

    def task_state(self, task: int) -> TaskState:
        """What `task` leaves in its folder, as it is now."""
        arrays = {name: array for kept in self.kept for name, array in kept.task_arrays(task).items()}
        return TaskState(self.adapter_state(task), self.head_state(task), arrays, self.gates(task))

    def load_task(self, task: int, classes: tuple[int, ...], state: TaskState) -> None:
        """Take a finished task back from its folder; tasks come in order."""
        self.make_room(task, classes, state)
        self.load_trained(task, state.adapter, state.head)
        for kept in self.kept:
            kept.load_task(state.mixture)

    def shared_state(self) -> dict[str, Tensor]:
        """What is carried over tasks and is not any one task's."""
        return {name: tensor for kept in self.kept for name, tensor in kept.shared_state().items()}

    def load_shared(self, state: Mapping[str, Tensor]) -> None:
        """Take back what `shared_state` returned after the last finished task."""
        for kept in self.kept:
            kept.load_shared(state)

    def answer_state(self) -> dict[str, Tensor]:
        """The part of what is shared that answering takes; small, where `shared_state` may be large."""
        return {name: tensor for kept in self.kept for name, tensor in kept.answer_state().items()}

    def load_answer(self, state: Mapping[str, Tensor]) -> None:
        """Take back what `answer_state` returned: enough to answer, not to learn on."""
        for kept in self.kept:
            kept.load_answer(state)


def embedded(backbone: Backbone, tokens: Tensor, first: int, updates: AnyUpdates | None = None) -> Tensor:
    """(n, width) of tokens that enter block `first`."""
    return backbone.readout(backbone.run(tokens, first, backbone.depth, updates, cls_only=backbone.cls_only))
