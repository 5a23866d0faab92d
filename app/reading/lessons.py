"""Lessons as data: one TOML file a lesson. Whatever is wrong in a file is said in one line."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from app.reading.glossary import glossary, terms_in
from app.reading.lesson_numbers import CURVES, NUMBERS
from app.reading.toml_files import Part, Text, read_toml, validated
from core.errors import UserError

LESSONS = Path(__file__).resolve().parents[2] / "assets" / "lessons"
FIGURES = (
    *("matrix", "curves", "first-task", "runs", "told", "confusion", "errors", "ladder", "distances", "components"),
    *("found", "blocks", "reuse", "overlap"),
)
"""What a step may show; `app/figures/lesson_figures.py` draws each."""
_NUMBER = re.compile(r"\{(?:([a-z]\w*)\.)?([a-z]\w*)\}")


class _Step(Part):
    title: Text
    text: str = ""
    """Markdown. `{run.number}` stands for a number of a run, `[[term]]` for a word of the glossary."""
    figure: Literal[FIGURES] | None = None  # type: ignore[valid-type]
    run: str | None = None
    """Name, within the lesson, of the run that the figure shows; without it the first."""


class Read(_Step):
    """Something to read."""

    kind: Literal["read"]
    text: Text


class Predict(_Step):
    """A question that the reader answers before the run does."""

    kind: Literal["predict"]
    form: Literal["number", "choice", "curve"]
    answer: str | int
    """A number (or for a curve a series) of a run by its name, such as `one.final_accuracy`; of choices the place of
    the right one, from 1."""
    choices: tuple[Text, ...] = ()
    least: float = 0
    most: float = 100
    unit: str = "%"

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.form == "choice":
            if not isinstance(self.answer, int) or not 1 <= self.answer <= len(self.choices):
                raise ValueError("`answer` must be the place of the right choice, from 1")
        elif not isinstance(self.answer, str):
            raise ValueError("`answer` must name a number of a run, such as “final_accuracy”")
        if self.least >= self.most:
            raise ValueError("`least` must be below `most`")
        return self


class Draw(_Step):
    """A curve that the reader draws with a finger, the mouse or the keys before the run's own is drawn over it."""

    kind: Literal["draw"]
    answer: Text
    """A series of a run by its name, such as `one.first_task`."""
    form: ClassVar = "curve"
    choices: ClassVar[tuple[str, ...]] = ()
    least: ClassVar = 0.0
    most: ClassVar = 100.0
    unit: ClassVar = "%"


Question = Predict | Draw
"""A step that asks for a prediction."""


class Reveal(_Step):
    """What the run says, with the last prediction drawn in."""

    kind: Literal["reveal"]


class Do(_Step):
    """An experiment on another page of the app."""

    kind: Literal["do"]
    text: Text
    page: Text
    label: Text
    parameters: dict[str, str | int] = Field(default_factory=dict)


class Takeaway(_Step):
    """What should stay."""

    kind: Literal["takeaway"]
    text: Text


class Choice(Part):
    """An answer that can be picked, and why it is right or wrong."""

    text: Text
    right: bool = False
    why: Text


class Check(_Step):
    """A question at the end."""

    kind: Literal["check"]
    choices: Annotated[tuple[Choice, ...], Field(min_length=2)]

    @model_validator(mode="after")
    def _one_is_right(self) -> Self:
        if sum(choice.right for choice in self.choices) != 1:
            raise ValueError("exactly one of `choices` must have `right = true`")
        return self


Step = Annotated[Read | Predict | Draw | Reveal | Do | Takeaway | Check, Field(discriminator="kind")]


class Lesson(Part):
    """A question, and the steps that answer it."""

    name: str
    title: Text
    question: Text
    minutes: Annotated[int, Field(ge=1, le=60)]
    order: int = 100
    """Where the lesson stands in the list."""
    runs: Annotated[dict[str, Text], Field(min_length=1)]
    """Name within the lesson → name of a recorded run."""
    steps: Annotated[tuple[Step, ...], Field(min_length=1)]

    @property
    def first(self) -> str:
        """The run that is meant where none is named."""
        return next(iter(self.runs))

    def before(self, step: int) -> int | None:
        """The place of the last prediction before `step`, from 0; None without one."""
        return next((at for at in range(step - 1, -1, -1) if isinstance(self.steps[at], Question)), None)

    @model_validator(mode="after")
    def _holds_together(self) -> Self:
        for at, step in enumerate(self.steps):
            where = f"steps.{at + 1}"
            for run, number in _names(step):
                self._known_run(run, f"{where}.text")
                if number not in NUMBERS:
                    raise ValueError(f"{where}.text: there is no number “{number}”; known are {', '.join(NUMBERS)}")
            self._known_run(step.run, f"{where}.run")
            if isinstance(step, Question) and isinstance(step.answer, str):
                run, _, number = step.answer.rpartition(".")
                self._known_run(run or None, f"{where}.answer")
                known = CURVES if step.form == "curve" else NUMBERS
                if number not in known:
                    raise ValueError(f"{where}.answer: “{number}” is none of {', '.join(known)}")
            if isinstance(step, Reveal) and self.before(at) is None:
                raise ValueError(f"{where}: a reveal needs a prediction before it")
        return self

    def _known_run(self, run: str | None, where: str) -> None:
        if run is not None and run not in self.runs:
            raise ValueError(f"{where}: “{run}” is none of the lesson's runs ({', '.join(self.runs)})")


def lesson_names() -> list[str]:
    """The lessons there are, in their order; a file that cannot be read comes last, so that the page can say why."""
    paths = sorted(path for path in LESSONS.glob("*.toml") if path.stem != "glossary")
    return [path.stem for path in sorted(paths, key=_order)]


def _order(path: Path) -> tuple[int, str]:
    try:
        return read_lesson(path).order, path.stem
    except UserError:
        return 1_000_000, path.stem


def lesson(name: str) -> Lesson:
    """The lesson of that name, one of `lesson_names`. Raises UserError when its file is not right."""
    return read_lesson(LESSONS / f"{name}.toml")


def read_lesson(path: Path) -> Lesson:
    """The lesson in a file. Raises UserError with file and field when it is not right."""
    try:
        changed = path.stat().st_mtime_ns
    except OSError as error:
        raise UserError(f"{path.name}: the lesson cannot be read ({error.strerror}).") from error
    return _lesson(path, changed)


@lru_cache(maxsize=64)
def _lesson(path: Path, changed: int) -> Lesson:
    del changed  # only tells one version from the next
    found = validated(Lesson, {"name": path.stem} | read_toml(path), path)
    words = glossary()
    for at, step in enumerate(found.steps):
        for term in terms_in(step.text):
            if term not in words:
                raise UserError(f"{path.name}: steps.{at + 1}.text: “{term}” is not in glossary.toml.")
    return found


def written(step: Any, numbers: Mapping[str, Mapping[str, str]]) -> Any:
    """The step with every number written out, in its text and in its choices."""
    changes: dict[str, Any] = {"text": with_numbers(step.text, numbers)}
    if isinstance(step, Check):
        changes["choices"] = tuple(
            choice.model_copy(
                update={"text": with_numbers(choice.text, numbers), "why": with_numbers(choice.why, numbers)}
            )
            for choice in step.choices
        )
    elif isinstance(step, Predict):
        changes["choices"] = tuple(with_numbers(choice, numbers) for choice in step.choices)
    return step.model_copy(update=changes)


def with_numbers(text: str, numbers: Mapping[str, Mapping[str, str]]) -> str:
    """`text` with every `{run.number}` written out; `numbers` are, by name of the run, those of `lesson_numbers`."""
    first = next(iter(numbers), "")
    return _NUMBER.sub(lambda found: numbers[found[1] or first].get(found[2], "–"), text)


def _names(step: Any) -> Iterator[tuple[str | None, str]]:
    texts = [step.text]
    for choice in getattr(step, "choices", ()):
        texts += [choice.text, choice.why] if isinstance(choice, Choice) else [choice]
    for text in texts:
        for found in _NUMBER.finditer(text):
            yield found[1], found[2]
