"""Joining a component's JavaScript modules into one. That the result runs is seen in tests/browser."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from app.components.browser import joined

ROOT = Path(__file__).resolve().parents[2]
ENTRIES = sorted(
    (ROOT / file).resolve() for file in ROOT.glob("app/components/**/*.js") if "export default" in file.read_text()
)


def written(folder: Path, **modules: str) -> Path:
    """The module `entry` among others."""
    for name, text in modules.items():
        (folder / f"{name}.js").write_text(text)
    return folder / "entry.js"


def test_a_module_without_imports_stays_as_it_is(tmp_path: Path) -> None:
    text = "const a = 1;\nexport default function () { return a; }\n"
    assert joined(written(tmp_path, entry=text)).endswith(text)


def test_imports_come_first_once_and_keep_their_own_names(tmp_path: Path) -> None:
    entry = written(
        tmp_path,
        leaf='const secret = "leaf";\nexport const one = 1;\nexport function two() { return secret; }\n',
        middle='import { one } from "./leaf.js";\nconst secret = one + 1;\nexport class Three { value = secret; }\n',
        entry=(
            'import {\n  one,\n  two,\n} from "./leaf.js";\nimport { Three } from "./middle.js";\n'
            "const secret = 0;\nexport default function () { return [one, two(), new Three().value, secret]; }\n"
        ),
    )
    text = joined(entry)
    assert text.count('const secret = "leaf"') == 1
    assert text.index('"leaf"') < text.index("class Three") < text.index("export default")
    assert re.findall(r"^(?:import|export)\b.*", text, re.MULTILINE) == [
        "export default function () { return [one, two(), new Three().value, secret]; }"
    ]


@pytest.mark.parametrize(
    ("modules", "said"),
    [
        (
            {"entry": 'import { a } from "./other.js";\n', "other": "const a = 1;\n"},
            "entry.js imports a, which",
        ),
        ({"entry": 'import * as all from "./other.js";\n', "other": ""}, "form that is not joined: import"),
        ({"entry": 'import { a } from "https://example.org/a.js";\n'}, "form that is not joined"),
        (
            {"entry": 'import { a } from "./other.js";\n', "other": "export let a = 1;\n"},
            "not joined: export let",
        ),
        (
            {"entry": 'import { a } from "./other.js";\n', "other": "export const a = 1;\nexport default a;\n"},
            "other.js has an import or export",
        ),
        (
            {
                "entry": 'import { a } from "./other.js";\nexport const b = 1;\n',
                "other": 'import { b } from "./entry.js";\nexport const a = 1;\n',
            },
            "entry.js imports itself by way of other.js",
        ),
    ],
)
def test_what_cannot_be_joined_is_said(tmp_path: Path, modules: dict[str, str], said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        joined(written(tmp_path, **modules))


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda file: file.stem)
def test_the_components_modules_join(entry: Path) -> None:
    text = joined(entry)
    assert re.findall(r"^(import|export) \S+", text, re.MULTILINE) == ["export"]
    assert str(ROOT) not in text
