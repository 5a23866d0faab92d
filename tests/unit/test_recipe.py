"""How long a task is trained, and at what rate, where nothing is configured."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.config import RunConfig, TrainingConfig, validate
from core.runs.store import Run
from core.training.loop import steps_for
from core.training.run import start_run


@given(st.integers(1, 5000), st.integers(1, 256))
def test_a_task_takes_five_passes_or_forty_steps_whichever_is_more(images, batch):
    settings = TrainingConfig(batch_size=batch)
    a_pass = math.ceil(images / batch)
    assert steps_for(images, settings) == settings.passes(images) * a_pass
    assert settings.passes(images) >= 5 and steps_for(images, settings) >= 40
    assert settings.passes(images) == 5 or steps_for(images, settings) < 40 + a_pass, "no more than it needs"
    assert settings.rate(images) == (0.003 if settings.passes(images) > 5 else 0.001)


@pytest.mark.parametrize("images", [1, 20, 10_000])
def test_what_is_configured_counts_whatever_the_number_of_images(images):
    settings = TrainingConfig(epochs=2, learning_rate=0.5)
    assert settings.passes(images) == 2 and settings.rate(images) == 0.5
    assert TrainingConfig(epochs=0).passes(images) == 0


def test_a_run_says_what_all_its_tasks_took(tmp_path):
    config = {
        "backbone": {"name": "tiny"},
        "stream": {"name": "split-digits", "train_per_class": 10, "test_per_class": 2, "tasks": 2},
        "method": {"name": "sequential"},
        "record": {"projection": False},
    }
    run = Run(start_run(validate(RunConfig, config), tmp_path, lambda status: None))
    training = run.manifest.config["training"]
    assert (training["epochs"], training["learning_rate"]) == (20, 0.003), "fifty images are two steps a pass"
    assert "epochs" not in run.manifest.title, "nobody asked for them"
    losses = [event for event in run.events() if event["kind"] == "loss"]
    assert {event["steps"] for event in losses} == {40}
