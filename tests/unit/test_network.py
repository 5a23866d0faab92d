"""Files over a network that breaks: gone on with, tried a few times, and said quickly where there is none."""

from __future__ import annotations

import socket
import time
from pathlib import Path

import pytest

from core import network
from core.network import TRIES, address_of, fetch_file, reachable
from tests.unit.breaking_server import Breaking

BODY = bytes(range(256)) * 4000


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "_PAUSE_S", 0.0)
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.mark.parametrize("ranges", [True, False])
@pytest.mark.parametrize("breaks", range(TRIES))
def test_a_download_that_breaks_off_is_gone_on_with(breaks: int, ranges: bool, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    with Breaking({"a.bin": BODY}, {"a.bin": breaks}, ranges) as server:
        fetch_file(f"{server.url}a.bin", tmp_path / "a.bin", lambda *pair: told.append(pair))
    assert (tmp_path / "a.bin").read_bytes() == BODY
    assert [path.name for path in tmp_path.iterdir()] == ["a.bin"]
    assert len(server.asked) == breaks + 1
    assert told[-1] == (len(BODY), len(BODY))
    if ranges and breaks:
        assert server.asked[1][1] == f"bytes={len(BODY) // 2}-"


def test_tries_end_and_the_next_call_goes_on(tmp_path: Path) -> None:
    target = tmp_path / "a.bin"
    with Breaking({"a.bin": BODY}, {"a.bin": TRIES}) as server:
        with pytest.raises(OSError, match="broke off after"):
            fetch_file(f"{server.url}a.bin", target)
        assert not target.exists() and target.with_name("a.bin.part").stat().st_size > len(BODY) // 2
        fetch_file(f"{server.url}a.bin", target)
    assert target.read_bytes() == BODY and len(server.asked) == TRIES + 1


def test_what_is_not_there_is_asked_for_once(tmp_path: Path) -> None:
    with Breaking({}, {}) as server, pytest.raises(OSError, match="404"):
        fetch_file(f"{server.url}a.bin", tmp_path / "a.bin")
    assert len(server.asked) == 1 and not list(tmp_path.iterdir())


def test_a_part_of_another_file_is_begun_anew(tmp_path: Path) -> None:
    (tmp_path / "a.bin.part").write_bytes(BODY + b"longer")
    with Breaking({"a.bin": BODY}, {}) as server:
        fetch_file(f"{server.url}a.bin", tmp_path / "a.bin")
    assert (tmp_path / "a.bin").read_bytes() == BODY


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("https://example.invalid/simple", ("example.invalid", 443)),
        ("http://127.0.0.1:9/x", ("127.0.0.1", 9)),
        ("file:///opt/x", None),
        ("nonsense", None),
    ],
)
def test_where_an_address_leads(url: str, address: tuple[str, int] | None) -> None:
    assert address_of(url) == address


def test_reaching_a_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network.urllib.request, "getproxies", dict)
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert reachable("127.0.0.1", server.getsockname()[1], 5)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        assert not reachable("127.0.0.1", closed.getsockname()[1], 5)


def test_a_name_that_is_never_resolved_does_not_hang(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network.urllib.request, "getproxies", dict)

    def lookup(*_: object, **__: object) -> None:
        time.sleep(3)
        raise TimeoutError

    monkeypatch.setattr(socket, "create_connection", lookup)
    start = time.perf_counter()
    assert not reachable("example.invalid", 443, 0.2)
    assert time.perf_counter() - start < 2


def test_a_proxy_is_taken_on_trust(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network.urllib.request, "getproxies", lambda: {"https": "http://proxy:3128"})
    assert reachable("example.invalid", 443, 0.2)
