"""What a click trains, and how long it is said to take."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.training.estimates import Estimate, Images, Reference, Work, duration, estimate, planned_work, predict
from app.training.presets import PRESETS, configuration, default_choices, stream_choices
from core.config import RunConfig, StreamConfig
from core.data.catalog import known_streams
from core.data.streams import open_stream
from core.methods import method_names

DIGITS = Images(1438, 359)
WORK = Work("proteus", "dinov2-s14", DIGITS, epochs=5, suffix=1 / 3, side=56)
HERE = Reference(WORK, total=75.0, learning=39.0, here=True)


def test_every_preset_is_a_valid_configuration_of_a_known_method():
    known = method_names()
    for preset in PRESETS:
        config = RunConfig.model_validate(configuration(default_choices(preset.method)))
        assert config.method.name in known
        assert config.stream.name == "split-fashion"


def test_configuration_nests_and_leaves_out_what_is_none():
    assert configuration({"a.b": 1, "a.c": None, "d": 0, "a.e": False}) == {"a": {"b": 1, "e": False}, "d": 0}


def test_prefixes_decide_the_number_of_tasks():
    assert stream_choices("x.zip", tasks=3, by="prefix")["stream.tasks"] is None
    assert stream_choices("x.zip", tasks=3, by="classes")["stream.tasks"] == 3


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "1 s"), (7.4, "7 s"), (43, "45 s"), (95, "2 min"), (59 * 60, "59 min"), (7200, "2 h"), (7810, "2 h 10 min")],
)
def test_durations_are_as_vague_as_estimates(seconds, text):
    assert duration(seconds) == text


def test_the_same_run_again_takes_as_long():
    said = predict(WORK, (HERE,))
    assert said is not None
    assert said.seconds == pytest.approx(75.0)
    assert said.basis == "from one finished run on this machine"


@settings(deadline=None)
@given(st.floats(1, 20), st.integers(1, 50))
def test_more_images_or_epochs_never_take_less(times, epochs):
    more = Images(int(DIGITS.train * times), int(DIGITS.test * times))
    usual = predict(WORK, (HERE,))
    for planned in (replace(WORK, images=more), replace(WORK, epochs=5 + epochs), replace(WORK, side=70)):
        said = predict(planned, (HERE,))
        assert said is not None
        assert said.seconds >= usual.seconds - 1e-6


def test_a_run_without_training_is_estimated_from_what_surrounds_training():
    said = predict(replace(WORK, method="lda"), (HERE,))
    assert said is not None
    assert said.seconds == pytest.approx(36.0)
    lda = Reference(replace(WORK, method="lda"), total=30.0, learning=2.0, here=True)
    assert predict(WORK, (lda,)) is None
    assert predict(replace(WORK, method="lda"), (HERE, lda)).seconds == pytest.approx(30.0)


def test_this_machine_and_this_method_count_first():
    elsewhere = replace(HERE, total=20.0, learning=10.0, here=False)
    other = Reference(replace(WORK, method="joint"), total=200.0, learning=150.0, here=True)
    assert predict(WORK, (elsewhere, other, HERE)).seconds == pytest.approx(75.0)
    assert predict(WORK, (elsewhere, other)).seconds == pytest.approx(200.0)
    assert predict(WORK, (elsewhere,)) == Estimate(
        pytest.approx(20.0), "from the recorded runs, made on another machine"
    )
    assert predict(replace(WORK, backbone="timm/x"), (HERE,)) is None


def test_a_busy_machine_made_recorded_runs_take_longer_and_says_nothing_of_this_one():
    quiet = replace(HERE, total=20.0, learning=10.0, here=False)
    busy = [replace(quiet, total=times * 20.0, learning=times * 10.0) for times in (3, 5, 9)]
    assert predict(WORK, (*busy, quiet)).seconds == pytest.approx(20.0)
    own = [replace(one, here=True) for one in busy]
    assert predict(WORK, (*own, quiet)).seconds == pytest.approx(100.0)


def test_images_of_a_named_stream_are_counted_within_its_limits():
    config = RunConfig.model_validate({"stream": {"train_per_class": 10, "test_per_class": 5}})
    assert planned_work(config, None).images == Images(100, 50)
    assert planned_work(RunConfig.model_validate({"stream": {"name": "/some/folder"}}), None) is None


@pytest.mark.parametrize("name", [info.name for info in known_streams() if not info.network])
def test_what_an_estimate_takes_a_built_in_stream_for_is_what_it_is(name):
    stream = open_stream(StreamConfig(name=name), seed=0)
    planned = planned_work(RunConfig(stream=StreamConfig(name=name)), None)
    assert planned.side == stream.image_size
    assert planned.images == Images(stream.report.train_images, stream.report.test_images)


def test_a_wrong_configuration_has_no_estimate():
    assert estimate({"training": {"epochs": -1}}) is None
    assert estimate({"stream": {"name": "/no/such"}}) is None
