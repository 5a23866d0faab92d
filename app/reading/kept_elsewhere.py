"""What runs gained on the classes they learned and lost on held-out ones, by setting, at every strength of the update.

A setting is what runs share that differ by their seed alone. They come from a recorded sweep (core.kept_elsewhere) or
from run folders with held-out classes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from app.reading import block_maps, tables
from app.reading.cards import RunCard
from core.kept_elsewhere import PICTURES, SWEEPS, known, read_answers, read_rows
from core.runs.schema import BackboneInfo
from core.runs.store import Run

if TYPE_CHECKING:
    import pyarrow as pa

GAINS = {"own": "Nearest neighbours", "class_incremental": "Accuracy"}
"""How it is asked what was gained on the learned classes, by its key in `dial` of metrics.json."""
KINDS = {
    "frozen": "Frozen model",
    "lora": "LoRA on every block",
    "learned": "Learned gates",
    "gradient": "Largest gradients",
    "random": "Random gates",
    "last": "Last gates",
    "penalty": "Penalty λ",
    "other": "Other methods",
}
"""How a setting chooses what it changes."""


@dataclass(frozen=True, eq=False)
class Answers:
    """What one run answered for the held-out images, (images,) each."""

    names: tuple[str, ...]
    label: np.ndarray
    sheet: np.ndarray
    cell: np.ndarray
    given: Mapping[str, np.ndarray]
    """Way of asking → int (images, strengths); left out where it was not asked."""


@dataclass(frozen=True, eq=False)
class Trained:
    """One run."""

    seed: int
    gates: block_maps.Gates
    """gates.json of its last task."""
    metrics: Mapping[str, Any]
    answers: Answers
    pictures: Path
    """The folder of its sheets of held-out thumbnails."""
    folder: str | None
    """The name of the run's folder, where it can be opened."""

    @property
    def dial(self) -> Mapping[str, Any]:
        return self.metrics["dial"]

    @property
    def classes(self) -> list[str]:
        """The held-out ones, which labels and answers are positions in."""
        return list(self.dial["classes"])

    def at(self, measure: str, strength: float) -> float:
        """A measure of the dial; NaN where it was not taken."""
        strengths, values = self.dial["strengths"], self.dial.get(measure)
        place = _place(strengths, strength)
        return float("nan") if place is None or values is None else float(values[place])


@dataclass(frozen=True, eq=False)
class Setting:
    """Runs that differ by their seed alone."""

    key: str
    """What names it in an address."""
    title: str
    kind: str
    """One of KINDS."""
    head_start: str
    runs: tuple[Trained, ...]

    @property
    def seeds(self) -> list[int]:
        return [run.seed for run in self.runs]

    def open_gates(self) -> tuple[float, int]:
        """How many gates are open, in the mean over seeds, and of how many; without gates both count adapted sites."""
        counts = [_open_of(run.gates) for run in self.runs]
        return float(np.mean([each[0] for each in counts])), max(each[1] for each in counts)

    def cost(self, name: str) -> float:
        """`bytes_per_task` or `flops_per_image`, in the mean over seeds."""
        return float(np.mean([run.metrics.get(name) or 0.0 for run in self.runs]))


@dataclass(frozen=True, eq=False)
class Comparison:
    """Settings of one stream that hold out as many classes; the same ones in a recorded sweep."""

    title: str
    backbone: BackboneInfo
    classes: tuple[str, ...]
    """Those that any of the runs holds out."""
    settings: tuple[Setting, ...]
    dates: tuple[str, ...] = ()
    """Days on which a recorded sweep's runs began."""
    planned: int = 0
    """How many runs a recorded sweep has when it is whole."""

    @property
    def strengths(self) -> list[float]:
        """Those at which any run was asked, ascending."""
        return sorted({float(s) for setting in self.settings for run in setting.runs for s in run.dial["strengths"]})

    def probes(self, names: Mapping[str, str]) -> dict[str, str]:
        """Those of `names` that every run was asked in."""
        dials = [run.dial for setting in self.settings for run in setting.runs]
        return {probe: title for probe, title in names.items() if all(probe in dial for dial in dials)}

    def frozen(self, measure: str) -> float:
        """What the frozen model reaches; NaN for `class_incremental` without a run of a linear discriminant on it."""
        if measure != "class_incremental":
            return float(np.nanmean([run.at(measure, 0.0) for setting in self.settings for run in setting.runs]))
        runs = [run for setting in self.settings if setting.kind == "frozen" for run in setting.runs]
        return float(np.mean([run.at(measure, 1.0) for run in runs])) if runs else float("nan")


@dataclass(frozen=True)
class Spread:
    """A mean over seeds and its range: of two or three seeds a 95% interval by Student's t would say almost nothing."""

    mean: float
    low: float
    high: float

    def points(self) -> str:
        """In points, for people."""
        ends = "" if self.low == self.high else f" ({100 * self.low:.1f} to {100 * self.high:.1f})"
        return f"{100 * self.mean:.1f}{ends}"


def spread(values: Sequence[float]) -> Spread:
    """Of one value or more."""
    return Spread(float(np.mean(values)), min(values), max(values))


@dataclass(frozen=True)
class Place:
    """Where a setting lies: gained upwards, lost across, as shares, with their ranges over its seeds."""

    setting: Setting
    gained: Spread
    lost: Spread


def places(found: Comparison, gain: str, probe: str, strength: float) -> list[Place]:
    """Every setting that was asked at this `strength`: what it gained over the frozen model, and what it lost."""
    reference = found.frozen(gain)
    shown = []
    for setting in found.settings:
        at = 1.0 if setting.kind == "frozen" else strength  # it has no update of which a share could be used
        gains = [run.at(gain, at) - (reference if gain == "class_incremental" else run.at(gain, 0.0))
                 for run in setting.runs]  # fmt: skip
        losses = [run.at(probe, 0.0) - run.at(probe, at) for run in setting.runs]
        if not np.isnan([*gains, *losses]).any():
            shown.append(Place(setting, spread(gains), spread(losses)))
    return shown


def front(shown: Sequence[Place]) -> list[Place]:
    """The Pareto front, from the least lost on: no other place gains at least as much and loses at most as much."""
    best, gained = [], -np.inf
    for place in sorted(shown, key=lambda place: (place.lost.mean, -place.gained.mean)):
        if place.gained.mean > gained:
            best.append(place)
            gained = place.gained.mean
    return best


@dataclass(frozen=True)
class ClassLoss:
    """One held-out class: the share of its images that are answered right, by the frozen model and at a strength."""

    name: str
    before: float
    after: float


def class_losses(found: Comparison, setting: Setting, probe: str, strength: float) -> list[ClassLoss]:
    """Every held-out class, that which lost most first; means over those of the setting's seeds that hold it out."""
    losses = []
    for name in found.classes:
        before, after = [], []
        for run in setting.runs:
            label = run.classes.index(name) if name in run.classes else -1
            rows = run.answers.label == label
            if rows.any():
                before.append((_given(run, probe, 0.0)[rows] == label).mean())
                after.append((_given(run, probe, strength)[rows] == label).mean())
        if before:
            losses.append(ClassLoss(name, float(np.mean(before)), float(np.mean(after))))
    return sorted(losses, key=lambda loss: loss.after - loss.before)


@dataclass(frozen=True)
class Changed:
    """A held-out image that is answered otherwise than by the frozen model."""

    name: str
    sheet: int
    cell: int
    label: int
    before: int
    after: int


def changed(run: Trained, probe: str, strength: float) -> list[Changed]:
    """The images whose answer changed, those first that were right before."""
    before, after, kept = _given(run, probe, 0.0), _given(run, probe, strength), run.answers
    rows = np.flatnonzero(before != after)
    order = rows[np.argsort(before[rows] != kept.label[rows], kind="stable")]
    return [
        Changed(kept.names[r], int(kept.sheet[r]), int(kept.cell[r]), int(kept.label[r]), int(before[r]), int(after[r]))
        for r in order.tolist()
    ]


def shifted(setting: Setting) -> dict[str, list[float]]:
    """Shift → accuracy undisturbed, then at each severity; means over seeds. Empty where it was not measured."""
    each = [run.metrics.get("shifts") or {} for run in setting.runs]
    names = [name for name in each[0] if name != "none" and all(name in one for one in each)]
    return {name: np.mean([one["none"] + one[name] for one in each], axis=0).tolist() for name in names}


def recorded(name: str, folder: Path = SWEEPS) -> Comparison:
    """A recorded sweep as far as it was trained. Raises UserError where it is missing or damaged."""
    file = folder / name / "rows.json"
    return _recorded(name, folder, file.stat().st_mtime_ns if file.exists() else 0)


def recorded_names(folder: Path = SWEEPS) -> list[str]:
    """The sweeps that have been trained."""
    return [name for name in known(folder) if (folder / name / "rows.json").exists()]


@lru_cache(maxsize=4)
def _recorded(name: str, folder: Path, changed: int) -> Comparison:
    del changed  # only tells one version from the next
    about, answers = read_rows(name, folder), read_answers(name, folder)
    owner = answers["row"].to_numpy()
    grouped: dict[str, list[tuple[dict[str, Any], Trained]]] = {}
    for number, row in enumerate(about["rows"]):
        mine = _answers(answers.filter(owner == number))
        pictures = folder / name / PICTURES / str(row["pictures"])
        run = Trained(row["seed"], row["gates"], row["metrics"], mine, pictures, None)
        point = {axis: value for axis, value in row["point"].items() if axis != "seed"}
        grouped.setdefault(json.dumps(point, sort_keys=True), []).append((point, run))
    settings = tuple(_setting(members[0][0], tuple(run for _, run in members)) for members in grouped.values())
    classes = tuple(about["rows"][0]["metrics"]["dial"]["classes"])
    backbone = BackboneInfo(**about["backbone"])
    dates = tuple(sorted({row["date"] for row in about["rows"]}))
    return Comparison(about["title"], backbone, classes, settings, dates, about["planned"])


def _setting(point: Mapping[str, Any], runs: tuple[Trained, ...]) -> Setting:
    method = point.get("method")
    options = dict(method) if isinstance(method, Mapping) else {}
    options |= {axis.removeprefix("method."): value for axis, value in point.items() if axis.startswith("method.")}
    start = str(point.get("training.head_start", "zero"))
    kind, title = _kind(options)
    starts = " from a head at zero" if start == "zero" and kind != "frozen" else ""
    key = "-".join(str(part) for part in (kind, options.get("active_blocks") or options.get("sparsity"), start) if part)
    return Setting(key, title + starts, kind, start, runs)


def _kind(options: Mapping[str, Any]) -> tuple[str, str]:
    """Which of KINDS the settings of a method are, and what they are called."""
    name, budget = options.get("name"), options.get("active_blocks")
    if name == "lda":
        return "frozen", "Frozen model"
    if name == "sequential":
        return "lora", "LoRA everywhere"
    if name == "selective-lora" and budget:
        selection = str(options.get("selection", "learned"))
        kind = selection if selection in KINDS else "other"
        share = f"{budget:.0%} of gates" if isinstance(budget, float) else f"{budget} gate{'s' * (budget != 1)}"
        return kind, f"{share}, {KINDS[kind].lower().removesuffix(' gates')}"
    if name == "selective-lora":
        return "penalty", f"λ = {float(options.get('sparsity') or 0):g}"
    return "other", str(name)


def own(cards: Iterable[RunCard]) -> dict[str, Comparison]:
    """Of the finished runs among `cards`, those with held-out classes, by a name for their stream and backbone.

    Which classes are held out may differ by seed.
    """
    grouped: dict[str, dict[str, list[tuple[RunCard, Trained]]]] = {}
    for card in cards:
        dial = tables.metrics(card).get("dial") if card.ready else None
        if not isinstance(dial, Mapping) or "readout" not in dial:
            continue
        config = {key: value for key, value in tables.manifest(card).config.items() if key not in ("seed", "title")}
        what = f"{card.stream}, {len(dial['classes'])} classes held out, {card.backbone}"
        grouped.setdefault(what, {}).setdefault(json.dumps(config, sort_keys=True), []).append((card, _trained(card)))
    return {what: _of_runs(what, alike) for what, alike in grouped.items()}


def _trained(card: RunCard) -> Trained:
    run, config = Run(card.folder), tables.manifest(card).config
    gates = tables.gates(card)
    return Trained(
        int(config.get("seed", 0)), gates[-1], tables.metrics(card), _answers(run.held_out()),
        card.folder / PICTURES, card.name,
    )  # fmt: skip


def _of_runs(what: str, alike: Mapping[str, Sequence[tuple[RunCard, Trained]]]) -> Comparison:
    settings = []
    for members in alike.values():
        card = members[0][0]
        config = tables.manifest(card).config
        kind, _ = _kind({"name": card.method, **config.get("method", {})})
        start = str(config.get("training", {}).get("head_start", "zero"))
        settings.append(Setting(card.name, card.title, kind, start, tuple(run for _, run in members)))
    first = next(iter(alike.values()))[0][0]
    names = sorted({name for setting in settings for run in setting.runs for name in run.classes})
    return Comparison(what, tables.manifest(first).backbone, tuple(names), tuple(settings))


def _answers(table: pa.Table) -> Answers:
    kept = table.to_pydict()
    given = {
        probe: np.array(kept[probe])
        for probe in ("readout", "knn", "zero_shot")
        if kept[probe] and all(len(each) for each in kept[probe])
    }
    label, sheet, cell = (np.array(kept[name], int) for name in ("label", "sheet", "cell"))
    return Answers(tuple(kept["name"]), label, sheet, cell, given)


def _given(run: Trained, probe: str, strength: float) -> np.ndarray:
    """(images,) what was answered at a strength; no images where it was not asked."""
    place, given = _place(run.dial["strengths"], strength), run.answers.given.get(probe)
    return np.full(len(run.answers.label), -1) if place is None or given is None else given[:, place]


def _place(strengths: Sequence[float], strength: float) -> int | None:
    near = np.flatnonzero(np.isclose(strengths, strength))
    return int(near[0]) if len(near) else None


def _open_of(gates: block_maps.Gates) -> tuple[int, int]:
    """How many gates are open, and of how many."""
    every, active = block_maps.scores(gates), block_maps.active_by_gate(gates)
    if active is not None and every:
        return len(active), len(every)
    sites = gates.get("sites")
    count = len(sites) if isinstance(sites, Mapping) else 0
    return count, count
