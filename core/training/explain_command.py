"""What `python -m core explain` does: names become numbers, and an explanation becomes a PNG and a JSON file."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from core.errors import UserError, unknown
from core.files import replacing
from core.runs.evidence import Kind, evidence_file
from core.runs.files import write_json
from core.runs.store import Run
from core.training.explaining import Explanation, RunImages, add_evidence, explain
from core.training.inference import load_model


def explain_one(run: Run, image: str, against: str | None, kind: Kind, folder: Path) -> tuple[Explanation, list[str]]:
    """The explanation of one image, and the files in `folder` that hold it.

    Raises UserError for an image, a task or a class that there is not, and where the files cannot be written.
    """
    manifest = run.manifest
    names = manifest.class_names if kind == "class" else [task.name for task in manifest.tasks]
    other = None if against is None else _number(kind, against, names)
    path = Path(image)
    if not image.isdecimal() and not path.is_file():
        raise UserError(f"There is no image at {image}: give a file, or the number of one of the run's images.")
    model = load_model(run.folder)
    found = explain(model, RunImages(run), int(image) if image.isdecimal() else path, other, kind)
    plain = re.sub(r"[^\w.-]+", "-", path.stem)
    return found, _written(found, folder, f"{run.name}-{plain}")


def _number(kind: Kind, name: str, names: Sequence[str]) -> int:
    """A task's or class's position by its name; a task's also by its place in the stream, from 1."""
    if name in names:
        return names.index(name)
    if kind == "task" and name.isdecimal() and 1 <= int(name) <= len(names):
        return int(name) - 1
    raise unknown(kind, name, names)


def _written(found: Explanation, folder: Path, name: str) -> list[str]:
    picture, document = folder / f"{name}.png", folder / f"{name}.json"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with replacing(picture) as file:
            found.picture().save(file, "PNG")
        write_json(document, found.document())
    except OSError as error:
        raise UserError(f"{picture} cannot be written ({error.strerror}): choose another folder with --to.") from None
    return [str(picture), str(document)]


def explain_all(run: Run) -> dict[str, Any]:
    """Record the evidence of a finished run's test images; what was done. Raises UserError where there is none."""
    model = load_model(run.folder)
    sys.stderr.write("reading the test images again, and splitting their evidence over patches\n")
    found = add_evidence(model, RunImages(run), lambda done: None)
    if found is None:
        raise UserError(
            f"Run {run.name} compares no tasks in a whitened space, where evidence is exact: explain one image instead."
        )
    return {"run": run.name, "file": str(evidence_file(run)), "images": len(set(found.image.tolist()))}
