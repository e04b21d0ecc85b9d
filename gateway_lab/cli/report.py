"""What a command shows: a few facts and tables, for people, for programs or for a pull request."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from gateway_lab.lab.cells import plain, text

if TYPE_CHECKING:
    import polars as pl

WIDTH_OF_A_PIPE = 160
"""Columns of a table that no terminal bounds."""

LEGIBLE = 12
"""Columns that a text keeps in a narrow terminal."""

BORDER = 3
"""Columns that a line and the blanks beside a cell take."""

STYLES = {
    "error": "bold red",
    "warning": "yellow",
    "dead_lettered": "red",
    "invalid": "red",
    "undecided": "yellow",
    "passed": "green",
    "failed": "bold red",
}


class Format(StrEnum):
    """How a report is written."""

    TABLE = "table"
    JSON = "json"
    MARKDOWN = "markdown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Rows under a name.

    Attributes:
        name: The key in JSON, the title elsewhere.
        columns: The columns in order, also where there are no rows.
        rows: A mapping of column to value each.
        more: How many rows are left out.
    """

    name: str
    columns: Sequence[str]
    rows: Sequence[Mapping[str, Any]]
    more: int = 0


def table(name: str, frame: pl.DataFrame, *, limit: int) -> Table:
    """Return the first rows of a frame under a name."""
    shown = frame.head(limit)
    return Table(
        name=name,
        columns=shown.columns,
        rows=shown.rows(named=True),
        more=frame.height - shown.height,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a command has to say.

    Attributes:
        facts: Single values, such as the digest of a config.
        tables: What follows them.
        closing: A last sentence for people; programs read the facts.
    """

    facts: Mapping[str, Any] = field(default_factory=dict)
    tables: Sequence[Table] = ()
    closing: str = ""

    def show(self, form: Format) -> None:
        """Write the report to standard output."""
        match form:
            case Format.JSON:
                print(json.dumps(self._document(), indent=2, ensure_ascii=False))
            case Format.MARKDOWN:
                print("\n\n".join(self._markdown()))
            case Format.TABLE:
                self._print()

    def _document(self) -> dict[str, Any]:
        tables = {table.name: [plain(row) for row in table.rows] for table in self.tables}
        left_out = {f"{table.name}_left_out": table.more for table in self.tables if table.more}
        return {**plain(self.facts), **tables, **left_out}

    def _markdown(self) -> Iterable[str]:
        if self.facts:
            yield "\n".join(f"- {key}: {text(value)}" for key, value in self.facts.items())
        for table in self.tables:
            lines = [
                f"### {table.name}",
                "",
                _line(table.columns),
                _line(["---"] * len(table.columns)),
            ]
            lines += [_line(text(row.get(name)) for name in table.columns) for row in table.rows]
            if table.more:
                lines += ["", f"… and {table.more:,} more"]
            yield "\n".join(lines)
        if self.closing:
            yield self.closing

    def _print(self) -> None:
        console = Console(width=None if sys.stdout.isatty() else WIDTH_OF_A_PIPE, highlight=False)
        width = console.width
        if self.facts:
            longest = max(map(len, self.facts))
            for key, value in self.facts.items():
                console.print(Text(f"{key:{longest}}  {text(value)}"), soft_wrap=True)
        for table in self.tables:
            console.width = width
            _draw(console, table)
            if table.more:
                console.print(f"… and {table.more:,} more; --limit shows them")
        if self.closing:
            console.print(Text(self.closing))


def _draw(console: Console, table: Table) -> None:
    """Print a table: what is too wide breaks texts, then headings, but never a number."""
    drawn = RichTable(title=table.name, title_justify="left", title_style="bold")
    cells = {name: [text(row.get(name)) for row in table.rows] for name in table.columns}
    numbers = [name for name in cells if all(_is_number(row.get(name)) for row in table.rows)]
    widths = _widths(cells, numbers, console.width)
    for name in cells:
        is_number = name in numbers
        width = widths[name] if is_number else None
        drawn.add_column(
            name, justify="right" if is_number else "left", overflow="fold", width=width
        )
    for row in zip(*cells.values(), strict=True):
        drawn.add_row(*(Text(cell, style=STYLES.get(cell, "")) for cell in row))
    console.width = max(console.width, _total(widths))
    console.print(drawn)


def _widths(cells: Mapping[str, list[str]], numbers: Sequence[str], room: int) -> dict[str, int]:
    """Give each column the least that it takes, where headings of numbers break only if need be."""
    longest = {name: max(map(len, column), default=1) for name, column in cells.items()}
    widths = {name: max(longest[name], len(name)) for name in cells}
    widths |= {name: min(widths[name], LEGIBLE) for name in cells if name not in numbers}
    while _total(widths) > room:
        name = max(numbers, key=lambda name: widths[name] - longest[name], default=None)
        if name is None or widths[name] <= longest[name]:
            break
        widths[name] -= 1
    return widths


def _total(widths: Mapping[str, int]) -> int:
    return sum(width + BORDER for width in widths.values()) + 1


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | None)


def _line(cells: Iterable[str]) -> str:
    escaped = (cell.replace("|", "\\|").replace("\n", " ") for cell in cells)
    return f"| {' | '.join(escaped)} |"
