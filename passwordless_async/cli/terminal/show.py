"""Tables on standard output, progress on standard error.

Text from a server passes through :func:`plain` before it reaches the terminal, and is never printed as markup.
"""

from __future__ import annotations

import json
import sys
from functools import partial
from typing import TYPE_CHECKING, Self

from rich import box
from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, TextColumn
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from rich.progress import Task

_REFRESH = 5  # times a second: drawing takes time from what is measured


def plain(value: object) -> str:
    """Return a value as text without control characters, which a terminal would obey."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)


def table(title: str, rows: Iterable[tuple[str, object]], *, numbers: bool = False) -> None:
    """Print names and values, under a title; numbers are aligned right."""
    grid = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, show_header=False)
    grid.add_column(overflow="fold")
    grid.add_column(justify="right" if numbers else "left", overflow="fold")
    for name, value in rows:
        grid.add_row(Text(plain(name)), Text(plain(value), style="cyan"))
    Console(highlight=False).print(grid)


class Bar:
    """Progress on standard error; silent if that is not a terminal."""

    def __init__(self) -> None:
        self._shown = sys.stderr is not None and sys.stderr.isatty()
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            _Rate(),
            console=Console(stderr=True),
            refresh_per_second=_REFRESH,
            disable=not self._shown,
        )

    def phase(self, description: str, total: int, unit: str) -> Callable[[], None]:
        """Begin a phase of ``total`` steps, ``unit`` in the plural; return a function to call after each."""
        return partial(self._progress.advance, self._progress.add_task(description, total=total, unit=unit))

    def __enter__(self) -> Self:
        if self._shown:
            self._progress.start()
        return self

    def __exit__(self, *_error: object) -> None:
        if self._shown:
            self._progress.stop()


class _Rate(ProgressColumn):
    """A column with the number done, the total, and the number a second."""

    def render(self, task: Task) -> Text:
        """Render the column."""
        seconds = task.finished_time or task.elapsed
        rate = f"{task.completed / seconds:,.0f} {task.fields['unit']}/s" if seconds else ""
        return Text(f"{task.completed:>6,.0f}/{task.total or 0:,.0f}  {rate}")
