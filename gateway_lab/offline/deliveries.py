"""Deliveries one by one: what becomes of each message, in the order of the capture."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from gateway_lab.captures.format import COLUMNS, TIME
from gateway_lab.captures.rows import headers_of
from gateway_lab.config.plan import RouterPlan, SourcePlan, TargetPlan
from gateway_lab.messages.books import Outcome
from gateway_lab.messages.headers import Headers
from gateway_lab.messages.message import Message
from gateway_lab.offline.columns import Stream
from gateway_lab.offline.decide import decide
from gateway_lab.offline.handled import END_OF, HandledPart
from gateway_lab.offline.masked_values import require_written
from gateway_lab.offline.parts import Part
from gateway_lab.offline.targets import letter_channels, target_references, write
from gateway_lab.offline.view import View
from gateway_lab.routing.conclude import conclude
from gateway_lab.routing.render import compile_render
from gateway_lab.routing.routed import DEAD_LETTER, DROP
from gateway_lab.rules.fill import Values
from gateway_lab.rules.tree import column_name

DELIVERIES: dict[str, pl.DataType] = {
    "seq": pl.UInt64(),
    "received": TIME,
    "source": pl.String(),
    "router": pl.String(),
    "route": pl.String(),
    "target": pl.String(),
    "broker": pl.String(),
    "channel": pl.String(),
    "outcome": pl.String(),
    "reason": pl.String(),
    "bytes": pl.UInt32(),
}
"""The columns of deliveries: one row for a message, a router and a target.

An invalid message has one row for its source, with no router; so has one that its handler ended
or failed at, and each message that a handler sent by itself. `bytes` is the length of the body
that was decided on: as it was captured, or as its handler returned or sent it.
"""

RENDERED = {
    **DELIVERIES,
    "key": COLUMNS["key"],
    "headers": COLUMNS["headers"],
    "body": COLUMNS["body"],
}
"""The columns of rendered deliveries: as above, and what is written."""

_PLACED: dict[str, pl.DataType] = {
    "row": pl.UInt32(),
    "at": pl.UInt32(),
    "order": pl.Int64(),
    **{name: DELIVERIES[name] for name in ("source", "router", "route", "target")},
    **{name: DELIVERIES[name] for name in ("broker", "channel", "outcome", "reason", "bytes")},
}
"""Deliveries before they are put in order: `row` of the part, `at` among the valid messages."""


SPAN_ROWS = 200_000
"""Messages whose deliveries are made at once, to bound the memory."""


def spans(seen: View) -> Iterator[tuple[int, int]]:
    """Cut the rows of a part into runs whose deliveries fit into memory at once."""
    for start in range(0, seen.part.rows, SPAN_ROWS):
        yield start, start + SPAN_ROWS


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wanted:
    """Which deliveries are made.

    Attributes:
        span: First row of the part and the one behind the last.
        where: Columns and the value they must have.
        rendered: Whether key, headers and body are written.
    """

    span: tuple[int, int]
    where: Mapping[str, str | None]
    rendered: bool

    def takes(self, name: str, value: str | None) -> bool:
        return name not in self.where or self.where[name] == value

    def rows(self, frame: pl.DataFrame) -> pl.DataFrame:
        first, behind = self.span
        return frame.filter(pl.col("row").is_between(first, behind, closed="left"))


def deliveries(
    seen: View,
    *,
    rendered: bool = False,
    span: tuple[int, int] | None = None,
    where: Mapping[str, str | None] | None = None,
) -> pl.DataFrame:
    """List deliveries of a part, ordered by message, router and route.

    Args:
        seen: The part.
        rendered: Whether to write key, headers and body.
        span: The first row of the part and the one behind the last; left out: all.
        where: Only those whose `source`, `router`, `route`, `target` or `outcome` is this.
    """
    wanted = _Wanted(span=span or (0, seen.part.rows), where=where or {}, rendered=rendered)
    pieces = [piece for stream in seen.streams for piece in _of_stream(seen, stream, wanted)]
    for untyped in seen.untyped:
        pieces += _refused(untyped.source, untyped.part, untyped.invalid, wanted)
    for handled in seen.handled:
        pieces += _of_handler(seen, handled, wanted)
    schema = RENDERED if rendered else DELIVERIES
    if not pieces:
        return pl.DataFrame(schema=schema)
    placed = pl.concat(pieces).sort("row", "order", maintain_order=True)
    if "outcome" in wanted.where:
        placed = placed.filter(pl.col("outcome") == wanted.where["outcome"])
    times = seen.part.read("seq", "received")[placed["row"]]
    return placed.hstack(times).select(*schema)


def _of_stream(seen: View, stream: Stream, wanted: _Wanted) -> Iterator[pl.DataFrame]:
    if not wanted.takes("source", stream.source.name):
        return
    yield from _refused(stream.source, stream.part, stream.judged.invalid, wanted)
    written = {each.source: each.written for each in seen.handled}.get(stream.source.name)
    for number, name in enumerate(stream.source.routers):
        if not wanted.takes("router", name):
            continue
        rows = _consequences(seen.plan.routers[name], stream, number, wanted)
        for (target,), theirs in rows.partition_by("target", as_dict=True).items():
            plan = seen.plan.targets.get((stream.source.name, str(target)))
            if plan is not None:
                for piece in _to_target(theirs, plan, stream, wanted):
                    yield _published(piece, written) if wanted.rendered else piece
            else:
                yield _kept(theirs, stream.source, stream.part, wanted)


_ROUTER_STRIDE = 1 << 32
"""Places of deliveries in one router are below it, so routers come one behind the other."""

_FOLLOWING = ("order", "route", "target", "outcome", "reason")


def _consequences(router: RouterPlan, stream: Stream, number: int, wanted: _Wanted) -> pl.DataFrame:
    """Lay out what follows from the states: one row a message and target."""
    decided = decide(router, stream)
    table = [
        (state, number * _ROUTER_STRIDE + place, each.route, each.target, each.outcome, each.reason)
        for state, hits in enumerate(decided.states)
        for place, each in enumerate(conclude(router, router.routes, hits).deliveries)
        if wanted.takes("route", each.route) and wanted.takes("target", each.target)
    ]
    schema = {"state": pl.UInt32(), **{name: _PLACED[name] for name in _FOLLOWING}}
    states = pl.DataFrame(table, schema=schema, orient="row")
    columns = {
        "row": stream.valid_rows,
        "state": decided.rows().cast(pl.UInt32),
        "bytes": stream.judged.sizes,
    }
    rows = wanted.rows(pl.DataFrame(columns).with_row_index("at"))
    found = rows.join(states, on="state", how="inner", maintain_order="left")
    return found.with_columns(source=pl.lit(stream.source.name), router=pl.lit(router.name))


def _to_target(
    rows: pl.DataFrame, target: TargetPlan, stream: Stream, wanted: _Wanted
) -> Iterator[pl.DataFrame]:
    written = write(target, stream)
    rows = rows.drop("reason", "outcome")
    judged = rows.join(written.refused, on="at", how="left", maintain_order="left")
    refused = judged.filter(pl.col("reason").is_not_null())
    letters = refused.with_columns(outcome=pl.lit(Outcome.DEAD_LETTERED.value))
    yield _kept(letters, stream.source, stream.part, wanted)
    good = judged.filter(pl.col("reason").is_null())
    good = good.with_columns(
        broker=pl.lit(target.broker),
        channel=written.channels.gather(written.places().gather(good["at"])),
        outcome=pl.lit(Outcome.DELIVERED.value),
    )
    yield _render(good, target, stream) if wanted.rendered else good.select(*_PLACED)


def _published(rows: pl.DataFrame, written: pl.DataFrame | None) -> pl.DataFrame:
    """Put what middlewares made of deliveries into their place, if there are any."""
    if written is None:
        return rows
    keys, content = ["row", "router", "route", "target"], ["headers", "body"]
    found = rows.join(
        written.with_columns(pl.lit(value=True).alias("is_written")),
        on=keys,
        how="left",
        nulls_equal=True,
        maintain_order="left",
        suffix="_written",
    )
    is_written = pl.col("is_written").is_not_null()
    chosen = [
        pl.when(is_written).then(f"{name}_written").otherwise(name).alias(name) for name in content
    ]
    return found.with_columns(chosen).select(rows.columns)


_AFTER_ROUTERS = 1 << 60


def _of_handler(seen: View, handled: HandledPart, wanted: _Wanted) -> Iterator[pl.DataFrame]:
    """Lay out what became of messages in their handler, and what it sent by itself."""
    source = seen.plan.sources[handled.source]
    asked = {"source": source.name, "router": None}
    if not all(wanted.takes(name, value) for name, value in asked.items()):
        return
    for fate, (target, outcome) in END_OF.items():
        if wanted.takes("target", target) and wanted.takes("route", None):
            ended = wanted.rows(handled.ends).filter(pl.col("fate").cast(pl.String) == fate)
            named = {**asked, "route": None, "target": target, "outcome": outcome.value}
            rows = _placed(ended, named, pl.lit(-1, pl.Int64))
            yield _kept(rows, source, seen.part, wanted)
    sends = wanted.rows(handled.sends)
    for name in ("route", "target"):
        if name in wanted.where:
            sends = sends.filter(pl.col(name).eq_missing(pl.lit(wanted.where[name], pl.String)))
    sizes = sends.with_columns(bytes=pl.col("body").bin.size().fill_null(0).cast(pl.UInt32))
    place = pl.int_range(pl.len(), dtype=pl.Int64) + _AFTER_ROUTERS
    named = {**asked, "outcome": Outcome.DELIVERED.value, "reason": None}
    rows = _placed(sizes, named, place)
    content = ("key", "headers", "body") if wanted.rendered else ()
    yield rows.select(*_PLACED, *content)


def _placed(rows: pl.DataFrame, named: Mapping[str, str | None], order: pl.Expr) -> pl.DataFrame:
    """Name what all rows have in common, and give them their place among those of a message."""
    names = {name: pl.lit(value, pl.String) for name, value in named.items()}
    return rows.with_columns(at=pl.lit(0, pl.UInt32), order=order, **names)


def _refused(
    source: SourcePlan, part: Part, invalid: pl.DataFrame, wanted: _Wanted
) -> Iterator[pl.DataFrame]:
    """Lay out the dead letters (or drops) of invalid messages."""
    is_dropped = source.on_invalid == DROP
    target = DROP if is_dropped else DEAD_LETTER
    asked = {"source": source.name, "router": None, "route": None, "target": target}
    if not all(wanted.takes(name, value) for name, value in asked.items()):
        return
    outcome = Outcome.DROPPED if is_dropped else Outcome.DEAD_LETTERED
    named = {**asked, "outcome": outcome.value}
    rows = _placed(wanted.rows(invalid), named, pl.lit(-1, pl.Int64))
    yield _kept(rows, source, part, wanted)


def _kept(rows: pl.DataFrame, source: SourcePlan, part: Part, wanted: _Wanted) -> pl.DataFrame:
    """Complete rows that are dropped or dead-lettered: the message stays as it came."""
    part = part.came or part
    is_letter = pl.col("outcome") == Outcome.DEAD_LETTERED.value
    broker = source.dead_letter.broker if source.dead_letter else None
    rows = rows.with_columns(
        broker=pl.when(is_letter).then(pl.lit(broker, pl.String)),
        channel=pl.when(is_letter).then(letter_channels(source, part).gather(rows["row"])),
    ).select(*_PLACED)
    if not wanted.rendered:
        return rows
    none = pl.lit([], dtype=COLUMNS["headers"])
    kept = _read_rows(part, rows["row"], "key", "headers", "body")
    named = pl.element().struct.field("name").is_not_null()
    headers = pl.col("headers").fill_null(none).list.filter(named).list.eval(_WITHOUT_NULLS)
    return rows.hstack(kept.with_columns(headers))


_WITHOUT_NULLS = pl.struct(
    pl.element().struct.field("name"), pl.element().struct.field("value").fill_null(b"")
)
"""A header without a value has an empty one, as `headers_of` reads it."""


def _read_rows(part: Part, rows: pl.Series, *columns: str) -> pl.DataFrame:
    """Read some rows only: bodies of a whole part would fill the memory."""
    if rows.is_empty():
        return part.read(*columns).clear()
    first, last = int(rows.min()), int(rows.max())  # type: ignore[arg-type]
    return part.slice(first, last - first + 1).read(*columns)[rows - first]


def _render(rows: pl.DataFrame, target: TargetPlan, stream: Stream) -> pl.DataFrame:
    """Write key, headers and body of each delivery, as the gateway would."""
    if stream.part.masked:
        require_written(target, stream.source)
    inputs = target_references(target)
    render = compile_render(target, inputs)
    stream.prepare(inputs)
    columns = [
        stream.column(leaf).rows.gather(rows["at"]).alias(column_name(leaf)) for leaf in inputs
    ]
    values: Sequence[Values] = pl.DataFrame(columns).rows() if columns else [()] * rows.height
    kept = _read_rows(stream.part, rows["row"], "key", "headers", "body", "received")
    messages = map(_message, kept.iter_rows())
    done = [render(each, message) for each, message in zip(values, messages, strict=True)]
    content = [
        pl.Series("key", [each.key for each in done], dtype=pl.Binary),
        _header_lists([each.headers for each in done]),
        pl.Series("body", [each.body for each in done], dtype=pl.Binary),
    ]
    return rows.select(*_PLACED).hstack(content)


def _header_lists(headers: Sequence[Headers]) -> pl.Series:
    """Make the column of headers from flat lists: nested Python values take 50 times as long."""
    dtype = COLUMNS["headers"]
    items = pl.DataFrame(
        {
            "row": [row for row, each in enumerate(headers) for _ in each],
            "name": [name for each in headers for name, _ in each],
            "value": [value for each in headers for _, value in each],
        },
        schema={"row": pl.UInt32, "name": pl.String, "value": pl.Binary},
    )
    lists = items.group_by("row", maintain_order=True).agg(headers=pl.struct("name", "value"))
    rows = pl.DataFrame({"row": pl.arange(len(headers), dtype=pl.UInt32, eager=True)})
    joined = rows.join(lists, on="row", how="left", maintain_order="left")
    return joined.select(pl.col("headers").fill_null(pl.lit([], dtype=dtype))).to_series()


def written_rows(
    target: TargetPlan, stream: Stream, rows: pl.Series, *, is_content: bool
) -> pl.DataFrame:
    """Write deliveries to one target: `outcome, broker, channel`, then `key, headers, body`.

    Args:
        target: The target.
        stream: Valid messages.
        rows: Rows of the part, all of them valid messages of the stream.
        is_content: Whether to write key, headers and body too.

    Returns:
        A row for each of `rows`, in their order; null where the target refuses.
    """
    valid = stream.judged.valid
    at = (rows if valid is None else valid.search_sorted(rows)).cast(pl.UInt32)
    sizes = stream.judged.sizes.gather(at)
    nothing = {
        name: pl.lit(None, _PLACED[name]) for name in _PLACED if name not in {"row", "at", "bytes"}
    }
    asked = pl.DataFrame({"row": rows, "at": at, "bytes": sizes}).with_columns(**nothing)
    wanted = _Wanted(span=(0, stream.part.rows), where={}, rendered=is_content)
    columns = ["outcome", "broker", "channel", *(("key", "headers", "body") if is_content else ())]
    letters, good = _to_target(asked, target, stream, wanted)
    lost = letters.with_columns(pl.lit(None, letters.schema[n]).alias(n) for n in columns[1:])
    return pl.concat([lost, good]).sort("row").select(columns)


def _message(row: tuple[Any, ...]) -> Message:
    key, headers, body, received = row
    return Message(body=body, key=key, headers=headers_of(headers), received=received)
