"""Many adapters in one pass: what an image gets is its own adapter's, whatever its company; what is pruned is small."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from core.adapters.mixed import mixed, pruned
from core.adapters.updates import Dense, LowRank
from core.evaluation.evaluator import EMBED_BATCH, Evaluator
from core.methods.inputs import Inputs, Memo
from tests.unit.learning import build, inputs_for, learn

pytestmark = pytest.mark.usefixtures("one_thread")


def learned(tasks=3, **options):
    method = build("proteus", **options)
    for task in range(tasks):
        learn(method, task)
    return method


def low_rank(units, width=12, out=10, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return LowRank(
        torch.randn(units, width, generator=generator),
        torch.randn(out, units, generator=generator),
        torch.randn(units, generator=generator),
    )


@pytest.mark.parametrize("sizes", [(2, 3, 1), (2, 40, 17), (16, 16, 16)])
def test_each_row_gets_its_own_update(sizes):
    updates = [{1: {"q": low_rank(size, seed=size)}} for size in sizes]
    updates.append({2: {"q": low_rank(4)}})  # nothing at block 1
    owner = torch.tensor([2, 0, 3, 1, 0, 1, 2])
    x = torch.randn(7, 5, 12)
    together = mixed(updates, owner)
    assert set(together) == {1, 2}
    back = torch.randn(7, 5, 10)
    for row, task in enumerate(owner.tolist()):
        for block in (1, 2):
            alone = updates[task].get(block, {}).get("q")
            matrix = torch.zeros(10, 12) if alone is None else alone.matrix()
            assert torch.allclose(
                together[block]["q"].added(torch.zeros(7, 5, 10), x)[row], x[row] @ matrix.T, atol=1e-4
            )
            assert torch.allclose(together[block]["q"].transposed(back)[row], back[row] @ matrix, atol=1e-4)


@pytest.mark.parametrize("sizes", [(2, 3, 1), (2, 40, 17)])
def test_adding_at_once_is_adding_and_the_same_whatever_the_company(sizes):
    updates = [{1: {"q": low_rank(size, seed=size)}} for size in sizes]
    owner = torch.tensor([2, 0, 1, 0, 1, 2])
    x, projected = torch.randn(6, 5, 12), torch.randn(6, 5, 30)[..., 10:20]  # a slice, as q is of q, k and v
    together = mixed(updates, owner)[1]["q"]
    added = together.added(projected, x)
    assert torch.allclose(added, projected + together.added(torch.zeros(6, 5, 10), x), atol=1e-4)
    for task, update in enumerate(updates):
        rows = owner == task
        alone = update[1]["q"].added(projected[rows], x[rows])
        assert torch.allclose(alone, added[rows], atol=1e-4)
        apart = mixed([update], torch.zeros(2, dtype=torch.long))[1]["q"].added(projected[rows], x[rows])
        assert torch.equal(apart, added[rows])


def test_only_low_rank_updates_are_mixed():
    with pytest.raises(ValueError, match="low-rank"):
        mixed([{0: {"q": low_rank(2)}}, {0: {"q": Dense(torch.zeros(10, 12), torch.ones(()))}}], torch.tensor([0, 1]))


@settings(deadline=None)
@given(st.integers(0, 1000), st.integers(1, 12), st.floats(0, 0.5))
def test_what_is_pruned_moves_the_update_by_no_more_than_its_share(seed, units, share):
    update = low_rank(units, seed=seed)
    coefficients = update.coefficients * torch.logspace(0, -6, units)
    update = LowRank(update.down, update.up, coefficients)
    kept = pruned({3: {"v": update}}, share)[3]["v"]
    error = (kept.matrix() - update.matrix()).norm()
    assert float(error) <= share * float(update.matrix().norm()) * 1.001 + 1e-5
    assert len(kept.down) <= units and (share or len(kept.down) == units)


def test_units_that_hardly_count_go_and_the_answers_stay():
    method = learned(compose=True)
    for s in method.bank.adapters[2].reuse.values():
        s.data.mul_(1e-4)
    method._answering.clear()
    units = method.bank.units(3)
    own = method.bank.adapters[2].rank
    assert {len(at.down) for block in method.updates(2).values() for at in block.values()} == {own} and own < units
    probe = inputs_for(method, 2, seed=3)
    with torch.no_grad():
        lean = method.embed(probe.tokens, 2)
        method.train()  # in training every unit takes part
        whole = method.embed(probe.tokens, 2)
    assert torch.allclose(lean, whole, atol=1e-3) and not torch.equal(lean, whole)


def test_training_on_forgets_what_was_composed():
    method = learned(1)
    before = method.updates(0)[2]["q"].matrix()
    method.train()
    method.bank.adapters[0].up["2/q"].data.add_(1)
    method.eval()
    assert not torch.allclose(method.updates(0)[2]["q"].matrix(), before)


@pytest.mark.parametrize("options", [{}, {"active_blocks": 1}])
def test_rows_of_many_tasks_in_one_pass(options):
    method = learned(**options)
    probe = inputs_for(method, 1, seed=3)
    tasks = torch.arange(16) % 3
    with torch.no_grad():
        together = method.embed_rows(probe.tokens, tasks)
        for task in range(3):
            alone = method.embed(probe.tokens, task)
            assert torch.allclose(together[tasks == task], alone[tasks == task], atol=1e-5)
            assert not torch.allclose(together[tasks != task], alone[tasks != task], atol=1e-3)


class Encoded:
    """What the evaluator asks of encoded images, with tokens at hand."""

    def __init__(self, inputs):
        self.inputs, self.frozen, self.labels, self.asked = inputs, inputs.frozen, inputs.labels, 0

    def __len__(self):
        return len(self.frozen)

    def tokens(self, rows):
        self.asked += len(rows)
        return self.inputs.tokens[rows]


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_company_changes_no_bit(precision):
    """An image's embedding is the same whoever else is in its pass, and whatever their adapters' ranks."""
    method = learned()
    data = Encoded(inputs_for(method, 1, seed=3, per_class=60))
    generator = torch.Generator().manual_seed(0)
    evaluator = Evaluator(method, precision, lambda done: None)
    rows = torch.arange(len(data))
    expected = [evaluator._embed(data, torch.full_like(rows, task), rows) for task in range(3)]
    for _ in range(5):
        some = torch.randperm(len(data), generator=generator)[: int(torch.randint(1, 100, (), generator=generator))]
        tasks = torch.randint(3, (len(some),), generator=generator)
        found = evaluator._embed(data, tasks, some)
        for row, (image, task) in enumerate(zip(some.tolist(), tasks.tolist(), strict=True)):
            assert torch.equal(found[row], expected[task][image]), (image, task)


@pytest.mark.parametrize("mode", ["energy", "likelihood"])
def test_all_tasks_of_an_image_go_through_together(mode, monkeypatch):
    method = learned(retrieval={"mode": mode})
    passes = []
    alone = method.embed_rows
    monkeypatch.setattr(method, "embed_rows", lambda tokens, tasks: passes.append(tasks) or alone(tokens, tasks))
    data = Encoded(inputs_for(method, 0, seed=2))
    evaluator = Evaluator(method, "float32", lambda done: None, whole_batches=False)
    scores = method.task_scores(evaluator.inputs(data, 0))
    assert scores.shape == (16, 3) and len(passes) == 1 and len(passes[0]) == 48 <= EMBED_BATCH
    assert data.asked == 16, "an image's tokens are read once for all its tasks"


def test_a_method_that_cannot_mix_takes_a_pass_a_task():
    method = build("taps")
    for task in range(2):
        learn(method, task)
    data = Encoded(inputs_for(method, 0, seed=2))
    evaluator = Evaluator(method, "float32", lambda done: None)
    tasks = torch.arange(16) % 2
    found = evaluator._embed(data, tasks, torch.arange(16))
    for task in range(2):
        expected = method.embed(data.inputs.tokens, task)[tasks == task]
        assert torch.allclose(found[tasks == task], expected, atol=1e-5)
    with pytest.raises(RuntimeError):
        method.embed_rows(data.inputs.tokens, tasks)


def test_each_embedding_is_computed_once_and_only_when_asked_for():
    asked = []

    def embed(tasks, rows):
        asked.extend(zip(tasks.tolist(), rows.tolist(), strict=True))
        return torch.stack([100.0 * tasks + rows, rows.float()], dim=1)

    memo = Memo()
    for _ in range(2):
        inputs = Inputs(torch.zeros(9, 1), embed, labels=torch.zeros(9), tasks=torch.zeros(9), memo=memo)
        inputs.prepare(torch.tensor([2, 0, 2]), torch.tensor([8, 1, 3]))
        assert inputs.embedding(2, torch.tensor([3, 8, 5]))[:, 0].tolist() == [203, 208, 205]
        assert inputs.embedding(0)[:, 0].tolist() == list(range(9))
        assert inputs.embedding(5, torch.zeros(0, dtype=torch.long)).shape == (0, 2)
    assert len(asked) == len(set(asked)) == 9 + 3
    memo.clear()
    Inputs(torch.zeros(9, 1), embed, labels=torch.zeros(9), tasks=torch.zeros(9), memo=memo).prepare_all(2)
    assert len(asked) == 12 + 18
