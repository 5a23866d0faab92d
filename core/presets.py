"""The papers' protocols as configurations: what to run, what it costs, and what the papers report.

Hyper-parameters are published where the summary says so; numbers in `reported` are the sources' own and were not
measured here. Standard library only, so that `presets` answers at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from core.errors import UserError, unknown

PROTEUS = "arXiv 2603.13235"
SELECTIVE = "arXiv 2501.15377"
NOT_AT_HAND = "not at hand"
GPU_FLOPS = 100e12
"""What a current GPU is taken to do in bfloat16, sustained; the cost of a preset is work divided by it."""
_STEP_PASSES = 2.5
"""Forward passes that a training image costs, its backward pass included."""


@dataclass(frozen=True)
class Preset:
    """One protocol. `config` holds nested keys of a RunConfig."""

    name: str
    summary: str
    config: dict[str, Any]
    reported: str
    """What a source says of it, with the source; never measured here."""
    images: tuple[int, int]
    """Training and test images of the whole stream."""
    tasks: int
    tokens: int
    width: int
    needs: str = ""
    """What a person must bring, in words."""

    @property
    def gpu_minutes(self) -> float:
        """Arithmetic on one GPU of GPU_FLOPS: a frozen pass, the training, and every task's pass in testing."""
        train, test = self.images
        epochs = self.config["training"]["epochs"]
        block = 24 * self.tokens * self.width**2 + 4 * self.tokens**2 * self.width
        passes = train * (2 + _STEP_PASSES * epochs) + test * (1 + self.tasks)
        return 12 * block * passes / GPU_FLOPS / 60


def _proteus(
    name: str, summary: str, stream: dict[str, Any], epochs: int, mixture: tuple[int, float], **fields: Any
) -> Preset:
    """Proteus as published: literal retrieval, its ridge head, rank 16 then 4 on q and v of every block."""
    components, concentration = mixture
    config = {
        "stream": stream,
        "backbone": {"name": "timm/vit_base_patch16_224.augreg_in21k"},
        "adapters": {"blocks": "all", "projections": ["q", "v"], "rank": 4, "first_rank": 16},
        "method": {"name": "proteus", "head": "ranpac"},
        "training": {"epochs": epochs, "batch_size": 32, "learning_rate": 1e-3, "clip_norm": 1.0, **_crops(epochs)},
        "retrieval": {"mode": "likelihood", "components": components, "concentration": concentration},
    }
    return Preset(name, summary, config, tokens=197, width=768, **fields)


def _crops(epochs: int) -> dict[str, Any]:
    """Both papers train on random crops and mirror images; here with a fresh view of each image in every epoch."""
    return {"augment": "crops", "augment_views": epochs}


def _selective(
    name: str, summary: str, backbone: dict[str, Any], width: int, options: dict[str, Any], **fields: Any
) -> Preset:
    """One task of 20 classes of CIFAR-100 and a held-out group of 80 (our protocol), single LoRA blocks gated."""
    projections = ["q", "k", "v", "o", "fc1", "fc2"]
    config = {
        "stream": {"name": "cifar100", "tasks": 1, "held_out": 80},
        "backbone": backbone,
        "adapters": {"blocks": "all", "projections": projections, "rank": 128, "first_rank": None},
        "method": {"name": "selective-lora", "gates_per": "site", **options},
        "training": {"epochs": 5, "batch_size": 128, "learning_rate": 1e-3, **_crops(5)},
        "retention": {"shifts": ["all"]},
    }
    images = (10_000, 2_000)
    return Preset(name, summary, config, images=images, tasks=1, tokens=197, width=width, **fields)


_CIFAR = (50_000, 10_000)
_IMAGENET_R = (24_000, 6_000)
_IMAGENET_R_NEEDS = "the folder of ImageNet-R (200 class folders): --stream PATH"
_LISTED = "reported: ImageNet-R accuracy 82.17, number of tasks not said (wizwand.com on " + PROTEUS + ")"

PRESETS: tuple[Preset, ...] = (
    *(
        _proteus(
            f"split-cifar100-{tasks}",
            f"Proteus, CIFAR-100 as {tasks} tasks of {100 // tasks} classes"
            + ("; published settings" if tasks == 10 else "; settings of 10 tasks"),
            {"name": "cifar100", "tasks": tasks},
            epochs=5,
            mixture=(20, 0.1),
            reported=f"{NOT_AT_HAND} ({PROTEUS})",
            images=_CIFAR,
            tasks=tasks,
        )
        for tasks in (10, 20)
    ),
    *(
        _proteus(
            f"imagenet-r-{tasks}",
            f"Proteus, ImageNet-R as {tasks} tasks of {200 // tasks} classes; 80% of a class to train, drawn by seed 0"
            + ("; published settings" if tasks == 10 else "; settings of 10 tasks"),
            {"name": "imagenet-r", "tasks": tasks, "test_fraction": 0.2},
            epochs=20,
            mixture=(100, 0.01),
            reported=_LISTED,
            images=_IMAGENET_R,
            tasks=tasks,
            needs=_IMAGENET_R_NEEDS,
        )
        for tasks in (5, 10, 20)
    ),
    _proteus(
        "vtab-5",
        "Proteus, five data sets as five tasks, all their classes; SVHN stands where others have RESISC45",
        {"name": "dtd+oxford-iiit-pet+eurosat+flowers102+svhn", "tasks": 1},
        epochs=5,
        mixture=(20, 0.1),
        reported=f"{NOT_AT_HAND} ({PROTEUS})",
        images=(104_000, 44_000),
        tasks=5,
        needs="for RESISC45 its folder: --stream PATH+dtd+oxford-iiit-pet+eurosat+flowers102",
    ),
    _selective(
        "selective-clip",
        "Selective LoRA on CLIP, rank 128, 6.25% of blocks as published; 20 classes of CIFAR-100, 80 held out",
        {"name": "open_clip/ViT-B-16", "pretrained": "openai"},
        768,
        {"active_blocks": 0.0625},
        reported=(
            "reported, on ImageNet-1k: full fine-tuning and LoRA lose 16.24% and 17.12% of zero-shot performance on "
            f"average; 6.25% of the LoRA blocks forget 7.31% less (figure 1 of {SELECTIVE}, as chatpaper.com gives it)"
        ),
    ),
    _selective(
        "selective-dino",
        "Selective LoRA on DINO ViT-S/16, 5% of LoRA blocks; 20 classes of CIFAR-100, 80 held out",
        {"name": "timm/vit_small_patch16_224.dino"},
        384,
        {"active_blocks": 0.05},
        reported=f"{NOT_AT_HAND} ({SELECTIVE})",
    ),
)


def preset(name: str) -> Preset:
    """The preset of that name. Raises UserError with the nearest name when there is none."""
    for each in PRESETS:
        if each.name == name:
            return each
    raise unknown("preset", name, [each.name for each in PRESETS])


def configuration(name: str, smoke: bool) -> dict[str, Any]:
    """Nested keys of a RunConfig.

    With `smoke` the same method and settings on a handful of scikit-learn's digits, with the tiny backbone: it needs
    no network and shows that everything runs, not how well.
    """
    config = preset(name).config
    if not smoke:
        return config
    stream = config["stream"]
    held_out = {"held_out": 4, "held_out_per_class": 6} if stream.get("held_out") else {}
    tasks = min(stream["tasks"], 5) if "+" not in stream["name"] else 5
    retrieval = config.get("retrieval", {})
    return config | {
        "stream": {"name": "split-digits", "tasks": tasks, "train_per_class": 8, "test_per_class": 4, **held_out},
        "backbone": {"name": "tiny", "image_size": 16},
        "method": config["method"] | ({"random_features": 64} if config["method"].get("head") == "ranpac" else {}),
        "training": config["training"] | {"epochs": 2, "batch_size": 8},
        "retrieval": retrieval | ({"components": 3, "dimensions": 4} if retrieval else {}),
        "record": {"projection": False},
    }


def check_stream(name: str, stream: str | None, smoke: bool) -> None:
    """Raises UserError where a preset's images must be brought and are not named."""
    needs = preset(name).needs
    if needs and stream is None and not smoke and preset(name).config["stream"]["name"] == "imagenet-r":
        raise UserError(f"Preset {name} needs {needs}.")
