"""Properties that every method must have, run over all of them."""

from __future__ import annotations

import pytest
import torch

from core.adapters.describe import describe
from core.errors import UserError
from core.methods import method_class, method_names
from core.methods.base import PAST_IS_FROZEN, Step, best_class, best_per_task
from tests.unit.learning import (
    METHODS,
    TASKS,
    TRAINED,
    build,
    embed_each,
    images,
    inputs_for,
    learn,
    learned_and_loaded,
)

RETRIEVALS = ["whitened", "likelihood", "means", "kmeans", "energy", "oracle"]


def learned(name, tasks=3, **settings):
    method = build(name, **settings)
    for task in range(tasks):
        learn(method, task)
    return method


def answers(method, task, seed=1):
    inputs = inputs_for(method, task, seed)
    with torch.no_grad():
        scores = method.task_scores(inputs)
        return scores, method.classify(inputs, scores.argmax(1)), method.classify(inputs, inputs.tasks)


def test_the_registry_is_complete():
    assert {
        "sequential",
        "joint",
        "ncm",
        "lda",
        "ranpac",
        "o-lora",
        "lwf",
        "sd-lora",
        "proteus",
        "selective-lora",
        "taps",
    } <= set(METHODS)
    for name, summary in method_names().items():
        assert 20 < len(summary) < 120, f"{name}: “{summary}”"
        documented = method_class(name).__module__
        text = __import__(documented, fromlist=["x"]).__doc__
        assert "Our decision" in text or "Not continual" in text, f"{name} must say what is published and what is not"


def test_an_unknown_method_names_the_nearest():
    with pytest.raises(UserError, match="proteus"):
        method_class("protheus")


@pytest.mark.parametrize("name", METHODS)
def test_an_unknown_option_is_refused(name):
    with pytest.raises(UserError, match="sparsityy"):
        build(name, sparsityy=1)


@pytest.mark.parametrize("name", TRAINED)
@pytest.mark.parametrize("blocks", ["all", "last:2", "1,3"])
def test_a_new_adapter_changes_nothing(name, blocks):
    method = build(name, blocks=blocks)
    for task in range(2):
        method.begin_task(task, TASKS[task], torch.Generator().manual_seed(task))
    pixels, _ = images(0)
    backbone = method.backbone
    tokens = backbone.run(backbone.stem(pixels), 0, method.first_block)
    for task in range(2):
        for training in (True, False):
            method.train(training)
            with torch.no_grad():
                assert torch.equal(method.embed(tokens, task), backbone(pixels)), (task, training)


@pytest.mark.parametrize("name", METHODS)
def test_answers_have_the_right_shape_and_stay_inside_the_task(name):
    method = learned(name)
    for task in range(3):
        scores, free, given = answers(method, task)
        assert scores.shape == (16, 3) and torch.isfinite(scores).all()
        assert free.shape == given.shape == (16,)
        assert all(label in TASKS[task] for label in given.tolist())
        retrieved = scores.argmax(1).tolist()
        assert all(label in TASKS[t] for label, t in zip(free.tolist(), retrieved, strict=True))


@pytest.mark.parametrize("name", METHODS)
def test_an_easy_stream_is_learned(name):
    method = learned(name)
    right = torch.cat([answers(method, task)[2] == inputs_for(method, task, 1).labels for task in range(3)])
    assert right.float().mean() > 0.8, "task-aware accuracy on classes that differ by a fixed pattern"


@pytest.mark.parametrize("name", METHODS)
def test_images_are_answered_one_at_a_time(name):
    """Nothing in a batch may help another image."""
    method = learned(name, 2)
    together = inputs_for(method, 1, seed=1)
    scores = method.task_scores(together)
    for row in (0, 7, 15):
        alone = type(together)(
            together.frozen[row : row + 1],
            lambda tasks, rows, row=row: embed_each(method, together.tokens[row : row + 1][rows], tasks),
            labels=together.labels[row : row + 1],
            tasks=together.tasks[row : row + 1],
        )
        assert torch.allclose(method.task_scores(alone)[0], scores[row], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", [n for n in METHODS if PAST_IS_FROZEN in method_class(n).promises])
def test_the_past_is_bit_equal_where_it_is_promised(name):
    method = build(name)
    learn(method, 0)
    probe = inputs_for(method, 0, seed=3)
    if method.first_block == method.backbone.depth:
        return
    before = method.embed(probe.tokens, 0).detach().clone()
    head = method.heads(before, 0).detach().clone()
    learn(method, 1)
    learn(method, 2)
    after = method.embed(probe.tokens, 0)
    assert torch.equal(before, after) and torch.equal(head, method.heads(after, 0))


def test_sequential_does_move_the_past():
    method = build("sequential")
    learn(method, 0)
    probe = inputs_for(method, 0, seed=3)
    before = method.embed(probe.tokens, 0)
    learn(method, 1)
    assert not torch.allclose(before, method.embed(probe.tokens, 0))


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("retrieval", RETRIEVALS)
def test_a_method_comes_back_from_its_state(name, retrieval):
    settings = {"retrieval": {"mode": retrieval}}
    if retrieval != "whitened" and name not in ("proteus", "taps"):
        pytest.skip("this method does not retrieve tasks")
    method, again = learned_and_loaded(name, **settings)
    for task in range(2):
        for mine, theirs in zip(answers(method, task), answers(again, task), strict=True):
            assert torch.equal(mine, theirs)
    learn(method, 2)
    learn(again, 2)
    for mine, theirs in zip(answers(method, 2), answers(again, 2), strict=True):
        assert torch.equal(mine, theirs), "what is learned next is the same too"


@pytest.mark.parametrize("name", ["selective-lora", "taps"])
def test_a_gate_that_is_off_equals_the_frozen_block(name):
    method = build(name)
    learn(method, 0)
    gates = method.block_gates if name == "selective-lora" else method.residuals[0].gates
    probe = inputs_for(method, 0, seed=3)
    frozen = method.backbone.readout(method.backbone.run(probe.tokens, 2, 4, cls_only=True))
    gates.scores.data.fill_(0.2)
    assert not torch.allclose(method.embed(probe.tokens, 0), frozen)
    gates.scores.data.fill_(0.0)
    assert gates.active() == ()
    for training in (False, True):
        method.train(training)
        assert torch.equal(method.embed(probe.tokens, 0), frozen), training
    gates.scores.data[1] = 0.2
    method.eval()
    assert set(method.updates(0)) == {3}, "only the block that is on is computed"


@pytest.mark.parametrize("name", ["selective-lora", "taps"])
def test_the_penalty_closes_gates_and_waits_for_the_warm_up(name):
    method = build(name, sparsity=1.0, warmup=0.5, active_blocks=1)
    method.begin_task(0, TASKS[0], torch.Generator().manual_seed(0))
    data = inputs_for(method, 0)
    method.train()
    _, early = method.loss(data.tokens, data.labels, Step(0, 4, 10))
    total, late = method.loss(data.tokens, data.labels, Step(0, 5, 10))
    assert early["sparsity"].item() == 0 and late["sparsity"].item() == pytest.approx(0.15)
    total.backward()
    gates = method.block_gates if name == "selective-lora" else method.residuals[0].gates
    assert (gates.scores.grad > 0).all(), "descent lowers the scores"


def test_what_the_first_task_leaves_closed_no_later_task_changes():
    method = build("selective-lora", blocks="all", sparsity=1.0)
    learn(method, 0)
    chosen = method.block_gates.active()
    assert len(chosen) == 1
    for task in (1, 2):
        learn(method, task)
        assert method.block_gates.active() == chosen and [str(block) for block in method.updates(task)] == list(chosen)


def test_proteus_reuses_and_penalises():
    method = learned("proteus", 2)
    newest = method.bank.adapters[1]
    assert all(s.shape == (3,) for s in newest.reuse.values()), "a coefficient for each unit of task 0"
    assert any(s.abs().sum() > 0 for s in newest.reuse.values())
    gates = method.task_state(1).gates
    assert len(gates["sites"]["2/q"]["reuse"][0]) == 3 and len(gates["overlap"]) == 1
    method.train()
    data = inputs_for(method, 1)
    _, parts = method.loss(data.tokens, data.labels, Step(1, 0, 1))
    assert set(parts) == {"cross_entropy", "orthogonality"}


@pytest.mark.parametrize(("start", "first"), [("whole", 1.0), ("zero", 0.0)])
def test_coefficients_of_earlier_units_start_where_they_should(start, first):
    method = learned("proteus", 1, transfer_start=start)
    method.begin_task(1, TASKS[1], torch.Generator().manual_seed(1))
    assert all((s == first).all() for s in method.bank.adapters[1].reuse.values())
    tokens = inputs_for(method, 1).tokens
    with torch.no_grad():
        begins, alone = method.embed(tokens, 1), method.backbone.run(tokens, method.first_block, 4)
    before = method.embed(tokens, 0) if first else method.backbone.readout(alone)
    assert torch.allclose(begins, before, atol=0.01), (
        "a task begins with all that was learned before it, or with nothing"
    )


def choosing(method, steps):
    """The task 1 of `method`, begun, and its coefficients after so many of 100 steps in which no loss held them."""
    method.begin_task(1, TASKS[1], torch.Generator().manual_seed(1))
    method.train()
    for step in range(steps):
        method.after_step(Step(1, step, 100), 0.01)
    return {site: method.bank.adapters[1].reuse[site.name].detach() for site in method.bank.sites}


def test_the_penalty_on_earlier_units_leaves_exact_zeros_and_takes_the_smallest_first():
    method = learned("proteus", 1, transfer=2.0)
    found = choosing(method, 49)
    for site, s in found.items():
        effects = method.bank.effects(site, 1)
        assert torch.allclose(s, (1 - 0.98 * effects.mean() / effects).clamp_min(0), atol=1e-5)
        assert (s[effects.argsort()].diff() >= 0).all(), "what adds least goes first"
    assert any((s == 0).any() for s in found.values()) and any((s > 0).any() for s in found.values())


def test_earlier_units_that_are_chosen_begin_again_at_one_and_the_others_stay_out():
    before, after = (choosing(learned("proteus", 1, transfer=2.0), steps) for steps in (49, 50))
    for one, other in zip(before.values(), after.values(), strict=True):
        assert set(other.unique().tolist()) <= {0.0, 1.0}
        assert (other <= (one != 0)).all(), "none comes back"
    method = learned("proteus", 1, transfer=2.0)
    halfway = {site: s.clone() for site, s in choosing(method, 50).items()}
    for s in method.bank.adapters[1].reuse.values():
        s.data.add_(0.25)  # as a step of the optimiser might
    method.after_step(Step(1, 50, 100), 0.01)
    for site, s in halfway.items():
        assert torch.equal(method.bank.adapters[1].reuse[site.name], 1.25 * s), "chosen ones move freely, others do not"


def test_without_a_penalty_nothing_is_chosen():
    method = learned("proteus", 1, transfer=0.0)
    method.begin_task(1, TASKS[1], torch.Generator().manual_seed(1))
    for s in method.bank.adapters[1].reuse.values():
        s.data.fill_(0.3)
    for step in range(10):
        method.after_step(Step(1, step, 10), 0.1)
    assert all((s == 0.3).all() for s in method.bank.adapters[1].reuse.values())


def test_coefficients_have_a_rate_of_their_own_and_nothing_is_moved_twice():
    method = learned("proteus", 1, transfer_rate=7.0)
    method.begin_task(1, TASKS[1], torch.Generator().manual_seed(1))
    groups = {factor: members for members, factor in method.rates()}
    assert {id(p) for p in groups[7.0]} == {id(s) for s in method.bank.adapters[1].reuse.values()}
    moved = [id(p) for members, _ in method.rates() for p in members]
    assert sorted(moved) == sorted(id(p) for p in method.trainable())


def test_proteus_without_composition_stands_alone():
    method = learned("proteus", 2, compose=False)
    update = method.updates(1)[2]["q"]
    assert torch.equal(update.down, method.bank.adapters[1].down["2/q"]), "the first task's units take no part"
    assert (update.coefficients == 1).all()


def test_orthogonality_keeps_units_apart():
    def overlap(weight):
        method = build("proteus", orthogonality=weight)
        for task in range(2):
            learn(method, task, steps=40)
        return float(method.bank.overlap(1))

    assert overlap(1.0) < 0.5 * overlap(0.0)


def test_sd_lora_normalises_without_changing_the_function():
    method = build("sd-lora")
    method.begin_task(0, TASKS[0], torch.Generator().manual_seed(0))
    data = inputs_for(method, 0)
    for parameter in method.bank.parameters():
        torch.nn.init.normal_(parameter, generator=torch.Generator().manual_seed(1))
    before = method.embed(data.tokens, 0)
    method.end_task(0, data)
    assert torch.allclose(before, method.embed(data.tokens, 0), atol=1e-4)
    for site in method.bank.sites:
        adapter = method.bank.adapters[0]
        assert float((adapter.up[site.name] @ adapter.down[site.name]).norm()) == pytest.approx(1, rel=1e-4)


def test_o_lora_penalises_overlap_with_the_past_only():
    method = learned("o-lora", 1)
    method.train()
    data = inputs_for(method, 0)
    assert float(method.loss(data.tokens, data.labels, Step(0, 0, 1))[1]["orthogonality"]) == 0
    method.begin_task(1, TASKS[1], torch.Generator().manual_seed(1))
    data = inputs_for(method, 1)
    assert float(method.loss(data.tokens, data.labels, Step(1, 0, 1))[1]["orthogonality"]) > 0
    assert not any(p.requires_grad for p in method.bank.adapters[0].parameters())


def test_joint_learns_everything_as_one_group():
    assert build("joint").curriculum(4) == [(0, 1, 2, 3)]
    assert build("proteus").curriculum(3) == [(0,), (1,), (2,)]


@pytest.mark.parametrize("head", ["linear", "ranpac"])
def test_both_heads_of_proteus_classify(head):
    method = learned("proteus", 3, head=head)
    right = torch.cat([answers(method, task)[2] == inputs_for(method, task, 1).labels for task in range(3)])
    assert right.float().mean() > 0.8


@pytest.mark.parametrize("shortlist", [1, 2, 3])
def test_a_shortlist_of_any_length_answers(shortlist):
    method = learned("proteus", 3, retrieval={"shortlist": shortlist})
    assert method.passes() == (True, min(shortlist + 1, 3)), "the first task's adapter is one more pass"
    scores, free, _ = answers(method, 1)
    assert torch.isfinite(scores).all() and free.shape == (16,)


def test_oracle_retrieval_is_always_right():
    method = learned("proteus", 3, retrieval={"mode": "oracle"})
    for task in range(3):
        scores, free, given = answers(method, task)
        assert (scores.argmax(1) == task).all() and torch.equal(free, given)


def test_best_of_each_task():
    scores = torch.tensor([[1.0, 5.0, 2.0], [9.0, 0.0, 3.0]])
    classes = [(0,), (1, 2)]
    assert best_per_task(scores, classes).tolist() == [[1, 5], [9, 3]]
    assert best_class(scores, classes, torch.tensor([1, 1])).tolist() == [1, 2]
    assert best_class(scores, classes, torch.tensor([0, 0])).tolist() == [0, 0]


def test_update_norms_are_described():
    method = learned("sequential", 1)
    described = describe(method.updates(0))["sites"]
    assert set(described) == {"2/q", "2/v", "3/q", "3/v"}
    assert described["2/q"]["norm"] == pytest.approx(float(method.updates(0)[2]["q"].matrix().norm()))


@pytest.mark.parametrize("name", METHODS)
def test_state_is_complete(name):
    """Every tensor a trained method needs is in its state: parameters live in state_dict, none in plain lists."""
    method = learned(name, 2)
    total = sum(p.numel() for p in method.parameters())
    saved = [method.task_state(task) for task in range(2)]
    if PAST_IS_FROZEN in method.promises:
        kept = sum(t.numel() for state in saved for t in (*state.adapter.values(), *state.head.values()))
    else:
        kept = sum(t.numel() for t in (*saved[-1].adapter.values(), *saved[-1].head.values()))
    if name != "taps":
        assert kept == total
