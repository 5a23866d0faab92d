"""What is on screen: which run, which task and a page's own choices. The URL is the truth, and nothing else is."""

from __future__ import annotations

import secrets
from collections.abc import Collection
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from urllib.parse import urlencode

import streamlit as st

from app import demo
from app.sprites import RECORDED_RUNS
from core.runs.folders import run_folders
from core.runs.liveness import true_status
from core.runs.store import Run

RUN, TASK = "run", "t"
DEFAULT_DEMO = "proteus-split-digits"


@dataclass(frozen=True)
class RunCard:
    """A run in a list: what is said of it before any of its tables is read."""

    name: str
    title: str
    method: str
    stream: str
    tasks: int
    """Of the whole stream, also while only some are learned."""
    state: str
    """queued, running, done, failed or cancelled."""
    recorded: bool
    """Shipped with the project, and read-only."""
    folder: Path
    problem: str | None
    """Why it cannot be opened, in one line."""

    @property
    def ready(self) -> bool:
        """Whether its tables are all there."""
        return self.state == "done" and self.problem is None


def runs_folder() -> Path:
    """Where the user's own runs are: PROTEUS_RUNS, by default `runs` where the server was started, or a visitor's."""
    return demo.visitors_folder(_visitor()) if demo.enabled() else demo.operators_runs()


def _visitor() -> str:
    """What names the visitor of a demo: their cookie, or where the browser keeps none this session."""
    token = st.context.cookies.get(demo.COOKIE, "")
    return token if demo.is_token(token) else str(st.session_state.setdefault("visitor", secrets.token_hex(16)))


def available() -> list[RunCard]:
    """Recorded demos, then the user's runs, newest first; what cannot be read says so in `problem`."""
    own = {folder.name: folder for folder in _folders(runs_folder())}
    shown = sorted(_folders(RECORDED_RUNS), key=_demo_order)
    if demo.enabled():
        shown += _folders(demo.operators_runs())
    # Of two with one name the user's counts, as it does for the thumbnails.
    recorded = [folder for folder in shown if folder.name not in own]
    return [_card(folder, True) for folder in recorded] + [_card(folder, False) for folder in own.values()]


def _folders(runs: Path) -> list[Path]:
    try:
        return run_folders(runs)
    except OSError:
        return []


def _demo_order(folder: Path) -> tuple[bool, str]:
    return folder.name != DEFAULT_DEMO, folder.name


def _card(folder: Path, recorded: bool) -> RunCard:
    title, method, stream, tasks, problem = _about(folder, stamp(folder))
    state = str(true_status(folder).get("state", "failed"))
    return RunCard(folder.name, title, method, stream, tasks, state, recorded, folder, problem)


def stamp(folder: Path) -> int:
    """Changes whenever the tables of the run in `folder` do, also where the clock was set back in between."""
    parts = ("manifest.json", "metrics.json", "predictions.parquet", "tasks")
    return hash(tuple(_changed(folder / part) for part in parts))


def _changed(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


@lru_cache(maxsize=512)
def _about(folder: Path, changed: int) -> tuple[str, str, str, int, str | None]:
    """Title, method, stream, number of tasks, problem."""
    del changed  # only tells one version from the next
    if not (folder / "manifest.json").exists():
        return folder.name, "", "", 0, None  # queued
    run = Run(folder)
    if run.problem:
        return folder.name, "", "", 0, run.problem
    manifest = run.manifest
    return manifest.title, manifest.method, manifest.stream, len(manifest.tasks), None


def chosen() -> tuple[RunCard | None, str | None]:
    """The run to show and None, or None and one line that says what is wrong with `?run=`.

    Without `?run=` it is the default demo, else the first run that is ready; both are None where there is no run.
    """
    cards = available()
    wanted = st.query_params.get(RUN)
    if wanted:
        found = next((card for card in cards if card.name == wanted), None)
        if found is None:
            return None, f"There is no run “{wanted[:120]}” here: choose another one in the sidebar."
        return found, f"This run cannot be opened. {found.problem}" if found.problem else None
    ready = [card for card in cards if card.ready]
    return next(iter(ready), None), None


def current() -> RunCard | None:
    """The run to show; where `?run=` names none that can be opened, says so on the page and gives None."""
    card, problem = chosen()
    if problem:
        from app.widgets.layout import problem_line

        problem_line(problem)
        return None
    return card


def current_task(tasks: int) -> int:
    """`?t=`, the task after which things are shown, 0 … tasks − 1; by default the last."""
    try:
        task = int(st.query_params.get(TASK, ""))
    except ValueError:
        task = tasks - 1
    return max(0, min(task, tasks - 1))


def parameter(key: str, default: str, choices: Collection[str] | None = None) -> str:
    """The page's own choice `?key=`, or `default` where it is absent or not among `choices`."""
    value = str(st.query_params.get(key, default))
    return value if choices is None or value in choices else default


def set_parameters(**values: object) -> None:
    """Put choices into the URL; None takes one out. The others stay."""
    for key, value in values.items():
        if value is None:
            st.query_params.pop(key, None)
        elif st.query_params.get(key) != str(value):
            st.query_params[key] = str(value)


def with_current(parameters: dict[str, object]) -> dict[str, str]:
    """`parameters` and, where they do not say otherwise, the run and task of the URL; what is None is left out."""
    kept = {key: st.query_params[key] for key in (RUN, TASK) if key in st.query_params}
    return {key: str(value) for key, value in {**kept, **parameters}.items() if value is not None}


def link(page: str, **parameters: object) -> str:
    """The relative URL that reopens a page: `link("errors", run=card.name, image=12)`.

    Run and task are those of the present URL unless they are given; None leaves one out.
    """
    path = "./" if page == "start" else page
    query = urlencode(with_current(parameters))
    return f"{path}?{query}" if query else path
