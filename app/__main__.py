"""Start the app: `python -m app`, with any option of `streamlit run`, such as --server.port=8600."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def main() -> None:
    """Become Streamlit; its settings lie in `.streamlit` beside the entry."""
    entry = Path(__file__).with_name("server.py")
    os.execv(sys.executable, [sys.executable, "-m", "streamlit", "run", str(entry), *sys.argv[1:]])


if __name__ == "__main__":
    main()
