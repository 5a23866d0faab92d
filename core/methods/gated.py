"""Shared by the methods with gates: their options, how a budget is met while training, and the history that is kept.

Published: one indicator per gate, learned with the straight-through gradient and the penalty (λ/N) Σ|s| (core.adapters.
gates). Our decisions: gates close only after a warm-up, because with ΔW = 0 a score gets no gradient from the task.
With a budget, scores learn as published, gates close on a schedule until a share of the steps (`settled`), and other
ways of choosing compete with learning. Without a budget, λ weighs the pulls that were seen in the warm-up, once: Adam
moves a score by the learning rate whatever λ is, and that left all gates open (docs/methods.md has the figures). Once
gates stay as they are, the rest of the training computes open ones alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Literal, Self

import torch
from pydantic import Field, field_validator, model_validator
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from core.adapters.gates import Gates, Per, annealed, gate_name, gate_names
from core.adapters.sites import Site
from core.config import Section
from core.errors import UserError
from core.methods.base import Method, Step

_POINTS = 40
"""About this many moments of a task's training are kept in the history."""
_ENOUGH = 3
"""Steps in which gates were pulled at before λ decides: a single batch says little, and at ΔW = 0 there is no pull."""


class GateOptions(Section):
    """[method] of the configuration, for methods with gates."""

    active_blocks: int | float | None = None
    """How many gates end open, exactly: a whole number of them, or, written with a point (0.05; 1.0 is all), a share of
    them, rounded and at least one. None leaves the number to the scores and λ."""
    gates_per: Per = "block"
    """What a gate switches: all adapters of a 'block', or each 'site' (a projection of a block) alone."""
    selection: Literal["learned", "random", "last", "gradient"] = "learned"
    """Which gates fill the budget: those with the best learned scores; drawn by the seed; the last ones; or those whose
    weights had the largest gradients until the warm-up's end."""
    sparsity: float = Field(0.3, ge=0)
    """λ, the price of an open gate: without a budget, the weakest gates close that hold less than this share of the
    pull on the loss (0 closes none, 1 all but the strongest); with one, the weight of the penalty on learned scores.
    The papers try 0.1, 0.3 and 1."""
    warmup: float = Field(0.2, ge=0, le=1)
    """Share of a task's steps before any gate closes."""
    settled: float = Field(0.7, gt=0, le=1)
    """Share of a task's steps after which a budget is met, and gates stay as they are."""

    @field_validator("active_blocks", mode="before")
    @classmethod
    def _one_meaning(cls, value: object) -> object:
        whole = isinstance(value, int) and not isinstance(value, bool) and value >= 1
        share = isinstance(value, float) and 0 < value <= 1
        if value is None or whole or share:
            return value
        raise ValueError("write a whole number such as 3, or a share above 0 and up to 1.0 such as 0.05")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.selection != "learned" and self.active_blocks is None:
            raise ValueError(f"selection “{self.selection}” chooses for a budget: set active_blocks too")
        if self.warmup >= self.settled:
            raise ValueError(f"settled ({self.settled}) must come after warmup ({self.warmup})")
        return self

    def budget(self, gates: int) -> int | None:
        """How many of `gates` end open; None where λ decides. Raises UserError for more than there are."""
        wanted = self.active_blocks
        if isinstance(wanted, float):
            return max(1, math.floor(wanted * gates + 0.5))
        if wanted is not None and wanted > gates:
            raise UserError(f"method.active_blocks is {wanted}, but only {gates} can be active here: ask for fewer.")
        return wanted


class Gated(Method):
    """What all methods whose adapters have gates do in the same way."""

    @property
    def first_block(self) -> int:
        """Where the blocks are chosen without training, those before the first chosen one are frozen for good."""
        chosen = fixed_choice(self.options, self.adapter_sites(), self.config.seed)
        if chosen is None or self._shared_prefix is not None:
            return super().first_block
        return min(site.block for site in self.adapter_sites() if gate_name(site, self.options.gates_per) in chosen)

    def new_gates(self) -> Gates:
        """Gates over all adapter sites, with this method's budget."""
        sites, per = self.adapter_sites(), self.options.gates_per
        return Gates(sites, per, self.options.budget(len(gate_names(sites, per)))).to(self.device)

    def trainable(self) -> list[nn.Parameter]:
        """Without a budget scores are weighed, not trained: they get gradients, but the optimiser leaves them alone."""
        weighed = {id(gates.scores) for gates in self.modules() if isinstance(gates, Gates) and gates.budget is None}
        return [parameter for parameter in super().trainable() if id(parameter) not in weighed]

    def gate_penalties(self, gates: Gates, step: Step) -> dict[str, Tensor]:
        """Where scores are trained, λ times their sparsity from the end of the warm-up on."""
        if gates.budget is None:
            return {}
        return {"sparsity": (self.options.sparsity if step.fraction >= self.options.warmup else 0.0) * gates.sparsity()}


def fixed_choice(options: GateOptions, sites: Sequence[Site], seed: int) -> frozenset[str] | None:
    """The gates that are chosen before anything is trained, or None; one choice per run, for all its tasks."""
    if options.selection not in ("last", "random"):
        return None
    names = gate_names(sites, options.gates_per)
    count = options.budget(len(names)) or len(names)
    if options.selection == "last":
        return frozenset(names[-count:])
    order = torch.randperm(len(names), generator=torch.Generator().manual_seed(seed)).tolist()
    return frozenset(names[index] for index in order[:count])


class Gating:
    """One task's gates while they are trained."""

    def __init__(
        self, gates: Gates, weights: Mapping[Site, Sequence[nn.Parameter]], options: GateOptions, seed: int
    ) -> None:
        """`weights` are the trained tensors behind each site; those of gates that are closed for good become zero."""
        self.gates, self.weights, self.options = gates, weights, options
        self.history: dict[str, Any] = {"steps": [], "scores": {name: [] for name in gates.names}}
        self._squares = torch.zeros(len(gates), device=gates.scores.device)
        self._steps_noted = 0
        self._hooks: list[RemovableHandle] = []
        self._steps = 0
        if gates.settled:
            return
        if (chosen := fixed_choice(options, gates.sites, seed)) is not None:
            gates.scores.data = torch.tensor([float(name in chosen) for name in gates.names]).to(gates.scores)
            self.settle()
        elif options.selection == "gradient":
            gates.scores.requires_grad_(False)
            self._watch_gradients()
        elif gates.budget is None:
            self._hooks.append(gates.scores.register_post_accumulate_grad_hook(self._note_pull))

    def before(self, step: Step) -> None:
        """What is due before a training step: the schedule, and a point of the history."""
        self._steps = step.steps
        if not self.gates.settled:
            self._move(step)
        if step.step % max(1, step.steps // _POINTS) == 0:
            self._record(step.step)

    def finish(self) -> None:
        """Training is over: gates are closed as they should be, however short it was."""
        if not self.gates.settled:
            self._decide()
        self.settle()
        self._record(self._steps)

    def settle(self) -> None:
        """Gates stay as they are from here on."""
        for hook in self._hooks:
            hook.remove()
        self.gates.settle()
        self._clear_closed()

    def _move(self, step: Step) -> None:
        options, gates = self.options, self.gates
        if options.selection == "gradient" or gates.budget is None:
            enough = 1 if options.selection == "gradient" else _ENOUGH
            if step.fraction >= options.warmup and self._steps_noted >= enough:
                self._decide()
                self.settle()
        elif step.fraction >= options.settled:
            self.settle()
        elif gates.budget is not None:
            gates.keep(annealed(step.fraction, len(gates), gates.budget, options.warmup, options.settled))
            self._clear_closed()

    def _clear_closed(self) -> None:
        """Set the weights of closed gates to zero: those gates never open again."""
        kept = set(self.gates.open_sites())
        for site, parameters in self.weights.items():
            for parameter in parameters if site not in kept else ():
                parameter.requires_grad_(False).data.zero_()

    def _watch_gradients(self) -> None:
        for site, parameters in self.weights.items():
            index = self.gates.names.index(gate_name(site, self.gates.per))
            for parameter in parameters:
                self._hooks.append(parameter.register_hook(partial(self._note, index)))
        first = next(iter(self.weights.values()))[0]
        self._hooks.append(first.register_hook(self._count))

    def _note(self, index: int, gradient: Tensor) -> None:
        self._squares[index] += gradient.detach().float().square().sum()

    def _count(self, gradient: Tensor) -> None:
        self._steps_noted += 1

    def _note_pull(self, scores: Tensor) -> None:
        """A gate's gradient, of this step; steps in which nothing pulls at any gate, as at the start, do not count."""
        assert scores.grad is not None
        if scores.grad.any():
            self._squares += scores.grad.float().square()
            self._steps_noted += 1
        scores.grad = None

    def _decide(self) -> None:
        """Set scores where they are not learned: by what was seen in the steps so far, as root mean squares."""
        seen = (self._squares / max(1, self._steps_noted)).sqrt()
        if self.options.selection == "gradient":
            self.gates.scores.data = seen
        elif self.gates.budget is None and self._steps_noted and self.options.sparsity:
            self.gates.weigh(seen, self.options.sparsity)

    def _record(self, step: int) -> None:
        """Scores now; None for a gate that a budget has closed."""
        closed = [False] * len(self.gates) if self.gates.closed is None else self.gates.closed.tolist()
        self.history["steps"].append(step)
        for name, score, gone in zip(self.gates.names, self.gates.scores.detach().tolist(), closed, strict=True):
            self.history["scores"][name].append(None if gone else round(score, 5))
