"""All that a GPU is to be asked, in one command that writes a report: `python -m tests.benchmarks.gpu`.

The suite of the engine with `--device cuda`; one training twice, whose folders must be equal; the benchmarks of
training (beside peft), of inference and of merging; and a profile of training the first CIFAR-100 preset with a random
ViT-B/16 at 224 px, where over 80% of the GPU's time shall go into matrix products and attention, and the GPU shall not
wait for data. Parts that fail are reported, and the rest goes on. Written without a GPU at hand: only `--device cpu
--backbone tiny`, which goes through the same code, has been run so far.
"""

from __future__ import annotations

import platform
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Annotated, Any

import torch
import typer

from core.backbones.features import FrozenFeatures
from core.backbones.vit import Backbone
from core.config import RunConfig, merge, validate
from core.data.streams import open_stream
from core.methods import method_class
from core.presets import configuration
from core.runs.store import Run
from core.training.device import pick_device, pick_precision
from core.training.encoding import Encoder
from core.training.loop import train_task
from core.training.token_store import TokenCache

PARTS = ("suite", "determinism", "training", "inference", "merged", "profile")
PRESET = "split-cifar100-10"
AIM = 0.8
_PRODUCTS = {
    "cuda": re.compile(r"gemm|cutlass|cublas|nvjet|xmma|wgmma|flash|fmha|attention", re.IGNORECASE),
    "cpu": re.compile(r"aten::(addmm|mm|bmm|baddbmm|_scaled_dot_product.*)\Z|mkldnn_linear"),
}
"""Kernels (operators, on a CPU) of matrix products and attention."""


def main(
    device: Annotated[str, typer.Option()] = "cuda",
    parts: Annotated[str, typer.Option(help="comma-separated")] = ",".join(PARTS),
    backbone: Annotated[str, typer.Option(help="of the profile: vit-b16 or tiny")] = "vit-b16",
    report: Annotated[Path, typer.Option(help="Markdown")] = Path("gpu-report.md"),
) -> None:
    """Ask all of it and write the report."""
    if device.startswith("cuda") and not torch.cuda.is_available():
        sys.stderr.write("There is no GPU here that torch can use: run this on a machine with one, nothing was done.\n")
        raise typer.Exit(2)
    chosen = pick_device(device)
    asked: dict[str, Callable[[], str]] = {
        "suite": lambda: _command("pytest", "-q", "-m", "not browser", "tests/unit", "--device", device),
        "determinism": lambda: determinism(device),
        "training": lambda: _benchmark("training_speed", "--device", device, "--per-class", "50", "--epochs", "1,5"),
        "inference": lambda: _benchmark("inference_speed", "--device", device, "--tasks", "5,50", "--images", "48"),
        "merged": lambda: _benchmark("merged", "--device", device, "--backbone", "tiny"),
        "profile": lambda: profile(chosen, backbone),
    }
    name = torch.cuda.get_device_name(chosen) if chosen.type == "cuda" else platform.processor() or "cpu"
    text = f"# Measured on {name}\n\n{date.today()}, torch {torch.__version__}, Python {platform.python_version()}.\n"
    for part in parts.split(","):
        began = time.monotonic()
        print(f"{part} …", flush=True)
        try:
            said = asked[part]()
        except Exception as error:  # noqa: BLE001  one part's failure is a result
            said = f"failed: {type(error).__name__}: {error}"
        text += f"\n## {part} ({time.monotonic() - began:.0f} s)\n\n{said}\n"
        report.write_text(text)
    print(f"{report} is written.")


def _command(module: str, *words: str) -> str:
    """The last lines of what a module says, and its exit status."""
    done = subprocess.run([sys.executable, "-m", module, *words], check=False, capture_output=True, text=True)
    lines = (done.stdout + done.stderr).strip().splitlines()[-40:]
    return "\n".join([f"exit status {done.returncode}", "", *(f"    {line}" for line in lines)])


def _benchmark(name: str, *words: str) -> str:
    return _command(f"tests.benchmarks.{name}", *words)


def determinism(device: str, per_class: int = 50) -> str:
    """Trains one small run twice; says what differs in adapters, heads and answers."""
    with tempfile.TemporaryDirectory() as runs:
        folders = []
        for name in ("first", "second"):
            flags = ["--stream", "split-digits", "--backbone", "tiny", "--device", device, "--name", name, "--quiet"]
            done = [
                sys.executable,
                "-m",
                "core",
                "train",
                *flags,
                "--epochs",
                "2",
                "--train-per-class",
                str(per_class),
                "--runs",
                runs,
            ]
            subprocess.run([*done, "--set", "record.projection=false"], check=True, capture_output=True)
            folders.append(Run(Path(runs) / name))
        first, second = folders
        tasks = range(len(first.manifest.tasks))
        parts = [(first.task(task), second.task(task)) for task in tasks]
        differing = [
            f"task {task}: {key}"
            for task, (one, other) in enumerate(parts)
            for group in ("adapter", "head")
            for key, value in getattr(one, group).items()
            if not torch.equal(value, getattr(other, group)[key])
        ]
        equal = first.predictions().equals(second.predictions())
        found = (
            f"{len(differing)} tensors differ ({', '.join(differing[:3])})" if differing else "all tensors are equal"
        )
        return f"Two runs with one seed: {found}; answers are {'equal' if equal else 'not equal'}."


def random_vit(name: str, device: torch.device) -> Backbone:
    """A ViT-B/16 at 224 px with random weights: speed does not depend on them."""
    from core.backbones.timm_vit import _backbone, load_tiny

    if name == "tiny":
        return load_tiny(None).to(device)
    import timm

    model = timm.create_model("vit_base_patch16_224", pretrained=False, num_classes=0)
    return _backbone(model, "random", "random ViT-B/16").to(device)


def profile(device: torch.device, backbone_name: str, images: int = 320) -> str:
    """Where the time of training goes: steps of the preset's first task after a warm-up, under torch's profiler."""
    from torch.profiler import ProfilerActivity
    from torch.profiler import profile as profiler

    small = {"stream": {"name": "split-digits", "tasks": 1, "train_per_class": images // 10, "test_per_class": 1}}
    values = merge(configuration(PRESET, False), small)
    config: RunConfig = validate(RunConfig, merge(values, {"training": {"epochs": 1, "device": device.type}}))
    backbone = random_vit(backbone_name, device)
    features = FrozenFeatures(backbone, config.retrieval.features)
    method = method_class(config.method.name)(backbone, features.width, config, device)
    method.curriculum(1)
    task = open_stream(config.stream, config.seed).tasks[0]
    precision = pick_precision(config.training.precision, device)
    encoder = Encoder(backbone, features, method.first_block, precision, TokenCache("auto"))
    data = encoder.encode(task.train, lambda done: None)
    generator = torch.Generator().manual_seed(0)
    method.begin_task(0, task.classes, generator)

    def epoch() -> float:
        began = time.perf_counter()
        train_task(method, 0, [data], config.training, precision, generator, lambda step, losses: None)
        if device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - began

    epoch()
    activities = [ProfilerActivity.CPU] + ([ProfilerActivity.CUDA] if device.type == "cuda" else [])
    with profiler(activities=activities) as found:
        wall = epoch()
    return _said_of(found.key_averages(), device, wall, len(data), len(method.adapted_blocks))


def _said_of(events: Any, device: torch.device, wall: float, images: int, blocks: int) -> str:
    """The share of products, how busy the device was, and the kernels that took most."""
    times = [(event.key, _microseconds(event, device)) for event in events]
    total = sum(each for _, each in times) or 1.0
    products = sum(each for name, each in times if _PRODUCTS[device.type].search(name))
    busy = total / 1e6 / wall
    rows = sorted(times, key=lambda row: -row[1])[:15]
    return "\n".join(
        [
            f"{PRESET}, {blocks} blocks adapted: {images / wall:.0f} images/s; "
            f"{products / total:.1%} in products and attention (aim {AIM:.0%}: "
            f"{'reached' if products / total >= AIM else 'missed'}); the device was busy {busy:.1%} of the time.",
            "",
            "| kernel | ms | share |",
            "| --- | --- | --- |",
            *(f"| `{name[:90]}` | {each / 1e3:.1f} | {each / total:.1%} |" for name, each in rows),
        ]
    )


def _microseconds(event: Any, device: torch.device) -> float:
    """Time in an event itself, on the device that is asked about; on a GPU only its kernels count."""
    if device.type == "cuda":
        return float(event.self_device_time_total) if str(event.device_type).endswith("CUDA") else 0.0
    return float(event.self_cpu_time_total)


if __name__ == "__main__":
    typer.run(main)
