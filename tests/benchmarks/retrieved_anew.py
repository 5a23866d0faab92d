"""The same adapters under other settings of retrieval: what a finished run would have answered after every task.

Adapters and heads are the run's own; the statistics of retrieval are fitted anew, task by task, as training does it.
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import torch

from core.backbones import load_backbone
from core.backbones.features import FrozenFeatures
from core.config import RunConfig, merge, validate
from core.data.streams import open_stream
from core.evaluation.evaluator import Evaluator
from core.evaluation.metrics import summary
from core.methods import method_class
from core.methods.base import TaskState
from core.runs.store import Run
from core.training.device import Precision, pick_device
from core.training.encoding import Encoder, Encodings
from core.training.token_store import TokenCache


def retrieved_anew(run: Run, retrieval: dict[str, Any], encodings: Encodings | None = None) -> dict[str, Any]:
    """The metrics of `run` (`core.evaluation.metrics.summary`) with the keys of `retrieval` changed.

    For methods whose past is frozen. `encodings` are frozen passes to share, as for `start_run`.
    """
    config: RunConfig = validate(RunConfig, merge(run.manifest.config, {"retrieval": retrieval}))
    device = pick_device(config.training.device)
    precision: Precision = "bfloat16" if run.manifest.hardware.get("precision") == "bfloat16" else "float32"
    stream = open_stream(config.stream, config.seed)
    backbone = load_backbone(config.backbone, stream.image_size, device)
    features = FrozenFeatures(backbone, config.retrieval.features)
    method = method_class(config.method.name)(backbone, features.width, config, device)
    encoder = Encoder(
        backbone,
        features,
        method.first_block,
        precision,
        TokenCache("memory"),
        encodings,
        method.views,
        method.passes()[0],
    )
    evaluator = Evaluator(method, precision, _unheard)
    method.eval()
    tables: list[pa.Table] = []
    first = 0
    for planned in stream.tasks:
        saved = run.task(planned.index)
        method.make_room(planned.index, planned.classes, TaskState(saved.adapter, saved.head))
        method.load_trained(planned.index, saved.adapter, saved.head)
        with torch.no_grad():
            method.end_task(planned.index, evaluator.inputs(encoder.encode(planned.train, _unheard), planned.index))
        method.merge()
        evaluator.watch(planned.index, encoder.encode(planned.test, _unheard), first)
        first += len(planned.test)
        tables.append(evaluator.predictions(planned.index))
    return summary(pa.concat_tables(tables), len(stream.tasks))


def _unheard(images: int) -> None:
    """Progress is told a run at a time."""
