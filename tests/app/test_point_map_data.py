from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from streamlit.testing.v1 import AppTest

from app.components.point_map import Column, Ellipse, MapData, pack
from app.figures import palette

HIDDEN = 65_535


def unpack(payload: bytes) -> tuple[dict, dict[str, np.ndarray]]:
    length = int.from_bytes(payload[:4], "little")
    header, body = json.loads(payload[4 : 4 + length]), payload[4 + length :]
    read = {
        part["name"]: np.frombuffer(body, part["type"], part["length"], part["offset"]) for part in header["arrays"]
    }
    return header, read


def some(xy: np.ndarray, **fields) -> MapData:
    frames, n, _ = xy.shape
    base = {"category": np.zeros(n, int), "names": ("a",), "frame_names": tuple(map(str, range(frames)))}
    return MapData(xy=xy, **(base | fields))


places = arrays.arrays(
    np.float32,
    st.tuples(st.integers(1, 3), st.integers(0, 12), st.just(2)),
    elements=st.floats(-1000, 1000, width=32) | st.just(float("nan")),
)


@given(places)
def test_places_survive_up_to_one_step(xy: np.ndarray):
    header, read = unpack(pack(some(xy)))
    steps = read["xy"].reshape(xy.shape)
    shown = np.isfinite(xy).all(axis=2)
    assert np.array_equal(steps[..., 0] != HIDDEN, shown)
    if not shown.any():
        return
    low, span = xy[shown].min(axis=0), float(np.ptp(xy[shown].astype(float), axis=0).max()) or 1.0
    back = low + steps[shown] * (span / 65_534)
    assert np.abs(back - xy[shown]).max() <= span / 65_534 + 1e-4
    assert header["extent"] == steps[shown].max(axis=0).tolist()


def test_columns_rings_and_ids_come_through():
    n, random = 700, np.random.default_rng(0)
    category = random.integers(0, 3, (2, n))
    codes, rings, ids = random.integers(0, 300, n), random.random((2, n)) < 0.3, random.permutation(5000)[:n]
    points = some(
        random.random((2, n, 2), dtype=np.float32),
        category=category,
        names=("a", "b", "c"),
        rings=rings,
        ids=ids,
        columns=(Column("class", tuple(map(str, range(300))), codes),),
        ellipses=((), (Ellipse(0.5, 0.5, 0.1, 0.2, 1.0, 2, 0.5),)),
    )
    header, read = unpack(pack(points, key="k"))
    assert (read["category"].dtype, read["column0"].dtype) == (np.uint8, np.uint16)
    assert np.array_equal(read["category"].reshape(2, n), category)
    assert np.array_equal(read["column0"], codes)
    assert np.array_equal(read["ids"], ids)
    assert np.array_equal(read["sprite"], ids)  # the thumbnail follows the id
    assert np.array_equal(np.unpackbits(read["rings"].reshape(2, -1), axis=1, bitorder="little")[:, :n], rings)
    assert header["key"] == "k"
    assert header["frame"] == 1
    (cx, *_, category_of, weight), *rest = header["ellipses"][1]
    assert 0.4 < cx / 65_534 < 0.6
    assert (category_of, weight, rest) == (2, 0.5, [])


@pytest.mark.parametrize("frames", [1, 2, 10])
def test_a_point_costs_at_most_nine_bytes_a_frame(frames: int):
    n, random = 20_000, np.random.default_rng(0)
    classes = random.integers(0, 100, n)
    points = some(
        random.random((frames, n, 2), dtype=np.float32),
        category=random.integers(0, 10, (frames, n)),
        names=tuple(map(str, range(10))),
        rings=random.random((frames, n)) < 0.1,
        columns=(
            Column("class", tuple(map(str, range(100))), classes),
            Column("task", tuple(map(str, range(10))), classes // 10),
        ),
    )
    assert len(pack(points)) <= 9 * n * frames


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"category": np.zeros(3, int)}, "category"),
        ({"category": np.full(4, 1)}, "category"),
        ({"rings": np.zeros(4, bool)}, "rings"),
        ({"ids": np.zeros(4, int)}, "unique"),
        ({"frame_names": ()}, "frame names"),
        ({"highlight": 1}, "highlight"),
        ({"columns": (Column("class", ("x",), np.ones(4, int)),)}, "class"),
        ({"ellipses": ((), ())}, "ellipses"),
    ],
)
def test_parts_that_do_not_fit_are_refused(fields: dict, words: str):
    with pytest.raises(ValueError, match=words):
        some(np.zeros((1, 4, 2), np.float32), **fields)


def test_the_page_runs_without_a_browser():
    page = Path(__file__).parents[1] / "browser" / "map_page.py"
    run = AppTest.from_file(str(page), default_timeout=20).run()
    assert not run.exception
    assert [text.value for text in run.text] == ["clicked: []", "selected: 0 of tasks []", "frame: None"]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_palette(theme: palette.Theme):
    assert len(set(palette.colours(8, theme))) == 8
    assert set(palette.colours(9, theme)) == {palette.GREY[theme]}
    few, many = palette.colours(5, theme, highlight=2), palette.colours(40, theme, highlight=7)
    assert few[2] == palette.colours(5, theme)[2]
    assert many[7] == palette.ACCENT[theme]
    assert [c for i, c in enumerate(few) if i != 2] == [palette.GREY[theme]] * 4


def test_a_muted_category_is_grey_and_takes_no_colour_from_the_others():
    names = tuple(map(str, range(9)))
    header, _ = unpack(pack(some(np.zeros((1, 2, 2), np.float32), names=names, muted=8)))
    light = header["palette"]["light"]
    assert light["colours"][8] == light["grey"] and len(set(light["colours"])) == 9 and light["accent"] is None
    with pytest.raises(ValueError, match="grey"):
        some(np.zeros((1, 2, 2), np.float32), names=names, muted=9)
