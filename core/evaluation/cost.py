"""What an answer costs: floating-point operations, time, memory and bytes kept."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode


def flops_per_image(function: Callable[[Tensor], object], batch: Tensor) -> float:
    """Floating-point operations of `function(batch)`, (n, ...), for one image; a multiply and an add count as two.

    Matrix products, convolutions and attention are counted; norms, activations and sums are not, as is usual.
    Raises ValueError for an empty batch.
    """
    _check(batch)
    with torch.inference_mode(), _countable_attention(), FlopCounterMode(display=False) as counter:
        function(batch.detach())  # the counter's module hooks need a graph for inputs with gradients
    return counter.get_total_flops() / len(batch)


def milliseconds_per_image(
    function: Callable[[Tensor], object], batch: Tensor, repeats: int = 5, warm_up: int = 2
) -> float:
    """Wall-clock time of `function(batch)`, (n, ...), for one image: the median of `repeats` after `warm_up` runs.

    Waits for the batch's device to finish. Raises ValueError for an empty batch or no repeats.
    """
    _check(batch)
    if repeats < 1:
        raise ValueError("at least one repeat is needed to measure time")
    seconds = []
    with torch.inference_mode():
        for _ in range(warm_up + repeats):
            _wait(batch.device)
            start = time.perf_counter()
            function(batch)
            _wait(batch.device)
            seconds.append(time.perf_counter() - start)
    return 1000 * median(seconds[warm_up:]) / len(batch)


def peak_memory_bytes(device: torch.device | str) -> int:
    """The most memory in use at any time so far.

    On CUDA these are the tensors that this process had allocated on the device, since its start or since
    `torch.cuda.reset_peak_memory_stats`. On any other device it is the resident memory of the whole process, code and
    libraries included; it never falls by more than the kernel's rounding, which is under a MiB.
    """
    device = torch.device(device)
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    status = Path("/proc/self/status")
    if status.exists():  # Linux's getrusage starts from the parent's peak, this does not
        lines = status.read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))
    return _peak_from_system()


def tensor_bytes(tensors: Mapping[str, Tensor] | Iterable[Tensor]) -> int:
    """Bytes that the values of the tensors take, without any file format around them."""
    values = tensors.values() if isinstance(tensors, Mapping) else tensors
    return sum(tensor.numel() * tensor.element_size() for tensor in values)


@contextmanager
def _countable_attention() -> Iterator[None]:
    """Attention as matrix products: the counter knows no formula for the CPU's fused kernels and would count 0."""
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)


def _peak_from_system() -> int:
    if sys.platform == "win32":
        import psutil

        return int(psutil.Process().memory_info().peak_wset)
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # macOS counts bytes, other systems KiB


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def _check(batch: Tensor) -> None:
    if not len(batch):
        raise ValueError("an empty batch has no cost per image")
