"""Proteus Lab from Python: the calls behind the command line, and the figures of the app.

    import proteus_lab as lab

    run = lab.train({"stream": {"name": "split-digits"}, "method": {"name": "lda"}})
    run = lab.Run.open("proteus-split-digits")
    run.accuracy            # a DataFrame
    run.figures.accuracy()  # a Plotly figure, the one of the page Forgetting
    run.explain(17)         # why this test image was answered as it was

Nothing heavy is imported before it is needed: torch by `train` and `predict`, Plotly by figures. What the
person can put right raises UserError, with the line that the command line prints. docs/python-api.md tells more.
"""

from __future__ import annotations

import builtins
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from app.reading import accuracy as accuracies
from app.reading import answers, cards, explain, tables
from core import __version__, listing
from core.config import merge, read_config
from core.errors import UserError
from core.flags import nested, over_preset
from core.light import needing
from core.runs import store
from core.runs.evidence import RecordedEvidence, read_evidence
from core.runs.folders import run_folders

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa
    from PIL import Image
    from plotly.graph_objects import Figure

    from app.figures.palette import Theme
    from core.retrieval.questions import Answer
    from core.runs.schema import Manifest, Status
    from core.training.explaining import Explanation as ImageExplanation
    from core.training.inference import TrainedModel

__all__ = [
    "RECORDED_RUNS", "Explanation", "Figures", "Run", "UserError", "WhatIf", "__version__", "assemble", "compare",
    "curves", "import_run", "train",
]  # fmt: skip

RECORDED_RUNS = cards.RECORDED_RUNS
"""The folder of the runs that are shipped with the project."""

Event = dict[str, Any]
OnEvent = Callable[[Event], None]
AnyImage: TypeAlias = "str | Path | Image.Image | np.ndarray"


def train(
    config: Mapping[str, Any] | str | Path | None = None,
    *,
    preset: str | None = None,
    smoke: bool = False,
    resume: str | Path | Run | None = None,
    runs: str | Path | None = None,
    title: str | None = None,
    name: str | None = None,
    on_event: OnEvent | None = None,
    progress: bool = True,
) -> Run:
    """Learn a stream of tasks and return the finished run, as `python -m core train` does.

    `config` is a RunConfig's keys, nested or dotted ({"stream.name": "split-digits"}), or the path of a TOML file; with
    a `preset` it is laid over that. `resume` goes on with a run that stopped. `runs` is the folder of run folders
    (PROTEUS_RUNS, else `runs` here).
    `on_event` is called with a dict of `kind` start, phase, loss, task or end as events.jsonl has them, and of kind
    progress (state, phase, task, step, steps, fraction, eta_s, message) about twice a second.

    Raises UserError when something is wrong with the configuration, the images, the weights or the disk, and when the
    run was cancelled (the Stop button of a notebook, Ctrl-C); finished tasks are kept.
    """
    from core.supervise import begun, resumed, supervise

    folder = runs_folder(runs)
    if resume is None:
        values = over_preset(preset, smoke, _values(config))
        place, work = begun(values, folder, title or preset, name)
    elif config is None and preset is None and title is None and name is None:
        place, work = resumed(str(resume.folder if isinstance(resume, Run) else resume), folder)
    else:
        raise UserError("resume goes on with the run's own configuration: leave the other arguments out.")
    told = _Told(place, on_event)
    with needing("Training"):
        supervise(place, lambda listener: work(told.beside(listener)), quiet=not progress)
    told.rest()
    return _ended(place)


def assemble(
    adapters: Sequence[str | Path],
    config: Mapping[str, Any] | str | Path,
    *,
    runs: str | Path | None = None,
    title: str | None = None,
    on_event: OnEvent | None = None,
    progress: bool = True,
) -> Run:
    """A run over LoRA adapters that were trained elsewhere: PEFT folders, one for each task, in the tasks' order.

    `config` names at least the stream. The adapters stay as they are; one head per task is learned, and retrieval.
    Raises UserError as `train` does, and for a folder that cannot be taken.
    """
    from core.training.peft_runs import assembly

    folders = [Path(folder) for folder in adapters]
    values = assembly(folders, _values(config))
    title = title or f"{len(folders)} adapters from elsewhere"
    return train(values, runs=runs, title=title, on_event=on_event, progress=progress)


def _values(config: Mapping[str, Any] | str | Path | None) -> dict[str, Any]:
    if config is None or isinstance(config, str | Path):
        return read_config(Path(config)) if config else {}
    values: dict[str, Any] = {}
    for key, value in config.items():
        values = merge(values, nested({key: _values(value) if isinstance(value, Mapping) else value}))
    return values


def _ended(folder: Path) -> Run:
    """The run in `folder`. Raises UserError where it did not end well."""
    run = Run(store.Run(folder))
    state = run.stored.status.state
    if state == "done":
        return run
    if state != "cancelled":
        raise UserError(f"Run {run.name} is {state}: {run.stored.status.message}.")
    if not (folder / "manifest.json").exists():
        raise UserError("cancelled before the run began.")
    finished = f"{run.stored.finished_tasks()} of {len(run.tasks)} tasks are finished"
    raise UserError(f"cancelled: {finished}; go on with `train(resume={run.name!r})`.")


class _Told:
    """Tells `on_event` what is new in a run's events.jsonl whenever the run says how far it is."""

    def __init__(self, folder: Path, on_event: OnEvent | None) -> None:
        self._run, self._on_event = store.Run(folder), on_event
        self._seen = len(self._run.events()) if on_event else 0

    def beside(self, listener: Callable[[Status], None]) -> Callable[[Status], None]:
        """A listener that tells both."""

        def both(status: Status) -> None:
            listener(status)
            self.rest()
            if self._on_event:
                self._on_event({"kind": "progress", **status.model_dump(exclude={"pid", "pid_started", "updated"})})

        return both

    def rest(self) -> None:
        """Tell what has not been told yet."""
        if self._on_event:
            for event in self._run.events()[self._seen :]:
                self._seen += 1  # first, as it may raise
                self._on_event(event)


class Run:
    """A run folder: its tables as DataFrames, its figures, and its model. Everything is read when first asked for.

    DataFrames need pandas, which the app brings; `run.stored` has the same tables as Arrow tables without it.
    """

    def __init__(self, stored: store.Run) -> None:
        self.stored = stored

    @classmethod
    def open(cls, run: str | Path, runs: str | Path | None = None) -> Run:
        """The run in the folder `run`, or called so (or beginning so) among your runs, or a recorded one.

        Raises UserError when there is none, naming the nearest, or it cannot be read.
        """
        folder, name = runs_folder(runs), str(run)
        recorded = RECORDED_RUNS / name
        mine = (folder / name).exists()
        if not mine and os.sep not in name and (recorded / "manifest.json").is_file():
            found = store.Run(recorded)
        else:
            found = listing.named_run(folder, name)
        found.manifest  # noqa: B018  what cannot be read is said now
        return cls(found)

    @classmethod
    def list(cls, runs: str | Path | None = None) -> list[Run]:
        """Your runs, newest first, then the recorded ones; those in `runs` alone where it is given."""
        places = [runs_folder(runs)] if runs else [runs_folder(None), RECORDED_RUNS]
        return [cls(store.Run(folder)) for place in places for folder in run_folders(place)]

    @property
    def name(self) -> str:
        return self.stored.name

    @property
    def folder(self) -> Path:
        return self.stored.folder

    @property
    def manifest(self) -> Manifest:
        """What was run, on what, with which versions."""
        return self.stored.manifest

    @property
    def status(self) -> Status:
        """Where it is now; read anew each time."""
        return self.stored.status

    @property
    def config(self) -> dict[str, Any]:
        """The resolved configuration, which `train` takes."""
        return dict(self.manifest.config)

    @property
    def metrics(self) -> dict[str, Any]:
        """metrics.json: every number of the evaluation, with costs; empty before the run is done."""
        return self.stored.metrics

    @property
    def tasks(self) -> builtins.list[str]:
        """What the tasks are called."""
        return [task.name for task in self.manifest.tasks]

    @property
    def classes(self) -> builtins.list[str]:
        """What the classes are called; a label is a position here."""
        return list(self.manifest.class_names)

    @cached_property
    def predictions(self) -> pd.DataFrame:
        """A row for each answer: PREDICTION_COLUMNS of core.runs.schema, then `right`, `class_name`, `answer`."""
        frame = _frame(self.stored.predictions())
        classes = np.array([*self.classes, "none"], dtype=object)
        frame["right"] = frame["predicted"] == frame["label"]
        frame["class_name"], frame["answer"] = classes[frame["label"]], classes[frame["predicted"]]
        return frame

    @cached_property
    def images(self) -> pd.DataFrame:
        """A row for each image kept: IMAGE_COLUMNS of core.runs.schema, then `task_name` and `class_name`."""
        frame = _frame(self.stored.images()).set_index("image", drop=False)
        frame["task_name"] = np.array(self.tasks, dtype=object)[frame["task"]]
        frame["class_name"] = np.array(self.classes, dtype=object)[frame["label"]]
        return frame

    @property
    def spaces(self) -> tuple[str, ...]:
        """The names that `embeddings` takes."""
        with np.load(self.folder / "embeddings.npz", allow_pickle=False) as kept:
            return tuple(kept.files)

    def embeddings(self, space: str = "frozen") -> np.ndarray:
        """float16 (images, width), a row for each row of `images`. Raises UserError when there is no such space."""
        return self.stored.embeddings(space)

    def map(self, space: str | None = None, after_task: int | None = None) -> pd.DataFrame:
        """`images` with the coordinates `x` and `y` of a map; by default the first space's, after the last task.

        Images that had not been seen by then are left out. Raises UserError when there is no such map.
        """
        known = tables.spaces(self._card)
        space = space or next(iter(known), None)
        if space not in known:
            raise UserError(f"Run {self.name} has no map of “{space}”. It has: {', '.join(known) or 'none'}.")
        maps = tables.maps(self._card, space)
        frame = self.images.copy()
        xy = maps.xy[maps.at(len(self.tasks) if after_task is None else after_task)]
        frame["x"], frame["y"] = xy[:, 0], xy[:, 1]
        return frame.dropna(subset=["x"])

    @property
    def accuracy(self) -> pd.DataFrame:
        """(tasks, tasks): accuracy on the task of the column after the task of the row, the task unknown."""
        return self._matrix("class_incremental")

    @property
    def task_aware(self) -> pd.DataFrame:
        """As `accuracy`, with the task of each image given."""
        return self._matrix("task_aware")

    @property
    def retrieval(self) -> pd.DataFrame:
        """As `accuracy`: the share of images for which the right task was retrieved."""
        return self._matrix("retrieval")

    def _matrix(self, kind: str) -> pd.DataFrame:
        pandas = _pandas()
        columns = pandas.Index(self.tasks, name="accuracy on")
        return pandas.DataFrame(self.measured(kind), pandas.Index(self.tasks, name="after"), columns)

    def measured(self, kind: str) -> np.ndarray:
        """float (tasks, tasks), NaN where nothing was measured; `kind` is class_incremental, task_aware or retrieval.

        Raises UserError when the run has no such matrix.
        """
        found = accuracies.matrices(self.metrics, len(self.tasks))
        if kind not in found:
            raise UserError(
                f"Run {self.name} kept no accuracies of the kind “{kind}” (its state: {self.status.state})."
            )
        return found[kind]

    @property
    def losses(self) -> pd.DataFrame:
        """A row for each training step that was noted: task, step, loss and its parts."""
        kept = [event for event in self.stored.events() if event.get("kind") == "loss"]
        return _pandas().DataFrame(kept).drop(columns=["kind", "time"], errors="ignore")

    def thumbnail(self, image: int) -> Image.Image:
        """The small picture that the run keeps of an image. Raises UserError when there is none."""
        from core.runs.sprites import read_thumbnail

        known = tables.images(self._card)
        if not 0 <= image < len(known):
            raise UserError(f"There is no image {image} in run {self.name}: it has 0 to {len(known) - 1}.")
        return read_thumbnail(self.folder / "sprites", int(known.sheet[image]), int(known.cell[image]))

    def explain(self, image: int | AnyImage, after_task: int | None = None) -> Explanation:
        """Why an image was answered as it was: a test image of the run by its number, or any other picture.

        Of a test image it is what was answered `after_task` (by default the last); that takes no model.
        Raises UserError for an image that was not asked about, and as `predict` does.
        """
        names = answers.names_of(self._card)
        if not isinstance(image, int | np.integer):
            said = self.answer([image])[0]
            answer = answers.answer_said(said)
            return Explanation(self, None, answer, names, (answers.cluster_near(self._card, said),))
        rows = tables.predictions(self._card).after(len(self.tasks) - 1 if after_task is None else after_task)
        found = np.flatnonzero(rows.image == image)
        if not len(found):
            raise UserError(
                f"Image {image} is no test image that was asked about then: `run.predictions.image` has those."
            )
        answer = answers.answer_of(rows, int(found[0]))
        near = answers.clusters_of(self._card, int(image), answer)
        return Explanation(self, int(image), answer, names, near)

    @cached_property
    def evidence(self) -> RecordedEvidence | None:
        """What the run recorded of where in its test images answers come from; None where it recorded nothing.

        `run.evidence.of(17)` is one image, in nats by patch and by block (core.runs.evidence), without a model.
        """
        return read_evidence(self.stored)

    def evidence_in(
        self, image: int | AnyImage, against: int | None = None, kind: Literal["task", "class"] = "task"
    ) -> ImageExplanation:
        """Where in an image its answer comes from, by the run's model; a notebook shows it as a picture.

        `image` is one of the run's by its number, or any other picture; `against` is the task (class) to compare with,
        by its position. Raises UserError for an image that cannot be had, and as `predict` does.
        """
        with needing("Explaining an image anew"):
            from core.training.explaining import RunImages, explain

        picture = int(image) if isinstance(image, int | np.integer) else _picture(image)
        return explain(self._model, RunImages(self.stored), picture, against, kind)

    def answer(self, images: Sequence[AnyImage]) -> builtins.list[dict[str, Any]]:
        """What `python -m core predict --json` says of each image; see core.training.inference.predict_images."""
        return self._model.answer([_picture(image) for image in images])

    def predict(self, images: AnyImage | Sequence[AnyImage]) -> pd.DataFrame:
        """A row for each image: task, class, how far the task leads (`margin`), and a score for each task.

        `images` are paths, Pillow images or uint8 arrays (height, width) or (height, width, 3), or one of them. The
        model stays loaded. Raises UserError for an image that cannot be read, or a run that is not finished.
        """
        each: builtins.list[Any] = list(images) if isinstance(images, list | tuple) else [images]
        said = self.answer(each)
        scores = [{f"score of {row['name']}": row["score"] for row in answer["scores"]} for answer in said]
        kept = ("image", "task", "task_name", "class", "class_name", "margin")
        rows = [{key: answer[key] for key in kept} | row for answer, row in zip(said, scores, strict=True)]
        return _pandas().DataFrame(rows)

    def what_if(self, **settings: Any) -> WhatIf:
        """What other retrieval would have answered: `space`, `mixture`, `components` and the other keys of
        core.retrieval.questions.Settings. Nothing is trained. Raises UserError where the run cannot say.
        """
        from core.config import validate
        from core.retrieval.answering import ask
        from core.retrieval.questions import Settings

        with needing("This space"):
            return WhatIf(self, ask(self.stored, validate(Settings, settings, "what_if")))

    @property
    def figures(self) -> Figures:
        """The figures of the app's pages."""
        return Figures(self)

    def export(self, path: str | Path | None = None) -> Path:
        """Write the run as one zip file, by default NAME.zip here. Raises UserError when that cannot be."""
        from core.runs.share import export_run

        return export_run(self.stored, Path(path or f"{self.name}.zip"))

    def export_adapters(self, folder: str | Path) -> builtins.list[Path]:
        """Write each task's adapter as a folder of the PEFT library into `folder`; gives those folders.

        Raises UserError for a run without low-rank adapters, or where a folder is there already.
        """
        from core.training.peft_runs import export_adapters

        return export_adapters(self.folder, Path(folder))

    def base_model(self) -> Any:
        """timm's own model with the run's backbone weights, for adapters that were exported. Raises UserError where the
        weights cannot be had, or the backbone is open_clip's.
        """
        from core.backbones.timm_vit import stock_model
        from core.config import RunConfig, validate

        config = validate(RunConfig, self.config)
        return stock_model(config.backbone, self.manifest.backbone.image_size)

    @cached_property
    def _card(self) -> cards.RunCard:
        return cards.run_card(self.folder, recorded=False)

    @cached_property
    def _model(self) -> TrainedModel:
        with needing("Answering for a new image"):
            from core.training.inference import load_model

            return load_model(self.folder)

    def __repr__(self) -> str:
        problem = self.stored.problem
        if problem:
            return f"Run({self.name!r}: {problem})"
        final = self.metrics.get("final_accuracy")
        reached = "" if final is None else f", accuracy {final:.3f}"
        return f"Run({self.name!r}, {self.status.state}: {self.manifest.title}{reached})"

    def _repr_html_(self) -> str:
        from app.figures.notebook import run_html

        if self.stored.problem:
            return run_html(self.name, self.stored.problem, {}, None, [])
        manifest = self.manifest
        about = f"{self.status.state} · {manifest.method} on {manifest.stream}, {manifest.backbone.title}"
        a = accuracies.matrices(self.metrics, len(self.tasks)).get("class_incremental")
        return run_html(manifest.title, f"{about} · {self.name}", self.metrics, a, self.tasks)


@dataclass(frozen=True)
class Figures:
    """Figures of one run as plotly.graph_objects.Figure, made by the functions that the app's pages use."""

    run: Run

    def accuracy(self, kind: str = "class_incremental", theme: Theme = "light") -> Figure:
        """Every task after every task, a heat map; `kind` is class_incremental, task_aware or retrieval."""
        from app.figures.accuracy import matrix

        return _plotly(matrix(self.run.measured(kind), self.run.tasks, theme))

    def curves(self, theme: Theme = "light") -> Figure:
        """The accuracy on each task over task time."""
        from app.figures.accuracy import task_curves

        a = self.run.measured("class_incremental")
        return _plotly(task_curves(a, self.run.tasks, theme, lit=int(np.nanargmin(a[-1]))))

    def oracle(self, after_task: int | None = None, theme: Theme = "light") -> Figure:
        """For each task, the accuracy with the task unknown and with it given."""
        from app.figures.accuracy import told_and_untold

        a = self.run.measured("class_incremental")
        after = accuracies.measured_after(a, len(a) - 1 if after_task is None else after_task)
        given = self.run.measured("task_aware")[after, : after + 1]
        return _plotly(told_and_untold(a[after, : after + 1], given, self.run.tasks, theme))

    def blocks(self, task: int = -1, theme: Theme = "light") -> Figure:
        """What the adapter of a task changed, layer by layer. Raises UserError for a run without adapters."""
        from app.figures.blocks import block_figure
        from app.reading import block_maps

        gates = tables.gates(self.run._card)
        maps = block_maps.block_maps(gates, self.run.manifest.backbone.depth)
        names = block_maps.projections(gates)
        if not names:
            raise UserError(f"Run {self.run.name} adapts no block: its backbone stays as it was.")
        if not -len(maps) <= task < len(maps):
            raise UserError(f"There is no task {task} in run {self.run.name}: it has 0 to {len(maps) - 1}.")
        return _plotly(block_figure(maps[task], names, [maps[task]], theme))

    def svg(self, figure: Figure, caption: str) -> str:
        """One of these figures as an SVG file that stands alone, with its caption and the run's settings below it."""
        from app.figures.svg import sheet
        from app.reading.run_settings import settings

        return sheet(figure.to_plotly_json(), caption, [settings(self.run._card)])


@dataclass(frozen=True)
class Explanation:
    """Why one image was answered as it was: numbers in `answer`, what it lies near in `near`, and one sentence."""

    run: Run
    image: int | None
    """Its number in the run; None for a picture from outside."""
    answer: explain.Answer
    names: explain.Names
    near: tuple[explain.Cluster, ...]

    @property
    def sentence(self) -> str:
        """Why, in one plain sentence."""
        return explain.sentence(self.answer, self.names, self.near[0] if self.near else None)

    @property
    def gaps(self) -> pd.DataFrame:
        """A row for each task, best first: how far its score lies below the best, and which is retrieved or true."""
        shown = explain.bars(self.answer, most=len(self.answer.scores))
        rows = [(self.names.tasks[bar.task], bar.gap, bar.retrieved, bar.true) for bar in shown]
        return _pandas().DataFrame(rows, columns=["task", "gap", "retrieved", "true"])

    def __repr__(self) -> str:
        return f"Explanation: {self.sentence}"

    def _repr_html_(self) -> str:
        from app.figures.notebook import explanation_html

        own = [] if self.image is None else [self.run.thumbnail(self.image)]
        near = [(self._about(found), [self.run.thumbnail(i) for i in found.images]) for found in self.near]
        gaps = [(self.names.tasks[bar.task], bar.gap, bar.length, bar.retrieved, bar.true) for bar in self._bars]
        return explanation_html(self.sentence, own, gaps, near)

    @property
    def _bars(self) -> tuple[explain.Bar, ...]:
        return explain.bars(self.answer)

    def _about(self, near: explain.Cluster) -> str:
        whose = "its own task" if near.task == self.answer.task else "task"
        return f"{whose} {self.names.task(near.task)}"


@dataclass(frozen=True)
class WhatIf:
    """What other retrieval would have answered, beside what the run answered."""

    run: Run
    answer: Answer

    @property
    def shares(self) -> pd.DataFrame:
        """Shares of the test images, as trained and with the other retrieval; what is expected of new ones; theory."""
        before, after = self.answer.before, self.answer.after
        expected = self.answer.expected_error
        rows = {
            "right task retrieved": (before.retrieval, after.retrieval),
            "accuracy": (before.accuracy, after.accuracy),
            "right task on the shortlist": (before.recall, after.recall),
            "error of picking the task": (1 - before.retrieval, 1 - after.retrieval),
            "expected of new images": (float("nan"), float("nan") if expected is None else expected),
            "if tasks were the mixtures": (float("nan"), self.answer.sampled_error),
            "bound, if tasks were the mixtures": (float("nan"), self.answer.bound),
        }
        return _pandas().DataFrame.from_dict(rows, orient="index", columns=["as trained", "what if"])

    @property
    def images(self) -> pd.DataFrame:
        """A row for each test image: true task, the one retrieved before and now, whether each answer is right."""
        kept = ("image", "task", "retrieved_before", "retrieved", "right_before", "right", "margin")
        return _pandas().DataFrame({name: getattr(self.answer, name) for name in kept})

    @property
    def confusion(self) -> pd.DataFrame:
        """Images of each true task (row) that would be sent to each task (column)."""
        names = self.run.tasks[: len(self.answer.components)]
        return _pandas().DataFrame(self.answer.confusion, index=names, columns=names)

    def __repr__(self) -> str:
        before, after = self.answer.before, self.answer.after
        told = f"accuracy {before.accuracy:.3f} → {after.accuracy:.3f}"
        return f"WhatIf({told}, right task {before.retrieval:.3f} → {after.retrieval:.3f})"

    def _repr_html_(self) -> str:
        return str(self.shares.to_html(float_format="{:.3f}".format, na_rep="", border=0))


def compare(*runs: Run) -> pd.DataFrame:
    """Runs side by side, a column each: the settings in which they differ, then their numbers."""
    from core.report import comparison

    if len(runs) < 2:
        raise UserError("compare needs two runs or more: name another one.")
    found = comparison([run.stored for run in runs])
    rows = {("setting", key): values for key, values in found["differences"].items()}
    rows |= {("number", key): values for key, values in found["metrics"].items() if any(v is not None for v in values)}
    frame = _pandas().DataFrame.from_dict(rows, orient="index", columns=found["runs"])
    frame.index = _pandas().MultiIndex.from_tuples(frame.index, names=["", "what"])
    return frame


def curves(*runs: Run, theme: Theme = "light") -> Figure:
    """The mean accuracy on all tasks so far, a curve for each run of one stream. Raises UserError for other streams."""
    from app.figures.accuracy import run_curves, run_lines

    if len({run.manifest.stream_fingerprint for run in runs}) != 1:
        raise UserError("These runs did not learn the same images in the same order: their curves do not compare.")
    seen = [accuracies.seen_accuracy(run.measured("class_incremental")) for run in runs]
    titles = [run.manifest.title for run in runs]
    titles = [run.name if titles.count(title) > 1 else title for run, title in zip(runs, titles, strict=True)]
    return _plotly(run_curves(run_lines(titles, seen, 0, theme), len(runs[0].tasks), theme))


def import_run(path: str | Path, runs: str | Path | None = None, name: str | None = None) -> Run:
    """Take in a run that somebody exported; nothing in it is executed. Raises UserError when it is not whole."""
    from core.runs.share import import_run as take_in

    return Run(take_in(Path(path), runs_folder(runs), name))


def runs_folder(runs: str | Path | None) -> Path:
    """`runs`, or by default what the command line takes."""
    return Path(runs or os.environ.get(listing.RUNS_VARIABLE) or listing.DEFAULT_RUNS)


def _picture(image: AnyImage) -> Path | np.ndarray:
    if isinstance(image, str | Path):
        return Path(image)
    if isinstance(image, np.ndarray):
        if image.dtype != np.uint8 or image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] != 3):
            raise UserError(
                f"An image is {image.dtype} {image.shape}: give uint8 (height, width) or (height, width, 3)."
            )
        return image
    from core.data.images import to_rgb

    return np.asarray(to_rgb(image))


def _plotly(figure: dict[str, Any]) -> Figure:
    from plotly.graph_objects import Figure

    return Figure(figure)


def _frame(table: pa.Table) -> pd.DataFrame:
    _pandas()
    return table.to_pandas()


def _pandas() -> Any:
    try:
        import pandas
    except ImportError:
        raise UserError("DataFrames need pandas: `pip install pandas`; run.stored has Arrow tables.") from None
    return pandas
