"""The training job on every page while there is one: its state, its progress, and Cancel."""

from __future__ import annotations

import streamlit as st

from app.shell import layout
from app.shell.run_choice import runs_folder
from core.errors import UserError
from core.runs import jobs
from core.runs.schema import Status
from core.runs.store import Run


def job_pill() -> None:
    """Show the job that is training now; polls only while there is one, and reruns the page once when it ends."""
    if jobs.running(runs_folder()) is not None:
        _poll()


@st.fragment(run_every="2s")
def _poll() -> None:
    name = jobs.running(runs_folder())
    if name is None:
        st.rerun()
    status = Run(runs_folder() / name).status
    with st.container(border=True):
        st.progress(min(max(status.fraction, 0.0), 1.0), text=f"Training: {layout.plain(_progress(status))}")
        layout.page_link("Watch it train", "train", run=name)
        if st.button("Cancel", icon=":material/stop:", key="job-cancel", width="stretch"):
            _cancel(name)


def _progress(status: Status) -> str:
    where = f"task {status.task + 1} of {status.tasks}" if status.tasks else status.message
    left = f", {_duration(status.eta_s)} left" if status.eta_s is not None else ""
    return f"{where}{left}"


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"


def _cancel(name: str) -> None:
    try:
        jobs.request_cancel(name, runs_folder())
    except UserError as error:
        layout.problem_line(str(error))
    else:
        st.caption("Stopping at the next step; finished tasks are kept.")
