"""What gates.json and adapter files say of blocks, also where they are not as expected."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from app.reading import block_maps
from core.runs.schema import BackboneInfo
from tests.app.learned_run import gates

BOTH = [gates(0), gates(1)]


def test_maps_tell_changed_from_switched_off_and_from_never_adapted() -> None:
    first, second = block_maps.block_maps(BOTH, depth=3)
    assert first.norm[:, :2].tolist() == [[0.5, 0.5], [0.5, 0.5]] and np.isnan(first.norm[:, 2]).all()
    assert second.norm[:, 0].tolist() == [1.5, 1.5] and np.isnan(second.norm[:, 1:]).all()
    assert second.off.tolist() == [[False, True, False]] * 2 and not first.off.any()
    assert (first.active_blocks, second.active_blocks, second.adapted_blocks) == ([0, 1], [0], [0, 1])


def test_a_gate_of_one_projection_switches_that_one_off() -> None:
    sites = {"0/q": {"norm": 1.0}, "1/v": {"norm": 2.0}}
    gated = {"scores": {"0/q": 0.2, "0/v": 0.0, "1/q": 0.0, "1/v": 0.3}, "active": ["0/q", "1/v"], "budget": 2}
    [found] = block_maps.block_maps([{"sites": sites, "blocks": gated}], depth=2)
    assert found.off.tolist() == [[False, True], [True, False]] and found.active_blocks == [0, 1]
    assert block_maps.budget({"blocks": gated}) == 2 and np.isnan(block_maps.threshold({"blocks": gated}))


def test_the_history_of_gates_has_gaps_where_a_budget_closed_them() -> None:
    kept = {"steps": [0, 5, 10], "scores": {"8": [0.15, 0.2, 0.3], "9": [0.15, None, None], "<b>": [1, 2, 3], "7": 4}}
    steps, lines = block_maps.history({"blocks": {"history": kept}})
    assert steps.tolist() == [0, 5, 10] and set(lines) == {"8", "9"}
    assert np.isnan(lines["9"]).tolist() == [False, True, True]
    for odd in ({}, {"blocks": {"history": 3}}, {"blocks": {"history": {"steps": 3, "scores": {"8": [1]}}}}):
        assert block_maps.history(odd)[1] == {}


def test_projections_come_in_the_order_of_a_block() -> None:
    sites = {f"0/{name}": {"norm": 1.0} for name in ("fc1", "v", "q", "o")}
    assert block_maps.projections([{}, {"sites": sites}]) == ["q", "v", "o", "fc1"]


def test_reuse_is_the_mean_size_of_the_coefficients() -> None:
    assert block_maps.reuse(BOTH)[1, 0] == pytest.approx(0.2)
    assert np.isnan(block_maps.reuse(BOTH)[[0, 0, 1], [0, 1, 1]]).all()


def test_overlap_is_kept_below_the_diagonal_only() -> None:
    table = block_maps.overlap([{"overlap": [0.9]}, {"overlap": [0.25, 0.9, 0.9]}])
    assert table[1, 0] == 0.25 and np.isnan(table[[0, 0, 1], [0, 1, 1]]).all()


def test_two_random_adapters_overlap_by_about_the_chance_that_is_told() -> None:
    generator = torch.Generator().manual_seed(0)
    a, b = torch.randn(2, 4, 384, generator=generator)
    measured = float((a @ b.T).norm() / (a.norm() * b.norm()))
    assert measured == pytest.approx(block_maps.chance_overlap(384), rel=0.5)


@pytest.mark.parametrize(
    "odd",
    [
        {"0.q": 1.0},
        {"sites": None, "blocks": None, "overlap": None},
        {"sites": {"9999/q": {"norm": 1}, "x/q": {}, "0/<b>": {"norm": 1}, "1/q": 3}},
        {"sites": {"0/q": {"norm": None, "reuse": 3}}, "blocks": {"scores": {"a": 1, "7": None}}},
    ],
)
def test_a_strangers_gates_are_no_fault(odd: dict) -> None:
    maps = block_maps.block_maps([odd, gates(1)], depth=2)
    assert len(maps) == 2 and maps[0].norm.shape[1] == 2 and not maps[0].active_blocks
    block_maps.reuse([odd, odd])
    assert np.isnan(block_maps.overlap([odd, odd])).all()
    block_maps.scores(odd), block_maps.threshold(odd), block_maps.active_by_gate(odd)


def test_bytes_by_block_are_those_of_the_tensors(tmp_path: Path) -> None:
    path = tmp_path / "adapter.safetensors"
    tensors = {
        "down.3/q": torch.zeros(4, 8),
        "bank.adapters.0.up.3/v": torch.zeros(8, 4, dtype=torch.bfloat16),
        "down.11/q": torch.zeros(2, 8),
        "scale": torch.zeros(5),
    }
    save_file(tensors, str(path), metadata={"format": "pt"})
    assert block_maps.stored_bytes(path, 0) == {3: 4 * 8 * 4 + 8 * 4 * 2, 11: 64}


@pytest.mark.parametrize(
    "content", [b"", b"\xff" * 16, b"\x02" + b"\0" * 7 + b"[]", b"\x09" + b"\0" * 7 + b'{"a/b":1}']
)
def test_a_damaged_adapter_file_has_no_sizes(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "adapter.safetensors").write_bytes(content)
    assert block_maps.stored_bytes(tmp_path / "adapter.safetensors", 0) == {}
    assert block_maps.stored_bytes(tmp_path / "none", 0) == {}


def test_work_of_a_block_agrees_with_pytorchs_counter() -> None:
    from torch.utils.flop_counter import FlopCounterMode

    tokens, width = 17, 48
    layer = torch.nn.TransformerEncoderLayer(width, 4, 4 * width, batch_first=True).train()
    with FlopCounterMode(display=False) as counter, torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        layer(torch.zeros(1, tokens, width))
    values = {"tokens": tokens, "width": width, "depth": 1, "heads": 4, "image_size": 56, "parameters": 1}
    backbone = BackboneInfo(name="", title="", family="", fingerprint="", **values)
    assert block_maps.block_flops(backbone) == pytest.approx(counter.get_total_flops(), rel=0.01)
