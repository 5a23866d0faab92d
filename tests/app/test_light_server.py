"""The server process stays light: nothing that it imports or does loads a model library."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.unit.run_folder import write_run

ROOT = Path(__file__).resolve().parents[2]
CODE = """
import importlib, io, json, pkgutil, sys
from pathlib import Path
import app
for module in pkgutil.walk_packages(app.__path__, "app."):
    if module.name not in ("app.main", "app.server", "app.hosted.streamlit_app"):
        importlib.import_module(module.name)
from app.reading import tables
from app.shell import run_choice
from app.shell.run_list import take_in, zipped_run
from app.training import estimates
card = next(card for card in run_choice.available() if not card.recorded)
tables.manifest(card), tables.images(card), tables.predictions(card), tables.gates(card)
packed = zipped_run(card.folder)
card.folder.rename(card.folder.with_name("moved"))
take_in(io.BytesIO(packed), "a.zip")
estimates.references()
heavy = ("torch", "torchvision", "timm", "open_clip", "umap", "sklearn", "numba")
print(json.dumps([name for name in heavy if name in sys.modules]))
"""


def test_no_model_library_is_loaded(tmp_path):
    write_run(tmp_path, "a-run")
    environment = {**os.environ, "PROTEUS_RUNS": str(tmp_path), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", CODE]
    done = subprocess.run(command, check=False, env=environment, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.strip().splitlines()[-1] == "[]"
