"""A run's facts and numbers as the command line shows them, and runs side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from core import terminal

if TYPE_CHECKING:
    from core.retrieval.questions import Answer
    from core.runs.store import Run
    from core.training.explaining import Explanation

RESULT_KEYS = (
    "final_accuracy",
    "final_accuracy_pooled",
    "task_aware_accuracy",
    "retrieval_accuracy",
    "expected_retrieval_error",
    "bound_retrieval_error",
    "average_incremental_accuracy",
    "forgetting",
    "backward_transfer",
    "oracle_gap",
    "seconds",
    "train_seconds",
    "evaluate_seconds",
    "peak_memory_bytes",
    "bytes_per_task",
    "trainable_parameters_per_task",
    "flops_per_image",
    "milliseconds_per_image",
)


def result(run: Run) -> dict[str, Any]:
    """The line that scripts read: what ran, every main number, and the versions it came from."""
    manifest = run.manifest
    measured = numbers(run)
    facts = {
        "run": run.name,
        "title": manifest.title,
        "state": run.status.state,
        "stream": manifest.stream,
        "method": manifest.method,
        "backbone": manifest.backbone.name,
        "tasks": len(manifest.tasks),
        "seed": manifest.seed,
    }
    return facts | {key: measured.get(key) for key in RESULT_KEYS} | {"folder": str(run.folder)}


def numbers(run: Run) -> dict[str, Any]:
    """The run's metrics with its costs beside them."""
    costs = run.metrics.get("costs")
    return (costs if isinstance(costs, dict) else {}) | run.metrics


def show_facts(run: Run) -> None:
    """Print what ran, on what, and where it stands."""
    manifest, status = run.manifest, run.status
    images = sum(task.train_images for task in manifest.tasks), sum(task.test_images for task in manifest.tasks)
    facts = [
        ("title", manifest.title),
        ("state", f"{status.state}{f': {status.message}' if status.message else ''}"),
        ("tasks", f"{run.finished_tasks()} of {len(manifest.tasks)} finished, {len(manifest.class_names)} classes"),
        ("stream", f"{manifest.stream}: {images[0]} training and {images[1]} test images"),
        ("method", manifest.method),
        ("backbone", f"{manifest.backbone.title}, {manifest.backbone.image_size} px"),
        ("seed", str(manifest.seed)),
        ("precision", _precision(manifest.hardware)),
        ("made", f"{manifest.created} with {_versions(manifest.versions)}"),
        ("folder", str(run.folder)),
    ]
    terminal.show_table(run.name, ["", " "], facts)


def _precision(hardware: dict[str, Any]) -> str:
    """The run's precision and the reason for it; runs of earlier versions recorded no reason."""
    said = [str(hardware[key]) for key in ("precision", "precision_reason") if hardware.get(key)]
    return ": ".join(said) or "not recorded"


def _versions(versions: dict[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items()) or "unknown versions"


def show_results(run: Run) -> None:
    """Print the main numbers that were measured."""
    measured = numbers(run)
    terminal.show_table(
        "results",
        ["measure", "value"],
        [(key.replace("_", " "), _number(key, measured[key])) for key in RESULT_KEYS if measured.get(key) is not None],
        numbers=("value",),
    )


def _number(key: str, value: Any) -> str:
    if value is None or not isinstance(value, int | float):
        return terminal.plain(value)
    if key.startswith("bytes_") or key.endswith("_bytes"):
        return terminal.size(value)
    if key.endswith("seconds") and "milli" not in key:
        return terminal.seconds(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:.3f}" if abs(value) < 1000 else f"{value:,.0f}"


def show_tasks(run: Run) -> None:
    """Print one row per task."""
    rows = run.metrics.get("per_task") or []
    if not rows:
        return
    keys = [key for key in rows[0] if key not in ("task", "images")]
    names = [task.name for task in run.manifest.tasks]
    cells = [[names[row["task"]], str(row["images"]), *(terminal.share(row[key]) for key in keys)] for row in rows]
    columns = ["task", "images", *(key.replace("_", " ") for key in keys)]
    terminal.show_table("tasks", columns, cells, numbers=columns[1:])


def show_theory(run: Run) -> None:
    """Print the error of picking the task that the fitted mixtures predict beside the measured one, one row per task.

    The bound is called vacuous where guessing meets it too: among T tasks, from 1 − 1/T on.
    """
    entries = run.metrics.get("theory") or []
    rows = [(after, entry) for after, entry in enumerate(entries) if entry]
    if not rows:
        return
    names = [task.name for task in run.manifest.tasks]
    keys = ("expected_error", "measured_error", "sampled_error", "separation", "log_determinant_ratio")
    cells = [
        [names[after], _bound(entry["bound"], after + 1), *(terminal.share(entry.get(key)) for key in keys)]
        for after, entry in rows
    ]
    columns = ["after task", "bound", "expected", "measured", "sampled", "separation δ", "log-determinant ratio κ"]
    terminal.show_table("error of picking the task", columns, cells, numbers=columns[1:])
    terminal.show_line(
        "expected: of new images, from training images left out; measured: on the test images; bound and sampled: the "
        "error if tasks were the fitted mixtures."
    )


def _bound(value: float | None, tasks: int) -> str:
    vacuous = value is not None and tasks > 1 and value >= 1 - 1 / tasks
    return f"vacuous ({value:.2f})" if vacuous else terminal.share(value)


def show_explanation(explained: Explanation, files: Sequence[str]) -> None:
    """Print what adds up to the difference of two scores of one image, and the sentence."""
    evidence, columns = explained.evidence, ["nats", "class token", "patches", "together"]
    by_block = zip(evidence.blocks, evidence.class_tokens, evidence.block_patches, evidence.by_block, strict=True)
    cells = [[f"block {block + 1}", *(f"{value:+.2f}" for value in values)] for block, *values in by_block]
    others = {
        "first task's adapter": evidence.adapter,
        "weights of the two components": evidence.weights,
        "all other components": evidence.others,
        "heads of the tasks": evidence.head,
    }
    cells += [[name, "", "", f"{value:+.2f}"] for name, value in others.items() if abs(value) >= 0.005]
    said = "difference" if evidence.how == "exact" else "difference (patches by occlusion, in the files)"
    cells.append([said, "", "", f"{evidence.difference:+.2f}"])
    title = f"{explained.name}: above 0 for {explained.own}, below for {explained.against}"
    terminal.show_table(title, columns, cells, numbers=columns[1:])
    terminal.show_line(explained.sentence)
    terminal.show_line(f"Written: {', '.join(files)}.")


def show_what_if(answer: Answer, k: int) -> None:
    """Print what other retrieval would have answered beside the run's own answers."""
    columns = ["measure", "as trained", "what if"]
    before, after = answer.before, answer.after
    rows = [
        ("right task retrieved", before.retrieval, after.retrieval),
        ("accuracy", before.accuracy, after.accuracy),
        (f"right task among {k}", before.recall, after.recall),
        ("error of picking the task", 1 - before.retrieval, 1 - after.retrieval),
    ]
    cells = [[name, *(terminal.share(value) for value in values)] for name, *values in rows]
    cells += [
        ["expected of new images", "", terminal.share(answer.expected_error)],
        ["if tasks were the mixtures", "", terminal.share(answer.sampled_error)],
        ["bound, if tasks were the mixtures", "", _bound(answer.bound, len(answer.components))],
    ]
    terminal.show_table("what if", columns, cells, numbers=columns[1:])
    changed = {"became right": answer.became_right, "became wrong": answer.became_wrong, "moved": answer.moved}
    counts = ", ".join(f"{int(rows.sum())} {name}" for name, rows in changed.items())
    seen = f"fitted on {answer.train_images:,} kept training images, the run saw {answer.run_train_images:,}"
    terminal.show_line(f"Of {len(answer.image):,} test images {counts}; {seen}.")


def comparison(runs: Sequence[Run]) -> dict[str, Any]:
    """Runs side by side: settings that differ, main numbers (one value per run), and settings that are the same."""
    settings = [_flat(run.manifest.config) | {"stream fingerprint": run.manifest.stream_fingerprint} for run in runs]
    keys = list(dict.fromkeys(key for values in settings for key in values))
    rows = {key: [values.get(key) for values in settings] for key in keys}
    differences = {key: row for key, row in rows.items() if any(value != row[0] for value in row)}
    return {
        "runs": [run.name for run in runs],
        "titles": [run.manifest.title for run in runs],
        "differences": differences,
        "metrics": {key: [numbers(run).get(key) for run in runs] for key in RESULT_KEYS},
        "same": {key: row[0] for key, row in rows.items() if key not in differences},
    }


def show_comparison(compared: dict[str, Any]) -> None:
    """Print what `comparison` found, differences first."""
    names, titles = compared["runs"], compared["titles"]
    heads = titles if len(set(titles)) == len(titles) else names
    cells = [[key, *map(terminal.plain, row)] for key, row in compared["differences"].items()]
    terminal.show_table("settings that differ", ["setting", *heads], cells or [["none", *[""] * len(names)]])
    measured = {key: row for key, row in compared["metrics"].items() if any(value is not None for value in row)}
    cells = [[key.replace("_", " "), *(_number(key, value) for value in row)] for key, row in measured.items()]
    terminal.show_table("numbers", ["measure", *heads], cells, numbers=heads)


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return flat


def show_retention(run: Run) -> None:
    """Print what held-out classes lost and learned ones gained, one row per task, and accuracy under corruptions."""
    entries = run.metrics.get("retention") or []
    rows = [(after, entry) for after, entry in enumerate(entries) if entry]
    if rows:
        names = [task.name for task in run.manifest.tasks]
        measures = {
            "readout": "held out, readout kept",
            "knn": "held out, neighbours",
            "zero_shot": "held out, in words",
            "own": "its own, neighbours",
        }
        known = [key for key in measures if f"{key}_after" in rows[-1][1]]
        cells = [[names[after], *(_before_and_after(entry, key) for key in known)] for after, entry in rows]
        columns = ["after task", *(measures[key] for key in known)]
        terminal.show_table("accuracy before and after", columns, cells, numbers=columns[1:])
    shifts = run.metrics.get("shifts") or {}
    if shifts:
        severities = run.manifest.config["retention"]["severities"]
        columns = ["corruption", *(f"severity {severity}" for severity in severities)]
        cells = []
        for name, values in shifts.items():
            shares = [terminal.share(value) for value in values]
            cells.append([name, *shares, *[""] * (len(severities) - len(shares))])
        terminal.show_table("accuracy under corruptions", columns, cells, numbers=columns[1:])


def _before_and_after(entry: dict[str, float], key: str) -> str:
    return " → ".join(terminal.share(entry.get(f"{key}_{when}")) for when in ("before", "after"))
