"""One LoRA adapter trained on task after task with no protection: what forgetting looks like.

Published: LoRA (Hu et al. 2021). Our decision: one growing head, and cross-entropy over all classes seen so far, which
is plain fine-tuning on a stream.
"""

from __future__ import annotations

from core.methods.shared_model import OneAdapter


class Sequential(OneAdapter):
    """ΔW = α BA, with the same A and B trained by every task."""


METHOD = Sequential
