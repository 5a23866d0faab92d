"""What-if questions: the settings that the URL names, presets, and the last answers, kept for all sessions."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from app.reading.cards import RunCard, stamp
from app.shell.address import parameter
from app.shell.run_choice import available
from app.workers.helper import helper
from core.config import validate
from core.errors import UserError
from core.light import has_clustering, is_light
from core.retrieval.questions import Answer, Settings, spaces, unanswerable
from core.runs.store import Run

SPACES = {
    "whitened": "The run's whitened space",
    "frozen": "Frozen embedding",
    "frozen-whitened": "Frozen embedding, whitened here",
}
MIXTURES = {
    "class-seeded": "Class-seeded DP-GMM",
    "dp-gmm": "One DP-GMM per task",
    "gaussian": "One Gaussian per task",
    "means": "Class means",
    "kmeans": "k-means",
}
if not has_clustering():  # of a light installation
    MIXTURES = {"means": MIXTURES["means"]}
COVARIANCES = {"full": "full", "diagonal": "diagonal", "tied": "tied"}
COMPONENTS = ("1", "2", "3", "5", "10", "20", "40")
CONCENTRATIONS = ("0.001", "0.01", "0.1", "1", "10", "100")
DIMENSIONS = ("2", "4", "8", "16", "32", "64", "128")
KEYS = ("space", "mixture", "components", "concentration", "covariance", "dimensions")
"""Of the URL, and of Settings; `shortlist` is apart, as no preset changes it."""
MOST_SHORTLISTED = 5


@dataclass(frozen=True)
class Preset:
    """One click: the settings that differ from the defaults."""

    title: str
    values: Mapping[str, str]


PRESETS = {
    "shipped": Preset("As shipped (class-seeded)", {}),
    "literal": Preset("Literal (one DP-GMM per task)", {"space": "frozen", "mixture": "dp-gmm"}),
    "means": Preset("Class means", {"mixture": "means"}),
    "kmeans": Preset("k-means", {"mixture": "kmeans"}),
    "gaussian": Preset("Single Gaussian", {"mixture": "gaussian"}),
}

if not has_clustering():
    PRESETS = {"means": PRESETS["means"]}


def chosen(known: Sequence[str], task: int) -> Settings:
    """What the URL asks of a run that has the spaces `known`, after task `task`; unknown values become the default."""
    mixture = parameter("mixture", next(iter(MIXTURES)), MIXTURES)
    values: dict[str, object] = {
        "space": parameter("space", default_space(known), known),
        "mixture": mixture,
        "concentration": float(parameter("concentration", "0.1", CONCENTRATIONS)),
        "covariance": parameter("covariance", "full", covariances(mixture)),
        "dimensions": int(parameter("dimensions", "32", DIMENSIONS)),
        "shortlist": int(parameter("shortlist", "1", shortlists(task))),
        "after_task": task,
    }
    if components := parameter("components", "", COMPONENTS):
        values["components"] = int(components)
    found: Settings = validate(Settings, values, "what if")
    return found


def default_space(known: Sequence[str]) -> str:
    """The space in which the run tells tasks apart, or the nearest to it that the run has."""
    return "whitened" if "whitened" in known else "frozen-whitened"


def covariances(mixture: str) -> dict[str, str]:
    """The covariances that make a difference: a single component has no other to share its covariance with."""
    return {name: text for name, text in COVARIANCES.items() if mixture != "gaussian" or name != "tied"}


def shortlists(task: int) -> dict[str, str]:
    """Lengths of a shortlist of the tasks up to `task`."""
    return {str(k): str(k) for k in range(1, min(task + 1, MOST_SHORTLISTED) + 1)}


def preset(settings: Settings, known: Sequence[str]) -> str | None:
    """The preset whose settings `settings` are, if there is one."""
    for name, offered in PRESETS.items():
        values = {"space": default_space(known), "after_task": settings.after_task, "shortlist": settings.shortlist}
        if settings == Settings.model_validate({**values, **offered.values}):
            return name
    return None


def known_spaces(card: RunCard) -> tuple[str, ...]:
    """The choices of space that the run has."""
    return _about(card.folder, stamp(card.folder))[1]


def why_not(card: RunCard) -> str | None:
    """Why nothing can be asked about the run, in words that follow its name; None where it can be."""
    return _about(card.folder, stamp(card.folder))[0]


def another() -> RunCard | None:
    """A run about which something can be asked."""
    return next((card for card in available()[:20] if card.ready and card.tasks > 1 and _answers(card)), None)


def _answers(card: RunCard) -> bool:
    try:
        return why_not(card) is None
    except UserError:
        return False


@lru_cache(maxsize=64)
def _about(folder: Path, changed: int) -> tuple[str | None, tuple[str, ...]]:
    run = Run(folder)
    reason = unanswerable(run)
    if reason:
        return reason, ()
    known = spaces(run)
    if is_light():  # the other spaces are computed by torch
        known = tuple(space for space in known if space == "whitened")
    return None if known else "compares tasks in no whitened space, and other spaces need torch", known


_KEPT = 32
_answers_kept: OrderedDict[tuple[Path, int, Settings], Answer] = OrderedDict()
_lock = threading.Lock()


def known(card: RunCard, settings: Settings) -> Answer | None:
    """The answer, where it was given before."""
    key = _key(card, settings)
    with _lock:
        if key not in _answers_kept:
            return None
        _answers_kept.move_to_end(key)
        return _answers_kept[key]


def _key(card: RunCard, settings: Settings) -> tuple[Path, int, Settings]:
    return card.folder.resolve(), stamp(card.folder), settings


def ask(card: RunCard, settings: Settings, tick: Callable[[], None]) -> Answer:
    """The answer, from a process beside the server; calls `tick` while waiting for one that was not given before.

    Raises UserError where the run cannot say, or the process fails.
    """
    if given := known(card, settings):
        return given
    key = _key(card, settings)
    question = {"run": str(key[0]), "changed": key[1], "settings": settings.model_dump()}
    found = Answer.from_document(helper("answer_questions").ask(question, tick))
    with _lock:
        _answers_kept[key] = found
        while len(_answers_kept) > _KEPT:
            _answers_kept.popitem(last=False)
    return found
