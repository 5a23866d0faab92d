"""Maps: neighbours stay neighbours, the same seed gives the same map, and no shape of data breaks it."""

import subprocess
import sys
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core import projection
from core.projection import align, project, projection_table
from core.runs.schema import PROJECTION_COLUMNS

needs_umap = pytest.mark.skipif(projection.method_name() != "umap", reason="umap-learn is not installed")


def clusters(images=120, classes=4, width=12, seed=0):
    """Well separated classes: (embeddings, labels)."""
    rng = np.random.default_rng(seed)
    labels = np.arange(images) % classes
    return (10 * np.eye(classes, width)[labels] + rng.normal(size=(images, width))).astype(np.float32), labels


def purity(coordinates, labels):
    """Share of points whose nearest other point is of their class."""
    distances = np.linalg.norm(coordinates[:, None] - coordinates[None], axis=2)
    np.fill_diagonal(distances, np.inf)
    return np.mean(labels[distances.argmin(axis=1)] == labels)


def width_of(coordinates):
    return np.ptp(coordinates, axis=0).max()


@pytest.fixture(params=["umap", "pca"])
def method(request, monkeypatch):
    if request.param == "umap" and projection.method_name() != "umap":
        pytest.skip("umap-learn is not installed")
    if request.param == "pca":
        monkeypatch.setattr(projection, "find_spec", lambda name: None)
    assert projection.method_name() == request.param
    return request.param


@pytest.mark.slow
def test_classes_stay_together(method):
    embeddings, labels = clusters()
    coordinates = project(embeddings, seed=0)
    assert coordinates.shape == (120, 2)
    assert coordinates.dtype == np.float32
    assert purity(coordinates, labels) > (0.95 if method == "umap" else 0.6)


def test_the_seed_decides_the_map(method):
    embeddings, _ = clusters()
    first = project(embeddings, seed=3)
    assert np.array_equal(first, project(embeddings, seed=3))
    assert method == "pca" or not np.array_equal(first, project(embeddings, seed=4))


def test_scale_and_place_of_the_data_do_not_matter(method):
    embeddings, labels = clusters()
    for changed in (embeddings * 1e-30, embeddings.astype(np.float64) * 1e30, embeddings + 1000):
        coordinates = project(changed, seed=0)
        assert np.isfinite(coordinates).all()
        assert purity(coordinates, labels) > 0.6


def test_a_map_from_a_start_resembles_it(method):
    """Far clusters push each other about at random, differently on every processor: compared over several draws."""
    embeddings, labels = clusters()
    moves, strangers = [], []
    for seed in range(3):
        start = project(embeddings, seed=seed) @ np.array([[0, 1], [1, 0]]) + 100  # mirrored and far off
        disturbed = embeddings + np.random.default_rng(seed).normal(size=embeddings.shape) * 0.1
        moved = project(disturbed, seed=seed, start=start)
        stranger = align(start, project(disturbed, seed=seed + 7))
        moves.append(np.linalg.norm(moved - start, axis=1).mean() / width_of(start))
        strangers.append(np.linalg.norm(stranger - start, axis=1).mean() / width_of(start))
        assert purity(moved, labels) > (0.95 if method == "umap" else 0.6)
    if method == "umap":
        assert np.mean(moves) < 0.7 * np.mean(strangers), "nearer to its start than a map without one"
    else:
        assert max(moves) < 0.1


def test_a_chain_of_maps_neither_shrinks_nor_grows(method):
    embeddings, _ = clusters()
    first = coordinates = project(embeddings, seed=0)
    for _ in range(6):
        coordinates = project(embeddings, seed=0, start=coordinates)
    assert np.linalg.norm(coordinates - coordinates.mean(axis=0)) == pytest.approx(
        np.linalg.norm(first - first.mean(axis=0)), rel=1e-3
    )


def test_points_without_a_start_begin_beside_their_neighbours(method):
    embeddings, labels = clusters()
    start = project(embeddings, seed=0)
    new = np.arange(len(start)) % 10 == 0
    start[new] = np.nan
    coordinates = project(embeddings, seed=0, start=start)
    assert np.isfinite(coordinates).all()
    for row in np.flatnonzero(new):
        mates = (labels == labels[row]) & ~new
        assert np.linalg.norm(coordinates[row] - coordinates[mates].mean(axis=0)) < 0.5 * width_of(coordinates)


def test_a_start_of_nothing_is_no_start(method):
    embeddings, _ = clusters()
    assert np.array_equal(project(embeddings, 0, np.full((120, 2), np.nan)), project(embeddings, 0))


def test_hidden_rows_do_not_shape_the_map(method):
    embeddings, labels = clusters()
    visible = np.arange(120) < 80
    coordinates = project(embeddings, seed=0, visible=visible)
    changed = embeddings.copy()
    changed[~visible] = embeddings[:40]
    copies = project(changed, seed=0, visible=visible)
    # the data are centred and scaled together, so equal up to rounding where PCA is concerned
    assert np.allclose(copies[80:], copies[:40], atol=1e-2 * width_of(copies))
    assert np.isfinite(coordinates).all()
    assert purity(coordinates[visible], labels[visible]) > 0.6


def test_landmarks_place_the_rest(method, monkeypatch):
    monkeypatch.setattr(projection, "LANDMARKS", 60)
    embeddings, labels = clusters(images=400)
    coordinates = project(embeddings, seed=0)
    assert np.isfinite(coordinates).all()
    assert purity(coordinates, labels) > (0.95 if method == "umap" else 0.6)
    assert np.array_equal(coordinates, project(embeddings, seed=0))


@pytest.mark.parametrize("images", [0, 1, 2, 3, 4, 14, 15, 16, 17, 18])
def test_few_points(method, images):
    for width in (1, 2, 5):
        embeddings = np.random.default_rng(images).normal(size=(images, width))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            coordinates = project(embeddings, seed=0)
        assert coordinates.shape == (images, 2)
        assert coordinates.dtype == np.float32
        assert np.isfinite(coordinates).all()
        again = project(embeddings, seed=0, start=coordinates)
        assert np.isfinite(again).all()


@pytest.mark.parametrize(
    "embeddings",
    [
        np.zeros((30, 4)),
        np.full((30, 4), 7e4, dtype=np.float32),
        np.eye(3)[np.arange(60) % 3],
        np.vstack([np.zeros((40, 3)), np.ones((1, 3))]),
        np.arange(40.0)[:, None],
        np.zeros((40, 0)),
        np.vstack([np.random.default_rng(0).normal(size=(40, 3)), np.full((1, 3), 1e6)]),
    ],
    ids=["zeros", "constant", "three-values", "one-apart", "line", "no-width", "outlier"],
)
def test_degenerate_data(method, embeddings):
    coordinates = project(embeddings, seed=0)
    assert coordinates.shape == (len(embeddings), 2)
    assert np.isfinite(coordinates).all()
    again = project(embeddings, seed=0, start=coordinates)
    assert np.isfinite(again).all()


def test_equal_rows_end_close_together(method):
    embeddings = np.repeat(np.random.default_rng(0).normal(size=(3, 6)) * 5, 30, axis=0)
    labels = np.repeat(np.arange(3), 30)
    assert purity(project(embeddings, seed=0) + np.linspace(0, 1e-6, 90)[:, None], labels) == 1


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_values_that_are_not_finite_are_named(bad):
    embeddings, _ = clusters()
    embeddings[5, 2] = bad
    with pytest.raises(ValueError, match="not finite"):
        project(embeddings, seed=0)
    with pytest.raises(ValueError, match="'frozen' after task 2: embeddings contain values that are not finite"):
        projection_table({("frozen", 2): (np.arange(120), embeddings)}, seed=0)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"embeddings": np.zeros(4)}, "images, width"),
        ({"embeddings": np.zeros((4, 2)), "start": np.zeros((3, 2))}, "start"),
        ({"embeddings": np.zeros((4, 2)), "visible": np.ones(3, bool)}, "visible"),
        ({"embeddings": np.zeros((4, 2)), "visible": np.zeros(4, bool)}, "no row is visible"),
    ],
)
def test_shapes_that_do_not_match_are_refused(arguments, words):
    with pytest.raises(ValueError, match=words):
        project(**arguments, seed=0)


@settings(deadline=None)
@given(st.integers(2, 30), st.floats(0, 6.3), st.booleans(), st.floats(0.1, 10), st.integers(0, 10_000))
def test_align_undoes_turning_mirroring_moving_and_scaling(n, angle, mirrored, scale, seed):
    rng = np.random.default_rng(seed)
    original = rng.normal(size=(n, 2))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    changed = scale * original @ turn * ([1, -1] if mirrored else [1, 1]) + rng.normal(size=2)
    assert np.allclose(align(original, changed), original, atol=1e-6)
    rows = np.arange(n)[::-1]
    assert np.allclose(align(original[rows], changed, rows), original, atol=1e-6)


def test_align_keeps_the_shape_of_what_it_moves():
    rng = np.random.default_rng(0)
    previous, current = rng.normal(size=(2, 20, 2))
    moved = align(previous, current)
    assert np.linalg.norm(moved - moved.mean(0)) == pytest.approx(np.linalg.norm(previous - previous.mean(0)))
    assert align(np.ones((1, 2)), np.zeros((1, 2))).tolist() == [[1, 1]]
    assert align(np.empty((0, 2)), np.ones((3, 2)), np.arange(0)).tolist() == [[1, 1]] * 3
    with pytest.raises(ValueError, match="previous"):
        align(previous[:3], current)


def places(table, space, after):
    """{image: (x, y)} of one map of the table."""
    rows = [row for row in table.to_pylist() if (row["space"], row["after_task"]) == (space, after)]
    return {row["image"]: (row["x"], row["y"]) for row in rows}


def test_images_that_never_change_keep_one_place(method):
    embeddings, _ = clusters()
    seen = {t: np.random.default_rng(t).permutation(120)[: 40 * (t + 1)] for t in range(3)}
    table = projection_table({("frozen", t): (ids + 1000, embeddings[ids]) for t, ids in seen.items()}, seed=0)
    assert table.schema.equals(PROJECTION_COLUMNS)
    last = places(table, "frozen", 2)
    assert set(last) == set(range(1000, 1120))
    for t, ids in seen.items():
        assert places(table, "frozen", t) == {image + 1000: last[image + 1000] for image in ids}


def test_maps_of_a_changing_space_follow_each_other(method):
    rng = np.random.default_rng(0)
    embeddings, labels = clusters()
    drifting = {t: embeddings + 0.1 * rng.normal(size=embeddings.shape) for t in range(12)}
    seen = {t: np.flatnonzero(labels < min(2 + t, 4)) for t in range(12)}
    table = projection_table({("own", t): (ids, drifting[t][ids]) for t, ids in reversed(seen.items())}, seed=0)
    for t in range(1, 12):  # sorted as strings, 10 would follow 1
        before, now = places(table, "own", t - 1), places(table, "own", t)
        assert set(now) == set(seen[t])
        shift = [np.subtract(now[image], before[image]) for image in before]
        assert 0 < np.linalg.norm(shift, axis=1).mean() < 0.3 * width_of(np.array(list(before.values())))


def test_spaces_do_not_touch_each_other(method):
    embeddings, _ = clusters()
    ids = np.arange(120)
    alone = projection_table({("frozen", 0): (ids, embeddings)}, seed=0)
    both = projection_table({("own", 0): (ids, embeddings[::-1]), ("frozen", 0): (ids, embeddings)}, seed=0)
    assert places(both, "frozen", 0) == places(alone, "frozen", 0)
    assert set(both["space"].to_pylist()) == {"own", "frozen"}


def test_a_space_may_grow_wider(method):
    embeddings, _ = clusters()
    ids = np.arange(120)
    table = projection_table({("whitened", t): (ids, embeddings[:, : 6 * (t + 1)]) for t in (0, 1)}, seed=0)
    assert len(places(table, "whitened", 1)) == 120


def test_no_space_and_no_image_give_empty_tables():
    assert projection_table({}, seed=0).num_rows == 0
    empty = projection_table({("own", 0): (np.arange(0), np.zeros((0, 3)))}, seed=0)
    assert empty.schema.equals(PROJECTION_COLUMNS)
    assert empty.num_rows == 0


@pytest.mark.parametrize(
    ("ids", "words"), [(np.zeros(120, int), "repeated"), (np.arange(7), "do not fit")], ids=["repeated", "too-few"]
)
def test_wrong_image_ids_are_refused(ids, words):
    with pytest.raises(ValueError, match=f"'own' after task 0: .*{words}"):
        projection_table({("own", 0): (ids, clusters()[0])}, seed=0)


def test_importing_the_module_imports_nothing_heavy():
    code = (
        "import sys, core.projection as p; p.method_name();"
        "print({'umap', 'numba', 'sklearn', 'torch'} & set(sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"


@needs_umap
def test_warnings_are_silenced_for_the_fit_only():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        project(clusters()[0], seed=0)
        warnings.warn("still heard", stacklevel=1)
    assert [str(warning.message) for warning in caught] == ["still heard"]
