"""What every page uses: its heading, links between pages, empty states, error lines, and a link to share."""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, urlencode

import streamlit as st

from app.reading.cards import RunCard
from app.shell import demo, navigation
from app.shell.address import RUN, with_current
from app.shell.run_choice import chosen
from core.light import is_light

_SPECIAL = re.compile(r"([\\`*_{}\[\]()<>#+\-.!|~:$&^=])")
_RECOGNISED = re.compile(r":(?=\S)|@|www(?=\.)", re.IGNORECASE)


def plain(text: object) -> str:
    """`text` on one line, escaped so that Streamlit's markdown shows it as it is."""
    # Links, e-mail addresses and `:name:` are recognised after escapes are undone: only an invisible space stops that.
    parted = _RECOGNISED.sub("\\g<0>\u200b", " ".join(str(text).split()))
    return _SPECIAL.sub(r"\\\1", parted)


def heading(title: str) -> None:
    """The page's title, and at its right the link that reopens the view."""
    with st.container(horizontal=True, vertical_alignment="bottom", horizontal_alignment="distribute"):
        st.title(title, anchor=False, width="content")
        share_link()


def problem_line(text: str) -> None:
    """One line that says what is wrong; `text` may come from anywhere. In a demo it names no folder of the machine."""
    st.error(plain(demo.without_paths(text)), icon=":material/error:")


def page_link(label: str, page: str, *, icon: str | None = None, **parameters: object) -> None:
    """A link to another page that keeps run and task unless `parameters` say otherwise; `label` is markdown."""
    st.page_link(navigation.page(page), label=label, icon=icon, query_params=with_current(parameters))


def open_page(page: str, **parameters: object) -> None:
    """Go to another page now, run and task kept as in `page_link`; does not return."""
    st.switch_page(navigation.page(page), query_params=with_current(parameters))


def open_link(address: str) -> None:
    """Go where a link of `address.link` leads, without loading the app again; does not return."""
    path, _, query = address.partition("?")
    st.switch_page(navigation.page(path.strip("./") or navigation.DEFAULT), query_params=parse_qsl(query))


def empty(message: str, label: str, page: str, **parameters: object) -> None:
    """An empty state: what is missing, and the next click. `message` is markdown."""
    with st.container(border=True, horizontal_alignment="center"):
        st.markdown(message)
        page_link(label, page, icon=":material/arrow_forward:", **parameters)


def lacks_models(what: str) -> bool:
    """Whether this is a light installation, which cannot do `what`; then says so on the page, and what to do."""
    if not is_light():
        return False
    with st.container(border=True):
        st.markdown(
            f"**{what} cannot be done here.** This is the light app: it opens recorded runs and runs that others "
            "exported, and asks them everything that their folders answer. It has no model libraries (torch, timm)."
        )
        st.markdown("To have them, install everything, in the folder of Proteus Lab:")
        st.code("make app", language="bash")
    return True


def current() -> RunCard | None:
    """The run to show; where `?run=` names none that can be opened, says so on the page and gives None."""
    card, problem = chosen()
    if problem:
        problem_line(problem)
        return None
    return card


def run_to_explore() -> RunCard | None:
    """The run on screen if its tables are all there; otherwise says on the page what to do, and gives None."""
    card = current()
    if card is not None and card.ready:
        return card
    if card is not None and card.state in ("queued", "running"):
        empty("This run is still training. Its pages open when it is done.", "Watch it train", "train")
    elif card is not None:
        empty(f"This run was {_ended(card)} before its tables were written.", "Resume it or train another", "train")
    elif chosen() == (None, None):
        empty("There is no run to look at yet.", "Train one", "train")
    return None


def _ended(card: RunCard) -> str:
    return "cancelled" if card.state == "cancelled" else "stopped by an error"


def share_link() -> None:
    """A small button with the link that reopens this view."""
    card, _ = chosen()
    query = {RUN: card.name} if card is not None else {}
    query |= {key: st.query_params[key] for key in st.query_params}
    address = (st.context.url or "").partition("?")[0]
    with st.popover("Link", icon=":material/link:", help="A link that reopens this view"):
        st.code(f"{address}?{urlencode(query)}" if query else address, language=None, wrap_lines=True)
