"""What the command line shows: progress on stderr while a run trains, tables on stdout."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

    from core.runs.schema import Status

Listener = Callable[["Status"], None]
_LINE_EVERY_S = 5.0
_PIPE_WIDTH = 240


def console() -> Console:
    """A console on stdout, which is wide where stdout is no terminal, so that nothing is cut."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else _PIPE_WIDTH, highlight=False, soft_wrap=True)


def show_line(text: str) -> None:
    """Print one line."""
    sys.stdout.write(f"{text}\n")


def show_json(value: Any) -> None:
    """Print `value` as one line of strict JSON."""
    from core.runs.files import encode_json

    show_line(encode_json(value).decode())


def show_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], numbers: Sequence[str] = ()) -> None:
    """Print a table; the columns named in `numbers` are aligned to the right."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(title), title_justify="left", box=box.SIMPLE_HEAD, title_style="bold")
    for column in columns:
        table.add_column(Text(column), justify="right" if column in numbers else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    console().print(table)


def share(value: float | None) -> str:
    """0.8125 as '0.813'; '–' for what was not measured."""
    return "–" if value is None else f"{value:.3f}"


def plain(value: Any) -> str:
    """Any value of a configuration or a metric as a table shows it."""
    if isinstance(value, float):
        return f"{value:.4g}"
    return "–" if value is None else str(value)


def seconds(value: float | None) -> str:
    """75 as '1 min 15 s'."""
    if value is None:
        return "–"
    minutes, rest = divmod(round(value), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def size(value: float | None) -> str:
    """1_500_000 as '1.5 MB'."""
    if value is None:
        return "–"
    power = min(3, max(0, len(str(int(value))) - 1) // 3)
    return f"{value / 1000**power:.{1 if power else 0}f} {('B', 'kB', 'MB', 'GB')[power]}"


@contextmanager
def progress(quiet: bool) -> Iterator[Listener]:
    """A listener that shows a run's status on stderr: a bar in a terminal, otherwise a line now and then."""
    if quiet:
        yield lambda status: None
    elif sys.stderr.isatty():
        with _bar() as listener:
            yield listener
    else:
        yield _Lines()


@contextmanager
def _bar() -> Iterator[Listener]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        TextColumn("{task.percentage:>3.0f}%"),
        TextColumn("{task.fields[detail]}", style="dim"),
    )
    with Progress(*columns, console=Console(stderr=True)) as bars:
        bar = bars.add_task("starting", total=1.0, detail="")

        def listener(status: Status) -> None:
            bars.update(bar, completed=status.fraction, description=_where(status), detail=_detail(status))

        yield listener


class _Lines:
    """A line whenever task or state changes, and every few seconds in between."""

    def __init__(self) -> None:
        self._place: tuple[Any, ...] = ()
        self._when = 0.0
        self._say("starting: reading the images and the model")

    def __call__(self, status: Status) -> None:
        place = (status.state, status.task)
        if place == self._place and time.monotonic() - self._when < _LINE_EVERY_S:
            return
        self._place, self._when = place, time.monotonic()
        detail = _detail(status)
        self._say(f"{100 * status.fraction:3.0f}%  {_where(status)}{'  ' if detail else ''}{detail}")

    def _say(self, line: str) -> None:
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()


def _where(status: Status) -> str:
    if status.state != "running":
        return status.state
    if status.phase in ("prepare", "train", "evaluate") and status.tasks:
        return f"task {status.task + 1}/{status.tasks} {status.phase}"
    return status.phase


def _detail(status: Status) -> str:
    parts = [
        f"step {status.step}/{status.steps}" if status.steps else "",
        " ".join(status.message.split()),
        f"{seconds(status.eta_s)} left" if status.eta_s is not None else "",
    ]
    return " · ".join(part for part in parts if part)
