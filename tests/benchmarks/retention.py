"""What a budget of LoRA blocks costs in accuracy and saves in retention, beside LoRA on every block, as a table.

python -m tests.benchmarks.retention --stream ../shared/data/cifar100-subset.zip --image-size 98 --train-per-class 100

One task of 20 classes is learned; 80 other classes are asked about before and after: a classifier of them that was
fitted on the frozen embedding and stays as it is ("kept"), and nearest neighbours among images embedded anew ("anew").
A gate switches the LoRA of one weight matrix (with `--per block`, of a whole block). The first row is plain LoRA. The
others are gentle: the head is fitted before anything moves, and only a share of the trained updates is used in answers.
Each image goes through the frozen model once for all rows.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from core.config import RunConfig, validate
from core.runs.store import Run
from core.training.encoding import Encodings
from core.training.run import start_run
from tests.benchmarks.methods import Told

SELECTIONS = ("learned", "random", "last", "gradient")
FULL = "LoRA everywhere"
GENTLE = "LoRA everywhere, gently"


def main(
    stream: Annotated[str, typer.Option()] = "../shared/data/cifar100-subset.zip",
    held_out: Annotated[int, typer.Option(help="classes that are not learned; all others are one task")] = 80,
    held_out_per_class: Annotated[int, typer.Option(help="neighbours, and questions, per held-out class")] = 20,
    train_per_class: Annotated[int | None, typer.Option()] = 50,
    test_per_class: Annotated[int | None, typer.Option()] = None,
    image_size: Annotated[int | None, typer.Option()] = 98,
    backbone: Annotated[str, typer.Option()] = "dinov2-s14",
    pretrained: Annotated[str | None, typer.Option(help="open_clip's tag or a checkpoint")] = None,
    projections: Annotated[str, typer.Option()] = "q,k,v,o,fc1,fc2",
    rank: Annotated[int, typer.Option()] = 16,
    per: Annotated[str, typer.Option(help="what a gate switches: site or block")] = "site",
    budgets: Annotated[str, typer.Option(help="shares of the gates, comma-separated")] = "0.055,0.25",
    sparsities: Annotated[str, typer.Option(help="λ of rows without a budget, comma-separated")] = "0.3",
    selections: Annotated[str, typer.Option()] = ",".join(SELECTIONS),
    warmup: Annotated[float, typer.Option(help="share of the steps before gates close")] = 0.2,
    settled: Annotated[float, typer.Option(help="share of the steps after which gates stay as they are")] = 0.7,
    head_start: Annotated[str, typer.Option(help="zero or discriminant, of every row but the first")] = "discriminant",
    strength: Annotated[float, typer.Option(help="share of updates used in answers, but in the first row")] = 0.8,
    epochs: Annotated[int, typer.Option()] = 5,
    batch_size: Annotated[int, typer.Option()] = 32,
    learning_rate: Annotated[float, typer.Option()] = 1e-3,
    seeds: Annotated[str, typer.Option(help="comma-separated; the table shows means over them")] = "0",
    device: Annotated[str, typer.Option()] = "auto",
    runs: Annotated[Path, typer.Option()] = Path("runs"),
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="write the rows as JSON too")] = None,
) -> None:
    """Train each row of the table and print it, Markdown-ready, as far as it has come."""
    encodings: Encodings = {}
    rows: list[dict[str, Any]] = []
    gated = {"name": "selective-lora", "gates_per": per, "warmup": warmup, "settled": settled}
    chosen = [selection for selection in selections.split(",") if selection]
    plain = {"name": "sequential"}
    gentle = (head_start, strength)
    planned: list[tuple[str, dict[str, Any], str, float]] = [(FULL, plain, "zero", 1.0)]
    if gentle != ("zero", 1.0):
        planned.append((GENTLE, plain, *gentle))
    contenders = _contenders(gated, _numbers(budgets), _numbers(sparsities), chosen)
    planned += [(title, method, *gentle) for title, method in contenders]
    for title, method, start, share in planned:
        found = []
        for seed in seeds.split(","):
            values = {
                "seed": int(seed),
                "stream": {
                    "name": stream,
                    "tasks": 1,
                    "train_per_class": train_per_class,
                    "test_per_class": test_per_class,
                    "held_out": held_out,
                    "held_out_per_class": held_out_per_class,
                },
                "backbone": {"name": backbone, "pretrained": pretrained, "image_size": image_size},
                "adapters": {
                    "blocks": "all",
                    "projections": projections.split(","),
                    "rank": rank,
                    "first_rank": None,
                    "strength": share,
                },
                "training": {
                    "epochs": epochs,
                    "batch_size": batch_size,
                    "learning_rate": learning_rate,
                    "head_start": start,
                    "device": device,
                },
                "method": method,
                "record": {"projection": False},
            }
            config = validate(RunConfig, values)
            folder = start_run(config, runs, Told(f"{title}, seed {seed}"), title=title, encodings=encodings)
            found.append(_measured(Run(folder)))
        rows.append({"what": title, **{key: sum(row[key] for row in found) / len(found) for key in found[0]}})
        _show(rows)
        if out:
            out.write_text(json.dumps(rows, indent=1))


def _numbers(text: str) -> list[float]:
    return [float(part) for part in text.split(",") if part]


def _contenders(
    gated: dict[str, Any], budgets: list[float], sparsities: list[float], selections: list[str]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Title and [method] of every row with gates."""
    for sparsity in sparsities:
        yield f"λ = {sparsity:g}", {**gated, "sparsity": sparsity}
    for budget in budgets:
        for selection in selections:
            yield f"{budget:.1%} {selection}", {**gated, "active_blocks": budget, "selection": selection}


def _measured(run: Run) -> dict[str, float]:
    """The numbers of one row."""
    metrics, gates = run.metrics, run.task(0).gates.get("blocks", {})
    kept = metrics["retention"][-1]
    every = len(run.manifest.config["adapters"]["projections"]) * run.manifest.backbone.depth
    total = len(gates["scores"]) if gates else every
    row = {
        "active": len(gates["active"]) if gates else every,
        "gates": total,
        "accuracy": metrics["final_accuracy"],
        "gain": kept["own_after"] - kept["own_before"],
        "before": kept["readout_before"],
        "after": kept["readout_after"],
        "lost": kept["readout_before"] - kept["readout_after"],
        "anew_before": kept["knn_before"],
        "anew": kept["knn_after"],
        "bytes": metrics["bytes_per_task"],
        "seconds": metrics["train_seconds"],
    }
    if "zero_shot_after" in kept:
        row["words_lost"] = kept["zero_shot_before"] - kept["zero_shot_after"]
    return row


def _show(rows: list[dict[str, Any]]) -> None:
    full = rows[0]
    worded = "words_lost" in full
    columns = ["active", "accuracy", "to full", "kept", "lost", "of full's", "anew", "bytes", "train s"]
    title = f"before: kept {full['before']:.3f}, anew {full['anew_before']:.3f}"
    table = Table("method", *columns, *(["zero-shot lost"] if worded else []), title=title)
    for row in rows:
        cells = [
            f"{row['active']:g} of {row['gates']:g}",
            f"{row['accuracy']:.3f}",
            f"{100 * (row['accuracy'] - full['accuracy']):+.1f}",
            f"{row['after']:.3f}",
            f"{100 * row['lost']:.1f}",
            f"{row['lost'] / full['lost']:.2f}" if full["lost"] > 0 else "–",
            f"{row['anew']:.3f}",
            f"{row['bytes']:,.0f}",
            f"{row['seconds']:.0f}",
        ]
        table.add_row(row["what"], *cells, *([f"{100 * row['words_lost']:.1f}"] if worded else []))
    Console(width=150).print(table)


if __name__ == "__main__":
    typer.run(main)
