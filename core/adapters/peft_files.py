"""Low-rank updates as folders of the PEFT library, written and read without it.

A folder has `adapter_config.json` and `adapter_model.safetensors`: for each adapted module lora_A (rank, in) and lora_B
(out, rank), whose product times alpha / rank is added to the weight. A fused q, k, v is one module: its lora_A stacks
the units of the three, and its lora_B has them in the rows of their own projection, zeros elsewhere, so its rank is the
sum of theirs. Beside them we write `proteus.json`, which says what the adapter is for.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from core.adapters.peft_names import FUSED, sites_of_module
from core.adapters.sites import Site
from core.adapters.updates import LowRank, Updates
from core.errors import UserError
from core.files import replacing

CONFIG, TENSORS, ABOUT = "adapter_config.json", "adapter_model.safetensors", "proteus.json"
_KEY = re.compile(r"(?:base_model\.model\.)?(.+)\.lora_(A|B)(?:\.default)?\.weight")
_HEAD = re.compile(r"(?:base_model\.model\.)?(?:\w+\.)*(?:classifier|head|heads|fc)\.(?:.*\.)?(?:weight|bias)")
_PLAIN = "Proteus Lab takes plain LoRA"
_PREFIX, _WRAPPED = "base_model.model.", ".base_layer.out_proj"
_OTHER_KINDS = {
    "use_dora": "DoRA",
    "use_qalora": "QALoRA",
    "use_bdlora": "BD-LoRA",
    "kasa_config": "KaSA",
    "monteclora_config": "MonteCLoRA",
    "arrow_config": "Arrow",
    "alora_invocation_tokens": "aLoRA",
    "layer_replication": "layer replication",
    "target_parameters": "LoRA on bare parameters",
    "trainable_token_indices": "trained tokens",
    "lora_bias": "LoRA with biases",
    "fan_in_fan_out": "LoRA on transposed weights",
}
_MOVES_BACKBONE = ("pissa", "olora", "corda", "loftq", "lora_ga")
"""Ways of starting LoRA that change the weights of the backbone itself."""

Module = tuple[Tensor, Tensor]
"""lora_A (rank, in) and lora_B (out, rank) at scale 1."""


def write_adapter(folder: Path, updates: Updates, family: str, base: str, about: Mapping[str, Any]) -> None:
    """Write low-rank `updates` as a PEFT folder for the stock model of `family`, timm or open_clip, called `base`.

    Raises UserError for an update that is not low-rank, or none at all.
    """
    modules: dict[str, Module] = {}
    for block, at in sorted(updates.items()):
        plain = {name: _plain(update) for name, update in at.items()}
        modules |= (_timm if family == "timm" else _open_clip)(block, plain)
    if not modules:
        raise UserError("This adapter changes nothing, so there is nothing to write: choose another run.")
    # peft wraps open_clip's output projection when the attention around it is named, and not when it is named itself.
    ranks = {name: len(down) for name, (down, _) in modules.items() if not name.endswith(_WRAPPED)}
    config = {
        "peft_type": "LORA",
        "base_model_name_or_path": base,
        "task_type": None,
        "inference_mode": True,
        "r": max(ranks.values()),
        "lora_alpha": max(ranks.values()),
        "rank_pattern": ranks,
        "alpha_pattern": ranks,  # alpha / rank is 1 everywhere: the scale is within lora_B
        "target_modules": list(ranks),
        "lora_dropout": 0.0,
        "bias": "none",
        "fan_in_fan_out": False,
    }
    tensors: dict[str, Tensor] = {}
    for name, (down, up) in modules.items():
        tensors[f"{_PREFIX}{name}.lora_A.weight"] = down
        tensors[f"{_PREFIX}{name}.lora_B.weight"] = up
    from safetensors.torch import save

    folder.mkdir(parents=True, exist_ok=True)
    with replacing(folder / TENSORS) as file:
        file.write(save(tensors, metadata={"format": "pt"}))
    for document, values in ((CONFIG, config), (ABOUT, dict(about))):
        with replacing(folder / document) as file:
            file.write(json.dumps(values, indent=2, ensure_ascii=False).encode() + b"\n")


def _plain(update: object) -> Module:
    if not isinstance(update, LowRank):
        raise UserError("This method keeps dense residuals: a PEFT folder holds low-rank adapters only.")
    down, up = update.down.detach().float(), (update.up * update.coefficients).detach().float()
    return down.cpu().contiguous(), up.cpu().contiguous()


def _timm(block: int, at: Mapping[str, Module]) -> dict[str, Module]:
    names = {"o": "attn.proj", "fc1": "mlp.fc1", "fc2": "mlp.fc2"}
    found = {f"blocks.{block}.{names[part]}": module for part, module in at.items() if part in names}
    fused = _fused(at)
    return found if fused is None else {f"blocks.{block}.attn.qkv": fused, **found}


def _open_clip(block: int, at: Mapping[str, Module]) -> dict[str, Module]:
    """There the attention is one module, with q, k, v and the output projection at one rank: the smaller gets zeros.

    What is written is LoRA as it is defined; peft up to 0.21.2 adds the output projection's update twice.
    """
    stem = f"visual.transformer.resblocks.{block}."
    names = {"fc1": "mlp.c_fc", "fc2": "mlp.c_proj"}
    found = {stem + names[part]: module for part, module in at.items() if part in names}
    fused, output = _fused(at), at.get("o")
    if fused is None and output is None:
        return found
    width = next(at[name][0].shape[1] for name in (*FUSED, "o") if name in at)
    fused = fused or (torch.zeros(0, width), torch.zeros(3 * width, 0))
    output = output or (torch.zeros(0, width), torch.zeros(width, 0))
    rank = max(len(fused[0]), len(output[0]))
    return {f"{stem}attn": _filled(fused, rank), f"{stem}attn{_WRAPPED}": _filled(output, rank), **found}


def _fused(at: Mapping[str, Module]) -> Module | None:
    """q, k and v as one module whose rank is the sum of theirs; None where none of them is adapted."""
    parts = {name: at[name] for name in FUSED if name in at}
    if not parts:
        return None
    out = len(next(iter(parts.values()))[1])
    down = torch.cat([part for part, _ in parts.values()])
    up, first = torch.zeros(len(FUSED) * out, len(down)), 0
    for name, (part, own) in parts.items():
        row = FUSED.index(name) * out
        up[row : row + out, first : first + len(part)] = own
        first += len(part)
    return down, up


def _filled(module: Module, rank: int) -> Module:
    missing = rank - len(module[0])
    return F.pad(module[0], (0, 0, 0, missing)), F.pad(module[1], (0, missing))


@dataclass(frozen=True)
class PeftAdapter:
    """A LoRA adapter that was read from a PEFT folder."""

    folder: Path
    base: str
    """What its configuration calls the model it was trained on; '' where it does not say."""
    about: Mapping[str, Any]
    """Our own words beside it: task, classes, image_size, fingerprint; empty for adapters trained elsewhere."""
    units: Mapping[Site, Module]
    """down (units, in) and up (out, units) of every site that it changes; the scale is within `up`."""

    @property
    def rank(self) -> int:
        """Units at the site that has most."""
        return max(len(down) for down, _ in self.units.values())

    def check_shapes(self, shapes: Callable[[str], tuple[int, int]], depth: int) -> None:
        """Raises UserError when it does not fit a backbone of `depth` blocks with (out, in) of a projection."""
        for site, (down, up) in self.units.items():
            found, wanted = (len(up), down.shape[1]), shapes(site.projection)
            if site.block >= depth:
                raise UserError(
                    f"{self.folder} adapts block {site.block}, and this backbone has 0 to {depth - 1}: choose the "
                    "--backbone that it was trained on."
                )
            if found != wanted:
                raise UserError(
                    f"{self.folder} is for {found[0]} × {found[1]} weights at {site.name}, and this backbone's are "
                    f"{wanted[0]} × {wanted[1]}: choose the --backbone that it was trained on."
                )


def read_adapter(folder: Path) -> PeftAdapter:
    """The adapter in a PEFT folder; nothing in it is executed or unpickled.

    Raises UserError when there is none, it is damaged, of another kind than plain LoRA, or adapts anything but the
    projections of a vision transformer's blocks.
    """
    config, about = _document(folder, CONFIG), _document(folder, ABOUT) if (folder / ABOUT).exists() else {}
    _check_kind(folder, config)
    halves: dict[str, dict[str, Tensor]] = {}
    for key, tensor in _tensors(folder).items():
        if found := _KEY.fullmatch(key):
            halves.setdefault(found[1], {})[found[2]] = tensor.float()
        elif not _HEAD.fullmatch(key):  # heads are learned anew, for the classes of the stream
            raise UserError(f"{folder} holds “{key[:120]}”, which is no part of plain LoRA: save it without that.")
    units: dict[Site, Module] = {}
    for module, pair in halves.items():
        found_units = _units(folder, config, module, pair)
        if twice := units.keys() & found_units.keys():
            name = next(iter(twice)).name
            raise UserError(f"{folder} adapts {name} twice, in two towers: save the vision tower's adapter alone.")
        units |= found_units
    if not units:
        raise UserError(f"{folder} changes nothing: each lora_B in it is zero, as before training.")
    return PeftAdapter(folder, str(config.get("base_model_name_or_path") or ""), about, units)


def _document(folder: Path, name: str) -> dict[str, Any]:
    path = folder / name
    try:
        value = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise UserError(f"There is no {name} in {folder}: give folders that peft's save_pretrained wrote.") from None
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path} cannot be read ({str(error)[:120]}): save the adapter again.") from None
    if not isinstance(value, dict):
        raise UserError(f"{path} is no JSON object: save the adapter again.")
    return value


def _tensors(folder: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = folder / TENSORS
    if not path.is_file():
        pickled = (folder / "adapter_model.bin").is_file()
        why = "adapter_model.bin could run code when opened: " if pickled else ""
        raise UserError(f"There is no {TENSORS} in {folder}: {why}save it with safe_serialization=True.")
    try:
        return load_file(path)
    except (OSError, SafetensorError, ValueError) as error:
        raise UserError(f"{path} is damaged ({str(error)[:120]}): save the adapter again.") from None


def _check_kind(folder: Path, config: Mapping[str, Any]) -> None:
    kind = config.get("peft_type")
    if kind != "LORA":
        raise UserError(f"{folder} is of the kind {kind}: {_PLAIN} only.")
    for key, name in _OTHER_KINDS.items():
        if config.get(key):
            raise UserError(f"{folder} uses {name} ({key}): {_PLAIN} only.")
    if config.get("bias", "none") != "none":
        raise UserError(f"{folder} also trained biases (bias = {config['bias']!r}): {_PLAIN} only.")
    start = str(config.get("init_lora_weights")).lower()
    if start.startswith(_MOVES_BACKBONE):
        raise UserError(
            f"{folder} began with {start}, which moves the backbone itself: convert it to plain LoRA first."
        )


def _units(folder: Path, config: Mapping[str, Any], module: str, pair: Mapping[str, Tensor]) -> dict[Site, Module]:
    """The units of a module at each of its sites; those that add nothing there are left out."""
    sites = sites_of_module(module)
    if not sites:
        raise UserError(
            f"{folder} adapts “{module[:120]}”, which is no projection of a ViT's block (q, k, v, o, fc1, fc2): "
            f"{_PLAIN} there only."
        )
    if set(pair) != {"A", "B"} or pair["A"].ndim != 2 or pair["B"].ndim != 2 or len(pair["A"]) != pair["B"].shape[1]:
        raise UserError(f"{folder} has no lora_A and lora_B of one rank for “{module[:120]}”: save the adapter again.")
    down, up = pair["A"], pair["B"] * _scale(config, module, len(pair["A"]))
    if len(up) % len(sites):
        raise UserError(f"{folder}: “{module[:120]}” has {len(up)} rows, which are not those of q, k and v together.")
    found = {}
    for site, own in zip(sites, up.chunk(len(sites)), strict=True):
        counts = own.abs().amax(0) > 0
        if counts.any():
            found[site] = (down[counts].contiguous(), own[:, counts].contiguous())
    return found


def _scale(config: Mapping[str, Any], module: str, rank: int) -> float:
    """alpha / rank, or alpha / √rank for rank-stabilised LoRA (arXiv 2312.03732)."""
    alpha = config.get("lora_alpha", rank)
    for name, own in (config.get("alpha_pattern") or {}).items():
        if module == name or module.endswith(f".{name}"):
            alpha = own
    scale = float(alpha) / (rank**0.5 if config.get("use_rslora") else rank)
    return 2 * scale if module.endswith(_WRAPPED) and _adds_output_twice(config) else scale


def _adds_output_twice(config: Mapping[str, Any]) -> bool:
    """Whether the version of peft that trained it added the update of a wrapped output projection twice.

    All do up to 0.21.2 (its pull request 3774 tells why), so that is what the adapter has learned to be.
    """
    version = re.match(r"(\d+)\.(\d+)(?:\.(\d+))?", str(config.get("peft_version") or "0.0"))
    return version is None or tuple(int(part or 0) for part in version.groups()) <= (0, 21, 2)
