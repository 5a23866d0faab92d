"""Adapters as folders of the PEFT library: what we write peft loads, what peft writes we load, with equal outputs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from core.adapters.peft_files import CONFIG, TENSORS, read_adapter, write_adapter
from core.adapters.peft_names import sites_of_module
from core.adapters.sites import PROJECTIONS, Site
from core.adapters.updates import Dense, LowRank, Updates
from core.backbones import load_backbone
from core.backbones.timm_vit import stock_model
from core.backbones.vit import Backbone
from core.cli import main
from core.config import BackboneConfig
from core.errors import UserError
from core.runs.store import Run
from core.training.inference import load_model
from core.training.peft_runs import assembly, export_adapters

peft = pytest.importorskip("peft")
CPU = torch.device("cpu")
TINY = BackboneConfig(name="tiny")
pytestmark = pytest.mark.usefixtures("one_thread")


def images(size: int = 16, count: int = 3) -> torch.Tensor:
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(1))


def some_updates(backbone: Backbone, projections: tuple[str, ...], blocks: tuple[int, ...] = (1, 3)) -> Updates:
    """Random units whose number differs from site to site, with coefficients."""
    generator = torch.Generator().manual_seed(0)
    found: dict[int, dict[str, LowRank]] = {}
    for block in blocks:
        for place, projection in enumerate(projections):
            out, width = backbone.site_shape(projection)
            rank = 1 + (block + place) % 4
            down, up = (torch.randn(*shape, generator=generator) / 8 for shape in ((rank, width), (out, rank)))
            found.setdefault(block, {})[projection] = LowRank(down, up, torch.linspace(0.5, 2, rank))
    return found


def with_peft(model: nn.Module, folder: Path) -> nn.Module:
    return peft.PeftModel.from_pretrained(model, folder).eval()


class TestWriting:
    @pytest.mark.parametrize("projections", [("q", "v"), ("k",), ("o", "fc1", "fc2"), PROJECTIONS], ids="+".join)
    @torch.no_grad()
    def test_peft_loads_it_onto_timms_model_with_equal_outputs(
        self, projections: tuple[str, ...], tmp_path: Path
    ) -> None:
        backbone = load_backbone(TINY, None, CPU)
        updates = some_updates(backbone, projections)
        write_adapter(tmp_path / "a", updates, "timm", "tiny", {})
        theirs = with_peft(stock_model(TINY, None), tmp_path / "a")(images())
        torch.testing.assert_close(theirs, backbone(images(), updates), atol=1e-5, rtol=1e-5)
        assert (theirs - backbone(images())).abs().max() > 1e-2

    @pytest.mark.parametrize("projections", [("q", "v"), ("q", "k", "v", "fc1", "fc2"), ("fc1",)], ids="+".join)
    @torch.no_grad()
    def test_peft_loads_it_onto_open_clips_model(self, projections: tuple[str, ...], tmp_path: Path) -> None:
        from core.backbones.clip_vit import load_both_towers, load_clip

        name, weights = nano_clip(tmp_path)
        backbone = load_clip(name, weights, None)
        updates = some_updates(backbone, projections, (0, 1))
        write_adapter(tmp_path / "a", updates, "open_clip", "open_clip/nano", {})
        model, _, _ = load_both_towers(name, weights, None)
        model.visual.proj = None  # our embedding is the one before the projection into the space of words
        theirs = with_peft(model, tmp_path / "a").base_model.model.visual(images(32))
        torch.testing.assert_close(theirs, backbone(images(32), updates), atol=1e-5, rtol=1e-5)

    def test_a_fused_module_has_the_sum_of_the_ranks(self, tmp_path: Path) -> None:
        backbone = load_backbone(TINY, None, CPU)
        updates = some_updates(backbone, ("q", "k", "v"), (1,))
        write_adapter(tmp_path, updates, "timm", "tiny", {})
        config = json.loads((tmp_path / CONFIG).read_text())
        assert config["rank_pattern"] == {"blocks.1.attn.qkv": sum(len(update.down) for update in updates[1].values())}

    def test_what_is_written_is_read_back(self, tmp_path: Path) -> None:
        backbone = load_backbone(TINY, None, CPU)
        updates = some_updates(backbone, PROJECTIONS)
        write_adapter(tmp_path, updates, "timm", "tiny", {"task": "a"})
        found = read_adapter(tmp_path)
        assert found.base == "tiny" and found.about["task"] == "a"
        assert set(found.units) == {Site(block, name) for block, at in updates.items() for name in at}
        for site, (down, up) in found.units.items():
            wanted = updates[site.block][site.projection]
            assert torch.equal(down, wanted.down)
            torch.testing.assert_close(up @ down, wanted.matrix())

    def test_a_dense_residual_is_no_lora(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match="dense residuals"):
            write_adapter(tmp_path, {0: {"q": Dense(torch.ones(4, 4), torch.ones(()))}}, "timm", "tiny", {})
        with pytest.raises(UserError, match="changes nothing"):
            write_adapter(tmp_path, {}, "timm", "tiny", {})
        assert not list(tmp_path.iterdir())


class TestReading:
    @pytest.mark.parametrize("rslora", [False, True])
    @torch.no_grad()
    def test_timms_model_trained_with_peft(self, rslora: bool, tmp_path: Path) -> None:
        theirs = trained(
            stock_model(TINY, None), ["attn.qkv", "mlp.fc2"], use_rslora=rslora,
            rank_pattern={"blocks.1.attn.qkv": 5}, alpha_pattern={"blocks.1.attn.qkv": 3},
        )  # fmt: skip
        theirs.save_pretrained(tmp_path)
        assert_equal_outputs(tmp_path, theirs(images()))

    @torch.no_grad()
    def test_transformers_vit_trained_with_peft(self, tmp_path: Path) -> None:
        transformers = pytest.importorskip("transformers")
        settings = transformers.ViTConfig(
            hidden_size=32, num_hidden_layers=4, num_attention_heads=2, intermediate_size=128, image_size=16,
            patch_size=4, layer_norm_eps=1e-6,
        )  # fmt: skip
        model = transformers.ViTModel(settings, add_pooling_layer=False).eval()
        take_timms_weights(model, stock_model(TINY, None))
        names = {name.rpartition(".")[2] for name, _ in model.named_modules() if "layer" in name}
        queries = ["q_proj", "v_proj", "o_proj"] if "q_proj" in names else ["query", "value", "output.dense"]
        theirs = trained(model, [*queries, "fc1"] if "fc1" in names else queries)
        theirs.save_pretrained(tmp_path)
        assert_equal_outputs(tmp_path, theirs(images()).last_hidden_state[:, 0])

    @torch.no_grad()
    def test_open_clips_tower_trained_with_peft_counts_its_output_projection_as_it_was_trained(
        self, tmp_path: Path
    ) -> None:
        from core.backbones.clip_vit import load_both_towers, load_clip

        name, weights = nano_clip(tmp_path)
        model, _, _ = load_both_towers(name, weights, None)
        model.visual.proj = None
        theirs = trained(model, ["visual.transformer.resblocks.1.attn", "c_fc"], exclude_modules=r"transformer\..*")
        theirs.save_pretrained(tmp_path / "a")
        backbone = load_clip(name, weights, None)
        given = ones(tmp_path / "a")
        assert {"1/o", "1/q", "0/fc1"} <= {Site(block, name).name for block, at in given.items() for name in at}
        output = theirs.base_model.model.visual(images(32))
        torch.testing.assert_close(backbone(images(32), given), output, atol=1e-5, rtol=1e-5)

    @pytest.mark.parametrize(
        ("module", "sites"),
        [
            ("blocks.11.attn.qkv", "11/q 11/k 11/v"),
            ("visual.transformer.resblocks.3.attn.base_layer.out_proj", "3/o"),
            ("vit.encoder.layer.2.attention.attention.query", "2/q"),
            ("vit.encoder.layer.2.attention.output.dense", "2/o"),
            ("vit.encoder.layer.2.intermediate.dense", "2/fc1"),
            ("vit.encoder.layer.2.output.dense", "2/fc2"),
            ("vit.layers.2.attention.k_proj", "2/k"),
            ("layers.2.mlp.fc2", "2/fc2"),
            ("text_model.encoder.layers.2.self_attn.q_proj", ""),
            ("patch_embed.proj", ""),
            ("blocks.1.norm1", ""),
            ("vit.pooler.dense", ""),
        ],
    )
    def test_modules_of_three_libraries_are_our_sites(self, module: str, sites: str) -> None:
        assert " ".join(site.name for site in sites_of_module(module)) == sites

    @pytest.mark.parametrize(
        ("change", "said"),
        [
            ({"peft_type": "IA3"}, "of the kind IA3"),
            ({"use_dora": True}, "uses DoRA"),
            ({"bias": "lora_only"}, "trained biases"),
            ({"init_lora_weights": "pissa"}, "moves the backbone"),
            ({"layer_replication": [[0, 2]]}, "layer replication"),
        ],
    )
    def test_other_kinds_are_said_in_one_line(self, change: dict, said: str, tmp_path: Path) -> None:
        trained(stock_model(TINY, None), ["attn.qkv"]).save_pretrained(tmp_path)
        config = json.loads((tmp_path / CONFIG).read_text()) | change
        (tmp_path / CONFIG).write_text(json.dumps(config))
        with pytest.raises(UserError, match=said) as error:
            read_adapter(tmp_path)
        assert "\n" not in str(error.value)

    @torch.no_grad()
    def test_dora_as_peft_saves_it_is_refused_whatever_its_configuration_says(self, tmp_path: Path) -> None:
        trained(stock_model(TINY, None), ["attn.qkv"], use_dora=True).save_pretrained(tmp_path)
        config = json.loads((tmp_path / CONFIG).read_text()) | {"use_dora": False}
        (tmp_path / CONFIG).write_text(json.dumps(config))
        with pytest.raises(UserError, match="lora_magnitude"):
            read_adapter(tmp_path)

    def test_what_is_not_there_damaged_or_pickled_is_said(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match=r"There is no adapter_config\.json"):
            read_adapter(tmp_path)
        trained(stock_model(TINY, None), ["attn.qkv"]).save_pretrained(tmp_path)
        (tmp_path / TENSORS).write_bytes(b"x" * 40)
        with pytest.raises(UserError, match="is damaged"):
            read_adapter(tmp_path)
        (tmp_path / TENSORS).rename(tmp_path / "adapter_model.bin")
        with pytest.raises(UserError, match="could run code"):
            read_adapter(tmp_path)

    def test_an_adapter_of_a_patch_projection_or_untrained_is_said(self, tmp_path: Path) -> None:
        trained(stock_model(TINY, None), ["attn.qkv", "patch_embed.proj"]).save_pretrained(tmp_path / "a")
        with pytest.raises(UserError, match="patch_embed"):
            read_adapter(tmp_path / "a")
        untrained = peft.get_peft_model(stock_model(TINY, None), peft.LoraConfig(target_modules=["attn.qkv"]))
        untrained.save_pretrained(tmp_path / "b")
        with pytest.raises(UserError, match="changes nothing"):
            read_adapter(tmp_path / "b")

    def test_a_classifier_beside_the_adapter_is_left_aside(self, tmp_path: Path) -> None:
        model = stock_model(TINY, None)
        model.head = nn.Linear(32, 2)
        trained(model, ["attn.qkv"], modules_to_save=["head"]).save_pretrained(tmp_path)
        assert {site.projection for site in read_adapter(tmp_path).units} == {"q", "k", "v"}


SMALL = ["--set", "stream.train_per_class=6", "--set", "stream.test_per_class=3", "--set", "record.projection=false"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Proteus run whose later tasks do reuse earlier units, three tasks, on the tiny backbone."""
    runs = tmp_path_factory.mktemp("runs")
    flags = ["--backbone", "tiny", "--stream", "split-digits", "--tasks", "3", "--epochs", "3", "--image-size", "16"]
    learning = ["--learning-rate", "0.02", "--set", "method.transfer=0.0", "--blocks", "all"]
    assert main(["train", *flags, *learning, *SMALL, "--quiet", "--runs", str(runs)]) == 0
    return next(runs.iterdir())


class TestRuns:
    @torch.no_grad()
    def test_every_task_is_exported_with_what_it_takes_from_earlier_ones(self, run: Path, tmp_path: Path) -> None:
        folders = export_adapters(run, tmp_path / "out")
        model = load_model(run, "cpu")
        backbone = load_backbone(TINY, 16, CPU)
        for task, folder in enumerate(folders):
            theirs = with_peft(stock_model(TINY, 16), folder)(images())
            updates = model.method.updates(task)
            torch.testing.assert_close(theirs, backbone(images(), updates), atol=1e-5, rtol=1e-5)
            about = json.loads((folder / "proteus.json").read_text())
            manifest = Run(run).manifest
            assert about["classes"] == [manifest.class_names[label] for label in manifest.tasks[task].classes]
        assert any(gates["sites"] and "reuse" in str(gates) for gates in (Run(run).task(2).gates,))

    def test_adapters_go_out_and_come_in_and_the_new_run_is_like_any_other(self, run: Path, tmp_path: Path) -> None:
        out, runs = tmp_path / "out", tmp_path / "runs"
        assert main(["export", str(run), "--format", "peft", "--to", str(out)]) == 0
        folders = [str(folder) for folder in sorted(out.iterdir())]
        command = ["assemble", "--adapters", *folders, "--stream", "split-digits", "--epochs", "3", *SMALL, "--quiet"]
        assert main([*command, "--runs", str(runs)]) == 0
        made = Run(next(runs.iterdir()))
        first, manifest = Run(run), made.manifest
        assert [task.classes for task in manifest.tasks] == [task.classes for task in first.manifest.tasks]
        assert [manifest.class_names[i] for i in range(10)] == [first.manifest.class_names[i] for i in range(10)]
        old, new = load_model(run, "cpu"), load_model(made.folder, "cpu")
        backbone = load_backbone(TINY, 16, CPU)
        for task in range(3):
            with torch.no_grad():
                ours, theirs = (backbone(images(), model.method.updates(task)) for model in (new, old))
            torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)
        assert made.metrics["task_aware_accuracy"] > 0.5
        assert {"frozen", "own", "retrieved", "whitened"} <= set(_spaces(made))

    def test_an_interrupted_assembly_needs_the_folders_and_a_finished_one_does_not(
        self, run: Path, tmp_path: Path
    ) -> None:
        folders = export_adapters(run, tmp_path / "out")
        runs = tmp_path / "runs"
        command = ["assemble", "--adapters", *map(str, folders), "--stream", "split-digits", *SMALL, "--epochs", "1"]
        assert main([*command, "--quiet", "--runs", str(runs)]) == 0
        for folder in folders:
            folder.rename(folder.with_name(f"gone-{folder.name}"))
        assert load_model(next(runs.iterdir()), "cpu").method.tasks == 3

    def test_from_python(self, run: Path, tmp_path: Path) -> None:
        import proteus_lab as lab

        opened = lab.Run.open(run)
        folders = opened.export_adapters(tmp_path / "out")
        with torch.no_grad():
            theirs = with_peft(opened.base_model(), folders[2])(images())
            ours = load_backbone(TINY, 16, CPU)(images(), load_model(run, "cpu").method.updates(2))
        torch.testing.assert_close(theirs, ours, atol=1e-5, rtol=1e-5)
        stream = {"name": "split-digits", "train_per_class": 6, "test_per_class": 3}
        config = {"stream": stream, "training.epochs": 1, "record.projection": False}
        made = lab.assemble(folders, config, runs=tmp_path / "runs", progress=False)
        assert made.tasks == opened.tasks and made.manifest.title == "3 adapters from elsewhere"

    def test_a_folder_that_is_there_is_left_alone(self, run: Path, tmp_path: Path) -> None:
        (tmp_path / "task-001").mkdir()
        with pytest.raises(UserError, match="already there"):
            export_adapters(run, tmp_path)
        assert [folder.name for folder in tmp_path.iterdir()] == ["task-001"]

    @pytest.mark.parametrize(("method", "said"), [("lda", "has no adapters"), ("taps", "dense residuals")])
    def test_methods_without_low_rank_adapters_say_so(self, method: str, said: str, tmp_path: Path) -> None:
        flags = ["--backbone", "tiny", "--stream", "split-digits", "--tasks", "2", "--epochs", "1", "--method", method]
        assert main(["train", *flags, *SMALL, "--quiet", "--runs", str(tmp_path / "runs")]) == 0
        with pytest.raises(UserError, match=said):
            export_adapters(next((tmp_path / "runs").iterdir()), tmp_path / "out")
        assert not list((tmp_path / "out").glob("*"))

    @pytest.mark.parametrize(
        ("base", "flags", "said"),
        [
            ("timm/vit_small_patch16_224.dino", ["--backbone", "tiny"], "trained on timm/"),
            ("google/vit-base", [], "--backbone timm/MODEL"),
            pytest.param("google/vit-base", ["--backbone", "dinov2-s14"], "are 384 × 384", marks=pytest.mark.weights),
            ("tiny", ["--tasks", "2"], "The stream has 2 tasks"),
        ],
    )
    def test_adapters_that_do_not_fit_are_said_before_anything_is_computed(
        self, base: str, flags: list[str], said: str, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        folders = export_adapters(run, tmp_path / "out")
        for folder in folders:
            config = json.loads((folder / CONFIG).read_text()) | {"base_model_name_or_path": base}
            (folder / CONFIG).write_text(json.dumps(config))
            (folder / "proteus.json").unlink()
        command = ["assemble", "--adapters", *map(str, folders), "--stream", "split-digits", *SMALL, *flags, "--quiet"]
        capsys.readouterr()
        assert main([*command, "--runs", str(tmp_path / "runs")]) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1
        assert said in error

    def test_without_adapters_it_says_what_to_give(self) -> None:
        with pytest.raises(UserError, match="one per task"):
            assembly([], {})

    def test_another_method_does_not_take_them(self, run: Path, tmp_path: Path) -> None:
        folders = export_adapters(run, tmp_path / "out")
        given = f"adapters.given={json.dumps([str(folder) for folder in folders])}"
        flags = ["--backbone", "tiny", "--stream", "split-digits", "--tasks", "3", "--method", "sequential"]
        assert main(["train", *flags, *SMALL, "--set", given, "--quiet", "--runs", str(tmp_path / "runs")]) == 2


def _spaces(run: Run) -> list[str]:
    import numpy as np

    with np.load(run.folder / "embeddings.npz") as kept:
        return list(kept.files)


def trained(model: nn.Module, targets: list[str], **settings: object) -> nn.Module:
    """`model` wrapped by peft, its lora_B no longer zero."""
    torch.manual_seed(0)
    wrapped = peft.get_peft_model(model, peft.LoraConfig(r=3, lora_alpha=6, target_modules=targets, **settings)).eval()
    with torch.no_grad():
        for name, parameter in wrapped.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.1)
    return wrapped


def ones(folder: Path) -> Updates:
    """The updates in a PEFT folder, as they are."""
    updates: dict[int, dict[str, LowRank]] = {}
    for site, (down, up) in read_adapter(folder).units.items():
        updates.setdefault(site.block, {})[site.projection] = LowRank(down, up, torch.ones(len(down)))
    return updates


@torch.no_grad()
def assert_equal_outputs(folder: Path, theirs: torch.Tensor) -> None:
    backbone = load_backbone(TINY, None, CPU)
    updates = ones(folder)
    torch.testing.assert_close(backbone(images(), updates), theirs, atol=1e-5, rtol=1e-5)
    assert (theirs - backbone(images())).abs().max() > 1e-2


def take_timms_weights(theirs: nn.Module, model: nn.Module) -> None:
    """transformers' ViT with the weights of timm's: the same function."""
    state = model.state_dict()
    blocks = theirs.layers if hasattr(theirs, "layers") else theirs.encoder.layer
    theirs.embeddings.cls_token.copy_(state["cls_token"])
    theirs.embeddings.position_embeddings.copy_(state["pos_embed"])
    patches = theirs.embeddings.patch_embeddings.projection
    patches.weight.copy_(state["patch_embed.proj.weight"]), patches.bias.copy_(state["patch_embed.proj.bias"])
    theirs.layernorm.weight.copy_(state["norm.weight"]), theirs.layernorm.bias.copy_(state["norm.bias"])
    for index, block in enumerate(blocks):
        found = dict(block.named_modules())

        def take(names: tuple[str, ...], source: str, part: int | None = None, found=found, index=index) -> None:
            module = next(found[name] for name in names if name in found)
            for kind in ("weight", "bias"):
                value = state[f"blocks.{index}.{source}.{kind}"]
                getattr(module, kind).copy_(value if part is None else value.chunk(3)[part])

        for part, (name, letter) in enumerate((("query", "q"), ("key", "k"), ("value", "v"))):
            take((f"attention.{letter}_proj", f"attention.attention.{name}"), "attn.qkv", part)
        take(("attention.o_proj", "attention.output.dense"), "attn.proj")
        take(("mlp.fc1", "intermediate.dense"), "mlp.fc1")
        take(("mlp.fc2", "output.dense"), "mlp.fc2")
        take(("layernorm_before",), "norm1")
        take(("layernorm_after",), "norm2")


def nano_clip(folder: Path) -> tuple[str, str]:
    """A random CLIP of two blocks: the path of its configuration and of its weights."""
    import open_clip

    towers = {
        "embed_dim": 16,
        "vision_cfg": {"image_size": 32, "layers": 2, "width": 32, "head_width": 16, "patch_size": 16},
        "text_cfg": {"context_length": 8, "vocab_size": 64, "width": 16, "heads": 2, "layers": 1},
    }
    path = folder / "nano.json"
    path.write_text(json.dumps(towers))
    open_clip.add_model_config(path)
    torch.manual_seed(0)
    torch.save(open_clip.create_model("nano").state_dict(), folder / "nano.pt")
    return str(path), str(folder / "nano.pt")
