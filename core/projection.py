"""Embeddings as points on a map: UMAP where umap-learn is installed, otherwise the first two principal components.

Distances between points are Euclidean, as the mixtures see them. The same embeddings, seed and start give the same map
on the same machine. UMAP is seeded and therefore runs on one thread; two fits at once in one process can abort it, so
call this from a worker process, one map after another. umap-learn is imported in the call that fits (some seconds).
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from core.runs.schema import PROJECTION_COLUMNS

NEIGHBOURS = 15
LANDMARKS = 10_000
"""More points than this are placed by those that were fitted."""
EPOCHS = 200
EPOCHS_FROM_START = 50
PLACING_NEIGHBOURS = 5


def method_name() -> Literal["umap", "pca"]:
    """What `project` uses for more than `NEIGHBOURS` points; fewer always get principal components."""
    return "umap" if find_spec("umap") else "pca"


def project(
    embeddings: np.ndarray, seed: int, start: np.ndarray | None = None, visible: np.ndarray | None = None
) -> np.ndarray:
    """float32 (n, 2) map coordinates of `embeddings`, (n, width).

    start: (n, 2) an earlier map of the same rows, which this one then resembles; a row of NaN had no place in it.
    visible: bool (n,) the rows that shape the map; the others are placed by their nearest neighbours among them.
    Equal rows, constant embeddings and any number of rows, down to none, are allowed.
    Raises ValueError for shapes that do not match and for embeddings that are not finite.
    """
    points = _standard(embeddings)
    before = np.full((len(points), 2), np.nan) if start is None else _shaped(start, (len(points), 2), "start")
    shaping = _shaping_rows(len(points), seed, visible)
    coordinates = np.full(before.shape, np.nan)
    coordinates[shaping] = _fit(points[shaping], seed, before[shaping].astype(np.float64))
    return _complete(points, coordinates).astype(np.float32)


def align(previous: np.ndarray, current: np.ndarray, rows: np.ndarray | None = None) -> np.ndarray:
    """`current`, (n, 2), turned, mirrored, moved and scaled as a whole to lie on `previous`, (m, 2).

    rows: int (m,) the rows of `current` that `previous` holds; all of them by default. The turn is the orthogonal
    Procrustes solution. The scale gives both the same root mean square radius: a least-squares scale would shrink the
    map a little each time. Raises ValueError for shapes that do not match.
    """
    current = np.asarray(current, dtype=np.float64)
    shared = current if rows is None else current[rows]
    previous = _shaped(previous, shared.shape, "previous").astype(np.float64)
    if not len(shared):
        return current
    centre, target = shared.mean(axis=0), previous.mean(axis=0)
    left, _, right = np.linalg.svd((shared - centre).T @ (previous - target))
    radius, wanted = np.linalg.norm(shared - centre), np.linalg.norm(previous - target)
    scale = wanted / radius if radius > 0 and wanted > 0 else 1.0
    aligned: np.ndarray = (current - centre) @ (left @ right) * scale + target
    return aligned


def projection_table(spaces: Mapping[tuple[str, int], tuple[np.ndarray, np.ndarray]], seed: int) -> pa.Table:
    """PROJECTION_COLUMNS for `spaces`: (space, after_task) to (image ids (n,), embeddings (n, width)).

    Images whose embeddings never change within a space keep one place: the space is fitted once, on all of its images.
    Otherwise each map of a space starts from the one before it, and new images start beside their neighbours.
    Raises ValueError for repeated ids, shapes that do not match and embeddings that are not finite.
    """
    names = sorted({space for space, _ in spaces})
    parts = []
    for index, space in enumerate(names):
        steps = sorted(after for name, after in spaces if name == space)
        frames = [_frame(*spaces[space, after], where=f"space {space!r} after task {after}") for after in steps]
        for after, (ids, _), coordinates in zip(steps, frames, _maps(frames, seed), strict=True):
            parts.append(_rows(names, index, after, ids, coordinates))
    return pa.concat_tables(parts) if parts else PROJECTION_COLUMNS.empty_table()


Frame = tuple[np.ndarray, np.ndarray]


def _maps(frames: Sequence[Frame], seed: int) -> list[np.ndarray]:
    """The (n, 2) coordinates of each frame of one space."""
    union = _unchanging(frames)
    if union is not None:
        ids, embeddings = union
        coordinates = project(embeddings, seed)
        order = np.argsort(ids)
        return [coordinates[order[np.searchsorted(ids, own, sorter=order)]] for own, _ in frames]
    maps: list[np.ndarray] = []
    for index, (ids, embeddings) in enumerate(frames):
        start = None
        if index:
            start = np.full((len(ids), 2), np.nan)
            _, before, now = np.intersect1d(frames[index - 1][0], ids, assume_unique=True, return_indices=True)
            start[now] = maps[-1][before]
        maps.append(project(embeddings, seed, start))
    return maps


def _unchanging(frames: Sequence[Frame]) -> Frame | None:
    """All images of all frames with their embeddings, or None when an image has more than one."""
    ids, embeddings = frames[0]
    for other, values in frames[1:]:
        _, first, second = np.intersect1d(ids, other, assume_unique=True, return_indices=True)
        if values.shape[1] != embeddings.shape[1] or not np.array_equal(embeddings[first], values[second]):
            return None
        new = np.setdiff1d(np.arange(len(other)), second)
        if len(new):
            ids, embeddings = np.concatenate([ids, other[new]]), np.concatenate([embeddings, values[new]])
    return ids, embeddings


def _frame(ids: np.ndarray, embeddings: np.ndarray, where: str) -> Frame:
    ids, embeddings = np.asarray(ids), np.asarray(embeddings)
    if embeddings.ndim != 2 or ids.shape != embeddings.shape[:1]:
        raise ValueError(f"{where}: {ids.shape} image ids do not fit {embeddings.shape} embeddings")
    if len(np.unique(ids)) != len(ids):
        raise ValueError(f"{where}: an image id is repeated")
    if not np.isfinite(embeddings).all():
        raise ValueError(f"{where}: embeddings contain values that are not finite")
    return ids, embeddings


def _rows(names: list[str], index: int, after: int, ids: np.ndarray, coordinates: np.ndarray) -> pa.Table:
    space = pa.DictionaryArray.from_arrays(np.full(len(ids), index, np.int8), pa.array(names))
    after_task = np.full(len(ids), after, np.int16)
    columns = [space, after_task, ids.astype(np.int32), *coordinates.astype(np.float32).T]
    return pa.table([pa.array(column) for column in columns], schema=PROJECTION_COLUMNS)


def _standard(embeddings: np.ndarray) -> np.ndarray:
    """float32 rows moved to their mean and scaled to at most 1, so that no distance overflows."""
    points = np.asarray(embeddings)
    if points.ndim != 2:
        raise ValueError(f"embeddings must be (images, width), not {points.shape}")
    if not np.isfinite(points).all():
        raise ValueError("embeddings contain values that are not finite")
    if not points.size:
        return np.zeros((len(points), 1), np.float32)
    points = points.astype(np.float64)
    points -= points.mean(axis=0)
    largest = np.abs(points).max()
    return (points / largest if largest > 0 else points).astype(np.float32)


def _shaping_rows(n: int, seed: int, visible: np.ndarray | None) -> np.ndarray:
    """The rows to fit: the visible ones, or a seeded sample where they are too many."""
    rows = np.arange(n)
    if visible is not None:
        rows = np.flatnonzero(_shaped(visible, (n,), "visible"))
        if n and not len(rows):
            raise ValueError("no row is visible: at least one must shape the map")
    if len(rows) <= LANDMARKS:
        return rows
    return np.sort(np.random.default_rng(seed).choice(rows, LANDMARKS, replace=False))


def _fit(points: np.ndarray, seed: int, before: np.ndarray) -> np.ndarray:
    """(n, 2) layout of all rows, laid on those that have a place in `before`."""
    placed = np.flatnonzero(np.isfinite(before).all(axis=1))
    start = _complete(points, before)
    if len(points) < 2 or not np.ptp(points, axis=0).any():
        return start if len(placed) else np.zeros((len(points), 2))
    if len(points) <= NEIGHBOURS or method_name() == "pca":
        layout = _principal(points, seed)
    elif len(placed):
        layout = _umap_from(points, seed, start)
    else:
        layout = _umap(points, seed, _principal(points, seed), EPOCHS, learning_rate=1.0)
    return align(before[placed], layout, placed)


def _principal(points: np.ndarray, seed: int) -> np.ndarray:
    """(n, 2) first two principal components; the second is 0 where there is only one."""
    from sklearn.decomposition import PCA

    kept = min(2, *points.shape)
    components = PCA(kept, random_state=seed).fit_transform(points)
    return np.pad(components, ((0, 0), (0, 2 - kept))).astype(np.float64)


def _umap(points: np.ndarray, seed: int, begin: np.ndarray, epochs: int, learning_rate: float) -> np.ndarray:
    """(n, 2) UMAP layout begun at `begin`, which umap-learn stretches to a square of its own size.

    Exact nearest neighbours are given: faster than umap-learn's own search, and repeatable.
    """
    begin = begin - begin.mean(axis=0)
    spread = max(float(np.ptp(begin)), 1e-6)
    noise = np.random.default_rng(seed).normal(scale=1e-4, size=begin.shape)  # parts equal points
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from umap import UMAP

        layout = UMAP(
            n_neighbors=NEIGHBOURS,
            n_epochs=epochs,
            learning_rate=learning_rate,
            init=(begin / spread + noise).astype(np.float32),
            precomputed_knn=_neighbours(points, NEIGHBOURS),
            random_state=seed % 2**32,
            n_jobs=1,
        ).fit_transform(points)
    return np.asarray(layout, dtype=np.float64)


def _umap_from(points: np.ndarray, seed: int, start: np.ndarray) -> np.ndarray:
    """(n, 2) UMAP layout a few steps from `start`, whose sides it keeps (down to 1:2)."""
    sides = np.ptp(start, axis=0)
    longest = sides.max()
    proportions = np.clip(sides / longest, 0.5, 1) if longest > 0 else 1.0
    return _umap(points, seed, start, EPOCHS_FROM_START, learning_rate=0.5) * proportions


def _neighbours(points: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Indices and distances, (n, k) each, of the exact nearest neighbours; each row's first is the row itself."""
    distances, indices = _searcher(points, k - 1).kneighbors()
    own = np.arange(len(points))[:, None]
    return np.hstack([own, indices]), np.hstack([np.zeros(own.shape), distances]).astype(np.float32)


def _complete(points: np.ndarray, coordinates: np.ndarray) -> np.ndarray:
    """`coordinates` with each row of NaN replaced by the mean place of its nearest neighbours that have one."""
    placed = np.isfinite(coordinates).all(axis=1)
    if placed.all() or not placed.any():
        return coordinates
    searcher = _searcher(points[placed], min(PLACING_NEIGHBOURS, int(placed.sum())))
    distances, nearest = searcher.kneighbors(points[~placed])
    weights = 1 / (distances.astype(np.float64) ** 2 + 1e-12)
    weights /= weights.sum(axis=1, keepdims=True)
    complete = coordinates.copy()
    complete[~placed] = (weights[:, :, None] * coordinates[placed][nearest]).sum(axis=1)
    return complete


def _searcher(points: np.ndarray, k: int) -> Any:
    from sklearn.neighbors import NearestNeighbors

    return NearestNeighbors(n_neighbors=k, algorithm="brute").fit(points)


def _shaped(values: np.ndarray, shape: tuple[int, ...], name: str) -> np.ndarray:
    values = np.asarray(values)
    if values.shape != shape:
        raise ValueError(f"{name} is {values.shape}, but must be {shape}")
    return values
