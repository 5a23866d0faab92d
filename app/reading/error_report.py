"""A run's mistakes on one page of HTML, with its pictures inside: it opens without a server, and prints."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np

from app.reading.cards import RunCard
from app.reading.class_confusion import Pair, pairs
from app.reading.error_groups import groups
from app.reading.explain import comparison_space
from app.reading.pictures import Pictures, data_url
from app.reading.slices import FATES, History
from app.reading.tables import Predictions, class_names, embeddings, manifest, metrics, spaces, task_names
from core.errors import UserError

_PAIRS, _EACH, _GROUP = 12, 10, 12
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.15rem; margin-top: 2rem; } table { border-collapse: collapse; }
td, th { padding: 3px 10px; border-bottom: 1px solid #ddd; text-align: right; }
td:first-child, th:first-child { text-align: left; }
.images { display: flex; flex-wrap: wrap; gap: 8px; margin: 6px 0 18px; } figure { margin: 0; width: 92px; }
img { width: 92px; height: 92px; object-fit: contain; image-rendering: pixelated; background: #eee; }
figcaption { font-size: 11px; line-height: 1.25; overflow-wrap: anywhere; }
.wrong { background: #fbe3d3; } p.note { color: #555; }
@media print { body { margin: 0; } h2 { break-after: avoid; } figure { break-inside: avoid; } }
"""


def error_report(card: RunCard, answers: Predictions, past: History) -> str:
    """The page for `answers`, one row per image. Raises UserError when a table of the run is damaged."""
    about, tasks, classes = manifest(card), task_names(card), class_names(card)
    pictures = Pictures(card)
    wrong = answers.predicted != answers.label
    lost = wrong & (answers.retrieved_task != answers.task)
    parts = [
        f"<h1>Mistakes of “{escape(about.title)}”</h1>",
        f"<p>{escape(about.method)} on {escape(about.stream)}, {escape(about.backbone.title)}; after task "
        f"{int(answers.after_task[0]) + 1} of {len(tasks)}. <b>{wrong.sum():,} of {len(answers):,}</b> test images are "
        f"answered wrongly, {lost.sum():,} of them because they were sent to the wrong task.</p>",
        _numbers(card),
        "<h2>Tasks: true (rows) and retrieved (columns)</h2>",
        _task_table(answers, tasks),
        "<h2>What the answers went through</h2>",
        _fates(answers, past),
        "<h2>The pairs of classes that cost the most</h2>",
        *(_pair_section(answers, pictures, pair, classes) for pair in pairs(answers, _PAIRS)),
        "<h2>Mistakes that lie together</h2>",
        *_group_sections(card, answers, pictures, classes),
        "<p class='note'>Made by Proteus Lab. Tasks and classes are named as in the stream; shares are of all test "
        "images. Settings: see the run's manifest.json.</p>",
    ]
    head = f"<meta charset='utf-8'><title>Mistakes of {escape(about.title)}</title><style>{_STYLE}</style>"
    return "\n".join([f"<!doctype html><html lang='en'>{head}", *parts, "</html>"])


def _numbers(card: RunCard) -> str:
    found = metrics(card)
    named = {"final_accuracy": "accuracy", "retrieval_accuracy": "right task", "task_aware_accuracy": "task given"}
    known = [f"{name} {found[key]:.1%}" for key, name in named.items() if isinstance(found.get(key), float)]
    return f"<p>At the end, as means over tasks: {', '.join(known)}.</p>" if known else ""


def _task_table(answers: Predictions, tasks: Sequence[str]) -> str:
    seen = int(answers.task.max()) + 1
    cells = np.zeros((seen, seen), int)
    np.add.at(cells, (answers.task, answers.retrieved_task), 1)
    head = "".join(f"<th>{task + 1}</th>" for task in range(seen))
    rows = "".join(
        f"<tr><td>{task + 1} · {escape(tasks[task])}</td>"
        + "".join(
            f"<td{' class=wrong' if sent != task and cells[task, sent] else ''}>{cells[task, sent] or '·'}</td>"
            for sent in range(seen)
        )
        + "</tr>"
        for task in range(seen)
    )
    return f"<table><tr><th>task</th>{head}</tr>{rows}</table>"


def _fates(answers: Predictions, past: History) -> str:
    own = past.of(answers.image)
    rows = "".join(
        f"<tr><td>{escape(text)}</td><td>{(own.fate == fate).sum():,}</td></tr>" for fate, text in FATES.items()
    )
    return f"<table>{rows}</table>"


def _pair_section(answers: Predictions, pictures: Pictures, pair: Pair, classes: Sequence[str]) -> str:
    rows = np.flatnonzero((answers.label == pair.label) & (answers.predicted == pair.predicted))
    rows = rows[np.argsort(-answers.margin[rows], kind="stable")][:_EACH]
    text = (
        f"<p><b>{escape(classes[pair.label])} answered {escape(classes[pair.predicted])}</b>: {pair.images:,} images, "
        f"{pair.share:.1%} of all and {pair.of_class:.0%} of the class; {pair.from_wrong_task:,} by the wrong task.</p>"
    )
    return text + _shown(pictures, answers.image[rows])


def _group_sections(card: RunCard, answers: Predictions, pictures: Pictures, classes: Sequence[str]) -> list[str]:
    wrong = np.flatnonzero(answers.predicted != answers.label)
    try:
        space = comparison_space(spaces(card))
        places = embeddings(card, space)[answers.image[wrong]] if space else None
    except UserError:
        places = None
    if places is None or not len(wrong):
        return ["<p>This run kept no embeddings to group them by.</p>"]
    return [
        f"<p><b>{number} · {escape(group.name(classes))}</b>, {len(group.rows):,} images</p>"
        + _shown(pictures, answers.image[wrong[group.rows[:_GROUP]]])
        for number, group in enumerate(groups(places, answers.label[wrong], answers.predicted[wrong]), 1)
    ]


def _shown(pictures: Pictures, chosen: np.ndarray) -> str:
    """The images `chosen` side by side."""
    return f"<div class='images'>{''.join(_figure(pictures, int(image)) for image in chosen)}</div>"


def _figure(pictures: Pictures, image: int) -> str:
    name = escape(str(pictures.images.name[image]))
    picture = f"<img alt='{name}' src='{data_url(pictures.one(image))}'>"
    return f"<figure>{picture}<figcaption>{name}</figcaption></figure>"
