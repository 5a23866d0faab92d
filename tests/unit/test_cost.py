"""Costs of layers whose price is known."""

import time

import pytest
import torch
from torch import nn
from torch.nn.functional import scaled_dot_product_attention

from core.evaluation.cost import flops_per_image, milliseconds_per_image, peak_memory_bytes, tensor_bytes


@pytest.mark.parametrize("batch", [1, 3, 8])
def test_flops_of_a_linear_layer(batch):
    assert flops_per_image(nn.Linear(16, 32), torch.randn(batch, 16)) == 2 * 16 * 32
    assert flops_per_image(nn.Linear(16, 32), torch.randn(batch, 10, 16)) == 10 * 2 * 16 * 32


def test_flops_of_a_convolution():
    layer = nn.Conv2d(3, 8, kernel_size=4, stride=4)
    assert flops_per_image(layer, torch.randn(2, 3, 16, 16)) == 2 * 8 * 3 * 4 * 4 * 4 * 4


def test_attention_is_counted_on_every_device():
    heads, tokens, width = 4, 10, 8
    flops = flops_per_image(lambda x: scaled_dot_product_attention(x, x, x), torch.randn(2, heads, tokens, width))
    assert flops == 2 * (2 * heads * tokens * tokens * width)


def test_the_fused_encoder_layer_is_counted():
    """Its fast path is one opaque operation: counted as such it would be free."""
    tokens, width, hidden = 10, 16, 32
    layer = nn.TransformerEncoderLayer(width, 4, hidden, batch_first=True).eval()
    linear = 2 * tokens * width * (4 * width + 2 * hidden)
    assert flops_per_image(layer, torch.randn(2, tokens, width)) == linear + 2 * (2 * tokens * tokens * width)
    assert torch.backends.mha.get_fastpath_enabled()


def test_a_skipped_block_costs_nothing():
    block = nn.Linear(16, 16)
    once, twice = (flops_per_image(nn.Sequential(*[block] * n), torch.randn(4, 16)) for n in (1, 2))
    assert twice == 2 * once
    assert flops_per_image(nn.Identity(), torch.randn(4, 16)) == 0


def test_counting_and_timing_keep_no_graph():
    layer = nn.Linear(4, 4)
    outputs = []
    batch = torch.randn(2, 4, requires_grad=True)
    flops_per_image(lambda x: outputs.append(layer(x)), batch)
    milliseconds_per_image(lambda x: outputs.append(layer(x)), batch, repeats=1)
    assert not any(output.requires_grad for output in outputs)


def test_time_is_a_median_for_one_image():
    delays = iter([0.5, 0.02, 0.02, 0.3, 0.02, 0.02])  # a slow warm-up and one hiccup do not count
    taken = milliseconds_per_image(lambda _: time.sleep(next(delays)), torch.zeros(4, 1), repeats=5, warm_up=1)
    assert 5 <= taken < 20


@pytest.mark.slow
def test_peak_memory_sees_a_large_tensor_and_never_falls():
    before = peak_memory_bytes("cpu")
    assert 10 * 2**20 < before < 2**40
    block = torch.ones(before // 4 + 64 * 2**20)  # four bytes each: more than all that was in use
    during = peak_memory_bytes(torch.device("cpu"))
    assert during >= block.nbytes
    del block
    assert peak_memory_bytes("cpu") > during - 2**20 > before


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_peak_memory_on_cuda():
    torch.cuda.reset_peak_memory_stats()
    block = torch.ones(2**20, device="cuda")
    assert peak_memory_bytes("cuda") >= block.nbytes
    assert milliseconds_per_image(lambda x: x @ x.T, torch.randn(8, 8, device="cuda")) > 0


def test_bytes_of_tensors():
    tensors = {"a": torch.zeros(3, 4), "b": torch.zeros(5, dtype=torch.float16), "c": torch.zeros(0)}
    assert tensor_bytes(tensors) == tensor_bytes(tensors.values()) == 48 + 10
    assert tensor_bytes([]) == 0
    assert tensor_bytes([torch.zeros(10, 10)[:2]]) == 80


def test_nothing_to_measure_is_refused():
    for measure in (flops_per_image, milliseconds_per_image):
        with pytest.raises(ValueError, match="empty batch"):
            measure(nn.Identity(), torch.zeros(0, 4))
    with pytest.raises(ValueError, match="repeat"):
        milliseconds_per_image(nn.Identity(), torch.zeros(1, 4), repeats=0)
