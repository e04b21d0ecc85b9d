"""The books of several processes as those of one."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import fields, replace
from itertools import chain
from typing import Final, TypeVar

from gateway_lab.gateway.counters import RouterStats, SourceStats, State, Stats, WayStats

_GRAVE: Final = (State.RED, State.WAITING, State.RUNNING, State.IDLE, State.STOPPED)
"""What is told of a source that is not the same everywhere: the first of these."""

Row = TypeVar("Row", SourceStats, RouterStats, WayStats)


def merged(books: Sequence[Stats]) -> Stats:
    """Add up books; config and refusal are those of the first."""
    return replace(
        books[0],
        sources=_merge(chain.from_iterable(each.sources for each in books), _of_source, _sources),
        routers=_merge(chain.from_iterable(each.routers for each in books), _of_router, _total),
        ways=_merge(chain.from_iterable(each.ways for each in books), _of_way, _total),
    )


def ended(books: Stats) -> Stats:
    """Return the books of a process that is gone: what it held comes again."""
    return replace(
        books,
        sources=tuple(map(_ended_source, books.sources)),
        ways=tuple(
            replace(each, given_back=each.given_back + each.pending, pending=0)
            for each in books.ways
        ),
    )


def _ended_source(row: SourceStats) -> SourceStats:
    back = row.given_back + row.in_flight
    ended = replace(row, state=State.STOPPED, reason="")
    return replace(ended, in_flight=0, given_back=back, window=0.0)


def _merge(
    rows: Iterable[Row], key: Callable[[Row], Hashable], total: Callable[[Sequence[Row]], Row]
) -> tuple[Row, ...]:
    found: dict[Hashable, list[Row]] = {}
    for row in rows:
        found.setdefault(key(row), []).append(row)
    return tuple(map(total, found.values()))


def _of_source(row: SourceStats) -> Hashable:
    return row.source


def _of_router(row: RouterStats) -> Hashable:
    return row.source, row.router


def _of_way(row: WayStats) -> Hashable:
    return row.source, row.router, row.route, row.target


def _total(rows: Sequence[Row]) -> Row:
    """Add up what are whole numbers."""
    names = [each.name for each in fields(rows[0]) if isinstance(getattr(rows[0], each.name), int)]
    return replace(rows[0], **{name: sum(getattr(row, name) for row in rows) for name in names})


def _sources(rows: Sequence[SourceStats]) -> SourceStats:
    told = min(rows, key=lambda row: _GRAVE.index(row.state))
    window = max(row.window for row in rows)
    return replace(_total(rows), state=told.state, reason=told.reason, window=window)
