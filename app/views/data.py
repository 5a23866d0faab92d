"""Your data: bring images in class folders, see what would be used of them, then train on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from app.components.captions import caption
from app.shell import layout
from app.shell.address import parameter, set_parameters
from app.training import datasets, sources
from app.training.presets import configuration
from core.data.division import SEPARATOR
from core.errors import UserError

_FORMAT = """
cats-and-dogs.zip
├── cat
│   ├── 1.jpg
│   └── 2.png
└── dog
    └── 1.jpg
"""
_LISTED = 12


def render() -> None:
    """The page."""
    layout.heading("Your data")
    left, right = st.columns([3, 2], gap="large")
    with left:
        _bring()
    with right:
        _explain_format()
    if sources.is_missing():
        layout.problem_line("The images that this link names are not here: upload them again.")
    source = sources.inspected()
    if source is None:
        st.caption("What is in your images appears here, before anything is trained.")
        return
    st.subheader(layout.plain(source.name), anchor=False, divider="gray")
    found = _read(source)
    _division(found)
    if found is not None:
        _report(source, found)


def _explain_format() -> None:
    st.markdown("A folder for each class, with its images inside:")
    st.code(_FORMAT.strip(), language=None)
    st.caption(
        "`train` and `test` folders around the classes are understood; without them a fifth of each class is kept for "
        f"testing. Classes named `Task{SEPARATOR}class` can say which task they belong to. JPEG, PNG, WebP, GIF, BMP "
        "and TIFF are read, in the zip, without unpacking it."
    )


def _bring() -> None:
    """A zip to upload, a path on this machine, an earlier upload, or a stream that is always there."""
    _upload()
    st.session_state["data-folder"] = parameter("folder", "")
    st.text_input(
        "Or a folder or zip on the machine that runs this",
        key="data-folder",
        placeholder="/path/to/images",
        on_change=lambda: _choose(folder=st.session_state["data-folder"].strip() or None),
    )
    known = {source.value: source for source in sources.uploaded()}
    if known:
        now = parameter("data", "")
        st.session_state["data-kept"] = now if now in known else None
        st.selectbox(
            "Or images that were uploaded before",
            list(known),
            key="data-kept",
            format_func=lambda value: known[value].name if value in known else value,
            placeholder="Choose",
            on_change=lambda: _choose(data=st.session_state["data-kept"]),
        )
    streams = [source.value for source in sources.built_in()]
    st.session_state["data-stream"] = parameter("stream", "", ("", *streams)) or None
    st.selectbox(
        "Or look into a stream that is built in",
        streams,
        key="data-stream",
        placeholder="Choose",
        on_change=lambda: _choose(stream=st.session_state["data-stream"]),
    )


def _upload() -> None:
    number = st.session_state.setdefault("upload-number", 0)
    file = st.file_uploader("A zip of class folders", type="zip", key=f"upload-{number}")
    if file is None:
        return
    try:
        with st.spinner("Looking into the zip…"):
            kept = datasets.keep(file.name, file)
    except UserError as error:
        layout.problem_line(str(error))
        return
    st.session_state["upload-number"] = number + 1  # an uploader of its own for the next: this one keeps its bytes
    _choose(data=kept.identity)
    st.rerun()


def _choose(**values: str | None) -> None:
    """Put one source into the URL, and forget how another one was cut."""
    set_parameters(**{**dict.fromkeys((*sources.KEYS, *sources.DIVISION_KEYS)), **values})


def _stream() -> dict[str, Any]:
    stream: dict[str, Any] = configuration(sources.choices())["stream"]
    return stream


def _read(source: sources.Source) -> dict[str, Any] | None:
    """The report; on the page while it is being read, how long that has taken."""
    line = st.empty()

    def tick(seconds: float) -> None:
        line.caption(f":material/hourglass_top: Reading every image of {layout.plain(source.name)}: {seconds:.0f} s")

    try:
        tick(0)
        return datasets.inspect(_stream(), tick)
    except UserError as error:
        layout.problem_line(str(error))
        return None
    finally:
        line.empty()


def _division(found: Mapping[str, Any] | None) -> None:
    """How classes become tasks, and how many images are used."""
    cut = sources.division()
    by, tasks, limit = st.columns(3)
    st.session_state["data-by"] = cut["by"] or "classes"
    by.selectbox(
        "Tasks are made of",
        ["classes", "prefix"],
        key="data-by",
        format_func={"classes": "classes, divided evenly", "prefix": f"prefixes (Task{SEPARATOR}class)"}.__getitem__,
        on_change=lambda: set_parameters(by=st.session_state["data-by"]),
    )
    many = str(len(found["tasks"])) if found else "as many as fit"
    _number(tasks, "Tasks", "tasks", cut["tasks"], 1000, many, disabled=cut["by"] == "prefix")
    _number(limit, "Training images per class", "limit", cut["limit"], 1_000_000, "all")
    if found is not None and cut["by"] is None and _prefixed(found):
        st.button(
            f"The classes are named Task{SEPARATOR}class: make a task of each prefix",
            icon=":material/lightbulb:",
            on_click=set_parameters,
            kwargs={"by": "prefix", "tasks": None},
        )


def _number(
    place: DeltaGenerator, label: str, name: str, value: int | None, most: int, unset: str, *, disabled: bool = False
) -> None:
    """A number that is a parameter of the address; empty means `unset`."""
    key = f"data-{name}"
    st.session_state[key] = value
    place.number_input(
        label,
        1,
        most,
        None,
        1,
        key=key,
        placeholder=unset,
        disabled=disabled,
        on_change=lambda: set_parameters(**{name: st.session_state[key]}),
    )


def _prefixed(found: Mapping[str, Any]) -> bool:
    names = [name for task in found["tasks"] for name in task["classes"]]
    return all(SEPARATOR in name.strip("-") for name in names)


def _report(source: sources.Source, found: Mapping[str, Any]) -> None:
    """What would be trained on, what would not, and Train."""
    report = found["report"]
    for place, (label, value) in zip(
        st.columns(5),
        {
            "Tasks": len(found["tasks"]),
            "Classes": len(report["classes"]),
            "Training images": report["train_images"],
            "Test images": report["test_images"],
            "Files left out": report["skipped_count"],
        }.items(),
        strict=True,
    ):
        place.metric(label, f"{value:,}", border=True)
    cut = {key: value for key, value in sources.division().items() if value is not None}
    if st.button("Train on these images", icon=":material/play_arrow:", type="primary"):
        layout.open_page("train", **{**source.parameters, **cut, "run": None, "t": None})
    _warnings(report)
    _classes(found)
    caption(
        "every class with some of its training images, in the order in which its task is learned.",
        "classes with few images, wrong labels, and tasks that look alike.",
        "a [[task]] is found by what its images look like: tasks that share a look will be confused.",
    )


def _warnings(report: Mapping[str, Any]) -> None:
    tiny = report["tiny_classes"]
    if tiny:
        st.warning(
            f"{len(tiny)} classes have fewer than five training images: {_some(tiny)}.", icon=":material/warning:"
        )
    if report["duplicates_across_splits"]:
        st.warning(
            f"{report['duplicates_across_splits']:,} test images are also training images: results will look too good.",
            icon=":material/warning:",
        )
    if report["duplicates_across_classes"]:
        st.warning(
            f"{report['duplicates_across_classes']:,} images are in two classes: one of the labels is wrong.",
            icon=":material/warning:",
        )
    _listing("Files left out", report["skipped_count"], report["skipped"], {"name": "File", "reason": "Why"})
    _listing("Duplicates", report["duplicate_count"], report["duplicates"], {"name": "File", "same_as": "Same as"})


def _some(names: Sequence[str]) -> str:
    text = ", ".join(layout.plain(name) for name in names[:_LISTED])
    return f"{text} and {len(names) - _LISTED} more" if len(names) > _LISTED else text


def _listing(label: str, count: int, rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str]) -> None:
    if not count:
        return
    with st.expander(f"{label}: {count:,}"):
        st.dataframe(
            [{title: row[key] for key, title in columns.items()} for row in rows], hide_index=True, width="stretch"
        )
        if count > len(rows):
            st.caption(f"The first {len(rows)} are listed.")


def _classes(found: Mapping[str, Any]) -> None:
    counts = {row["name"]: row for row in found["report"]["classes"]}
    rows = [
        {
            "Task": f"{number} · {task['name']}",
            "Class": name,
            "Images": found["samples"].get(name),
            "Training": counts[name]["train"],
            "Test": counts[name]["test"],
        }
        for number, task in enumerate(found["tasks"], start=1)
        for name in task["classes"]
    ]
    st.dataframe(
        rows,
        hide_index=True,
        width="stretch",
        height=min(38 + 46 * len(rows), 560),
        row_height=46,
        column_config={"Images": st.column_config.ImageColumn("Some of its training images", width="large")},
    )
