"""The modules of the components, each tested by itself in a real browser: `tests/browser/javascript/*.test.js`.

They run in Chromium rather than in node: they need a canvas, and a machine that can test the app has a browser.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest

from app.components.browser import joined
from app.components.point_map import Column, MapData, pack
from tests.browser.serving import ROOT

pytestmark = pytest.mark.browser

FOLDER = Path(__file__).parent / "javascript"
ORIGIN = "http://modules.test"  # is never looked up: every request is answered from the project's files

RUN = """async (file) => {
  const { run } = await import("/tests/browser/javascript/harness.js");
  await import(file);
  return run();
}"""

READ = """async (bytes) => {
  const { readPayload } = await import("/app/components/point_map/js/data.js");
  const { header, points } = readPayload(Uint8Array.from(bytes));
  const rows = [...Array(points.n).keys()];
  return {
    title: header.title,
    key: header.key,
    ids: rows.map((i) => points.id(i)),
    sprites: rows.map((i) => points.sprite(i)),
    shown: [0, 1].map((frame) => rows.map((i) => points.shown(frame, i))),
    ringed: [0, 1].map((frame) => rows.map((i) => points.ringed(frame, i))),
    lines: [0, 1].map((frame) => rows.map((i) => points.lines(frame, i).map(({ text }) => text))),
    last: points.row(points.id(points.n - 1)),
    unknown: points.row(10 ** 9),
  };
}"""


@pytest.fixture
def page(browser) -> Iterator:
    context = browser.new_context()
    page = context.new_page()
    page.route("**/*", _answer)
    page.goto(ORIGIN)
    yield page
    context.close()


def _answer(route) -> None:
    path = urlsplit(route.request.url).path
    file = ROOT / path.lstrip("/")
    if path == "/":
        route.fulfill(body="<!doctype html><body></body>", content_type="text/html")
    elif route.request.url.startswith(ORIGIN) and file.suffix == ".js" and file.is_file():
        route.fulfill(body=file.read_text(encoding="utf-8"), content_type="text/javascript")
    else:
        route.fulfill(status=404)


@pytest.mark.parametrize("file", sorted(file.name for file in FOLDER.glob("*.test.js")))
def test_modules(page, file: str) -> None:
    results = page.evaluate(RUN, f"/tests/browser/javascript/{file}")
    assert results, "no test in it"
    failed = [f"{result['name']}: {result['error']}" for result in results if result["error"]]
    assert not failed, "\n".join(failed)


def test_every_module_of_the_map_has_a_test() -> None:
    tests = "".join(file.read_text() for file in FOLDER.glob("*.test.js")) + READ
    modules = {file.name for file in (ROOT / "app/components/point_map/js").glob("*.js")}
    wired = {"map.js", "tip.js", "legend.js"}  # these are the page: test_point_map.py sees them at work
    assert {name for name in modules - wired if f"/{name}" not in tests} == set()


def test_the_browser_reads_what_python_packs(page) -> None:
    random = np.random.default_rng(0)
    n = 37
    xy = random.normal(size=(2, n, 2))
    xy[0, ::5] = np.nan
    rings = random.random((2, n)) < 0.4
    names = tuple(f"class {code}" for code in range(300))
    moving = random.integers(0, 300, (2, n))
    fixed = random.integers(0, 2, n)
    data = MapData(
        xy=xy,
        category=random.integers(0, 3, n),
        names=("a", "b", "ü"),
        frame_names=("one", "two"),
        rings=rings,
        ring_name="ring",
        columns=(Column("moving", names, moving), Column("fixed", ("no", "yes"), fixed)),
        ids=random.permutation(100_000)[:n],
        sprite=np.stack([np.arange(n) % 3, np.arange(n)], axis=1),
        title="Ümlaut",
    )
    read = page.evaluate(READ, list(pack(data, key="k")))
    assert (read["title"], read["key"]) == ("Ümlaut", "k")
    assert read["ids"] == data.numbers.tolist()
    assert read["sprites"] == [sheet * 1024 + cell for sheet, cell in data.sprite.tolist()]
    assert read["shown"] == np.isfinite(xy).all(axis=2).tolist()
    assert read["ringed"] == rings.tolist()
    for frame in range(2):
        for i, lines in enumerate(read["lines"][frame]):
            ring = ["○ ring"] if rings[frame, i] else []
            assert lines == [names[moving[frame, i]], ("no", "yes")[fixed[i]], *ring]
    assert (read["last"], read["unknown"]) == (n - 1, -1)


def test_joined_modules_run_as_the_modules_would(page, tmp_path: Path) -> None:
    modules = {
        "leaf": 'const secret = "leaf";\nexport const one = 1;\nexport function two() { return secret; }\n',
        "middle": 'import { one } from "./leaf.js";\nconst secret = one + 1;\nexport class Three { value = secret; }\n',
        "entry": 'import { one, two } from "./leaf.js";\nimport { Three } from "./middle.js";\nconst secret = 0;\n'
        "export default () => [one, two(), new Three().value, secret];\n",
    }
    for name, text in modules.items():
        (tmp_path / f"{name}.js").write_text(text)
    run = "async (text) => (await import(`data:text/javascript,${encodeURIComponent(text)}`)).default()"
    assert page.evaluate(run, joined(tmp_path / "entry.js")) == [1, "leaf", 2, 0]
