"""`python -m core`."""

from __future__ import annotations

import sys

from core import listing
from core.failures import guarded


def main() -> int:
    """Run the command that was typed; its exit status."""
    wanted = listing.quick(sys.argv[1:])
    if wanted is not None:
        return guarded(lambda: listing.show_lists(*wanted))

    from core.cli import main as run

    return run()


if __name__ == "__main__":
    raise SystemExit(main())
