"""CLIP from a local checkpoint, through all that Kept elsewhere asks: gates, words, the dial, and a merged export.

The model is random at first and then learns for a moment which names belong to which pictures, so that its text tower
has something to say about classes that Selective LoRA is not shown.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from core.adapters.merge import merged
from core.backbones.clip_text import spoken
from core.backbones.clip_vit import load_clip
from core.config import RunConfig, validate
from core.data.images import ImageSet
from core.data.streams import open_stream
from core.runs.store import Run
from core.training.inference import load_model
from core.training.peft_runs import export_adapters
from tests.unit.test_retention import trained
from tests.unit.test_training import folder  # noqa: F401  the fixture

PROJECTIONS = ["q", "k", "v", "fc1", "fc2"]
"""Without o, whose update peft adds twice to open_clip's model (docs/adapters.md)."""

pytestmark = pytest.mark.usefixtures("one_thread")


@dataclass(frozen=True)
class Clip:
    """The small model, and where its configuration and its checkpoint are."""

    model: open_clip.CLIP
    config: str
    checkpoint: str

    def pixels(self, images: ImageSet | list[Image.Image]) -> Tensor:
        """(n, 3, 16, 16), normalised as the backbone does it."""
        rule = load_clip(self.config, self.checkpoint, None).preprocessing
        found = images.pixels(rule.pixels) if isinstance(images, ImageSet) else np.stack([*map(rule.pixels, images)])
        return rule.normalise(torch.from_numpy(found))

    def logits(self, pixels: Tensor, names: Sequence[str]) -> Tensor:
        """(n, names): open_clip's own forward pass of both towers."""
        text = open_clip.get_tokenizer("named-clip")([f"a photo of a {spoken(name)}." for name in names])
        image_features, text_features, scale = self.model(pixels, text)
        return scale * image_features @ text_features.T


@pytest.fixture(scope="module")
def clip(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Clip:  # noqa: F811
    """It knows the six classes of `folder` by their names after forty steps."""
    place = tmp_path_factory.mktemp("clip")
    settings = {
        "embed_dim": 24,
        "vision_cfg": {"image_size": 16, "layers": 3, "width": 32, "head_width": 16, "patch_size": 4},
        "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
    }
    (place / "named-clip.json").write_text(json.dumps(settings))
    open_clip.add_model_config(place / "named-clip.json")
    torch.manual_seed(1)
    model = open_clip.create_model("named-clip")
    made = Clip(model, str(place / "named-clip.json"), str(place / "named-clip.pt"))
    torch.save(model.state_dict(), made.checkpoint)
    files = sorted((folder / "train").glob("*/*.png"))
    names = sorted({file.parent.name for file in files})
    pixels = made.pixels([Image.open(file).convert("RGB") for file in files])
    labels = torch.tensor([names.index(file.parent.name) for file in files])
    optimiser = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(40):
        optimiser.zero_grad()
        F.cross_entropy(made.logits(pixels, names), labels).backward()
        optimiser.step()
    model.eval()
    torch.save(model.state_dict(), made.checkpoint)
    return made


@pytest.fixture(scope="module")
def run(folder: Path, clip: Clip, tmp_path_factory: pytest.TempPathFactory) -> Run:  # noqa: F811
    """Selective LoRA with two of 15 gates on four classes; two classes are asked about, in words too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PROTEUS_CACHE", str(tmp_path_factory.mktemp("cache")))
        return trained(
            folder, tmp_path_factory.mktemp("runs"), "selective-lora",
            backbone={"name": f"open_clip/{clip.config}", "pretrained": clip.checkpoint},
            adapters={"blocks": "all", "projections": PROJECTIONS},
            method={"gates_per": "site", "active_blocks": 2},
            training={"epochs": 20, "learning_rate": 0.1},
            retention={"dial": 4},
        )  # fmt: skip


@torch.no_grad()
def test_the_frozen_answers_in_words_are_open_clips_own(run: Run, clip: Clip) -> None:
    config = validate(RunConfig, run.manifest.config)
    asked = open_stream(config.stream, config.seed).held_out
    answers = clip.logits(clip.pixels(asked.test), asked.class_names).argmax(1)
    right = (answers == torch.tensor(asked.test.labels)).float().mean().item()
    assert run.metrics["retention"][-1]["zero_shot_before"] == pytest.approx(right) and right > 0.8


def test_the_budget_holds_and_every_way_of_asking_is_measured_at_every_strength(run: Run) -> None:
    gates = run.task(0).gates["blocks"]
    assert len(gates["active"]) == 2 and len(gates["scores"]) == 3 * len(PROJECTIONS)
    last, dial = run.metrics["retention"][-1], run.metrics["dial"]
    assert dial["strengths"] == [0, 0.25, 0.5, 0.75, 1]
    for probe in ("zero_shot", "readout", "knn"):
        assert dial[probe][0] == last[f"{probe}_before"] and dial[probe][-1] == last[f"{probe}_after"]
    answers = np.stack(run.held_out()["zero_shot"].to_pylist())
    assert answers.shape[1] == 5 and (answers[:, 0] != answers[:, -1]).any(), "the update moves what words say"


def test_the_exported_adapter_merged_into_open_clips_own_tower_answers_as_the_run_does(
    run: Run, clip: Clip, tmp_path: Path
) -> None:
    peft = pytest.importorskip("peft")
    (exported,) = export_adapters(run.folder, tmp_path / "peft")
    model = load_model(run.folder, "cpu")
    updates = model.method.updates(0)
    assert sum(len(sides) for sides in updates.values()) == 2
    tower = open_clip.create_model("named-clip")
    tower.load_state_dict(torch.load(clip.checkpoint))
    tower.eval().visual.proj = None  # our embedding is the one before the projection into the space of words
    theirs = peft.PeftModel.from_pretrained(tower, exported).merge_and_unload().visual
    pixels = torch.randn(6, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        ours, frozen = merged(model.encoder.backbone, updates)(pixels), model.encoder.backbone(pixels)
        torch.testing.assert_close(theirs(pixels), ours, atol=1e-5, rtol=1e-5)
    assert (ours - frozen).abs().max() > 1e-2
