"""Whether there is a network, and files that are fetched over one that breaks. Standard library only."""

from __future__ import annotations

import http.client
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

CONNECT_S = 4.0
"""A server that cannot be reached within this many seconds counts as no network: people wait 5 s for that line."""
STALL_S = 30.0
"""A download that sends nothing for this long is given up, and tried again."""
TRIES = 3
_PAUSE_S = 1.0
_CHUNK = 1 << 18

Progress = Callable[[int, int], None]
"""Called with (bytes so far, bytes in all; 0 where the server does not say)."""


def reachable(host: str, port: int, seconds: float = CONNECT_S) -> bool:
    """Whether `host` accepts a connection within `seconds`; taken on trust where a proxy stands between."""
    if urllib.request.getproxies().keys() & {"http", "https", "all"}:
        return True
    answers: list[bool] = []

    def connect() -> None:
        try:
            socket.create_connection((host, port), timeout=seconds).close()
            answers.append(True)
        except OSError:
            answers.append(False)

    # In a thread of its own because looking up a name ignores every timeout.
    thread = threading.Thread(target=connect, daemon=True)
    thread.start()
    thread.join(seconds)
    return bool(answers and answers[0])


def address_of(url: str) -> tuple[str, int] | None:
    """Host and port of an http or https address; None for any other."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return None
    return parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)


def fetch_file(url: str, target: Path, progress: Progress | None = None, tries: int = TRIES) -> None:
    """Fetch `url` into `target`, going on where an earlier try broke off, also one of an earlier process.

    What has arrived is kept in `target`.part until it is whole. Raises OSError after `tries` tries.
    """
    part = target.with_name(f"{target.name}.part")
    for number in range(1, tries + 1):
        try:
            _go_on(url, part, progress)
        except (OSError, http.client.HTTPException) as error:
            if number == tries or _is_refused(error):
                raise error if isinstance(error, OSError) else OSError(str(error)) from error
            time.sleep(_PAUSE_S * number)
        else:
            part.replace(target)
            return


def _is_refused(error: Exception) -> bool:
    """Whether asking again is of no use: the server says that there is no such file, or that it is not for us."""
    return isinstance(error, urllib.error.HTTPError) and 400 <= error.code < 500 and error.code not in (408, 416, 429)


def _go_on(url: str, part: Path, progress: Progress | None) -> None:
    here = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"User-Agent": "proteus-lab"})
    if here:
        request.add_header("Range", f"bytes={here}-")
    try:
        response = urllib.request.urlopen(request, timeout=STALL_S)
    except urllib.error.HTTPError as error:
        if error.code != 416:
            raise
        part.unlink()  # longer than the file is now: from the start
        raise ConnectionError("what had arrived does not fit the file that is there now") from error
    with response, part.open("ab" if response.status == 206 else "wb") as file:
        if response.status != 206:
            here = 0
        left = response.length
        total = here + (left or 0)
        while chunk := response.read(_CHUNK):
            file.write(chunk)
            here += len(chunk)
            if progress:
                progress(here, total)
        if left is not None and here < total:
            raise ConnectionError(f"it broke off after {here:,} of {total:,} bytes")
