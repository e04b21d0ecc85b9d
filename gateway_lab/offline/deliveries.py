"""Deliveries one by one: what becomes of each message, in the order of the capture."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import polars as pl

from gateway_lab.captures.format import COLUMNS, TIME
from gateway_lab.config.plan import RouterPlan, SourcePlan, TargetPlan
from gateway_lab.messages.books import Outcome
from gateway_lab.messages.headers import Headers
from gateway_lab.messages.message import Message
from gateway_lab.offline.columns import Stream
from gateway_lab.offline.conclusions import conclude
from gateway_lab.offline.decide import decide
from gateway_lab.offline.parts import Part
from gateway_lab.offline.targets import letter_channels, target_references, write
from gateway_lab.offline.view import View
from gateway_lab.routing.render import Rendered, compile_render
from gateway_lab.routing.route import DEAD_LETTER, DROP
from gateway_lab.rules.tree import column_name

WORDS = pl.Categorical()

DELIVERIES = {
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

An invalid message has one row for its source, with no router. `bytes` is the length of the body
as it was captured.
"""

RENDERED = {
    **DELIVERIES,
    "key": COLUMNS["key"],
    "headers": COLUMNS["headers"],
    "body": COLUMNS["body"],
}
"""The columns of rendered deliveries: as above, and what is written."""

_PLACED = {
    "row": pl.UInt32,
    "at": pl.UInt32,
    "order": pl.Int64,
    **{name: DELIVERIES[name] for name in ("source", "router", "route", "target")},
    **{name: DELIVERIES[name] for name in ("broker", "channel", "outcome", "reason", "bytes")},
}
"""Deliveries before they are put in order: `row` of the part, `at` among the valid messages."""


def deliveries(seen: View, *, rendered: bool) -> pl.DataFrame:
    """List the deliveries of a part, ordered by message, router and route."""
    pieces = [
        piece for stream in seen.streams for piece in _of_stream(seen, stream, rendered=rendered)
    ]
    pieces += [
        _refused(
            untyped.source,
            untyped.part,
            _untyped_rows(untyped.part, untyped.rows, untyped.reason),
            rendered=rendered,
        )
        for untyped in seen.untyped
    ]
    schema = RENDERED if rendered else DELIVERIES
    if not pieces:
        return pl.DataFrame(schema=schema)
    placed = pl.concat(pieces).sort("row", "order", maintain_order=True)
    times = seen.part.read("seq", "received")[placed["row"]]
    return placed.hstack(times).select(schema)


def _untyped_rows(part: Part, rows: pl.Series, reason: str) -> pl.DataFrame:
    sizes = part.read(pl.col("body").bin.size().fill_null(0).alias("bytes"))[rows]
    return sizes.select(row=rows, reason=pl.lit(reason), bytes="bytes")


def _of_stream(seen: View, stream: Stream, *, rendered: bool) -> Iterator[pl.DataFrame]:
    yield _refused(stream.source, stream.part, stream.judged.invalid, rendered=rendered)
    for number, name in enumerate(stream.source.routers):
        router = seen.plan.routers[name]
        rows = _consequences(router, stream, number)
        for (target,), theirs in rows.partition_by("target", as_dict=True).items():
            plan = seen.plan.targets.get((stream.source.name, str(target)))
            if plan is not None:
                yield from _to_target(theirs, plan, stream, rendered=rendered)
            else:
                yield _kept(theirs, stream.source, stream.part, rendered=rendered)


def _consequences(router: RouterPlan, stream: Stream, number: int) -> pl.DataFrame:
    """Lay out what follows from the states: one row a message and target."""
    decided = decide(router, stream)
    table = [
        (state, number * 1_000_000 + place, each.route, each.target, each.outcome, each.reason)
        for state, hits in enumerate(decided.states)
        for place, each in enumerate(conclude(router, hits).deliveries)
    ]
    schema = {
        "state": pl.UInt32,
        **{n: _PLACED[n] for n in ("order", "route", "target", "outcome", "reason")},
    }
    states = pl.DataFrame(table, schema=schema, orient="row")
    rows = pl.DataFrame(
        {
            "row": stream.valid_rows,
            "state": decided.rows().cast(pl.UInt32),
            "bytes": stream.judged.sizes,
        }
    ).with_row_index("at")
    found = rows.join(states, on="state", how="inner", maintain_order="left")
    return found.with_columns(source=pl.lit(stream.source.name), router=pl.lit(router.name))


def _to_target(
    rows: pl.DataFrame, target: TargetPlan, stream: Stream, *, rendered: bool
) -> Iterator[pl.DataFrame]:
    written = write(target, stream)
    judged = rows.drop("reason", "outcome").join(
        written.refused, on="at", how="left", maintain_order="left"
    )
    refused = judged.filter(pl.col("reason").is_not_null()).with_columns(
        outcome=pl.lit(Outcome.DEAD_LETTERED.value)
    )
    yield _kept(refused, stream.source, stream.part, rendered=rendered)
    good = judged.filter(pl.col("reason").is_null())
    channels = written.grid.spread(written.channels).gather(good["at"])
    good = good.with_columns(
        broker=pl.lit(target.broker), channel=channels, outcome=pl.lit(Outcome.DELIVERED.value)
    )
    yield _render(good, target, stream) if rendered else good.select(_PLACED)


def _refused(
    source: SourcePlan, part: Part, invalid: pl.DataFrame, *, rendered: bool
) -> pl.DataFrame:
    """Lay out the dead letters (or drops) of invalid messages."""
    is_dropped = source.on_invalid == DROP
    outcome = Outcome.DROPPED if is_dropped else Outcome.DEAD_LETTERED
    rows = invalid.with_columns(
        at=pl.lit(0, pl.UInt32),
        order=pl.lit(-1, pl.Int64),
        source=pl.lit(source.name),
        router=pl.lit(None, pl.String),
        route=pl.lit(None, pl.String),
        target=pl.lit(DROP if is_dropped else DEAD_LETTER),
        outcome=pl.lit(outcome.value),
    )
    return _kept(rows, source, part, rendered=rendered)


def _kept(rows: pl.DataFrame, source: SourcePlan, part: Part, *, rendered: bool) -> pl.DataFrame:
    """Complete rows that are dropped or dead-lettered: the message stays as it came."""
    is_letter = pl.col("outcome") == Outcome.DEAD_LETTERED.value
    broker = source.dead_letter.broker if source.dead_letter else None
    channels = letter_channels(source, part).gather(rows["row"])
    rows = rows.with_columns(
        broker=pl.when(is_letter).then(pl.lit(broker, pl.String)),
        channel=pl.when(is_letter).then(channels),
    ).select(_PLACED)
    if not rendered:
        return rows
    return rows.hstack(part.read("key", "headers", "body")[rows["row"]])


def _render(rows: pl.DataFrame, target: TargetPlan, stream: Stream) -> pl.DataFrame:
    """Write key, headers and body of each delivery, as the gateway would."""
    inputs = target_references(target)
    render = compile_render(target, inputs)
    stream.prepare(inputs)
    names = [column_name(leaf) for leaf in inputs]
    values: Sequence[tuple[Any, ...]] = [()] * rows.height
    if names:
        columns = [
            stream.column(leaf).rows.gather(rows["at"]).alias(name)
            for leaf, name in zip(inputs, names, strict=True)
        ]
        values = pl.DataFrame(columns).rows()
    kept = stream.part.read("key", "headers", "body", "received")[rows["row"]]
    written = [
        render(each, _message(*parts)) for each, parts in zip(values, kept.rows(), strict=True)
    ]
    done = [each for each in written if isinstance(each, Rendered)]
    content = {
        "key": [each.key for each in done],
        "headers": [[{"name": n, "value": v} for n, v in each.headers] for each in done],
        "body": [each.body for each in done],
    }
    return rows.select(_PLACED).hstack(
        pl.DataFrame(content, schema={n: COLUMNS[n] for n in content})
    )


def _message(
    key: bytes | None, headers: list[dict[str, Any]] | None, body: bytes | None, received: Any
) -> Message:
    passed: Headers = tuple((each["name"], each["value"]) for each in headers or ())
    return Message(body=body, key=key, headers=passed, received=received)
