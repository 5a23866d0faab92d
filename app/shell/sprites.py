"""The route that serves a run's sprite sheets, and nothing else of it.

`/thumbnails/<run>/<sheet>.webp` answers with `<folder of runs>/<run>/sprites/NNN.webp`, and
`/thumbnails/<run>/held_out/<sheet>.webp` with one of the run's folder `held_out`. They are looked for among the user's
runs (PROTEUS_RUNS, by default `runs` in the working directory), then among the recorded ones of the project (or of the
folder PROTEUS_DEMOS).
"""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from typing import Literal

from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from app.reading import cards
from app.shell import demo

Kind = Literal["sprites", "held_out"]
"""The folders of sheets in a run: its own images, and those of held-out classes."""

# ASCII only, begins with a letter or digit: no separators, no dot files, no way up. The names that core.runs allows.
_RUN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,119}")
_SHEET = re.compile(r"[0-9]{3,5}\.webp")

# A finished run's sheets never change, and a new run has a new name.
_HEADERS = {
    "cache-control": "private, max-age=31536000, immutable",
    "x-content-type-options": "nosniff",
    "content-security-policy": "default-src 'none'",
    "cross-origin-resource-policy": "same-origin",
}


def runs_folders(visitor: str = "") -> tuple[Path, ...]:
    """Where run folders are looked for, in this order; in a demo those of the `visitor` with that token come first."""
    own = (demo.visitors_folder(visitor),) if demo.enabled() and demo.is_token(visitor) else ()
    return *own, demo.operators_runs(), cards.RECORDED_RUNS


def sheet_template(run: str, base: str = "", kind: Kind = "sprites") -> str:
    """The address of a run's sheets of one kind with `{sheet}` in place of the three-digit number.

    `base` is Streamlit's `server.baseUrlPath`. Raises ValueError when `run` is not a run's name.
    """
    if not _RUN.fullmatch(run):
        raise ValueError(f"not a run's name: {run!r}")
    return f"{_prefix(base)}/thumbnails/{run}/{'held_out/' if kind == 'held_out' else ''}{{sheet}}.webp"


def find_sheet(run: str, file: str, folders: tuple[Path, ...] | None = None, kind: Kind = "sprites") -> Path | None:
    """The file of a sheet such as '000.webp', or None where the name is malformed or there is no such file.

    A link that leads out of the run's own folder of sheets is not followed: a run folder may come from a stranger.
    """
    if not (_RUN.fullmatch(run) and _SHEET.fullmatch(file)):
        return None
    for folder in runs_folders() if folders is None else folders:
        sheet = folder.resolve() / run / kind / file
        if sheet.is_file() and sheet.resolve() == sheet:
            return sheet
    return None


def thumbnail_routes(base: str = "") -> list[Route]:
    """The checked routes, for `st.App(routes=…)`."""
    start = f"{_prefix(base)}/thumbnails/{{run}}"
    return [
        Route(f"{start}/{{file}}", partial(_serve, "sprites"), methods=["GET"]),
        Route(f"{start}/held_out/{{file}}", partial(_serve, "held_out"), methods=["GET"]),
    ]


def _prefix(base: str) -> str:
    return f"/{base.strip('/')}" if base.strip("/") else ""


# Not async: Starlette runs it in a thread, as it touches the disk.
def _serve(kind: Kind, request: Request) -> Response:
    folders = runs_folders(request.cookies.get(demo.COOKIE, ""))
    sheet = find_sheet(request.path_params["run"], request.path_params["file"], folders, kind)
    if sheet is None:
        return Response(status_code=404, headers={"x-content-type-options": "nosniff"})
    return FileResponse(sheet, media_type="image/webp", headers=_HEADERS)
