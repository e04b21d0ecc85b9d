"""Routers over columns: every condition once for each distinct combination of what it reads.

A router is cut into segments, a condition each or a run of `field = …` conditions that one
look-up answers. A segment gives a small code for each row of a grid. What the codes of all
segments amount to (a state) is decided once, in the words of the Python engine: routes in order,
the first or all that are TRUE, those that were NULL when they were reached.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Final

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
        expression: Makes what gives a code for each row; None: every row has code 0.
        outcomes: What each code says.
        key: Names the expression in the cache.
    """

    reads: tuple[Reference, ...]
    expression: Callable[[], pl.Expr] | None
    outcomes: Sequence[Hits]
    key: Hashable


@dataclass(frozen=True, slots=True)
class Block:
    """What some segments decide together.

    Attributes:
        state: Per row of the grid the number of its state.
        outcomes: Per state what each of the segments says.
    """

    state: pl.Series
    outcomes: tuple[tuple[Hits, ...], ...]

    @property
    def size_bytes(self) -> int:
        """Memory held, about."""
        return int(self.state.estimated_size()) + sum(map(_size_bytes, self.outcomes))


@dataclass(frozen=True, slots=True)
class Decided:
    """A router's decisions about a stream.

    Attributes:
        grid: What was decided row by row.
        state: Per row of the grid the number of its state.
        states: Per state the numbers of the routes that matched, and of the undecided ones.
        weights: Counts `messages` and `bytes` of each `state`.
    """

    grid: Grid
    state: pl.Series
    states: tuple[Hits, ...]
    weights: pl.DataFrame

    def rows(self) -> pl.Series:
        """Give the state of each valid message."""
        return self.grid.spread(self.state)

    @property
    def size_bytes(self) -> int:
        """Memory held, about; the grid is kept apart."""
        held = self.state.estimated_size() + self.weights.estimated_size()
        return int(held) + _size_bytes(self.states)


def _size_bytes(states: Sequence[Hits]) -> int:
    """Estimate what tuples of small numbers hold."""
    return sum(200 + 8 * (len(matched) + len(unknown)) for matched, unknown in states)


BLOCK: Final = 32
"""Segments that are decided, and kept, together: an edit of one route decides one block anew."""


def decide(router: RouterPlan, stream: Stream) -> Decided:
    """Decide all messages of a stream; a router that is as it was is not decided again."""
    routes = tuple((route.condition, route.events) for route in router.routes)
    key = ("decided", stream.key, router.match, routes)
    return CACHE.get(key, lambda: _decide(router, stream))


def _decide(router: RouterPlan, stream: Stream) -> Decided:
    segments = list(_segments(router, stream.event_name))
    read = references(*_conditions(router, stream.event_name))
    grid = stream.grid(read)
    blocks = [segments[at : at + BLOCK] for at in range(0, max(1, len(segments)), BLOCK)]
    if len(blocks) == 1:
        return _summed_up(router, grid, [_block(segments, stream, grid)])
    decided = [_kept_block(block, stream, grid, read) for block in blocks]
    return _summed_up(router, grid, decided)


def _kept_block(
    segments: Sequence[Segment], stream: Stream, grid: Grid, read: Sequence[Reference]
) -> Block:
    """Decide a block, unless it is known for this grid."""
    routes = tuple((each.key, tuple(each.outcomes)) for each in segments)
    key = ("block", stream.key, tuple(read), routes)
    return CACHE.get(key, lambda: _block(segments, stream, grid))


def _block(segments: Sequence[Segment], stream: Stream, grid: Grid) -> Block:
    coded = [segment for segment in segments if segment.expression is not None]
    if not coded:
        state = pl.zeros(grid.frame.height, dtype=pl.UInt8, eager=True)
        return Block(state, (tuple(each.outcomes[0] for each in segments),))
    if grid.index is None:
        codes = [_codes_of_rows(segment, stream, grid) for segment in coded]
    else:
        codes = _codes(grid.frame, coded)
    combined = combine([(c, len(s.outcomes)) for c, s in zip(codes, coded, strict=True)])
    rows = zip(*(column.to_list() for column in combined.codes), strict=True)
    return Block(combined.index, tuple(_outcomes(segments, row) for row in rows))


def _outcomes(segments: Sequence[Segment], codes: Sequence[int]) -> tuple[Hits, ...]:
    """Say what each segment says for a combination of codes; a constant has none."""
    found = iter(codes)
    return tuple(each.outcomes[0 if each.expression is None else next(found)] for each in segments)


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
    outcomes: Sequence[Hits] = [_NO, ((route,), ()), ((), (route,))]
    return Segment(references(condition), partial(_code, condition), outcomes, condition)


def _code(condition: Node) -> pl.Expr:
    return to_polars(condition).cast(pl.UInt8).fill_null(2)


def _look_up(run: Run, numbers: Sequence[int]) -> Segment:
    """Answer a run of equalities by one table: 10,000 routes cost what ten do."""
    hits = [tuple(numbers[index] for index in found) for found in run.table.values()]
    null = tuple(numbers[index] for index in run.indexes)
    outcomes = [_NO, *((found, ()) for found in hits), ((), null)]
    key = (
        run.reference,
        tuple(run.table.items()),
        tuple(numbers[run.indexes.start : run.indexes.stop]),
    )
    return Segment((run.reference,), partial(_look_up_code, run), outcomes, key)


def _look_up_code(run: Run) -> pl.Expr:
    column, last = pl.col(column_name(run.reference)), len(run.table) + 1
    codes = pl.Series(range(1, last), dtype=pl.UInt32)
    keys = pl.Series(list(run.table), dtype=dtype(run.reference.type))
    found = column.replace_strict(keys, codes, default=0, return_dtype=pl.UInt32)
    return pl.when(column.is_null()).then(last).otherwise(found).cast(pl.UInt32)


def _codes(frame: pl.DataFrame, segments: Sequence[Segment]) -> list[pl.Series]:
    """Evaluate some segments together; `with_columns` repeats a constant for each row."""
    named = {
        f"code {n}": each.expression()
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


def _summed_up(router: RouterPlan, grid: Grid, blocks: Sequence[Block]) -> Decided:
    """Put blocks together, and go through the routes of each state."""
    combined = combine([(each.state, len(each.outcomes)) for each in blocks])
    rows = zip(*(column.to_list() for column in combined.codes), strict=True)
    is_first = router.match == "first"
    states = tuple(
        _reached(
            chain.from_iterable(
                block.outcomes[code] for block, code in zip(blocks, row, strict=True)
            ),
            is_first=is_first,
        )
        for row in rows
    )
    return Decided(grid, combined.index, states, _weights(grid, combined.index))


def _weights(grid: Grid, state: pl.Series) -> pl.DataFrame:
    sums = pl.col("messages", "bytes").cast(pl.Int64).sum()
    weighted = grid.frame.select("messages", "bytes", state=state)
    return weighted.group_by("state").agg(sums).sort("state")


def _reached(outcomes: Iterable[Hits], *, is_first: bool) -> Hits:
    """Go through the routes in order; behind the first hit nothing is reached."""
    hits: list[int] = []
    undecided: list[int] = []
    for matched, unknown in outcomes:
        hits += matched
        undecided += unknown
        if is_first and hits:
            return (hits[0],), tuple(undecided)
    return tuple(hits), tuple(undecided)
