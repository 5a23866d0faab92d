"""One run as it trains, and how it ended: progress, curves, cancel, resume, and where to go next."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import streamlit as st

from app.components.captions import caption
from app.figures.training_curves import training_curves
from app.reading import progress
from app.shell import demo, layout
from app.shell.address import RUN, set_parameters
from app.shell.run_choice import runs_folder
from app.training.estimates import duration
from core.errors import UserError
from core.runs import jobs
from core.runs.liveness import ACTIVE
from core.runs.schema import Manifest, Status
from core.runs.store import Run

PATIENCE_S = 8.0
"""Seconds after Cancel from which a run that still goes on may be stopped by force."""


def job_view(folder: Path) -> None:
    """The run in `folder`: live while it trains, otherwise how it ended. It is one of the user's own."""
    run = Run(folder)
    if run.active:
        _live(folder)
        return
    _ended(run)


@st.fragment(run_every="1s")
def _live(folder: Path) -> None:
    run = Run(folder)
    status = run.status
    if status.state not in ACTIVE:
        set_parameters(**{RUN: run.name})  # another tab may not have named it
        st.rerun()
    with st.container(border=True):
        title, button = st.columns([6, 1], vertical_alignment="center")
        title.markdown(f"##### Training: {_title(run)}")
        with button:
            _cancel_button(run)
        left = f" · about {duration(status.eta_s)} left" if status.eta_s is not None else ""
        st.progress(min(max(status.fraction, 0.0), 1.0), text=layout.plain(progress.headline(status) + left))
        _curves(run)
        st.caption("It trains in a process of its own: close this page, or stop the server, and it goes on.")


def _title(run: Run) -> str:
    begun = _manifest(run)
    return layout.plain(begun.title if begun else run.name)


def _manifest(run: Run) -> Manifest | None:
    try:
        return run.manifest
    except UserError:
        return None


def _cancel_button(run: Run) -> None:
    asked = _asked_to_stop(run.folder)
    if asked is None:
        if st.button("Cancel", icon=":material/stop:", key="train-cancel", width="stretch"):
            _try(jobs.request_cancel, run.name, runs_folder())
            st.rerun(scope="fragment")
    elif asked < PATIENCE_S:
        st.button("Stopping…", disabled=True, key="train-stopping", width="stretch")
    elif st.button("Stop by force", key="train-force", width="stretch", help="Finished tasks are kept."):
        with st.spinner("Stopping its process…"):
            _try(jobs.cancel, run.name, runs_folder(), 2.0)


def _asked_to_stop(folder: Path) -> float | None:
    """Seconds since somebody cancelled, None if nobody did."""
    try:
        return max(0.0, time.time() - (folder / "cancel").stat().st_mtime)
    except OSError:
        return None


def _try(action: Any, *arguments: Any) -> bool:
    try:
        action(*arguments)
    except UserError as error:
        layout.problem_line(str(error))
        return False
    return True


def _curves(run: Run) -> None:
    begun = _manifest(run)
    if begun is None:
        return
    try:
        told: Sequence[Mapping[str, Any]] = progress.events(run.folder)
    except UserError as error:
        layout.problem_line(str(error))
        return
    trained = any(event.get("kind") == "loss" for event in told)
    learned = any(event.get("kind") == "task" for event in told)
    training_curves(told, [task.name for task in begun.tasks], epochs_wanted=trained or not learned)
    caption(
        "the loss at each training step, and each learned task's accuracy after every task, with the task unknown.",
        "a line that falls when a later task is learned: that is forgetting.",
        "a falling loss says that the present task is learned, and nothing about the earlier ones.",
    )


def _ended(run: Run) -> None:
    status = run.status
    with st.container(border=True):
        if status.state == "done":
            _done(run)
        else:
            _stopped(run, status)
        _curves(run)
        _log(run, expanded=status.state == "failed" and _manifest(run) is None)


def _done(run: Run) -> None:
    st.markdown(f"##### :material/check_circle: Finished: {_title(run)}")
    accuracy = run.metrics.get("final_accuracy")
    seconds = run.metrics.get("seconds")
    words = [f"**{accuracy:.1%}** of the test images right after the last task"] if accuracy is not None else []
    words += [f"{duration(seconds)} of training and measuring"] if seconds else []
    st.markdown(", ".join(words))
    with st.container(horizontal=True):
        for label, page in (
            ("See the map", "map"),
            ("What was forgotten", "forgetting"),
            ("Its mistakes", "errors"),
            ("Try an image", "try"),
        ):
            layout.page_link(label, page, run=run.name, t=None)


def _stopped(run: Run, status: Status) -> None:
    """Cancelled or failed: why, what is kept, and Resume."""
    begun = _manifest(run)
    st.markdown(f"##### {'Cancelled' if status.state == 'cancelled' else 'Stopped'}: {_title(run)}")
    if status.state == "failed":
        layout.problem_line(_reason(status))
    if begun is None:
        st.markdown("It ended before it began to train. Choose again below.")
        return
    st.markdown(f"{run.finished_tasks()} of {len(begun.tasks)} tasks are finished and kept.")
    if st.button("Resume", icon=":material/play_arrow:", type="primary", key="train-resume"):
        with st.spinner("Starting…"):
            started = _try(demo.resume if demo.enabled() else jobs.resume, run.name, runs_folder())
        if started:
            st.rerun()


def _reason(status: Status) -> str:
    if status.message.startswith("the worker stopped"):
        return (
            "Its process ended without a message: it was killed, ran out of memory, or the machine was restarted. "
            "Finished tasks are kept."
        )
    return status.message


def _log(run: Run, expanded: bool) -> None:
    text = progress.last_lines(run.folder / "log.txt")
    if text:
        with st.expander("What its process said", expanded=expanded):
            st.code(demo.without_paths(text), language=None, wrap_lines=True)
