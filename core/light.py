"""A light installation reads runs and has no model libraries: what it cannot do, said in one line.

`pip install .` and requirements-explore.txt make one; requirements-train.txt is what it lacks. Standard library only.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec

from core.errors import UserError

LIBRARIES = ("torch", "torchvision", "timm", "open_clip", "umap", "onnx", "huggingface_hub")
"""What training and answering for new images take."""
CLUSTERING = "sklearn"
"""What the mixtures of What if take beside class means; it may be added to a light installation by itself."""
_WAY_OUT = "install the whole of Proteus Lab: `pip install '.[app]'` or `make app` in its folder"


@cache
def is_light() -> bool:
    """Whether training and answering for new images cannot be had here."""
    return not (_is_here("torch") and _is_here("timm"))


@cache
def has_clustering() -> bool:
    """Whether the mixtures of What if can be fitted here, beside class means."""
    return _is_here(CLUSTERING)


def _is_here(library: str) -> bool:
    try:
        return find_spec(library) is not None
    except (ImportError, ValueError):
        return False


def cannot(what: str) -> str:
    """Why `what` cannot be had in a light installation, and the way out."""
    return f"{what} needs the model libraries (torch, timm), which this light installation lacks: {_WAY_OUT}."


def lacking(error: BaseException) -> str | None:
    """The line for an import that failed because a model library is absent; None for any other error."""
    library = (error.name or "").partition(".")[0] if isinstance(error, ModuleNotFoundError) else ""
    if library == CLUSTERING:
        return "This needs scikit-learn, which is not installed here: `pip install scikit-learn`."
    if library not in LIBRARIES:
        return None
    return f"This needs {library}, which is not installed here: {_WAY_OUT}."


@contextmanager
def needing(what: str) -> Iterator[None]:
    """Inside, a model library that is absent raises UserError."""
    try:
        yield
    except ModuleNotFoundError as error:
        if lacking(error) is None:
            raise
        raise UserError(cannot(what)) from None
