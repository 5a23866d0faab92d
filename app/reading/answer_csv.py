"""All that is known of each test image's answer, as CSV."""

from __future__ import annotations

import csv
import io

from app.reading.slices import History
from app.reading.tables import Images, Predictions

_COLUMNS = (
    "image", "file", "after_task", "task", "task_name", "retrieved_task", "retrieved_task_name", "class", "class_name",
    "answer", "answer_name", "answer_with_task_given", "right", "margin", "nearest_component", "history", "wrong_since",
    "first_wrong",
)  # fmt: skip


def answer_csv(answers: Predictions, past: History, images: Images, tasks: list[str], classes: list[str]) -> str:
    """A row per image of `answers`, with every task's score; tasks and classes count from 1, and −1 is none."""
    own = past.of(answers.image)
    target = io.StringIO()
    writer = csv.writer(target, lineterminator="\n")
    known = int(answers.task.max(initial=-1)) + 1
    writer.writerow([*_COLUMNS, *(f"score_task_{task + 1}" for task in range(known))])
    for row in range(len(answers)):
        image, task, label = int(answers.image[row]), int(answers.task[row]), int(answers.label[row])
        sent, predicted = int(answers.retrieved_task[row]), int(answers.predicted[row])
        scores = answers.scores(row).tolist()
        writer.writerow(
            [
                image,
                _plain(str(images.name[image])),
                int(answers.after_task[row]) + 1,
                task + 1,
                _plain(tasks[task]),
                sent + 1,
                _plain(tasks[sent]),
                label + 1,
                _plain(classes[label]),
                predicted + 1,
                _plain(classes[predicted]),
                _one_based(int(answers.predicted_given_task[row])),
                predicted == label,
                float(answers.margin[row]),
                _one_based(int(answers.nearest_component[row])),
                own.fate[row],
                _one_based(int(own.since[row])),
                _one_based(int(own.first_wrong[row])),
                *scores,
                *[""] * (known - len(scores)),
            ]
        )
    return target.getvalue()


def _one_based(number: int) -> int:
    return number + 1 if number >= 0 else -1


def _plain(text: str) -> str:
    """A name that a spreadsheet does not take for a formula."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text
