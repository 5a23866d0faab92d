"""What few gates, the head's start and the strength do by themselves, from a recorded sweep, as Markdown tables.

python -m tests.benchmarks.kept_causes fashion --strength 0.8

Nothing is trained: `python -m core.kept_elsewhere fashion` did that.
"""

from __future__ import annotations

from typing import Annotated

import typer

from app.reading import kept_causes
from app.reading.kept_elsewhere import recorded
from core.errors import UserError


def main(
    sweep: Annotated[str, typer.Argument()] = "fashion",
    strength: Annotated[float, typer.Option()] = 0.8,
    probe: Annotated[str, typer.Option(help="readout, knn or zero_shot")] = "readout",
) -> None:
    """Print the cells of the design, and the effects."""
    found = kept_causes.factorial(recorded(sweep), probe, strength)
    if found is None:
        raise UserError(f"The sweep “{sweep}” has no full factorial at strength {strength:g}.")
    first = kept_causes.CELLS[0]
    typer.echo("| setting | accuracy % | lost, points | of the first row's | of LoRA's under the same |")
    typer.echo("| --- | --- | --- | --- | --- |")
    for cell, outcome in found.cells.items():
        alike = (False, *cell[1:])
        typer.echo(
            f"| {kept_causes.cell_title(cell, found)} | {outcome.accuracy.points()} | {outcome.lost.points()} | "
            f"{found.ratio(cell, first):.2f} | {found.ratio(cell, alike):.2f} |"
        )
    typer.echo(f"\n| cause | accuracy, points | lost, points |  {len(found.seeds)} seeds\n| --- | --- | --- |")
    for cause in kept_causes.CAUSES:
        typer.echo(f"| {cause} | {found.accuracy[cause].points()} | {found.lost[cause].points()} |")


if __name__ == "__main__":
    typer.run(main)
