"""What deliveries to a target come to, for all messages of a stream at once.

The functions are those of `routing/render.py`, called once for each distinct combination of
the values that a target's templates read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ParamSpec, TypeAlias, TypeVar

import polars as pl

from gateway_lab.config.plan import SourcePlan, TargetPlan
from gateway_lab.offline.cache import CACHE
from gateway_lab.offline.columns import Grid, Stream
from gateway_lab.offline.message_columns import message_column
from gateway_lab.offline.parts import Part
from gateway_lab.offline.passing import passing_refusals
from gateway_lab.protocols.registry import PROTOCOLS
from gateway_lab.routing.passing import Refused
from gateway_lab.routing.render import Render, compile_dead_letter, compile_render
from gateway_lab.rules.fill import Values
from gateway_lab.rules.template import template_references
from gateway_lab.rules.tree import Field, Reference, column_name

P = ParamSpec("P")
T = TypeVar("T")

REFUSED_SCHEMA = {"at": pl.UInt32, "reason": pl.String}


@dataclass(frozen=True, slots=True)
class Written:
    """What a target would write for the messages of a stream.

    Attributes:
        grid: Combinations of what its channel (and what else can be refused) reads.
        channels: Per row of the grid the channel; null where it is refused.
        names: The different channels.
        refused: Columns `at` (the place among the valid messages, ascending) and `reason`.
    """

    grid: Grid
    channels: pl.Series
    names: pl.Series
    refused: pl.DataFrame

    def places(self) -> pl.Series:
        """Give the place of each message's channel in `channels`."""
        rows = pl.arange(len(self.channels), dtype=pl.UInt32, eager=True)
        return self.grid.spread(rows)

    @property
    def size_bytes(self) -> int:
        """Memory held, the grid apart."""
        held = (self.channels, self.names, self.refused)
        return int(sum(each.estimated_size() for each in held))


def write(target: TargetPlan, stream: Stream) -> Written:
    """Find the channels of a target and what it refuses, for every message of a stream."""
    key = ("written", stream.key, repr(target))
    return CACHE.get(key, lambda: _write(target, stream))


def target_references(target: TargetPlan) -> tuple[Reference, ...]:
    """Collect what the templates of a target read."""
    return template_references(target.channel, target.key, target.body, *target.headers.values())


def refusable_references(target: TargetPlan) -> tuple[Reference, ...]:
    """Collect what a target reads before it is known whether it can write a message."""
    if PROTOCOLS[target.protocol].carries.binary:
        return template_references(target.channel)
    return template_references(target.channel, target.key, *target.headers.values())


def _write(target: TargetPlan, stream: Stream) -> Written:
    inputs = target_references(target)
    render = compile_render(target, inputs)
    needed = refusable_references(target)
    grid = stream.grid(needed)
    rows = _values(grid.frame, inputs, set(needed))
    channels = [_attempt(render.channel, values) for values in rows]
    early, late = _value_refusals(target, render, rows, channels)
    passing = _at(stream, passing_refusals(stream.part, target, render))
    refused = pl.concat([_spread(grid, early), passing, _spread(grid, late)])
    written = [None if isinstance(each, Refused) else each for each in channels]
    column = pl.Series("channel", written, dtype=pl.String)
    return Written(
        grid,
        column,
        column.unique().drop_nulls(),
        refused.unique("at", keep="first", maintain_order=True).sort("at"),
    )


def _values(
    frame: pl.DataFrame, inputs: Sequence[Reference], needed: set[Reference]
) -> list[Values]:
    """Give the values of the inputs row by row; None where they are not needed."""
    if not inputs:
        return [()] * frame.height
    names = [column_name(leaf) for leaf in inputs]
    unneeded = [pl.lit(None).alias(column_name(leaf)) for leaf in inputs if leaf not in needed]
    return frame.with_columns(unneeded).select(names).rows()


_Reasons: TypeAlias = "list[str | None]"


def _value_refusals(
    target: TargetPlan, render: Render, rows: list[Values], channels: Sequence[str | Refused]
) -> tuple[_Reasons, _Reasons]:
    """Say why values are refused, before and after what passes is judged."""
    early = [_reason(channel) for channel in channels]
    if not render.values_refuse:
        return early, []
    if target.key is not None:
        keys = (_attempt(render.key, values, None) for values in rows)
        early = [known or _reason(key) for known, key in zip(early, keys, strict=True)]
    return early, [_reason(_attempt(render.headers, values, ())) for values in rows]


def _attempt(render: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | Refused:
    try:
        return render(*args, **kwargs)
    except Refused as refused:
        return refused.with_traceback(None)  # it would keep a frame alive


def _reason(written: object) -> str | None:
    return written.reason if isinstance(written, Refused) else None


def _spread(grid: Grid, reasons: _Reasons) -> pl.DataFrame:
    """Find the messages with a reason."""
    if not any(reasons):
        return pl.DataFrame(schema=REFUSED_SCHEMA)
    spread = grid.spread(pl.Series("reason", reasons, dtype=pl.String))
    return spread.to_frame().with_row_index("at").drop_nulls("reason")


def _at(stream: Stream, refusals: pl.DataFrame) -> pl.DataFrame:
    """Find the places of some rows among the valid messages."""
    if refusals.is_empty():
        return pl.DataFrame(schema=REFUSED_SCHEMA)
    places = stream.valid_rows.alias("row").to_frame().with_row_index("at")
    return places.join(refusals, on="row", how="inner", maintain_order="left").drop("row")


# --- dead letters ---


def letter_channels(source: SourcePlan, part: Part) -> pl.Series:
    """Give the dead-letter channel of each message of a part; null if there is none."""
    plan = source.dead_letter
    if plan is None:
        return pl.repeat(None, part.rows, dtype=pl.String, eager=True)
    inputs = template_references(plan.channel)
    channel = compile_dead_letter(plan, inputs, name=f"source {source.name}")
    columns = [
        message_column(part, leaf, source.name).rows.alias(column_name(leaf))
        for leaf in inputs
        if not isinstance(leaf, Field)
    ]
    if not columns:
        return pl.repeat(channel(()), part.rows, dtype=pl.String, eager=True)
    frame = pl.DataFrame(columns)
    distinct = frame.unique()
    named = distinct.with_columns(letter=pl.Series(list(map(channel, distinct.rows()))))
    joined = frame.join(
        named, on=frame.columns, how="left", nulls_equal=True, maintain_order="left"
    )
    return joined["letter"]
