"""What an answer for one image costs once all tasks are learned."""

from __future__ import annotations

import torch
from torch import Tensor

from core.evaluation.cost import flops_per_image, milliseconds_per_image
from core.methods.base import Method
from core.training.device import Precision, autocast
from core.training.encoding import EncodedImages, Encoder

_BATCH = 16


def answer_costs(method: Method, encoder: Encoder, data: EncodedImages, precision: Precision) -> dict[str, float]:
    """`flops_per_image` and `milliseconds_per_image` of the passes through the backbone that an answer takes.

    Blocks that no task changes run once, then the frozen rest where the method reads it, then each adapted rest, merged
    where the method can. Clustering and heads are left out: they are thousandths of a pass.
    """
    pixels = data.images.pixels(encoder.backbone.preprocessing.pixels, range(min(_BATCH, len(data))))
    images = encoder.backbone.preprocessing.normalise(torch.from_numpy(pixels).to(encoder.device))
    frozen, adapted = method.passes()
    first = method.first_changed()
    method.merge()

    def answer(batch: Tensor) -> None:
        backbone = encoder.backbone
        with autocast(encoder.device, precision):
            tokens = backbone.run(backbone.stem(batch), 0, first)
            if frozen:
                backbone.run(tokens, first, backbone.depth)
                for _ in range(1, encoder.views):
                    backbone.run(backbone.stem(batch.flip(-1)), 0, backbone.depth)
            for turn in range(adapted):
                method.embed(tokens, max(method.tasks - 1 - turn, 0), first)

    return {
        "flops_per_image": flops_per_image(answer, images),
        "milliseconds_per_image": milliseconds_per_image(answer, images),
    }
