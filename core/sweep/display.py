"""A sweep on the command line: a table that follows its runs, and at the end the means and tests."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from core import terminal
from core.sweep.execute import Listener, Progress, Row
from core.sweep.summary import MEASURES, Group, against_best, interval

_MOST_ROWS = 30
_TITLES = {"final_accuracy": "class-incremental", "average_incremental_accuracy": "average incremental"}


@contextmanager
def followed(quiet: bool) -> Iterator[Listener]:
    """A listener that shows the sweep on stderr: a live table in a terminal, otherwise one line per change of state."""
    if quiet:
        yield lambda progress: None
    elif sys.stderr.isatty():
        from rich.console import Console
        from rich.live import Live

        with Live(console=Console(stderr=True), refresh_per_second=4) as live:
            yield lambda progress: live.update(_table(progress))
    else:
        yield _Lines()


class _Lines:
    def __init__(self) -> None:
        self._states: dict[str, str] = {}

    def __call__(self, progress: Progress) -> None:
        for row in progress.rows:
            if self._states.get(row.name, "waiting") != row.state:
                accuracy = "" if row.accuracy is None else f"  accuracy {row.accuracy:.3f}"
                message = f"  {row.message}" if row.state == "failed" else ""
                sys.stderr.write(
                    f"{headline(progress)}  {row.group}, seed {row.seed}: {row.state}{accuracy}{message}\n"
                )
            self._states[row.name] = row.state
        sys.stderr.flush()


def headline(progress: Progress) -> str:
    """'3/9 done, 2 min 05 s left'."""
    left = f", {terminal.seconds(progress.eta_s)} left" if progress.eta_s is not None else ""
    return f"{progress.done}/{len(progress.rows)} done{left}"


def _table(progress: Progress) -> Any:
    from rich import box
    from rich.table import Table

    table = Table(title=headline(progress), title_justify="left", box=box.SIMPLE_HEAD)
    for column in ("run", "seed", "state", "%", "accuracy", "left"):
        table.add_column(column)
    # Runs that are training stand first, then those that have ended, then those that wait.
    order = {"running": 0, "queued": 1, "failed": 2, "cancelled": 2, "done": 3, "waiting": 4}
    shown = sorted(progress.rows, key=lambda row: order.get(row.state, 4))[:_MOST_ROWS]
    for row in shown:
        table.add_row(*_cells(row))
    if len(progress.rows) > len(shown):
        table.caption = f"and {len(progress.rows) - len(shown)} more"
    return table


def _cells(row: Row) -> Sequence[str]:
    left = terminal.seconds(row.eta_s) if row.eta_s is not None and row.state == "running" else ""
    accuracy = "" if row.accuracy is None else f"{row.accuracy:.3f}"
    return row.group, str(row.seed), row.state, f"{100 * row.fraction:.0f}", accuracy, left


def show_summary(name: str, found: Sequence[Group]) -> None:
    """Print mean ± interval of every measure, and the paired tests."""
    columns = [_TITLES.get(measure, measure.replace("_accuracy", "").replace("_", " ")) for measure in MEASURES]
    rows = []
    for group in found:
        cells = [str(interval(list(group.values(measure).values()))) for measure in MEASURES]
        rows.append([group.name, str(len(group.metrics)), *cells])
    terminal.show_table(f"{name}: mean ± 95% interval over seeds", ["runs", "seeds", *columns], rows, columns)
    for test in against_best(found):
        said = "too few seeds for a test" if math.isnan(test.p) else f"p = {test.p:.3g}"
        count = test.difference.n
        terminal.show_line(
            f"{test.first} − {test.second}: {test.difference} of final accuracy on the same {count} "
            f"seed{'' if count == 1 else 's'}, paired t test: {said}"
        )
