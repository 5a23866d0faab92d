"""A whole run, from its configuration to a finished folder, and how a run that stopped goes on."""

from __future__ import annotations

import platform
import time
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

import core
from core.backbones import load_backbone
from core.backbones.features import FrozenFeatures
from core.backbones.vit import Backbone
from core.config import RunConfig, validate
from core.data.images import ImageSet
from core.data.shifts import check_shift
from core.data.streams import open_stream
from core.data.tasks import Stream
from core.data.views import augmentation, views_of
from core.errors import UserError
from core.evaluation.cost import peak_memory_bytes
from core.evaluation.dial import Dial, strengths, turned
from core.evaluation.evaluator import Evaluator
from core.evaluation.metrics import summary
from core.evaluation.retention import RetentionProbe, answers_under_shifts, gain, shift_names
from core.evaluation.theory import theory
from core.failures import said
from core.methods import method_class
from core.methods.base import PAST_IS_FROZEN, Method, Step, TaskState
from core.runs.schema import PREDICTION_COLUMNS, BackboneInfo, Manifest, TaskDone, TaskInfo
from core.runs.sprites import cell_side, write_sprites
from core.runs.store import Run, RunWriter, new_run_name
from core.runs.titles import run_title
from core.training.costs import answer_costs
from core.training.device import Precision, explained_precision, hardware, pick_device
from core.training.encoding import EncodedImages, Encoder, Encodings
from core.training.evidence import recorded
from core.training.loop import steps_for, train_task
from core.training.progress import Cancelled, Listener, Progress
from core.training.recorder import Recorder, Watch, map_table, plan
from core.training.token_store import TokenCache

_LOSS_EVERY = 5
"""Steps between two loss events; reading a loss waits for the device."""
_PACKAGES = ("torch", "timm", "open_clip_torch", "scikit-learn", "umap-learn", "numpy", "pillow")


def start_run(
    config: RunConfig,
    runs: Path,
    listener: Listener,
    title: str | None = None,
    name: str | None = None,
    encodings: Encodings | None = None,
) -> Path:
    """Train and evaluate what `config` says; returns the run's folder.

    `encodings` lets runs of one process share their frozen passes, at the price of keeping them all in memory.

    Raises UserError when something is wrong with the configuration, the images, the weights or the disk. A run that
    was asked to stop returns normally, its state 'cancelled'.
    """
    session = _Session(config, precision=None, encodings=encodings)
    manifest = session.manifest(name or new_run_name(config.method.name, session.stream.name), title)
    return session.run(RunWriter.create(runs, manifest), listener)


def resume_run(folder: Path, listener: Listener) -> Path:
    """Go on after the last finished task of a run that stopped; returns the folder.

    Raises UserError when the run cannot be read, or its images or weights are no longer the same.
    """
    if Run(folder).status.state == "done":
        return folder
    writer = RunWriter.reopen(folder)
    manifest = Run(folder).manifest
    config = validate(RunConfig, manifest.config, f"{folder}/manifest.json")
    session = _Session(config, precision=manifest.hardware.get("precision"))
    if session.stream.fingerprint != manifest.stream_fingerprint:
        raise UserError(f"The images of {manifest.stream} have changed since {folder.name} began: start a new run.")
    if session.backbone.fingerprint() != manifest.backbone.fingerprint:
        raise UserError(f"The weights of {manifest.backbone.name} are not those {folder.name} began with: start anew.")
    return session.run(writer, listener)


class _Session:
    """Everything a run needs while it goes on."""

    def __init__(self, config: RunConfig, precision: Precision | None, encodings: Encodings | None = None) -> None:
        self.started = time.monotonic()
        self.config = config
        method_type = method_class(config.method.name)
        for shift in shift_names(config.retention.shifts):
            check_shift(shift, config.retention.severities[0])
        self.device = pick_device(config.training.device)
        chosen, self.precision_reason = explained_precision(config.training.precision, self.device)
        # A run that is resumed on another kind of machine keeps the precision it began with.
        self.precision: Precision = precision or chosen
        self.stream: Stream = open_stream(config.stream, config.seed)
        self.augment, self.views = augmentation(config.training, config.stream.name)
        self.backbone: Backbone = load_backbone(config.backbone, self.stream.image_size, self.device)
        features = FrozenFeatures(self.backbone, config.retrieval.features)
        self.method: Method = method_type(self.backbone, features.width, config, self.device)
        self.encoder = Encoder(
            self.backbone,
            features,
            self.method.first_block,
            self.precision,
            TokenCache(config.training.cache, config.training.cache_mb),
            encodings,
            self.method.views,
            self.method.passes()[0],
        )
        self.groups = self.method.curriculum(len(self.stream.tasks))
        self.kept = plan(self.stream, config.record.train_per_class)
        self.train_seconds = self.evaluate_seconds = 0.0
        self.trainable: list[int] = []
        self.snapshots: list[Any] = []

    def manifest(self, run: str, title: str | None) -> Manifest:
        """What is written before anything is trained."""
        backbone, stream = self.backbone, self.stream
        return Manifest(
            run=run,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            title=title or run_title(self.config.model_dump(mode="json")),
            config=self._resolved().model_dump(mode="json"),
            stream=stream.name,
            stream_fingerprint=stream.fingerprint,
            stream_report=stream.report.as_dict(),
            class_names=list(stream.class_names),
            tasks=[
                TaskInfo(
                    name=task.name,
                    classes=list(task.classes),
                    train_images=len(task.train),
                    test_images=len(task.test),
                )
                for task in stream.tasks
            ],
            backbone=BackboneInfo(
                name=backbone.name,
                title=backbone.title,
                family=backbone.family,
                fingerprint=backbone.fingerprint(),
                depth=backbone.depth,
                width=backbone.width,
                heads=backbone.heads,
                tokens=self.encoder.tokens_per_image,
                image_size=backbone.image_size,
                parameters=sum(parameter.numel() for parameter in backbone.parameters()),
            ),
            method=self.config.method.name,
            promises=sorted(self.method.promises),
            seed=self.config.seed,
            versions=_versions(),
            hardware=hardware(self.device, self.precision, self.precision_reason),
        )

    def _resolved(self) -> RunConfig:
        """The configuration with the passes and the rate that all tasks take; where tasks differ, they stay open."""
        training = self.config.training
        taken = {(training.passes(images), training.rate(images)) for images in self._images_of_groups()}
        if len(taken) > 1:
            return self.config
        epochs, rate = taken.pop()
        told = training.model_copy(update={"epochs": epochs, "learning_rate": rate})
        return self.config.model_copy(update={"training": told})

    def _images_of_groups(self) -> list[int]:
        """How many training images are learned together, group by group."""
        return [sum(len(self.stream.tasks[task].train) for task in group) for group in self.groups]

    def run(self, writer: RunWriter, listener: Listener) -> Path:
        """All groups of tasks that are not finished yet, then the tables."""
        self.writer = writer
        self.progress = Progress(writer, listener, len(self.stream.tasks), self._work())
        self.evaluator = Evaluator(self.method, self.precision, self._embedded)
        self.recorder = Recorder(self.method, self.evaluator)
        writer.event("start", method=self.config.method.name, tasks=len(self.stream.tasks))
        try:
            self._restore(writer.finished_tasks())
            self.probe = self._retention_probe()
            for group in self.groups:
                if group[-1] >= writer.finished_tasks():
                    self._learn(group)
            self._finish()
        except (Cancelled, KeyboardInterrupt) as stop:
            self.progress.tell("cancelled", "cancelled; finished tasks are kept")
            writer.event("end", state="cancelled")
            if isinstance(stop, KeyboardInterrupt):
                raise
        except BaseException as error:
            self._fail(error)
            raise
        return writer.folder

    def _fail(self, error: BaseException) -> None:
        message = said(error)
        try:
            self.progress.tell("failed", message)
            self.writer.event("end", state="failed", message=message)
        except UserError:
            pass  # the disk is full: the error being raised says so, and a dead worker reads as failed

    def _restore(self, finished: int) -> None:
        """Load the finished tasks from the folder, and encode their test images again."""
        for task in range(finished):
            saved = self.writer.load_task(task)
            state = TaskState(saved.adapter, saved.head, saved.mixture, saved.gates)
            self.method.load_task(task, self.stream.tasks[task].classes, state)
            self.train_seconds += saved.done.train_seconds
            self.evaluate_seconds += saved.done.evaluate_seconds
            self.trainable.append(saved.done.trainable_parameters)
            self.snapshots.append(saved.embeddings["own"])
        if finished:
            self.method.load_shared(self.writer.load_shared(finished - 1))
            self.method.eval()
            self.method.merge()
        for task in range(finished):
            kept = self.stream.tasks[task].train.subset(self.kept[task].train_rows)
            self._watch(task, self._encode(kept, task, "reading training images"))

    def _learn(self, group: tuple[int, ...]) -> None:
        tasks = [self.stream.tasks[task] for task in group]
        generator = torch.Generator().manual_seed(_task_seed(self.config.seed, group[0]))
        for task in tasks:
            self.method.begin_task(task.index, task.classes, generator)
        images = ImageSet.joined([task.train for task in tasks]) if len(tasks) > 1 else tasks[0].train
        data = self._encode(images, group[-1], "reading training images")
        trainable = sum(parameter.numel() for parameter in self.method.trainable())

        began = time.monotonic()
        if self.config.training.head_start == "discriminant":
            self.progress.begin("prepare", group[-1], 0, "fitting the head to start from")
            self.method.eval()
            self.method.start_heads(group, self.evaluator.inputs(data, group[-1]))
        views = self._views(images, data, group[-1])
        self.progress.begin("train", group[-1], steps_for(len(data), self.config.training), "training")
        train_task(self.method, group[-1], views, self.config.training, self.precision, generator, self._stepped)
        self.method.eval()
        del views
        at = 0
        for task in tasks:
            rows = torch.arange(at, at + len(task.train))
            at += len(task.train)
            members = data if len(tasks) == 1 else data.subset(rows)
            with torch.no_grad():
                self.method.end_task(task.index, self.evaluator.inputs(members, task.index))
            self._watch(task.index, members.subset(torch.from_numpy(self.kept[task.index].train_rows)))
        del data, members
        trained = time.monotonic() - began
        self._evaluate_and_save(group, trained, trainable)

    def _views(self, images: ImageSet, data: EncodedImages, task: int) -> list[EncodedImages]:
        """The views in which `images` are trained; those of the images themselves are `data`."""
        if not self.views or not self.method.trainable():
            return [data]
        found = []
        for view in views_of(images, self.augment, self.views, self.config.seed):
            if view is images:
                found.append(data)
                continue
            self.progress.begin("prepare", task, len(images), "drawing views of training images")
            found.append(self.encoder.encode_view(view, self._viewed))
        return found

    def _viewed(self, images: int) -> None:
        self.progress.advance(images * self.method.first_block, images)

    def _evaluate_and_save(self, group: tuple[int, ...], trained: float, trainable: int) -> None:
        began = time.monotonic()
        self.progress.begin("evaluate", group[-1], 0, "answering for the test images")
        self.method.merge()
        predictions = self.evaluator.predictions(group[-1])
        embeddings = self.recorder.own_embeddings()
        left = self._retained(group[-1], embeddings["own"])
        evaluated = time.monotonic() - began
        present = summary(predictions, len(self.stream.tasks))
        retrieval = _row(present["matrices"]["retrieval"], group[-1])
        expected = theory(self.evaluator, retrieval, _task_seed(self.config.seed, group[-1]))
        for task in group:
            last = task == group[-1]
            state = self.method.task_state(task)
            self.writer.save_task(
                TaskDone(
                    task=task,
                    train_seconds=trained / len(group),
                    evaluate_seconds=evaluated / len(group),
                    trainable_parameters=trainable,
                    stored_bytes=state.stored_bytes(),
                    theory=expected if last else {},
                    retention=left if last else {},
                ),
                adapter=state.adapter,
                head=state.head,
                mixture=state.mixture,
                gates=state.gates,
                predictions=predictions if last else PREDICTION_COLUMNS.empty_table(),
                embeddings=embeddings,
                shared=self.method.shared_state() if last else {},
            )
            self.trainable.append(trainable)
            self.snapshots.append(embeddings["own"])
        self.train_seconds += trained
        self.evaluate_seconds += evaluated
        self.writer.event(
            "task",
            task=group[-1],
            accuracy=_row(present["matrices"]["class_incremental"], group[-1]),
            task_aware=_row(present["matrices"]["task_aware"], group[-1]),
            retrieval=retrieval,
            retention=left,
            train_seconds=trained,
            evaluate_seconds=evaluated,
        )

    def _finish(self) -> None:
        run = Run(self.writer.folder)
        last = len(self.stream.tasks) - 1
        self.progress.begin("project", last, 0, "drawing the map")
        final = run.task(last).predictions
        retrieved = final.column("retrieved_task").to_numpy()
        spaces = self.recorder.spaces(retrieved)
        moving = PAST_IS_FROZEN not in self.method.promises
        frames = self.recorder.frames(spaces, self.snapshots if moving else None)
        projection = map_table(frames, self.config.seed, self.config.record.projection)
        self.progress.begin("finish", last, 0, "splitting the evidence of test images over their patches")
        evidence = recorded(self.method, self.encoder, self.evaluator, final, self._images_to_explain())
        self.progress.begin("finish", last, 0, "writing the tables")
        images = self.recorder.images(self.stream, self.writer.folder / "sprites", self.config.record.thumbnail)
        tables = [self.writer.load_task(task).predictions for task in range(last + 1)]
        shifts, disturbed = self._under_shifts()
        dial = self._dial()
        self.writer.finish(
            images=images,
            embeddings={**spaces, **self.recorder.left_out()},
            projection=projection,
            metrics={**self._metrics(run, tables, shifts), "dial": dial and dial.as_dict()},
            disturbed=disturbed,
            held_out=self._held_out(dial),
            answer=self.method.answer_state(),
            evidence=None if evidence is None else evidence.arrays(),
        )
        self.progress.tell("done", "finished")
        self.writer.event("end", state="done")
        self.writer.drop_shared()

    def _images_to_explain(self) -> int:
        """Test images whose evidence costs little: a pass each, and the run took many passes."""
        a_pass = max(self._frozen_work, 1)  # none is frozen where the very first block is adapted
        return max(_EXPLAINED_AT_LEAST, int(_EXPLAINING * self._work() / a_pass))

    def _metrics(self, run: Run, tables: list[pa.Table], shifts: dict[str, list[float]] | None) -> dict[str, Any]:
        tasks = len(self.stream.tasks)
        done = [run.task(task).done for task in range(tasks)]
        expected, bound = ([task.theory.get(key) for task in done] for key in ("expected_error", "bound"))
        stored = [task.stored_bytes for task in done]
        # One shared model counts once, though every task's folder holds a snapshot of it.
        total = sum(stored) if PAST_IS_FROZEN in self.method.promises else stored[-1]
        shared = sum(t.numel() * t.element_size() for t in self.method.shared_state().values())
        return {
            **summary(pa.concat_tables(tables), tasks, self.config.retrieval.shortlist),
            **answer_costs(self.method, self.encoder, self.recorder.watches[-1].test, self.precision),
            "theory": [task.theory or None for task in done],
            "expected_retrieval_error": expected[-1],
            "bound_retrieval_error": bound[-1],
            "expected_retrieval_errors": expected,
            "bound_retrieval_errors": bound,
            "retention": [task.retention or None for task in done],
            "shifts": shifts,
            "seconds": time.monotonic() - self.started,
            "train_seconds": self.train_seconds,
            "evaluate_seconds": self.evaluate_seconds,
            "peak_memory_bytes": peak_memory_bytes(self.device),
            "token_cache": self.encoder.cache.described(),
            "bytes_per_task": total / tasks,
            "shared_bytes": shared,
            "trainable_parameters_per_task": self.trainable,
        }

    def _retention_probe(self) -> RetentionProbe | None:
        held_out, settings = self.stream.held_out, self.config.retention
        if held_out is None:
            return None
        bank, queries = (self._encode(each, 0, "reading held-out classes") for each in (held_out.train, held_out.test))
        words = None
        if self.backbone.family == "open_clip":
            from core.backbones.clip_text import zero_shot

            name, weights = self.config.backbone.name.removeprefix("open_clip/"), self.config.backbone.pretrained
            words = zero_shot(name, weights, held_out.class_names, settings.templates).to(self.device)
        return RetentionProbe(bank, queries, settings.neighbours, words)

    def _retained(self, task: int, own: np.ndarray) -> dict[str, float]:
        """What the held-out classes lost through this task, and what its own classes gained."""
        if self.probe is None:
            return {}
        watch = self.recorder.watches[task]
        gained = gain(watch.test, watch.train, own[-watch.kept.images :], self.config.retention.neighbours)
        return {**self.probe.after(self.evaluator, task), **gained}

    def _dial(self) -> Dial | None:
        """What learned and held-out classes answer at other shares of the update, after the last task."""
        if self.probe is None or self.stream.held_out is None:
            return None
        last = len(self.stream.tasks) - 1
        self.progress.begin("evaluate", last, 0, "asking at other strengths of the update")
        return turned(
            self.evaluator, self.probe, self.recorder.watches, self._strengths(), self.stream.held_out.class_names
        )

    def _strengths(self) -> tuple[float, ...]:
        return strengths(self.config.retention.dial, self.config.adapters.strength)

    def _held_out(self, dial: Dial | None) -> pa.Table | None:
        """HELD_OUT_COLUMNS; writes the thumbnails of those images."""
        if dial is None or self.probe is None:
            return None
        images = self.probe.queries.images
        pictures = [images.image(row) for row in range(len(images))]
        side = cell_side(pictures, self.config.record.thumbnail)
        return dial.table(images, write_sprites(self.writer.folder / "held_out", pictures, side))

    def _under_shifts(self) -> tuple[dict[str, list[float]] | None, pa.Table]:
        """Accuracy under the shifts that were asked for, after the last task, and the answers behind it."""
        settings, last = self.config.retention, len(self.stream.tasks) - 1
        shifts = shift_names(settings.shifts)
        if not shifts:
            return None, PREDICTION_COLUMNS.empty_table()
        self.progress.begin("evaluate", last, 0, "answering for corrupted images")
        return answers_under_shifts(
            self.evaluator, self.encoder, shifts, settings.severities, settings.shift_images, self._embedded
        )

    def _encode(self, images: ImageSet, task: int, message: str) -> EncodedImages:
        self.progress.begin("prepare", task, len(images), message)
        return self.encoder.encode(images, lambda done: self.progress.advance(done * self._frozen_work, done))

    def _watch(self, task: int, train: EncodedImages) -> None:
        kept = self.kept[task]
        test = self._encode(self.stream.tasks[task].test, task, "reading test images")
        self.evaluator.watch(task, test, kept.first)
        self.recorder.watches.append(Watch(kept, test, train))

    def _embedded(self, images: int) -> None:
        self.progress.advance(images * (self.backbone.depth - self.method.first_block))

    def _stepped(self, step: Step, losses: dict[str, torch.Tensor]) -> None:
        message = None
        if step.step % _LOSS_EVERY == 0:
            values = {name: round(float(value), 5) for name, value in losses.items()}
            self.writer.event("loss", task=step.task, step=step.step, steps=step.steps, **values)
            message = f"loss {values['loss']:.3f}"
        work = self.config.training.batch_size * _TRAIN_PASSES * (self.backbone.depth - self.method.first_block)
        self.progress.advance(work, 1, message)

    @property
    def _frozen_work(self) -> int:
        """Block passes that reading an image takes."""
        depth = self.backbone.depth if self.encoder.reads_frozen else self.method.first_block
        return depth * self.encoder.views

    def _work(self) -> float:
        """About how many block passes the whole run takes, for the estimate of the time left."""
        suffix = self.backbone.depth - self.method.first_block
        rule = self.config.training.passes
        shown = sum(rule(images) * images for images in self._images_of_groups())
        views = self.views if suffix else 0
        trains, tests = (sum(len(getattr(t, part)) for t in self.stream.tasks) for part in ("train", "test"))
        work = (trains + tests) * self._frozen_work + suffix * (shown * _TRAIN_PASSES + trains)
        work += trains * views * self.method.first_block
        work += trains * suffix * (self.config.training.head_start == "discriminant")
        _, adapted = self.method.passes() if self.method.tasks else (True, 1)
        if PAST_IS_FROZEN in self.method.promises:
            work += 3 * tests * suffix * adapted
        else:
            work += suffix * sum(sum(len(t.test) for t in self.stream.tasks[: g[-1] + 1]) for g in self.groups)
        return 1.1 * (work + self._work_beside(suffix))

    def _work_beside(self, suffix: int) -> float:
        """Block passes for held-out classes, and for corrupted images."""
        held_out, settings = self.stream.held_out, self.config.retention
        images = len(held_out.train) + len(held_out.test) if held_out else 0
        corrupted = len(shift_names(settings.shifts)) * len(settings.severities) * settings.shift_images
        asked = images + sum(len(task.test) for task in self.stream.tasks) + sum(len(k.train_rows) for k in self.kept)
        turns = len(self._strengths()) * asked * suffix if held_out else 0
        return images * (self._frozen_work + suffix * len(self.groups)) + 2 * corrupted * suffix + turns


_EXPLAINING = 0.05
"""Share of a run's work that recording evidence may take; wrong answers are all explained, whatever they take."""
_EXPLAINED_AT_LEAST = 400
"""All test images of a small stream."""
_TRAIN_PASSES = 2.5
"""Forward passes that a training step costs: one forward, and a backward without gradients of the frozen weights."""


def _task_seed(seed: int, task: int) -> int:
    """A task's own seed, so that a resumed task draws what it would have drawn."""
    return seed * 100_003 + task


def _row(matrix: list[list[float | None]], task: int) -> list[float | None]:
    return matrix[task][: task + 1]


def _versions() -> dict[str, str]:
    found = {"proteus-lab": core.__version__, "python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
