"""What `gateway-lab run` shows on a terminal: what passes where, how fast, and what is red."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from time import monotonic
from typing import Final, TypeAlias

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from gateway_lab.gateway.counters import SourceStats, State, Stats, WayStats
from gateway_lab.gateway.log_lines import line_of, logging_to

LINES: Final = 4
"""Lines of the log under the table."""

Moment: TypeAlias = tuple[float, Stats]
"""Seconds of a clock, and the books then."""

_COLOURS: Final = {State.RUNNING: "green", State.RED: "red", State.WAITING: "yellow"}
_COLUMNS: Final = (
    ("source", "left"),
    ("route", "left"),
    ("target", "left"),
    ("state", "left"),
    ("a second", "right"),
    ("in all", "right"),
    ("in flight", "right"),
    ("retried", "right"),
    ("dead letters", "right"),
    ("lost", "right"),
)


class LiveTable:
    """A table that is alive, with the last lines of the log.

    Args:
        console: Where.
        title: Returns what stands above, in parts.
    """

    def __init__(self, console: Console, title: Callable[[], Sequence[str]]) -> None:
        self._live = Live(console=console, auto_refresh=False)
        self._title = title
        self._moments: deque[Moment] = deque(maxlen=2)
        self._lines: deque[str] = deque(maxlen=LINES)

    def show(self, stats: Stats) -> None:
        """Show what has happened since the last call."""
        self._moments.append((monotonic(), stats))
        screen = screen_of(self._title(), self._moments[0], self._moments[-1], tuple(self._lines))
        self._live.update(screen, refresh=True)

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Show it while the block runs; what was last shown stays."""
        with logging_to(self._log), self._live:
            yield

    def _log(self, record: logging.LogRecord) -> None:
        line = line_of(record)
        reason = line.get("reason", "").split("\n")[0]
        who = f" worker {line['worker']}:" if "worker" in line else ""
        told = f"{line['time'][11:19]}{who} {line['message']}"
        self._lines.append(f"{told}: {reason}" if reason else told)


def screen_of(
    title: Sequence[str], before: Moment, after: Moment, lines: Sequence[str]
) -> RenderableType:
    """Make all that is shown: title, table, what is wrong and what to do, the last log lines."""
    stats = after[1]
    head = " · ".join([*title, f"config {stats.digest[:12]}", "Ctrl+C stops"])
    parts: list[RenderableType] = [Text(head, style="dim"), table_of(before, after)]
    parts += [
        Text(
            f"{each.source} is red: {each.reason}\nwhen that is mended, reload (SIGHUP) or restart"
        )
        for each in stats.sources
        if each.state is State.RED
    ]
    if stats.refused:
        parts.append(Text(f"the new config is refused, the old one goes on: {stats.refused}"))
    for each in parts[2:]:
        if isinstance(each, Text):
            each.stylize("red")
    return Group(*parts, *(Text(line, style="dim") for line in lines))


def table_of(before: Moment, after: Moment) -> Table:
    """Make a table of what happened between two moments, and in all."""
    rates = _Rates(after[0] - before[0], before[1])
    table = Table(box=None, header_style="dim")
    for name, justify in _COLUMNS:
        table.add_column(name, justify="left" if justify == "left" else "right", no_wrap=True)
    for source in after[1].sources:
        table.add_row(*_source_row(source, rates))
        for way in after[1].ways:
            if way.source == source.source and way.deliveries:
                table.add_row(*_way_row(way, rates))
    return table


class _Rates:
    """What passes a second, since some books."""

    def __init__(self, seconds: float, before: Stats) -> None:
        self._seconds = max(seconds, 1e-9)
        self._read = {each.source: each.read for each in before.sources}
        self._delivered = {_key(each): each.delivered for each in before.ways}

    def of_source(self, now: SourceStats) -> float:
        return (now.read - self._read.get(now.source, 0)) / self._seconds

    def of_way(self, now: WayStats) -> float:
        return (now.delivered - self._delivered.get(_key(now), 0)) / self._seconds


def _key(way: WayStats) -> tuple[str | None, ...]:
    return way.source, way.router, way.route, way.target


def _source_row(source: SourceStats, rates: _Rates) -> tuple[RenderableType, ...]:
    state = source.state
    told = f"{state} {source.reason}" if state is State.WAITING else state
    return (
        source.source,
        "",
        "",
        Text(told.strip(), style=_COLOURS.get(state, "dim")),
        f"{rates.of_source(source):,.0f}",
        f"{source.settled:,}",
        f"{source.in_flight:,}",
        _unless_none(source.retried),
        "",
        Text(_unless_none(source.lost), style="red"),
    )


def _way_row(way: WayStats, rates: _Rates) -> tuple[RenderableType, ...]:
    return (
        "",
        "/".join(filter(None, (way.router, way.route))),
        way.target,
        "",
        f"{rates.of_way(way):,.0f}",
        f"{way.delivered + way.dropped:,}",
        f"{way.pending:,}",
        "",
        _unless_none(way.dead_lettered),
        "",
    )


def _unless_none(number: int) -> str:
    return f"{number:,}" if number else ""
