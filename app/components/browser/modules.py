"""A component's JavaScript modules as the one text that Streamlit takes.

Streamlit serves the files of a component only out of an installed package, and the app also runs from a plain checkout.
So the modules are joined when the component is registered, without a bundler. The files are plain ES modules, which a
browser (and the tests) can load as they are; only these forms of import and export are allowed:

    import { a, b } from "./other.js";
    export function …   export class …   export const …
    export default …    in the first module alone
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path

_IMPORT = re.compile(r'^import \{([\w$,\s]+)\} from "(\.[^"]+\.js)";$', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:async )?(?:function|class|const) ([\w$]+))", re.MULTILINE)
_DEFAULT = re.compile(r"^export default ", re.MULTILINE)
_LEFT_OVER = re.compile(r"^(?:import|export)\b.*$", re.MULTILINE)


def joined(entry: Path) -> str:
    """One module that does what `entry` does, with everything that it imports inside.

    Each imported module becomes a function that runs once and gives what the module exports, so names that a module
    keeps to itself cannot meet those of another. Raises ValueError for an import or export in another form, for an
    import of what is not exported, and for modules that import each other; OSError where a file is missing.
    """
    texts: dict[Path, str] = {}
    exports: dict[Path, list[str]] = {}
    _collect(entry.resolve(), (), texts, exports)
    names = {file: json.dumps(os.path.relpath(file, entry.resolve().parent)) for file in texts}
    linked = {file: _linked(file, text, names) for file, text in texts.items()}
    *imported, last = linked
    parts = ["const modules = {};"]
    for file in imported:
        given = ", ".join(exports[file])
        parts.append(f"modules[{names[file]}] = (() => {{\n{linked[file]}return {{ {given} }};\n}})();")
    return "\n".join([*parts, linked[last]])


def _collect(file: Path, importers: tuple[Path, ...], texts: dict[Path, str], exports: dict[Path, list[str]]) -> None:
    """Add the text of `file` after everything that it imports, and what each exports."""
    if file in importers:
        raise ValueError(f"{file.name} imports itself by way of {importers[-1].name}")
    if file in texts:
        return
    text = file.read_text(encoding="utf-8")
    kept = _EXPORT.sub("", _IMPORT.sub("", text))
    if odd := _LEFT_OVER.search(kept if importers else _DEFAULT.sub("", kept)):
        raise ValueError(f"{file.name} has an import or export in a form that is not joined: {odd[0]}")
    for names, path in _IMPORT.findall(text):
        other = _beside(file, path)
        _collect(other, (*importers, file), texts, exports)
        for name in filter(None, (name.strip() for name in names.split(","))):
            if name not in exports[other]:
                raise ValueError(f"{file.name} imports {name}, which {other.name} does not export")
    texts[file], exports[file] = text, _EXPORT.findall(text)


def _linked(file: Path, text: str, names: Mapping[Path, str]) -> str:
    """The module's text with its imports taken from `modules`, and without the word `export`."""
    text = _IMPORT.sub(lambda found: f"const {{{found[1]}}} = modules[{names[_beside(file, found[2])]}];", text)
    return _EXPORT.sub("", text)


def _beside(file: Path, path: str) -> Path:
    return (file.parent / path).resolve()
