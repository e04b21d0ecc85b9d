"""Routers over columns: every condition once for each distinct combination of what it reads.

A router is cut into segments, a condition each or a run of `field = …` conditions that one
look-up answers. A segment gives a small code for each row of a grid. What the codes of all
segments amount to (a state) is decided once, in the words of the Python engine: routes in order,
the first or all that are TRUE, those that were NULL when they were reached.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass

import polars as pl

from gateway_lab.config.plan import RouterPlan
from gateway_lab.offline.cache import CACHE
from gateway_lab.offline.columns import Grid, Stream
from gateway_lab.offline.combinations import combine
from gateway_lab.routing.conclude import Hits
from gateway_lab.rules.dispatch import Run, find_runs
from gateway_lab.rules.to_polars import dtype, to_polars
from gateway_lab.rules.tree import Node, Reference, column_name, references

_NO: Hits = ((), ())


@dataclass(frozen=True, slots=True)
class Segment:
    """Routes that one expression decides.

    Attributes:
        reads: The fields it reads.
        expression: Gives a code for each row; None: every row has code 0.
        outcomes: What each code says.
        key: Names the expression in the cache.
    """

    reads: tuple[Reference, ...]
    expression: pl.Expr | None
    outcomes: Sequence[Hits]
    key: Hashable


@dataclass(frozen=True, slots=True)
class Decided:
    """A router's decisions about a stream.

    Attributes:
        grid: What was decided row by row.
        state: Per row of the grid the number of its state.
        states: Per state the numbers of the routes that matched, and of the undecided ones.
    """

    grid: Grid
    state: pl.Series
    states: tuple[Hits, ...]

    def weights(self) -> pl.DataFrame:
        """Count `messages` and `bytes` of each `state`."""
        sums = pl.col("messages", "bytes").cast(pl.Int64).sum()
        weighted = self.grid.frame.select("messages", "bytes", state=self.state)
        return weighted.group_by("state").agg(sums).sort("state")

    def rows(self) -> pl.Series:
        """Give the state of each valid message."""
        return self.grid.spread(self.state)


def decide(router: RouterPlan, stream: Stream) -> Decided:
    """Decide all messages of a stream."""
    segments = list(_segments(router, stream.event_name))
    grid = stream.grid(references(*_conditions(router, stream.event_name)))
    coded = [segment for segment in segments if segment.expression is not None]
    if grid.index is None:
        codes = [_codes_of_rows(segment, stream, grid) for segment in coded]
    else:
        codes = _codes(grid.frame, coded)
    return _summed_up(router, segments, grid, codes)


def _conditions(router: RouterPlan, event_name: str | None) -> list[Node | None]:
    return [
        route.condition
        for route in router.routes
        if route.events is None or event_name in route.events
    ]


def _segments(router: RouterPlan, event_name: str | None) -> Iterator[Segment]:
    """Cut a router into segments; routes about other event types match nothing."""
    numbers = [
        number
        for number, route in enumerate(router.routes)
        if route.events is None or event_name in route.events
    ]
    conditions = [router.routes[number].condition for number in numbers]
    runs = {run.indexes.start: run for run in find_runs(conditions)}
    at = 0
    while at < len(conditions):
        run = runs.get(at)
        yield _look_up(run, numbers) if run else _single(conditions[at], numbers[at])
        at = run.indexes.stop if run else at + 1


def _single(condition: Node | None, route: int) -> Segment:
    if condition is None:
        return Segment((), None, [((route,), ())], None)
    code = to_polars(condition).cast(pl.UInt8).fill_null(2)
    return Segment(references(condition), code, [_NO, ((route,), ()), ((), (route,))], condition)


def _look_up(run: Run, numbers: Sequence[int]) -> Segment:
    """Answer a run of equalities by one table: 10,000 routes cost what ten do."""
    hits = [tuple(numbers[index] for index in found) for found in run.table.values()]
    null = tuple(numbers[index] for index in run.indexes)
    outcomes = [_NO, *((found, ()) for found in hits), ((), null)]
    column = pl.col(column_name(run.reference))
    codes = pl.Series(range(1, len(hits) + 1), dtype=pl.UInt32)
    keys = pl.Series(list(run.table), dtype=dtype(run.reference.type))
    found = column.replace_strict(keys, codes, default=0, return_dtype=pl.UInt32)
    code = pl.when(column.is_null()).then(len(hits) + 1).otherwise(found)
    key = (
        run.reference,
        tuple(run.table.items()),
        tuple(numbers[run.indexes.start : run.indexes.stop]),
    )
    return Segment((run.reference,), code.cast(pl.UInt32), outcomes, key)


def _codes(frame: pl.DataFrame, segments: Sequence[Segment]) -> list[pl.Series]:
    """Evaluate some segments together; `with_columns` repeats a constant for each row."""
    named = {
        f"code {n}": each.expression
        for n, each in enumerate(segments)
        if each.expression is not None
    }
    return frame.with_columns(**named).select(list(named)).get_columns()


def _codes_of_rows(segment: Segment, stream: Stream, rows: Grid) -> pl.Series:
    """Evaluate one segment on the combinations of its own fields, and remember the answer."""

    def make() -> pl.Series:
        grid = stream.grid(segment.reads) if segment.reads else rows
        return grid.spread(_codes(grid.frame, [segment])[0])

    key = ("mask", stream.key, segment.key)
    return CACHE.get(key, make)


def _summed_up(
    router: RouterPlan, segments: Sequence[Segment], grid: Grid, codes: Sequence[pl.Series]
) -> Decided:
    if not codes:
        codes = [pl.zeros(grid.frame.height, dtype=pl.UInt8, eager=True)]
        sizes = [1]
    else:
        sizes = [len(each.outcomes) for each in segments if each.expression is not None]
    combined = combine(list(zip(codes, sizes, strict=True)))
    constant = pl.repeat(0, len(combined.codes[0]), dtype=pl.UInt32, eager=True)
    found = iter(combined.codes)
    columns = [constant if each.expression is None else next(found) for each in segments]
    rows = zip(*(column.to_list() for column in columns), strict=True) if columns else [()]
    is_first = router.match == "first"
    states = tuple(
        _reached(
            [each.outcomes[code] for each, code in zip(segments, row, strict=True)],
            is_first=is_first,
        )
        for row in rows
    )
    return Decided(grid, combined.index, states)


def _reached(outcomes: Sequence[Hits], *, is_first: bool) -> Hits:
    """Go through the routes in order; behind the first hit nothing is reached."""
    hits: list[int] = []
    undecided: list[int] = []
    for matched, unknown in outcomes:
        hits += matched
        undecided += unknown
        if is_first and hits:
            return (hits[0],), tuple(undecided)
    return tuple(hits), tuple(undecided)
