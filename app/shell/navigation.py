"""The pages there are, by URL path. A page's code is imported when it is first opened."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.util import find_spec

import streamlit as st

from app.shell import demo
from core.light import is_light

DEFAULT = "start"


@dataclass(frozen=True)
class Entry:
    """A page in the sidebar."""

    title: str
    icon: str
    module: str
    group: str
    own_runs: bool = False
    """Whether the page chooses its runs itself, so that nobody can choose one beside it."""


_ENTRIES = {
    "start": Entry("Start here", "home", "start", "Learn"),
    "how": Entry("How it works", "school", "how", "Learn"),
    "lessons": Entry("Lessons", "menu_book", "lessons", "Learn", own_runs=True),
    "map": Entry("Map", "scatter_plot", "map", "Explore"),
    "forgetting": Entry("Forgetting", "trending_down", "forgetting", "Explore"),
    "blocks": Entry("Adapter blocks", "grid_on", "blocks", "Explore"),
    "errors": Entry("Retrieval errors", "troubleshoot", "errors", "Explore"),
    "whatif": Entry("What if", "tune", "whatif", "Explore"),
    "theory": Entry("Theory and measurement", "functions", "theory", "Explore"),
    "kept": Entry("Kept elsewhere", "balance", "kept_elsewhere", "Explore"),
    "compare": Entry("Compare", "compare_arrows", "compare", "Explore"),
    "try": Entry("Try an image", "add_photo_alternate", "try_image", "Do"),
    "train": Entry("Train", "play_arrow", "train", "Do"),
    "sweep": Entry("Sweep", "view_comfy", "sweep", "Do"),
    "data": Entry("Your data", "folder_open", "data", "Do"),
}

_NOT_IN_A_DEMO = ("sweep", "data")
_ONLY_FOR_TRAINING = ("sweep", "data")
"""Left out where nothing can be trained; Train itself stays, and says why and what to do."""


@cache
def entries() -> dict[str, Entry]:
    """URL path to page."""
    known = {path: entry for path, entry in _ENTRIES.items() if find_spec(f"app.views.{entry.module}")}
    hidden = {*(_NOT_IN_A_DEMO if demo.enabled() else ()), *(_ONLY_FOR_TRAINING if is_light() else ())}
    return {path: entry for path, entry in known.items() if path not in hidden}


def page(path: str) -> st.Page:
    """Streamlit's page at `path`; where there is none, the first page."""
    path = path if path in entries() else DEFAULT
    entry = entries()[path]
    icon = f":material/{entry.icon}:"
    return st.Page(_opener(entry.module), title=entry.title, icon=icon, url_path=path, default=path == DEFAULT)


def _opener(module: str) -> Callable[[], None]:
    def render() -> None:
        import_module(f"app.views.{module}").render()

    return render
