"""What an answer costs, measured four ways on a small random backbone."""

from __future__ import annotations

import pytest
import torch

from app.workers.measure_answers import answer
from core.errors import UserError

EVERY = [f"{block}/{name}" for block in range(2) for name in ("q", "k", "v", "o", "fc1", "fc2")]


def test_folded_updates_do_the_work_of_the_frozen_model_and_open_gates_less_than_all():
    question = {"backbone": "tiny", "image_size": None, "every": EVERY, "opened": ["1/q", "1/fc2"], "rank": 4}
    threads = torch.get_num_threads()
    found = answer(question)
    assert torch.get_num_threads() == threads and found["threads"] == 1
    rows = {row["what"]: row for row in found["rows"]}
    frozen, unmerged, gated, merged = (rows[name]["flops"] for name in ("frozen", "unmerged", "gated", "merged"))
    assert merged == frozen < gated < unmerged
    assert rows["frozen"]["bytes"] == 0 < rows["gated"]["bytes"] == rows["merged"]["bytes"] < rows["unmerged"]["bytes"]
    assert 0 < rows["merged"]["gap"] < 1e-3, "the same function, but for rounding"
    assert all(row["ms"] > 0 for row in found["rows"])


def test_a_backbone_that_is_not_there_is_said_in_one_line():
    with pytest.raises(UserError):
        answer({"backbone": "no-such", "image_size": None, "every": [], "opened": [], "rank": 4})
