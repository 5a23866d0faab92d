"""Evidence: terms sum to the difference of the scores, mirrors map back, occlusion is what it says, runs keep it."""

from __future__ import annotations

import math
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from core.backbones.features import FrozenFeatures
from core.backbones.timm_vit import load_tiny
from core.backbones.vit import Backbone
from core.config import RunConfig, validate
from core.errors import UserError
from core.methods import method_class
from core.methods.base import Method
from core.methods.inputs import Inputs
from core.retrieval.recorded import recorded_mixtures
from core.runs.evidence import Apart, Evidence, RecordedEvidence, evidence_file, read_evidence, why_no_evidence
from core.runs.saying import place, sentence
from core.runs.share import export_run, import_run
from core.runs.store import Run
from core.training.encoding import Encoder
from core.training.evidence import adapter_by_occlusion, attention, between, by_occlusion, exact, inputs_of
from core.training.inference import load_model
from core.training.run import start_run
from core.training.token_store import TokenCache

CPU = torch.device("cpu")
TASKS = ((0, 1), (2, 3), (4, 5))


@cache
def tiny() -> Backbone:
    return load_tiny(None)


def encoder_for(method: Method, backbone: Backbone) -> Encoder:
    features = FrozenFeatures(backbone, method.config.retrieval.features)
    cache = TokenCache("memory")
    first, views, reads = method.first_block, method.views, method.passes()[0]
    return Encoder(backbone, features, first, "float32", cache, views=views, reads_frozen=reads)


def drawn(seed: int, labels: torch.Tensor) -> torch.Tensor:
    """uint8 images (n, 3, 16, 16): a pattern a class, and as much noise."""
    generator = torch.Generator().manual_seed(seed)
    patterns = torch.randint(0, 256, (6, 3, 16, 16), generator=torch.Generator().manual_seed(5)).float()
    noise = 90 * torch.randn(len(labels), 3, 16, 16, generator=generator)
    return (patterns[labels] + noise).clamp(0, 255).to(torch.uint8)


@cache
def fitted(name: str, backbone: Backbone | None = None, **retrieval: object) -> tuple[Method, Encoder]:
    """A method that has seen three tasks; its adapters were moved at random instead of trained."""
    backbone = backbone or tiny()
    values = {
        "method": {"name": name},
        "adapters": {"blocks": "last:2", "rank": 2, "first_rank": 3},
        "retrieval": {"components": 3, **retrieval},
        "backbone": {"name": "tiny"},
    }
    config = validate(RunConfig, values)
    features = FrozenFeatures(backbone, config.retrieval.features)
    method = method_class(name)(backbone, features.width, config, CPU)
    encoder = encoder_for(method, backbone)
    generator = torch.Generator().manual_seed(0)
    for task, classes in enumerate(TASKS):
        labels = torch.tensor(classes).repeat_interleave(12)
        method.begin_task(task, classes, generator)
        with torch.no_grad():
            for parameter in method.trainable():
                parameter += 0.3 * torch.randn(parameter.shape, generator=generator)
            inputs = seen(method, encoder, drawn(task, labels), labels)
            method.eval()
            method.end_task(task, inputs)
    return method, encoder


def seen(method: Method, encoder: Encoder, decoded: torch.Tensor, labels: torch.Tensor) -> Inputs:
    inputs = inputs_of(method, encoder, encoder.encoded(decoded, frozen=True))
    inputs.labels = labels
    return inputs


SPACES = st.fixed_dictionaries(
    {
        "features": st.sampled_from(["final", "last:1", "last:3"]),
        "views": st.sampled_from([1, 2]),
        "mode": st.sampled_from(["whitened", "means", "kmeans"]),
        "first_adapter": st.booleans(),
        "shrinkage": st.sampled_from([None, 0.5]),
        "draw_in": st.booleans(),
    }
)


@settings(max_examples=40, deadline=None)
@given(
    name=st.sampled_from(["proteus", "lda"]),
    space=SPACES,
    kind=st.sampled_from(["task", "class", "component"]),
    seed=st.integers(10, 10**6),
    sides=st.tuples(st.integers(0, 5), st.integers(0, 5)),
)
def test_terms_sum_to_the_difference_of_the_scores(name, space, kind, seed, sides):
    method, encoder = fitted(name, **space)
    sides = [side % 3 if kind == "task" else side for side in sides]
    labels = torch.tensor([sides[0] % 6, 1, 4])
    decoded = drawn(seed, labels)
    inputs = seen(method, encoder, decoded, labels)
    own, against = (torch.full((3,), side) for side in sides)
    found = exact(method, encoder, inputs, torch.arange(3), lambda rows: decoded[rows], kind, own, against)
    with torch.no_grad():
        scores = {
            "task": lambda: method.task_scores(inputs),
            "class": lambda: torch.cat([method.scores_inside(inputs, task) for task in range(3)], dim=1),
            "component": lambda: torch.cat(
                [method.shared_space.component_scores(method.shared_features(inputs), t) for t in range(3)], dim=1
            ),
        }[kind]()
    across = kind == "class" and sides[0] // 2 != sides[1] // 2
    for row, evidence in enumerate(found):
        said = float(scores[row, sides[0]] - scores[row, sides[1]])
        assert evidence.total == pytest.approx(evidence.difference, abs=1e-3)
        if not across:  # heads of two tasks do not compare, and are left out
            assert evidence.difference == pytest.approx(said, abs=1e-3)
        assert evidence.block_maps.sum((1, 2)) == pytest.approx(evidence.block_patches)
        assert evidence.block_maps.sum(0) == pytest.approx(evidence.patches)
        assert (evidence.adapter != 0) == (sides[0] != sides[1] and name == "proteus" and space["first_adapter"])
        assert evidence.patches.shape == ((0, 0) if space["features"] == "final" else (4, 4))
        opposite = exact(
            method, encoder, inputs, torch.tensor([row]), lambda rows: decoded[rows], kind, against[:1], own[:1]
        )[0]
        # One image alone and among three: sums in another order differ in the last bits of float32.
        assert opposite.total == pytest.approx(-evidence.total, abs=1e-4)
        assert opposite.patches == pytest.approx(-evidence.patches, abs=1e-4)


def test_the_mean_of_pieces_is_the_features():
    for spec, views in (("final", 1), ("last:2", 1), ("last:3", 2)):
        _, encoder = fitted("lda", features=spec, views=views)
        decoded = drawn(3, torch.tensor([0, 3]))
        frozen = encoder.encoded(decoded, frozen=True).frozen
        rebuilt = torch.zeros_like(frozen)
        for _, piece, tokens in encoder.pieces(decoded):
            rebuilt[:, piece.columns] += tokens.mean(1) / views
        assert torch.allclose(rebuilt, frozen, atol=1e-5)


@pytest.mark.parametrize("name", ["lda", "proteus"])
def test_evidence_of_the_mirror_image_is_the_mirrored_evidence(name):
    method, encoder = fitted(name, features="last:3", views=2, first_adapter=False)
    decoded = drawn(4, torch.tensor([1]))
    maps = []
    for image in (decoded, decoded.flip(-1)):
        inputs = seen(method, encoder, image, torch.tensor([1]))
        one = torch.tensor([0])
        maps.append(exact(method, encoder, inputs, one, lambda rows: image, "task", one, one + 1)[0])  # noqa: B023
    assert maps[0].patches == pytest.approx(maps[1].patches[:, ::-1], abs=1e-4)
    assert np.abs(maps[0].patches - maps[0].patches[:, ::-1]).max() > 1e-2, "the image itself is not symmetric"
    assert maps[0].difference == pytest.approx(maps[1].difference, abs=1e-3)


def test_averaged_patches_without_a_class_token_are_split_too():
    """A backbone whose embedding is the mean of normalised patches: 'final' then has a map."""
    averaging = load_tiny(None)
    averaging.readout.pool = "mean"
    method, encoder = fitted("lda", averaging, features="final")
    decoded = drawn(1, torch.tensor([2]))
    inputs, one = seen(method, encoder, decoded, torch.tensor([2])), torch.tensor([0])
    evidence = exact(method, encoder, inputs, one, lambda rows: decoded, "task", one, one + 2)[0]
    assert evidence.patches.shape == (4, 4) and not evidence.class_tokens.any()
    assert evidence.total == pytest.approx(evidence.difference, abs=1e-3)


@pytest.mark.parametrize("kind", ["task", "class"])
@pytest.mark.parametrize(
    ("name", "retrieval"), [("proteus", {"mode": "likelihood"}), ("sequential", {}), ("ncm", {}), ("lda", {})]
)
def test_occlusion_is_what_is_lost_when_a_patch_is_painted_over(name, retrieval, kind):
    method, encoder = fitted(name, features="last:2", **retrieval)
    decoded = drawn(8, torch.tensor([3]))
    found = by_occlusion(method, encoder, decoded, kind, 3 if kind == "class" else 1, 0)

    def gap(image: torch.Tensor) -> float:
        inputs = seen(method, encoder, image, torch.tensor([3]))
        with torch.no_grad():
            if kind == "task":
                scores = method.task_scores(inputs)
                return float(scores[0, 1] - scores[0, 0])
            return float(method.scores_inside(inputs, 1)[0, 1] - method.scores_inside(inputs, 0)[0, 0])

    assert found.how == "occlusion" and found.window == 1 and found.occluded.shape == (4, 4)
    assert found.difference == pytest.approx(gap(decoded), rel=1e-4, abs=1e-3)
    painted = decoded.clone()
    painted[:, :, 4:8, 12:16] = 128  # the tiny backbone's mean, 0.5
    assert found.occluded[1, 3] == pytest.approx(gap(decoded) - gap(painted), rel=1e-3, abs=2e-3)
    assert found.heat is found.occluded


def test_an_empty_image_loses_nothing_by_occlusion():
    method, encoder = fitted("ncm", features="last:2")
    grey = torch.full((1, 3, 16, 16), 128, dtype=torch.uint8)
    assert np.abs(by_occlusion(method, encoder, grey, "task", 0, 1).occluded).max() < 1e-5


def test_fine_grids_are_painted_over_in_windows(monkeypatch):
    monkeypatch.setattr("core.training.evidence._FEWEST", 2)
    monkeypatch.setattr("core.training.evidence.WORK", 2)
    method, encoder = fitted("ncm", features="last:2")
    found = by_occlusion(method, encoder, drawn(2, torch.tensor([0])), "task", 0, 1)
    assert found.window == 2
    assert np.ptp(found.occluded.reshape(2, 2, 2, 2), axis=(1, 3)).max() == 0, "a window's patches share its loss"


def test_the_first_adapters_term_is_what_occlusion_starts_from():
    method, encoder = fitted("proteus", features="last:2")
    decoded = drawn(6, torch.tensor([5]))
    inputs, two = seen(method, encoder, decoded, torch.tensor([5])), torch.tensor([2])
    whole = exact(method, encoder, inputs, two - 2, lambda rows: decoded, "task", two, two - 1)[0]
    lost, window = adapter_by_occlusion(method, encoder, decoded, "task", 2, 1)
    painted = decoded.clone()
    painted[:, :, :4, :4] = 128
    # The components stay those of the whole image, so that only the embedding changes.
    space, features = method.shared_space, encoder.features.width
    from core.retrieval.evidence import contrast, sides

    with torch.no_grad():
        found = contrast(space, sides(space, "task"), method.shared_features(inputs), two, two - 1)
        left = method.shared_features(seen(method, encoder, painted, torch.tensor([5])))
    term = float(found.terms(left)[0, features:].sum())
    assert window == 1 and lost.shape == (4, 4)
    assert lost[0, 0] == pytest.approx(whole.adapter - term, abs=1e-3)


def test_attention_is_what_the_class_token_reads():
    method, encoder = fitted("proteus", features="last:2")
    decoded = drawn(7, torch.tensor([0]))
    found = attention(method, encoder, decoded, 1)
    assert found["block"] == 3 and found["frozen"].shape == found["adapted"].shape == (2, 4, 4)
    assert ((found["frozen"] > 0) & (found["frozen"] < 1)).all() and (found["frozen"].sum((1, 2)) < 1).all()
    assert np.abs(found["frozen"] - found["adapted"]).max() > 1e-4
    early = attention(method, encoder, decoded, 1, block=0)
    assert early["frozen"] == pytest.approx(early["adapted"]), "block 0 is not adapted"
    block = tiny().blocks[3]
    with torch.no_grad():
        tokens = tiny().run(tiny().stem(tiny().preprocessing.normalise(decoded)), 0, 3)
        values = torch.nn.functional.linear(block.norm1(tokens), block.qkv.weight, block.qkv.bias).chunk(3, -1)[2]
        shares = block.class_attention(tokens)
        read = torch.einsum("nht,nthd->nhd", shares, values.view(1, 17, 2, 16)).reshape(1, 1, 32)
        assert torch.allclose(read, block._attend(block.norm1(tokens), {}, 1), atol=1e-5)
    assert shares.sum(-1) == pytest.approx(1, abs=1e-5)
    with pytest.raises(UserError, match="has 4 blocks"):
        attention(method, encoder, decoded, 1, block=4)


def example(**changes: object) -> Evidence:
    values: dict = {
        "how": "exact",
        "kind": "task",
        "own": 0,
        "against": 1,
        "own_component": 0,
        "against_component": 2,
        "difference": -6.0,
        "weights": 0.5,
        "others": -0.25,
        "adapter": 0.25,
        "head": 0.0,
        "blocks": np.array([2, 3]),
        "class_tokens": np.array([0.5, -1.0]),
        "block_patches": np.array([2.0, -8.0]),
        "patches": np.array([[-5.0, 0.0], [-1.0, 0.0]]),
    }
    return Evidence(**values | changes)


def test_a_document_brings_evidence_back():
    for one in (example(), example(patches=np.zeros((0, 0)), occluded=np.ones((3, 3)), how="occlusion")):
        back = Evidence.from_document(one.document())
        assert back.document() == one.document() and back.patches.shape == one.patches.shape


def test_the_sentence_names_the_leader_the_place_and_the_blocks():
    said = sentence(example(), "task 1", "task 2")
    assert said.startswith("task 2 leads task 1 by 6.0 nats. 83% of what patches say for it lies in the upper left")
    assert said.endswith("Block 4 gives it 9.0 nats, of which all the rest takes 3.0 back.")
    adapted = example(adapter=-20.0, difference=-26.25)
    assert "The first task's adapter gives it 20.0 nats, all the rest 6.2." in sentence(adapted, "a", "b")
    three = {"blocks": np.array([7, 8, 9]), "class_tokens": np.zeros(3), "block_patches": np.array([-3.0, -3.0, -0.5])}
    assert "Blocks 8 and 9 give it 6.0 nats" in sentence(example(**three), "a", "b")
    assert sentence(example(difference=6.0, patches=np.ones((4, 4))), "a", "b").count("all over the image") == 1
    occluded = example(how="occlusion", patches=np.zeros((0, 0)), occluded=np.array([[-4.0, 0.0], [0.0, 0.0]]))
    assert "occlusion" in sentence(occluded, "a", "b")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six classes that are hard to tell apart, as class folders, with train and test."""
    root = tmp_path_factory.mktemp("pictures")
    for split, count in (("train", 10), ("test", 8)):
        for label in range(6):
            (root / split / f"class-{label}").mkdir(parents=True)
            for index, image in enumerate(drawn(100 * label + count, torch.full((count,), label))):
                Image.fromarray(image.permute(1, 2, 0).numpy()).save(root / split / f"class-{label}/{index}.png")
    return root


def trained(pictures: Path, runs: Path, method: str = "proteus", **sections: dict) -> Run:
    values = {
        "stream": {"name": str(pictures), "tasks": 3},
        "backbone": {"name": "tiny"},
        "adapters": {"blocks": "last:2", "rank": 2, "first_rank": 3},
        "method": {"name": method},
        "training": {"epochs": 1, "batch_size": 8},
        "retrieval": {"features": "last:2", **sections.pop("retrieval", {})},
        "record": {"projection": False, "train_per_class": 2},
        **sections,
    }
    return Run(start_run(validate(RunConfig, values), runs, lambda status: None))


@pytest.fixture(scope="module")
def run(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return trained(pictures, tmp_path_factory.mktemp("runs"))


def test_a_run_keeps_the_evidence_of_every_wrong_answer(run: Run) -> None:
    found = read_evidence(run)
    assert found is not None and why_no_evidence(run) is None
    final = [row for row in run.predictions().to_pylist() if row["after_task"] == 2]
    lost = [row for row in final if row["retrieved_task"] != row["task"]]
    assert lost and len(found.rows()) == len(final) == 48, "a small stream's images are all explained"
    for row in final:
        evidence = found.of(row["image"])
        assert evidence is not None and evidence.own == row["task"]
        if row in lost:
            assert evidence.against == row["retrieved_task"] and evidence.difference < 0
            assert evidence.against_component == row["nearest_component"]
        else:
            assert evidence.difference == pytest.approx(row["margin"], abs=1e-3)
        scores = row["scores"]
        assert evidence.difference == pytest.approx(scores[evidence.own] - scores[evidence.against], abs=1e-3)
        assert evidence.total == pytest.approx(evidence.difference, abs=0.02), "float16"
        assert evidence.block_patches.sum() == pytest.approx(evidence.patches.sum(), abs=0.02)
        confused = row not in lost and row["predicted"] != row["label"]
        assert (found.of(row["image"], "class") is not None) == confused
    mean = found.mean(found.rows()[:4])
    assert mean.patches == pytest.approx(found.patches[found.rows()[:4]].astype(float).mean(0))
    assert evidence_file(run).stat().st_size < 0.2 * sum(f.stat().st_size for f in run.folder.rglob("*") if f.is_file())


@pytest.mark.parametrize("method", ["lda", "proteus"])
def test_a_run_that_draws_means_in_tells_tasks_apart_by_what_it_keeps(pictures: Path, tmp_path: Path, method) -> None:
    drawn_in = trained(pictures, tmp_path, method, retrieval={"draw_in": True})
    space = load_model(drawn_in.folder).method.shared_space
    assert space is not None and (space.reliability < 1).any()
    found = recorded_mixtures(drawn_in)
    assert found is not None
    for recorded, own in zip(found.mixtures, space.task_mixtures(), strict=True):
        np.testing.assert_allclose(recorded.means, own.means, atol=1e-4, rtol=1e-3)
    explained = read_evidence(drawn_in)
    assert explained is not None and why_no_evidence(drawn_in) is None


def test_evidence_travels_with_the_run(run: Run, tmp_path: Path) -> None:
    brought = import_run(export_run(run, tmp_path / "run.zip"), tmp_path / "taken")
    assert evidence_file(brought).read_bytes() == evidence_file(run).read_bytes()


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda arrays: arrays.update(image=arrays["image"] + 10_000), "beyond those there are"),
        (lambda arrays: arrays.update(against=arrays["against"] - 7), "beyond those there are"),
        (lambda arrays: arrays.update(blocks=arrays["blocks"] + 90), "beyond those there are"),
        (lambda arrays: arrays.update(patches=arrays["patches"][:-1]), "“patches” is missing or not as it must be"),
        (lambda arrays: arrays.update(difference=arrays["difference"] * np.nan), "not finite"),
        (lambda arrays: arrays.update(kind=arrays["kind"] + 2), "do not fit together"),
        (lambda arrays: arrays.pop("head"), "“head” is missing"),
    ],
)
def test_a_strangers_evidence_is_checked(run: Run, tmp_path: Path, change, match: str) -> None:
    with np.load(evidence_file(run)) as stored:
        arrays = dict(stored)
    change(arrays)
    path = export_run(run, tmp_path / "run.zip")
    taken = import_run(path, tmp_path / "whole")
    np.savez(evidence_file(taken), **arrays)
    with pytest.raises(UserError, match=match):
        import_run(export_run(taken, tmp_path / "bad.zip"), tmp_path / "bad")


def test_a_run_without_evidence_says_why(pictures: Path, tmp_path: Path) -> None:
    literal = trained(pictures, tmp_path, retrieval={"mode": "likelihood"})
    assert read_evidence(literal) is None and "by occlusion" in str(why_no_evidence(literal))
    older = trained(pictures, tmp_path, "lda")
    evidence_file(older).unlink()
    assert read_evidence(older) is None and "--all" in str(why_no_evidence(older))


def test_no_more_than_asked_is_explained_but_every_error(pictures: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("core.training.run._EXPLAINED_AT_LEAST", 0)
    monkeypatch.setattr("core.training.run._EXPLAINING", 0.0)
    frugal = trained(pictures, tmp_path, "lda")
    final = [row for row in frugal.predictions().to_pylist() if row["after_task"] == 2]
    wrong = {row["image"] for row in final if row["predicted"] != row["label"]}
    found = read_evidence(frugal)
    assert found is not None and 0 < len(wrong) < len(final) and set(found.image.tolist()) == wrong


def test_a_recording_is_what_was_put_into_it() -> None:
    recorded = RecordedEvidence.of_each([7, 9], [example(), example(kind="class", own=3)])
    back = recorded.of(9, "class")
    assert back is not None and back.own == 3 and back.patches.tolist() == [[-5.0, 0.0], [-1.0, 0.0]]
    assert recorded.of(9) is None and math.isclose(recorded.of(7).total, example().total, abs_tol=1e-2)


def test_the_sentence_knows_an_edge_from_the_middle():
    """The middle of a ring is the middle of the image: it must not be named where the middle says nothing."""
    ring = np.full((9, 9), -1.0)
    ring[1:-1, 1:-1] = 0.5
    assert "along the edge of the image" in sentence(example(patches=ring), "a", "b")
    spot = np.zeros((9, 9))
    spot[4, 4] = -3.0
    assert "right in the middle of the image" in sentence(example(patches=spot), "a", "b")


@given(st.integers(2, 9), st.integers(0, 10**6))
def test_the_named_place_holds_what_is_said_of_it(side, seed):
    """Counted on a fine grid, whatever the number of patches; and a part that holds everything is found."""
    speaking = np.random.default_rng(seed).random((side, side)) ** 6
    found = place(speaking)
    assert found is not None and 2 / 3 - 1e-9 <= found.share <= 1 + 1e-9
    fine = np.kron(speaking, np.ones((12, 12))) / speaking.sum() / 144
    third, half, rim = 4 * side, 6 * side, 2 * side
    held = {
        "in the upper third": fine[:third], "in the left half": fine[:, :half], "in the lower half": fine[half:],
        "right in the middle": fine[third : 2 * third, third : 2 * third],
        "in the lower right quarter": fine[half:, half:], "in the upper right corner": fine[:third, 2 * third :],
    }  # fmt: skip
    for words, part in held.items():
        if found.words == f"{words} of the image":
            assert found.share == pytest.approx(part.sum())
    if found.words.startswith("along"):
        assert found.share == pytest.approx(1 - fine[rim:-rim, rim:-rim].sum())
    only = np.zeros((6, 6))
    only[4:, 4:] = 1
    assert place(only).words == "in the lower right corner of the image" and place(-only) is None


@settings(max_examples=25, deadline=None)
@given(name=st.sampled_from(["proteus", "lda"]), space=SPACES, seed=st.integers(10, 10**6))
def test_a_pairs_squared_distance_is_the_sum_of_its_terms(name, space, seed):
    method, encoder = fitted(name, **space | {"features": "last:2"})
    decoded = drawn(seed, torch.tensor([0, 3]))
    found = between(method, encoder, decoded)
    with torch.no_grad():
        places = method.whitened(seen(method, encoder, decoded, torch.tensor([0, 3])))
    assert found.squared == pytest.approx(float((places[0] - places[1]).square().sum()), rel=1e-4)
    assert found.by_block.sum() + found.adapter == pytest.approx(found.squared, rel=1e-3, abs=1e-3)
    assert found.patches[0].sum() == pytest.approx(found.patches[1].sum(), rel=1e-3, abs=1e-3), "half of it each"
    assert bool(found.adapter) == (name == "proteus" and space["first_adapter"])
    turned = between(method, encoder, decoded.flip(0))
    assert turned.patches == pytest.approx(found.patches[::-1], rel=1e-3, abs=1e-3)
    again = Apart.from_document(found.document())
    assert again.document() == found.document() and again.patches.shape == (2, 4, 4)


@pytest.mark.parametrize(
    ("name", "retrieval"),
    [("proteus", {"mode": "likelihood"}), ("sequential", {}), ("ncm", {}), ("lda", {"features": "final"})],
)
def test_elsewhere_a_pair_is_set_apart_by_occlusion(name, retrieval):
    method, encoder = fitted(name, **retrieval)
    decoded = drawn(8, torch.tensor([1, 4]))
    found = between(method, encoder, decoded)
    painted = decoded.clone()
    painted[1, :, 4:8, 12:16] = 128
    assert found.how == "occlusion" and not found.blocks.size
    assert found.patches[1, 1, 3] == pytest.approx(
        found.squared - between(method, encoder, painted).squared, rel=1e-3, abs=2e-3
    )
