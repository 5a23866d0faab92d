"""Fixtures of the tests that need a real browser.

A test module names what to serve: `ENTRY` (a path under the project's root; default `app/server.py`) and, where
needed, a fixture `environment` (module scope) with environment variables. Every `page` asserts at the end that nothing
went wrong in it: no uncaught error, no error on the console, no exception of the script, no request to another machine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.browser.serving import CHROMIUM, FLAGS, ROOT, served


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Environment of the server; a module may have its own."""
    return {"PROTEUS_RUNS": str(tmp_path_factory.mktemp("runs"))}


@pytest.fixture(scope="module")
def server(
    request: pytest.FixtureRequest, environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """Address of the running app."""
    entry = ROOT / getattr(request.module, "ENTRY", "app/server.py")
    with served(entry, tmp_path_factory.mktemp("server") / "log.txt", environment) as url:
        yield url


@pytest.fixture(scope="session")
def browser() -> Iterator:
    """Headless Chromium."""
    if not Path(CHROMIUM).exists():
        pytest.skip("no Chromium: install it or set CHROMIUM to its path")
    api = pytest.importorskip("playwright.sync_api")
    with api.sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, headless=True, args=list(FLAGS))
        yield launched
        launched.close()


@pytest.fixture
def open_page(browser, server: str) -> Iterator[Callable]:
    """`open_page(**context_options)`: a new page, in a context of its own, that must stay free of faults."""
    faults: list[str] = []
    local = (server, server.replace("http", "ws", 1), "data:", "blob:")
    pages = []

    with ExitStack() as stack:

        def make(**options):
            context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
            stack.callback(context.close)
            page = context.new_page()
            page.on("pageerror", lambda error: faults.append(f"uncaught: {error}"))
            page.on(
                "console",
                lambda message: faults.append(f"console: {message.text}") if _is_fault(message) else None,
            )
            page.on(
                "request",
                lambda request: None if request.url.startswith(local) else faults.append(f"request: {request.url}"),
            )
            page.on(
                "websocket",
                lambda socket: None if socket.url.startswith(local) else faults.append(f"socket: {socket.url}"),
            )
            pages.append(page)
            return page

        yield make
        for page in pages:
            if not page.is_closed():
                faults += [f"script: {text}" for text in page.get_by_test_id("stException").all_inner_texts()]
        assert not faults, faults


def _is_fault(message) -> bool:
    """Streamlit finds its own base path by asking below the page's path first, which the browser logs as an error."""
    probe = message.location.get("url", "").endswith(("/_stcore/health", "/_stcore/host-config"))
    return message.type == "error" and not probe


@pytest.fixture
def page(open_page: Callable):
    """A page in a window of 1280 × 900, light theme."""
    return open_page(color_scheme="light")
