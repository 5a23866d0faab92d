"""Gates and budgets: exactly as many blocks as were asked for, however they are chosen, on every backbone family."""

from __future__ import annotations

import json

import open_clip
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from core.adapters.gates import Gates, annealed, gate_names
from core.adapters.sites import sites_of
from core.backbones.clip_vit import load_clip
from core.backbones.features import FrozenFeatures
from core.config import RunConfig, validate
from core.errors import UserError
from core.methods import method_class
from core.methods.base import Step
from core.methods.gated import GateOptions
from tests.unit.learning import CPU, TASKS, build, images, inputs_for, learn, learned_and_loaded

GATED = ["selective-lora", "taps", "proteus"]
SELECTIONS = ["learned", "random", "last", "gradient"]
SITES = sites_of((0, 1, 2, 3), ("q", "v"))


def gates_of(method, task=0):
    if method.config.method.name == "taps":
        return method.residuals[task].gates
    return method.block_gates[task] if method.config.method.name == "proteus" else method.block_gates


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """A random open_clip tower of 16 blocks for images of 16 pixels."""
    folder = tmp_path_factory.mktemp("clip")
    settings = {
        "embed_dim": 16,
        "vision_cfg": {"image_size": 16, "layers": 16, "width": 32, "head_width": 16, "patch_size": 4},
        "text_cfg": {"context_length": 8, "vocab_size": 64, "width": 16, "heads": 2, "layers": 1},
    }
    (folder / "deep-clip.json").write_text(json.dumps(settings))
    open_clip.add_model_config(folder / "deep-clip.json")
    torch.manual_seed(1)
    torch.save(open_clip.create_model("deep-clip").state_dict(), folder / "deep-clip.pt")
    return load_clip(str(folder / "deep-clip.json"), str(folder / "deep-clip.pt"), None)


def build_clip(clip, name, **options):
    values = {
        "method": {"name": name, **options},
        "adapters": {"blocks": "all", "rank": 2, "first_rank": 2},
        "retrieval": {"features": "last:2", "dimensions": 4},
    }
    config = validate(RunConfig, values)
    features = FrozenFeatures(clip, config.retrieval.features)
    return method_class(name)(clip, features.width, config, CPU).eval()


@pytest.mark.parametrize("name", GATED)
@pytest.mark.parametrize(("budget", "blocks"), [(1, 1), (3, 3), (0.05, 1), (0.25, 4)])
def test_a_budget_is_met_exactly_on_open_clip(clip, name, budget, blocks):
    """Of 16 blocks, 5% is one and 25% is four."""
    method = build_clip(clip, name, active_blocks=budget)
    learn(method, 0, steps=5)
    assert len(gates_of(method).active()) == len(method.updates(0)) == blocks


@pytest.mark.parametrize("name", GATED)
@pytest.mark.parametrize("selection", SELECTIONS)
@pytest.mark.parametrize(("budget", "blocks"), [(3, 3), (0.05, 1), (0.25, 1)])
def test_a_budget_is_met_exactly_on_timm(name, selection, budget, blocks):
    method = build(name, blocks="all", active_blocks=budget, selection=selection)
    learn(method, 0, steps=5)
    assert len(gates_of(method).active()) == len(method.updates(0)) == blocks


@pytest.mark.parametrize("name", GATED)
@pytest.mark.parametrize("steps", [0, 1, 2])
def test_a_budget_is_met_however_short_the_training(name, steps):
    for selection in SELECTIONS:
        method = build(name, blocks="all", active_blocks=2, selection=selection)
        learn(method, 0, steps=steps)
        assert len(gates_of(method).active()) == 2, selection


@pytest.mark.parametrize("name", GATED)
def test_gates_can_switch_single_sites(name):
    method = build(name, blocks="all", active_blocks=3, gates_per="site")
    learn(method, 0, steps=10)
    on = sum(len(projections) for projections in method.updates(0).values())
    assert on == 3 and all("/" in name for name in gates_of(method).active())


def test_a_share_and_a_number_each_have_one_meaning():
    assert [GateOptions(active_blocks=share).budget(12) for share in (0.05, 0.25, 0.3, 1.0)] == [1, 3, 4, 12]
    assert GateOptions(active_blocks=1).budget(12) == 1 and GateOptions().budget(12) is None
    kept = GateOptions.model_validate_json(GateOptions(active_blocks=1.0).model_dump_json())
    assert kept.budget(12) == 12, "a stored share of 1.0 does not come back as one block"


@pytest.mark.parametrize("value", [0, -1, 0.0, 1.5, 3.0, True, "3", "half"])
def test_anything_else_is_refused_in_one_line(value):
    with pytest.raises(UserError, match="whole number such as 3, or a share") as caught:
        build("selective-lora", active_blocks=value)
    assert "\n" not in str(caught.value)


def test_what_cannot_be_met_is_refused():
    with pytest.raises(UserError, match="only 2 can be active"):
        learn(build("selective-lora", blocks="last:2", active_blocks=3), 0)
    with pytest.raises(UserError, match="set active_blocks"):
        build("taps", selection="random")
    with pytest.raises(UserError, match="after warmup"):
        build("taps", warmup=0.8)


@given(
    gates=st.integers(1, 100),
    share=st.floats(0.01, 1),
    moments=st.lists(st.floats(0, 1), min_size=2, max_size=10),
)
def test_the_schedule_goes_from_all_to_the_budget_and_never_back(gates, share, moments):
    budget = max(1, int(share * gates))
    counts = [annealed(fraction, gates, budget, 0.2, 0.7) for fraction in sorted(moments)]
    assert counts == sorted(counts, reverse=True) and all(budget <= count <= gates for count in counts)
    assert annealed(0.0, gates, budget, 0.2, 0.7) == annealed(0.2, gates, budget, 0.2, 0.7) == gates
    assert annealed(0.7, gates, budget, 0.2, 0.7) == annealed(1.0, gates, budget, 0.2, 0.7) == budget


def test_the_lowest_scores_are_closed_first_and_stay_closed():
    gates = Gates(SITES, budget=1)
    gates.scores.data = torch.tensor([0.3, 0.1, 0.2, 0.2])
    gates.keep(3)
    assert gates.active() == ("0", "2", "3")
    gates.scores.data[1] = 9.0
    gates.keep(2)
    assert gates.active() == ("0", "3"), "of equal scores the earlier block goes; a closed one does not come back"
    gates.keep(3)
    assert len(gates.active()) == 2


def test_a_closed_gate_is_skipped_in_training_and_lets_go_of_its_weights():
    method = build("selective-lora", blocks="all", active_blocks=1, warmup=0.0, settled=0.5)
    method.begin_task(0, TASKS[0], torch.Generator().manual_seed(0))
    data = inputs_for(method, 0)
    method.train()
    method.loss(data.tokens, data.labels, Step(0, 0, 10))
    assert len(method.present_updates()) == 4, "all are open at first"
    method.loss(data.tokens, data.labels, Step(0, 5, 10))[0].backward()
    assert len(method.present_updates()) == 1, "closed gates are not computed"
    adapter = method.bank.adapters[0]
    kept = set(method.block_gates.open_sites())
    for site in method.bank.sites:
        for parameter in adapter.parameters_at(site):
            assert parameter.requires_grad == (site in kept)
            assert site in kept or (not parameter.any() and parameter.grad is None)


@pytest.mark.parametrize("selection", ["last", "random"])
@pytest.mark.parametrize("name", GATED)
def test_what_is_chosen_beforehand_is_where_training_starts(name, selection):
    """Blocks before the first chosen one are frozen, so their tokens can be kept."""
    method = build(name, blocks="all", active_blocks=1, selection=selection)
    learn(method, 0)
    assert [method.first_block] == list(method.updates(0))
    assert selection == "random" or method.first_block == 3


def test_the_gradient_choice_takes_the_largest_gradients():
    """Adapters whose input is scaled up have the larger gradients: the choice must be that block."""
    method = build("taps", blocks="all", active_blocks=1, selection="gradient", warmup=0.5)
    method.begin_task(0, TASKS[0], torch.Generator().manual_seed(0))
    torch.nn.init.normal_(method.heads.heads[0].weight, generator=torch.Generator().manual_seed(1))
    weights = method.residuals[0].weights
    data = inputs_for(method, 0)
    method.train()
    squares = torch.zeros(4)
    for step in range(5):
        method.loss(data.tokens, data.labels, Step(0, step, 10))[0].backward()
        for site in method.shapes:
            squares[site.block] += weights[site.name].grad.square().sum()
        method.zero_grad()
    method.loss(data.tokens, data.labels, Step(0, 5, 10))
    gates = method.residuals[0].gates
    assert torch.allclose(gates.scores, (squares / 5).sqrt(), rtol=1e-4)
    assert gates.active() == (str(int(squares.argmax())),)


@pytest.mark.parametrize("name", GATED)
@pytest.mark.parametrize("selection", ["learned", "gradient"])
def test_a_method_with_a_budget_comes_back_from_its_state(name, selection):
    settings = {"blocks": "all", "active_blocks": 2, "selection": selection}
    method, again = learned_and_loaded(name, **settings)
    learn(method, 2)
    learn(again, 2)
    for task in range(3):
        probe = inputs_for(method, task, seed=1)
        assert torch.equal(method.embed(probe.tokens, task), again.embed(probe.tokens, task)), task


def test_closed_blocks_cost_no_bytes():
    def stored(**options):
        method = build("proteus", blocks="all", **options)
        for task in range(2):
            learn(method, task)
        return [sum(t.numel() for t in method.task_state(task).adapter.values()) for task in range(2)]

    plain, selective = stored(), stored(active_blocks=1)
    assert all(few < many / 3 for few, many in zip(selective, plain, strict=True))


def test_one_adapter_keeps_the_first_tasks_choice():
    method = build("selective-lora", blocks="all", active_blocks=2)
    learn(method, 0)
    chosen = method.block_gates.active()
    learn(method, 1)
    assert method.block_gates.active() == chosen


def test_tasks_choose_for_themselves_and_share_what_none_of_them_changes():
    method = build("proteus", blocks="all", active_blocks=1)
    for task in range(3):
        learn(method, task)
    changed = [next(iter(method.updates(task))) for task in range(3)]
    assert method.first_changed() == min(changed)
    probe = inputs_for(method, 1, seed=3)
    whole = [method.embed(probe.tokens, task) for task in range(3)]
    shared = method.backbone.run(probe.tokens, 0, method.first_changed())
    method.share_prefix()
    assert method.first_block == min(changed)
    for task in range(3):
        assert torch.allclose(method.embed(shared, task), whole[task], atol=1e-6)


@pytest.mark.parametrize("name", GATED)
def test_the_history_shows_when_gates_were_closed(name):
    method = build(name, blocks="all", active_blocks=1)
    learn(method, 0, steps=20)
    gates = method.task_state(0).gates["blocks"]
    history = gates["history"]
    assert history["steps"] == [*range(20), 20] and set(history["scores"]) == {"0", "1", "2", "3"}
    counts = [sum(score is not None for score in moment) for moment in zip(*history["scores"].values(), strict=True)]
    assert counts == sorted(counts, reverse=True) and counts[0] == 4 and counts[-1] == 1
    assert gates["budget"] == 1 and len(gates["active"]) == 1
    json.dumps(gates, allow_nan=False)


def test_gates_without_a_budget_show_their_threshold_and_no_gaps():
    method = build("selective-lora", blocks="all")
    learn(method, 0, steps=50)
    gates = method.task_state(0).gates["blocks"]
    assert gates["threshold"] == 0.1 and len(gates["history"]["steps"]) == 51
    assert all(None not in scores for scores in gates["history"]["scores"].values())


def test_names_of_gates():
    assert gate_names(SITES, "block") == ("0", "1", "2", "3") and gate_names(SITES, "site")[:2] == ("0/q", "0/v")


def test_with_every_gate_open_it_is_one_adapter_without_gates():
    """What λ left open before it weighed pulls: LoRA everywhere, to the last bit."""
    plain, gated = build("sequential", blocks="all"), build("selective-lora", blocks="all", sparsity=0.0)
    for method in (plain, gated):
        for task in (0, 1):
            learn(method, task)
    assert gated.block_gates.is_open().all()
    tokens = plain.backbone.stem(images(0)[0])
    assert torch.equal(plain.embed(tokens, 0), gated.embed(tokens, 0))
