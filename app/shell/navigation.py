"""The pages there are, by URL path. A page's code is imported when it is first opened."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.util import find_spec

import streamlit as st

from app.shell import demo

DEFAULT = "start"


@dataclass(frozen=True)
class Entry:
    """A page in the sidebar."""

    title: str
    icon: str
    module: str
    group: str


_ENTRIES = {
    "start": Entry("Start here", "home", "start", "Learn"),
    "how": Entry("How it works", "school", "how", "Learn"),
    "map": Entry("Map", "scatter_plot", "map", "Explore"),
    "forgetting": Entry("Forgetting", "trending_down", "forgetting", "Explore"),
    "blocks": Entry("Adapter blocks", "grid_on", "blocks", "Explore"),
    "errors": Entry("Retrieval errors", "troubleshoot", "errors", "Explore"),
    "whatif": Entry("What if", "tune", "whatif", "Explore"),
    "compare": Entry("Compare", "compare_arrows", "compare", "Explore"),
    "try": Entry("Try an image", "add_photo_alternate", "try_image", "Do"),
    "train": Entry("Train", "play_arrow", "train", "Do"),
    "sweep": Entry("Sweep", "view_comfy", "sweep", "Do"),
    "data": Entry("Your data", "folder_open", "data", "Do"),
}

_NOT_IN_A_DEMO = ("sweep", "data")


@cache
def entries() -> dict[str, Entry]:
    """URL path to page."""
    known = {path: entry for path, entry in _ENTRIES.items() if find_spec(f"app.views.{entry.module}")}
    return {path: entry for path, entry in known.items() if path not in _NOT_IN_A_DEMO or not demo.enabled()}


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
