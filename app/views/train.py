"""Train: one click for the common questions, every setting below, and the run as it goes on."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import streamlit as st

from app.shell import demo, layout
from app.shell.address import RUN, TASK, parameter, set_parameters
from app.shell.run_choice import runs_folder
from app.shell.run_list import run_list
from app.training import datasets, estimates, sources
from app.training.job_view import job_view
from app.training.presets import PRESETS, Preset, configuration
from app.training.train_settings import settings
from core.backbones import EMBEDDED
from core.errors import UserError
from core.runs import jobs
from core.runs.folders import find_folder

_FLAGS = {
    "stream.name": "--stream",
    "method.name": "--method",
    "backbone.name": "--backbone",
    "adapters.blocks": "--blocks",
}
"""Keys whose text must not be read as TOML, such as '8' for the eighth block."""


def render() -> None:
    """The page."""
    layout.heading("Train")
    if layout.lacks_models("Training"):
        _runs()
        return
    active = jobs.running(runs_folder())
    shown = _shown(active)
    if shown is not None:
        job_view(shown)
    _presets(active is not None)
    _all_settings(active is not None)
    _runs()


def _runs() -> None:
    st.subheader("Runs", anchor=False, divider="gray")
    run_list()


def _shown(active: str | None) -> Path | None:
    """The run to show: the one that trains, else the user's own one that the URL names."""
    name = active or parameter(RUN, "")
    if not name:
        return None
    try:
        folder = find_folder(runs_folder(), name)
    except UserError:
        return None
    return folder if folder.name == name else None


def _presets(busy: bool) -> None:
    source = sources.chosen()
    st.subheader(f"Choose what to watch on {layout.plain(source.name)}", anchor=False)
    if sources.is_missing():
        layout.problem_line("The images that this link names are not here: upload them again under Your data.")
    if cut := _cut():
        st.caption(cut)
    if busy:
        st.info("One run trains at a time. Wait for the one above, or cancel it; what it has finished is kept.")
    for place, preset in zip(st.columns(len(PRESETS)), PRESETS, strict=True):
        with place, st.container(border=True, height="stretch"):
            _preset(preset, busy)
    if demo.enabled():
        st.caption("This is a public demo: small trainings, one after another, are kept for a day, for you alone.")
        return
    with st.container(horizontal=True):
        layout.page_link("Train on your own images", "data", icon=":material/folder_open:")


def _cut() -> str:
    """How the images are cut, where it is not the stream's own way."""
    division = sources.division()
    words = [f"{division['tasks']} tasks"] if division["tasks"] and division["by"] != "prefix" else []
    words += ["one task for each prefix of the class names"] if division["by"] == "prefix" else []
    words += [f"at most {division['limit']:,} training images per class"] if division["limit"] else []
    return ", ".join(words)


def _preset(preset: Preset, busy: bool) -> None:
    config = configuration({**sources.choices(), "method.name": preset.method, "backbone.name": EMBEDDED})
    st.markdown(f"**{preset.title}**")
    st.caption(preset.why)
    with st.container(height="stretch", vertical_alignment="bottom"):
        _estimate(config)
        first = preset is PRESETS[0]
        if st.button(
            "Train",
            key=f"preset-{preset.method}",
            type="primary" if first else "secondary",
            disabled=busy,
            width="stretch",
            help=f"Train {preset.method}",
        ):
            _start(config)


def _estimate(config: Mapping[str, Any]) -> None:
    said = estimates.estimate(config, _images(config))
    if said is None:
        st.caption("Time unknown: nothing like this has been run here yet.")
    else:
        st.caption(f":material/timer: {said}", help=f"Estimated {said.basis}.")


def _images(config: Mapping[str, Any]) -> estimates.Images | None:
    """How many images people's own data have, where they were counted."""
    report = datasets.inspected(config["stream"])
    if report is None:
        return None
    return estimates.Images(report["report"]["train_images"], report["report"]["test_images"])


def _start(config: Mapping[str, Any]) -> None:
    try:
        with st.spinner("Starting…"):
            name = (demo.start if demo.enabled() else jobs.start)(config, runs_folder())
    except UserError as error:
        layout.problem_line(str(error))
        return
    set_parameters(**{RUN: name, TASK: None})
    st.rerun()


def _all_settings(busy: bool) -> None:
    with st.expander("All settings", icon=":material/tune:", expanded=parameter("settings", "") == "1"):
        config = configuration(settings())
        start, said = st.columns([1, 3], vertical_alignment="center")
        if start.button("Train with these", key="train-settings", type="primary", disabled=busy, width="stretch"):
            _start(config)
        with said:
            _estimate(config)
        st.caption("The same from the command line:")
        st.code(command(config), language="bash", wrap_lines=True)


def command(config: Mapping[str, Any]) -> str:
    """The command that trains `config`."""
    words = ["python", "-m", "core", "train"]
    for section, values in config.items():
        if not isinstance(values, Mapping):
            words += ["--set", f"{section}={values}"]
            continue
        for key, value in values.items():
            flag = _FLAGS.get(f"{section}.{key}")
            words += [flag, str(value)] if flag else ["--set", f"{section}.{key}={value}"]
    return shlex.join(words)
