"""The address of what is on screen: run, task and a page's own choices. The URL is the truth, and nothing else is."""

from __future__ import annotations

from collections.abc import Collection
from urllib.parse import urlencode

import streamlit as st

RUN, TASK = "run", "t"


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
