"""What every setting of a recorded sweep gained and lost, as a Markdown table.

python -m tests.benchmarks.kept_settings digits --strength 1 --kinds lora,learned

Nothing is trained: `python -m core.kept_elsewhere digits` did that. Accuracy and what was gained are of the learned
classes, the latter by nearest neighbours; what was lost is of the held-out ones, in points.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import typer

from app.reading.comparison import PROBES
from app.reading.kept_elsewhere import KINDS, Setting, recorded, spread
from core.errors import UserError, unknown


def main(
    sweep: Annotated[str, typer.Argument()] = "fashion",
    strength: Annotated[float, typer.Option(help="share of the update that answers")] = 1.0,
    kinds: Annotated[str, typer.Option(help=f"of {', '.join(KINDS)}; by default all")] = "",
    seeds: Annotated[str, typer.Option(help="only these, such as 0,1")] = "",
) -> None:
    """Print a row for each setting."""
    wanted = kinds.split(",") if kinds else list(KINDS)
    for kind in wanted:
        if kind not in KINDS:
            raise unknown("kind of setting", kind, KINDS)
    found = recorded(sweep)
    if strength not in found.strengths:
        raise UserError(f"The sweep “{sweep}” was asked at {', '.join(f'{each:g}' for each in found.strengths)} alone.")
    probes = found.probes(PROBES)
    lost = " | ".join(f"lost, {title.lower()}" for title in probes.values())
    typer.echo(
        f"| setting | gates open | accuracy % | gained | {lost} | seeds |\n| --- |{' --- |' * (4 + len(probes))}"
    )
    for setting in (_of_seeds(each, seeds) for each in found.settings if each.kind in wanted):
        if setting.runs:
            _row(setting, list(probes), strength)


def _of_seeds(setting: Setting, seeds: str) -> Setting:
    chosen = [int(seed) for seed in seeds.split(",")] if seeds else setting.seeds
    return replace(setting, runs=tuple(run for run in setting.runs if run.seed in chosen))


def _row(setting: Setting, probes: list[str], strength: float) -> None:
    at = 1.0 if setting.kind == "frozen" else strength  # it has no update of which a share could be used

    def moved(measure: str, sign: int) -> str:
        return spread([sign * (run.at(measure, at) - run.at(measure, 0.0)) for run in setting.runs]).points()

    accuracy = spread([run.at("class_incremental", at) for run in setting.runs]).points()
    losses = [moved(probe, -1) for probe in probes]
    cells = (setting.title, f"{setting.open_gates()[0]:g}", accuracy, moved("own", 1), *losses)
    typer.echo(f"| {' | '.join(cells)} | {len(setting.runs)} |")


if __name__ == "__main__":
    typer.run(main)
