"""Why an image was answered as it was: evidence of a loaded model, exact where the method allows it, else by occlusion.

Exact evidence (`core.retrieval.evidence`) takes one frozen pass. Occlusion paints patches over with the backbone's mean
colour, a window at a time, and asks the model again: for the first task's adapter, whose embedding is not linear in the
patches, and for methods that compare tasks in no whitened space.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import ceil, isqrt
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from core.errors import UserError
from core.evaluation.evaluator import Evaluator
from core.methods.base import PAST_IS_FROZEN, Method, best_per_task
from core.methods.inputs import Inputs
from core.retrieval.evidence import Contrast, Split, apart, contrast, positions, sides
from core.runs.evidence import Apart, Evidence, Kind, RecordedEvidence
from core.training.encoding import ENCODE_BATCH, EncodedImages, Encoder

WORK = 24_000
"""Tokens through a block of DINOv2-S that occlusion may take: half a second on two cores. A window becomes several
patches wide where painting over each patch alone would take more, but never so wide that fewer than 4 × 4 are left."""
_WIDTH, _FEWEST = 384, 4
_AT_ONCE = 512
"""Number of images whose linear functions, one number per feature each, are in memory together."""

Pixels = Callable[[Tensor], Tensor]
"""Numbers of images, on the CPU → uint8 (n, 3, size, size)."""


def exact(
    method: Method,
    encoder: Encoder,
    inputs: Inputs,
    rows: Tensor,
    pixels: Pixels,
    kind: Kind,
    own: Tensor,
    against: Tensor,
) -> list[Evidence]:
    """Of images `rows` (n,): side `own` (n,) against side `against` (n,) of a kind, by number. All on the CPU.

    Raises ValueError where the method has no `shared_space`.
    """
    space = method.shared_space
    if space is None:
        raise ValueError(f"{type(method).__name__} compares no tasks in a whitened space")
    with torch.no_grad():
        x = method.shared_features(inputs)
        difference, head = _scored(method, inputs, rows, kind, own, against)
    named, best_alone = sides(space, kind), method.best_class_decides and kind == "task"
    blocks = tuple(dict.fromkeys(piece.block for piece in encoder.features.pieces))
    found: list[Evidence] = []
    for part in torch.arange(len(rows)).split(_AT_ONCE):
        here = x[rows[part].to(x.device)]
        between = contrast(space, named, here, own[part], against[part], best_alone)
        columns = {"own": own[part], "against": against[part], "difference": difference[part], "head": head[part]}
        columns |= {"weights": between.weights, "others": between.others}
        columns |= {"adapter": between.terms(here)[:, encoder.features.width :].sum(1)}
        for name, components in (("own_component", between.own), ("against_component", between.against)):
            blind = kind == "class" and space.clustering == "kmeans"
            columns[name] = torch.full_like(components, -1) if blind else positions(space, components)
        listed = {name: values.tolist() for name, values in columns.items()}
        for row, (class_tokens, maps) in enumerate(_split(encoder, between, blocks, rows[part], pixels)):
            sums = {"class_tokens": class_tokens, "block_patches": maps.sum((1, 2)), "patches": maps.sum(0)}
            values = {name: column[row] for name, column in listed.items()}
            found.append(Evidence(how="exact", kind=kind, blocks=np.array(blocks), block_maps=maps, **sums, **values))
    return found


def _split(
    encoder: Encoder, between: Contrast, blocks: tuple[int, ...], rows: Tensor, pixels: Pixels
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """For each image what its class tokens (blocks,) and its patches (blocks, rows, columns) add."""
    for batch in torch.arange(len(rows)).split(ENCODE_BATCH):
        split = Split(between.rows(batch.to(between.own.device)), blocks, encoder.views)
        for view, piece, tokens in encoder.pieces(pixels(rows[batch])):
            split.add(view, piece, tokens)
        yield from zip(split.class_tokens.cpu().numpy(), split.patches.cpu().numpy(), strict=True)


def _scored(
    method: Method, inputs: Inputs, rows: Tensor, kind: Kind, own: Tensor, against: Tensor
) -> tuple[Tensor, Tensor]:
    """(n,) each: the method's own difference of two scores, and what of it the shared space does not say."""
    space = method.shared_space
    assert space is not None
    features, here = method.shared_features(inputs), rows.to(method.device)
    sides_here = own.to(method.device)[:, None], against.to(method.device)[:, None]

    def gap(scores: Tensor) -> Tensor:
        first, second = (scores.gather(1, side)[:, 0] for side in sides_here)
        return (first - second).double()

    if kind == "component":
        every = torch.cat([space.component_scores(features[here], task) for task in range(space.tasks)], dim=1)
        return gap(every), torch.zeros(len(rows), dtype=torch.float64)
    if kind == "class":
        shared = gap(space.class_scores(features[here]))
        head = _head_gaps(method, inputs, rows, own, against).to(shared)
        return shared + head, head
    plain = best_per_task(space.class_scores(features), method.classes) if method.best_class_decides else None
    shared = gap((space.scores(features) if plain is None else plain)[here])
    if method.config.retrieval.mode == "oracle":  # it is told the task, whatever the scores
        return shared, torch.zeros_like(shared)
    difference = gap(method.task_scores(inputs)[here])
    return difference, difference - shared


def _head_gaps(method: Method, inputs: Inputs, rows: Tensor, own: Tensor, against: Tensor) -> Tensor:
    """(n,): what heads say of two classes of one task; 0 for classes of two tasks, whose heads do not compare."""
    gaps = torch.zeros(len(rows), dtype=torch.float64)
    owners, others = (torch.tensor([owner(method, label) for label in side.tolist()]) for side in (own, against))
    for task in owners.unique().tolist():
        here = torch.where((owners == task) & (others == task))[0]
        parts = method.class_parts(inputs, task, rows[here]) if len(here) else {}
        first, second = (side[here] - method.classes[task][0] for side in (own, against))
        for part in (part.double().cpu() for name, part in parts.items() if name != "clusters"):
            gaps[here] += (part.gather(1, first[:, None]) - part.gather(1, second[:, None]))[:, 0]
    return gaps


def owner(method: Method, label: int) -> int:
    """The task that a class belongs to."""
    return next(task for task, members in enumerate(method.classes) if label in members)


def by_occlusion(method: Method, encoder: Encoder, decoded: Tensor, kind: Kind, own: int, against: int) -> Evidence:
    """What one image (1, 3, size, size) loses of the difference of two scores, window by window.

    Raises ValueError for components, which only a whitened space has.
    """
    if kind == "component":
        raise ValueError("components are compared in a whitened space, where evidence is exact")

    def gap(data: EncodedImages) -> Tensor:
        inputs = inputs_of(method, encoder, data)
        if kind == "task":
            scores = method.task_scores(inputs)
            return scores[:, own] - scores[:, against]
        first, second = (_class_score(method, inputs, label) for label in (own, against))
        return first - second

    whole, lost, window = _occluded(method, encoder, decoded, gap, method.passes()[0])
    nothing = np.zeros(0)
    return Evidence(
        how="occlusion",
        kind=kind,
        own=own,
        against=against,
        own_component=-1,
        against_component=-1,
        difference=whole,
        weights=0.0,
        others=0.0,
        adapter=0.0,
        head=0.0,
        blocks=nothing.astype(int),
        class_tokens=nothing,
        block_patches=nothing,
        patches=np.zeros((0, 0)),
        occluded=lost,
        occluded_part="difference",
        window=window,
    )


def _class_score(method: Method, inputs: Inputs, label: int) -> Tensor:
    task = owner(method, label)
    return method.scores_inside(inputs, task)[:, method.classes[task].index(label)]


def adapter_by_occlusion(
    method: Method, encoder: Encoder, decoded: Tensor, kind: Kind, own: int, against: int
) -> tuple[np.ndarray, int]:
    """What one image loses of the first adapter's term, patch by patch, and how many patches a window has a side."""
    space = method.shared_space
    assert space is not None
    width = encoder.features.width
    data = encoder.encoded(decoded, frozen=True)
    x = method.shared_features(inputs_of(method, encoder, data))
    found = contrast(space, sides(space, kind), x, torch.tensor([own]), torch.tensor([against]))
    direction, middle = found.direction[0, width:], found.middle[0, width:]

    def term(data: EncodedImages) -> Tensor:
        return (inputs_of(method, encoder, data).embedding(0).double() - middle) @ direction

    _, lost, window = _occluded(method, encoder, decoded, term, frozen=False)
    return lost, window


@torch.no_grad()
def between(method: Method, encoder: Encoder, decoded: Tensor) -> Apart:
    """What sets two images (2, 3, size, size) apart where the method tells tasks apart.

    Exact where that is a whitened space and the features hold patches. Elsewhere by occlusion: in the whitened space,
    else in the final embedding of the frozen backbone, or with the adapters of the one model of all tasks.
    """
    data = encoder.encoded(decoded, frozen=True)
    space, width = method.shared_space, encoder.features.width
    if space is None or not any(piece.kind == "patches" for piece in encoder.features.pieces):
        return _between_by_occlusion(method, encoder, decoded)
    x = method.shared_features(inputs_of(method, encoder, data))
    pair = apart(space, x, x.flip(0))
    blocks = tuple(dict.fromkeys(piece.block for piece in encoder.features.pieces))
    every = torch.arange(2)
    tokens, maps = zip(*_split(encoder, pair, blocks, every, lambda rows: decoded[rows]), strict=True)
    return Apart(
        how="exact",
        squared=float((space.whitening(x[0]) - space.whitening(x[1])).double().square().sum()),
        adapter=float(pair.terms(x)[:, width:].sum()),
        blocks=np.array(blocks),
        by_block=np.sum(tokens, axis=0) + np.sum(maps, axis=(0, 2, 3)),
        patches=np.sum(maps, axis=1),
    )


def _between_by_occlusion(method: Method, encoder: Encoder, decoded: Tensor) -> Apart:
    def placed(data: EncodedImages) -> Tensor:
        if method.shared_space is not None:
            return method.shared_space.whitening(method.shared_features(inputs_of(method, encoder, data)))
        if PAST_IS_FROZEN in method.promises:  # the adapters of different tasks do not compare
            return data.embedding
        return inputs_of(method, encoder, data).embedding(0)

    places = placed(encoder.encoded(decoded, frozen=True))
    lost = []
    for image, other in ((0, 1), (1, 0)):

        def squared(data: EncodedImages, other: int = other) -> Tensor:
            return (placed(data) - places[other]).square().sum(1)

        whole, losses, _ = _occluded(method, encoder, decoded[image : image + 1], squared, frozen=True)
        lost.append(losses)
    nothing = np.zeros(0)
    return Apart("occlusion", whole, 0.0, nothing.astype(int), nothing, np.stack(lost))


@torch.no_grad()
def _occluded(
    method: Method, encoder: Encoder, decoded: Tensor, score: Callable[[EncodedImages], Tensor], frozen: bool
) -> tuple[float, np.ndarray, int]:
    """The score of the whole image, what each patch's window loses of it (patches a side squared), and the window."""
    side = isqrt(encoder.tokens_per_image - encoder.backbone.readout.prefix)
    window = _window(method, encoder, side)
    patch = decoded.shape[-1] // side
    colour = (torch.tensor(encoder.backbone.preprocessing.mean) * 255).round().to(torch.uint8).view(3, 1, 1)
    starts = [(row, column) for row in range(0, side, window) for column in range(0, side, window)]
    painted = decoded.repeat(1 + len(starts), 1, 1, 1)
    for place, (row, column) in enumerate(starts, start=1):
        painted[place, :, row * patch : (row + window) * patch, column * patch : (column + window) * patch] = colour
    values = score(encoder.encoded(painted, frozen)).double().cpu().numpy()
    lost = np.zeros((side, side))
    for place, (row, column) in enumerate(starts, start=1):
        part = lost[row : row + window, column : column + window]
        part[:] = (values[0] - values[place]) / part.size
    return float(values[0]), lost, window


def _window(method: Method, encoder: Encoder, side: int) -> int:
    """Patches a side that are painted over together, of `side` a side, so that all windows take at most `WORK`."""
    backbone = encoder.backbone
    passes = max(1, method.passes()[1])
    blocks = encoder.first_block + passes * (backbone.depth - encoder.first_block)
    an_image = encoder.tokens_per_image * blocks * (backbone.width / _WIDTH) ** 2
    window = 1
    while ceil(side / window) ** 2 * an_image > WORK and ceil(side / (window + 1)) >= _FEWEST:
        window += 1
    return window


def inputs_of(method: Method, encoder: Encoder, data: EncodedImages) -> Inputs:
    """Images from outside a run as the method sees them, each by itself."""
    return Evaluator(method, encoder.precision, lambda done: None, whole_batches=False).inputs(data, 0)


@torch.no_grad()
def attention(method: Method, encoder: Encoder, decoded: Tensor, task: int, block: int | None = None) -> dict[str, Any]:
    """What the class token of one image reads in block `block` (from 0; None: the last), by head.

    `frozen` and, where the adapters of `task` change anything, `adapted`: (heads, rows, columns), the share of each
    patch; a head's sum to 1 less what class and register tokens take. Raises UserError for a backbone without a class
    token, or without such a block.
    """
    backbone = encoder.backbone
    prefix = backbone.readout.prefix
    block = backbone.depth - 1 if block is None else block
    if not prefix or not 0 <= block < backbone.depth:
        raise UserError(f"{backbone.title} has no class token in block {block + 1}: it has {backbone.depth} blocks.")
    found: dict[str, Any] = {"block": block}
    for name, updates in (("frozen", {}), ("adapted", method.updates(task))):
        if name == "frozen" or updates:
            shares = encoder.class_attention(decoded, block, updates)[0, :, prefix:].cpu().numpy()
            found[name] = shares.reshape(len(shares), isqrt(shares.shape[1]), -1)
    return found


def recorded(
    method: Method, encoder: Encoder, evaluator: Evaluator, answers: pa.Table, most: int
) -> RecordedEvidence | None:
    """The evidence of the test images that `evaluator` watches, for a run folder; None where there is none to keep.

    `answers` are PREDICTION_COLUMNS after the last task. All wrong answers are explained, and the closest right ones
    until there are `most` images.
    """
    told = method.config.retrieval.mode == "oracle"
    if method.shared_space is None or method.tasks < 2 or told or not len(answers):
        return None
    names = ("image", "task", "label", "retrieved_task", "predicted", "margin")
    table = {name: answers[name].to_numpy() for name in names}
    scores = answers["scores"].combine_chunks().flatten().to_numpy().reshape(len(answers), method.tasks).copy()
    scores[np.arange(len(scores)), table["task"]] = -np.inf
    rival = scores.argmax(1)
    lost = table["retrieved_task"] != table["task"]
    against = np.where(lost, table["retrieved_task"], rival)
    confused = ~lost & (table["predicted"] != table["label"])
    order = np.lexsort((table["margin"], ~(lost | confused)))
    kept = np.zeros(len(order), bool)
    kept[order[: max(most, int((lost | confused).sum()))]] = True
    images: list[int] = []
    evidence: list[Evidence] = []
    for watched in evaluator.tests:
        inputs = evaluator.inputs(watched.data, watched.task, watched.memo)
        pixels = _pixels(encoder, watched.data)
        of_task = table["task"] == watched.task
        asked: list[tuple[Kind, np.ndarray, np.ndarray, np.ndarray]] = [
            ("task", kept & of_task, table["task"], against),
            ("class", confused & of_task, table["label"], table["predicted"]),
        ]
        for kind, chosen, own, other in asked:
            rows = torch.from_numpy(table["image"][chosen] - watched.first_image).long()
            pair = (torch.from_numpy(side[chosen]).long() for side in (own, other))
            evidence += exact(method, encoder, inputs, rows, pixels, kind, *pair) if len(rows) else []
            images += table["image"][chosen].tolist()
    return RecordedEvidence.of_each(images, evidence) if evidence else None


def _pixels(encoder: Encoder, data: EncodedImages) -> Pixels:
    kept = data.pixels
    return kept.read if kept is not None else lambda rows: encoder.decoded(data.images, rows)
