"""Waiting for another process, for so long and no longer."""

from __future__ import annotations

import time
from collections.abc import Callable


def wait_until(met: Callable[[], object], seconds: float = 240) -> None:
    """Look twenty times a second; an AssertionError when it is not so after `seconds`."""
    end = time.monotonic() + seconds
    while not met():
        assert time.monotonic() < end, f"waited {seconds:g} s in vain"
        time.sleep(0.05)
