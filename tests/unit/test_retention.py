"""Held-out classes, shifts and zero-shot answers: what is left of what a backbone knew."""

from __future__ import annotations

import json

import numpy as np
import open_clip
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from core.backbones import clip_text
from core.backbones.clip_text import spoken, zero_shot
from core.backbones.clip_vit import load_clip
from core.config import RunConfig, StreamConfig, validate
from core.data.images import ImageSet
from core.data.shifts import STRENGTHS, ShiftedImages
from core.data.streams import open_stream
from core.errors import UserError
from core.retrieval.space import discriminant
from core.runs.store import Run
from core.training.run import resume_run, start_run
from tests.unit.test_training import folder  # noqa: F401  the fixture

NAMES = ("apple", "maple_tree", "Greek--alpha")
TEMPLATES = ("a photo of a {}.", "a drawing of the {}")


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """A small random open_clip model with open_clip's own vocabulary: configuration, checkpoint, and itself."""
    place = tmp_path_factory.mktemp("clip")
    settings = {
        "embed_dim": 24,
        "vision_cfg": {"image_size": 16, "layers": 3, "width": 32, "head_width": 16, "patch_size": 4},
        "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
    }
    (place / "wordy-clip.json").write_text(json.dumps(settings))
    open_clip.add_model_config(place / "wordy-clip.json")
    torch.manual_seed(1)
    model = open_clip.create_model("wordy-clip")
    torch.save(model.state_dict(), place / "wordy-clip.pt")
    return str(place / "wordy-clip.json"), str(place / "wordy-clip.pt"), model.eval()


def test_zero_shot_logits_are_those_of_open_clips_own_forward_pass(clip, tmp_path):
    config, checkpoint, model = clip
    words = zero_shot(config, checkpoint, NAMES, TEMPLATES[:1], tmp_path)
    pixels = torch.randn(5, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    text = open_clip.get_tokenizer("wordy-clip")([f"a photo of a {name}." for name in ("apple", "maple tree", "alpha")])
    with torch.no_grad():
        image_features, text_features, scale = model(pixels, text)
        ours = words.logits(load_clip(config, checkpoint, None)(pixels))
    assert words.text.shape == (3, 24) and torch.allclose(words.text, text_features, atol=1e-6)
    assert torch.allclose(ours, scale * image_features @ text_features.T, atol=1e-4)


def test_templates_are_averaged_as_directions(clip, tmp_path):
    config, checkpoint, _ = clip
    both = zero_shot(config, checkpoint, NAMES, TEMPLATES, tmp_path)
    parts = [zero_shot(config, checkpoint, NAMES, (template,), tmp_path).text for template in TEMPLATES]
    assert torch.allclose(both.text.norm(dim=1), torch.ones(3), atol=1e-6)
    assert torch.allclose(both.text, F.normalize(parts[0] + parts[1], dim=1), atol=1e-6)
    assert not torch.allclose(parts[0], parts[1], atol=1e-3)


def test_text_features_are_kept_until_anything_that_decides_them_changes(clip, tmp_path, monkeypatch):
    config, checkpoint, _ = clip
    first = zero_shot(config, checkpoint, NAMES, TEMPLATES, tmp_path)
    runs = []
    monkeypatch.setattr(clip_text, "load_both_towers", lambda *each: runs.append(each) or pytest.fail("ran the tower"))
    again = zero_shot(config, checkpoint, NAMES, TEMPLATES, tmp_path)
    assert torch.equal(first.text, again.text) and torch.equal(first.projection, again.projection) and not runs
    for names, templates in ((NAMES[:2], TEMPLATES), (NAMES, TEMPLATES[:1]), (NAMES[::-1], TEMPLATES)):
        with pytest.raises(pytest.fail.Exception, match="ran the tower"):
            zero_shot(config, checkpoint, names, templates, tmp_path)


def test_a_cache_that_is_damaged_or_cannot_be_written_costs_nothing_but_time(clip, tmp_path):
    config, checkpoint, _ = clip
    first = zero_shot(config, checkpoint, NAMES, TEMPLATES, tmp_path)
    (file,) = tmp_path.glob("*.safetensors")
    file.write_bytes(file.read_bytes()[:100])
    assert torch.equal(zero_shot(config, checkpoint, NAMES, TEMPLATES, tmp_path).text, first.text)
    assert clip_text._kept(file) is not None, "written anew"
    blocked = tmp_path / "file"
    blocked.write_text("")
    assert torch.equal(zero_shot(config, checkpoint, NAMES, TEMPLATES, blocked).text, first.text)


def test_names_are_said_as_one_says_them():
    assert [spoken(name) for name in NAMES] == ["apple", "maple tree", "alpha"]


def test_held_out_classes_are_in_no_task_and_change_nothing_when_there_are_none(folder):  # noqa: F811
    def opened(**settings):
        return open_stream(StreamConfig(name=str(folder), **settings), seed=3)

    plain, one, same = opened(tasks=2), opened(tasks=2, held_out=2, held_out_per_class=3), opened(tasks=2, held_out=2)
    assert plain.held_out is None and one.held_out.class_names == same.held_out.class_names
    assert set(one.held_out.class_names).isdisjoint(one.class_names) and len(one.class_names) == 4
    assert one.held_out.train.labels.tolist() == one.held_out.test.labels.tolist() == [0] * 3 + [1] * 3
    assert one.fingerprint != same.fingerprint, "other held-out images are other measurements"
    assert {name.split("/")[1] for name in one.held_out.train.names} == set(one.held_out.class_names)
    listed = opened(task_classes=(("class-0", "class-1"),), held_out=4)
    assert set(listed.held_out.class_names) == {f"class-{number}" for number in (2, 3, 4, 5)}
    with pytest.raises(UserError, match="at most 4"):
        opened(held_out=5)


def settings(folder, name="sequential", **sections):  # noqa: F811
    values = {
        "stream": {"name": str(folder), "tasks": 2, "held_out": 2},
        "backbone": {"name": "tiny"},
        "adapters": {"blocks": "last:2", "rank": 2},
        "method": {"name": name},
        "training": {"epochs": 4, "batch_size": 4, "learning_rate": 0.02},
        "retrieval": {"features": "last:2"},
        "retention": {"neighbours": 3},
        "record": {"projection": False},
    }
    values = {key: {**value, **sections.get(key, {})} for key, value in values.items()}
    return validate(RunConfig, values)


def trained(folder, runs, name="sequential", **sections):  # noqa: F811
    return Run(start_run(settings(folder, name, **sections), runs, lambda status: None))


def test_a_run_that_goes_on_measures_what_it_would_have(folder, tmp_path):  # noqa: F811
    whole = trained(folder, tmp_path / "whole").metrics["retention"]

    def stop(status):
        if status.phase == "train" and status.task == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        start_run(settings(folder), tmp_path, stop, name="stopped")
    assert Run(resume_run(tmp_path / "stopped", lambda status: None)).metrics["retention"] == whole


@pytest.mark.parametrize("name", ["sequential", "proteus", "lda"])
def test_retention_is_recorded_after_every_task(folder, tmp_path, name):  # noqa: F811
    shifts = {"shifts": ("all",), "severities": (1, 5), "shift_images": 6}
    metrics = trained(folder, tmp_path, name, retention=shifts).metrics
    assert len(metrics["retention"]) == 2 and set(metrics["retention"][0]) == {
        "knn_before",
        "knn_after",
        "knn_retention",
        "readout_before",
        "readout_after",
        "readout_retention",
        "own_before",
        "own_after",
    }
    before = {task["knn_before"] for task in metrics["retention"]}
    assert len(before) == 1 and before.pop() > 0.5
    if name == "lda":
        assert all(task["own_after"] == pytest.approx(task["own_before"], abs=0.05) for task in metrics["retention"])
        kept = [task[f"{probe}_retention"] for task in metrics["retention"] for probe in ("knn", "readout")]
        assert set(kept) == {1}, "a frozen model forgets nothing"
    assert all(0.5 < task["own_after"] <= 1 for task in metrics["retention"])
    assert set(metrics["shifts"]) == {"none", *STRENGTHS}
    assert len(metrics["shifts"]["none"]) == 1 and all(len(metrics["shifts"][shift]) == 2 for shift in STRENGTHS)


def test_a_readout_that_is_kept_works_on_the_space_it_was_fitted_on_alone():
    generator = torch.Generator().manual_seed(0)
    labels = torch.tensor([5, 2, 9, 2, 5, 9] * 20)
    centres = 4 * torch.randn(10, 16, generator=generator)
    # One direction varies so much within classes that distances without the covariance would see it alone.
    noise = torch.randn(240, 16, generator=generator) * torch.tensor([40.0] + [1.0] * 15)
    fitted, asked = centres[labels] + noise[:120], centres[labels] + noise[120:]
    readout = discriminant(fitted, labels)
    assert (readout(asked) == labels).float().mean() > 0.97
    assert (readout(asked + 0.1 * torch.randn(120, 16, generator=generator)) == labels).float().mean() > 0.95
    turned = torch.linalg.qr(torch.randn(16, 16, generator=generator)).Q
    assert (readout(asked @ turned) == labels).float().mean() < 0.7, "another space, in which anew all is as it was"
    assert (discriminant(fitted @ turned, labels)(asked @ turned) == labels).float().mean() > 0.97
    assert (discriminant(fitted[:6], labels[:6])(fitted[:6]) == labels[:6]).all(), "two images a class"


def test_clip_is_asked_in_words_before_and_after(folder, clip, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.setenv("PROTEUS_CACHE", str(tmp_path / "cache"))
    backbone = {"name": f"open_clip/{clip[0]}", "pretrained": clip[1]}
    told = trained(folder, tmp_path / "runs", backbone=backbone).metrics["retention"][-1]
    assert 0 <= told["zero_shot_before"] <= 1 and told["zero_shot_retention"] >= 0
    assert list((tmp_path / "cache" / "text").glob("*.safetensors"))


def test_an_unknown_shift_is_refused_before_anything_is_trained(folder, tmp_path):  # noqa: F811
    with pytest.raises(UserError, match="gaussian-noise"):
        trained(folder, tmp_path, retention={"shifts": ("gausian-noise",)})
    assert not list(tmp_path.iterdir())


def test_shifted_images_are_the_same_every_time_and_in_every_company(folder):  # noqa: F811
    images = open_stream(StreamConfig(name=str(folder)), seed=0).tasks[0].test

    def pixels(each: ImageSet, rows):
        return each.pixels(lambda image: np.asarray(image.convert("RGB")).transpose(2, 0, 1).copy(), rows)

    for name in STRENGTHS:
        shifted = ShiftedImages(images, name, 5)
        assert np.array_equal(pixels(shifted, [0, 1, 2]), pixels(shifted, [2, 1, 0])[::-1])
        assert np.array_equal(pixels(shifted.subset([2]), [0]), pixels(shifted, [2]))
        assert not np.array_equal(pixels(shifted, [0]), pixels(images, [0]))
        assert set(shifted.identities).isdisjoint(images.identities)
    assert isinstance(ShiftedImages(images, "jpeg", 1).image(0), Image.Image)
