"""What can be asked about a part: functions of a view that any process can answer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import polars as pl

from gateway_lab.captures.format import TIME
from gateway_lab.captures.sampling import sample_rank
from gateway_lab.config.plan import RouterPlan
from gateway_lab.messages.books import Outcome, Result
from gateway_lab.offline.columns import Stream
from gateway_lab.offline.decide import decide
from gateway_lab.offline.deliveries import deliveries
from gateway_lab.offline.handled import END_OF, HandledPart
from gateway_lab.offline.parts import Part
from gateway_lab.offline.targets import write
from gateway_lab.offline.view import View
from gateway_lab.routing.conclude import conclude
from gateway_lab.routing.routed import DEAD_LETTER, DROP
from gateway_lab.rules.tree import TIMESTAMP, Meta, Span

MAX_CHANNELS_TOLD = 50_000
"""Channels of a target that a part tells by name, the fullest; the rest are counted together."""

CHANNELS = {
    "target": pl.String(),
    "broker": pl.String(),
    "channel": pl.String(),
    "messages": pl.Int64(),
    "bytes": pl.Int64(),
}

OVER_TIME = {
    "time": TIME,
    "router": pl.String(),
    "target": pl.String(),
    "outcome": pl.String(),
    "deliveries": pl.Int64(),
}

UNMATCHED = {
    "seq": pl.UInt64(),
    "received": TIME,
    "source": pl.String(),
    "router": pl.String(),
    "bytes": pl.UInt32(),
}

_RECEIVED = Meta("received", TIMESTAMP, Span(0, 0))


def _routed(seen: View) -> Iterator[tuple[Stream, RouterPlan]]:
    for stream in seen.streams:
        for name in stream.source.routers:
            yield stream, seen.plan.routers[name]


# --- channels ---


def count_channels(seen: View) -> pl.DataFrame:
    """Count what is delivered to each channel, columns `CHANNELS`."""
    found = [each for stream, router in _routed(seen) for each in _channels(seen, stream, router)]
    found += [_sent_channels(each.sends) for each in seen.handled]
    return sum_channels(found)


def sum_channels(frames: list[pl.DataFrame]) -> pl.DataFrame:
    """Add up channels, the fullest of a target first; those past the bound have no name."""
    rank = pl.int_range(pl.len()).over("target")
    keys = ["target", "broker", "channel"]
    order = ["target", "messages", "channel"]
    summed = _sum([pl.DataFrame(schema=CHANNELS), *frames], keys)
    named = summed.sort(order, descending=[False, True, False], nulls_last=True).with_columns(
        channel=pl.when(rank < MAX_CHANNELS_TOLD).then("channel")
    )
    told = named.group_by(keys, maintain_order=True).agg(pl.col("messages", "bytes").sum())
    return told.select(*CHANNELS)


def _sum(frames: list[pl.DataFrame], keys: list[str]) -> pl.DataFrame:
    together = pl.concat(frames)
    return together.group_by(keys).agg(pl.exclude(keys).sum())


def _channels(seen: View, stream: Stream, router: RouterPlan) -> Iterator[pl.DataFrame]:
    decided = decide(router, stream)
    conclusions = [conclude(router, router.routes, state) for state in decided.states]
    targets = {each.target for found in conclusions for each in found.deliveries}
    for name in sorted(targets - {DROP, DEAD_LETTER}):
        plan = seen.plan.targets[stream.source.name, name]
        written = write(plan, stream)
        goes_there = [
            any(each.target == name for each in found.deliveries) for found in conclusions
        ]
        rows = pl.DataFrame(
            {
                "goes": pl.Series(goes_there).gather(decided.rows()),
                "place": written.places(),
                "bytes": stream.judged.sizes,
            }
        ).with_row_index("at")
        kept = rows.filter("goes").join(written.refused, on="at", how="anti")
        sums = kept.group_by("place").agg(
            messages=pl.len(), bytes=pl.col("bytes").cast(pl.Int64).sum()
        )
        channels = written.channels.gather(sums["place"])
        yield sums.select(
            target=pl.lit(name),
            broker=pl.lit(plan.broker),
            channel=channels,
            messages=pl.col("messages").cast(pl.Int64),
            bytes="bytes",
        )


def _sent_channels(sends: pl.DataFrame) -> pl.DataFrame:
    """Count what handlers sent by themselves."""
    counts = sends.group_by("target", "broker", "channel").agg(
        messages=pl.len().cast(pl.Int64), bytes=pl.col("body").bin.size().cast(pl.Int64).sum()
    )
    return counts.select(*CHANNELS)


# --- over time ---


def count_over_time(seen: View, *, every: str) -> pl.DataFrame:
    """Count deliveries by time, router, target and outcome, columns `OVER_TIME`."""
    found = [_over_time(seen, stream, router, every) for stream, router in _routed(seen)]
    found += [_handled_over_time(seen.part, each, every) for each in seen.handled]
    return sum_over_time([*found, _invalid_over_time(seen, every)])


def sum_over_time(frames: list[pl.DataFrame]) -> pl.DataFrame:
    """Add up counts over time, in the order of time and names."""
    keys = ["time", "router", "target", "outcome"]
    summed = _sum([pl.DataFrame(schema=OVER_TIME), *frames], keys)
    return summed.filter(pl.col("deliveries") != 0).sort(keys, nulls_last=True).select(*OVER_TIME)


def _times(stream: Stream, every: str) -> pl.Series:
    return stream.column(_RECEIVED).rows.cast(TIME).dt.truncate(every)


def _over_time(seen: View, stream: Stream, router: RouterPlan, every: str) -> pl.DataFrame:
    decided = decide(router, stream)
    rows = pl.DataFrame({"state": decided.rows().cast(pl.UInt32), "time": _times(stream, every)})
    table = [
        (state, each.target, each.outcome)
        for state, hits in enumerate(decided.states)
        for each in conclude(router, router.routes, hits).deliveries
    ]
    states = pl.DataFrame(
        table,
        schema={"state": pl.UInt32, "target": pl.String, "outcome": pl.String},
        orient="row",
    )
    counts = _counted(rows, states)
    moved = [
        frame
        for target in states["target"].unique()
        if (plan := seen.plan.targets.get((stream.source.name, target))) is not None
        for at in [write(plan, stream).refused["at"]]
        if len(at)
        for frame in _moved(_counted(rows[at], states.filter(target=target)))
    ]
    return (
        pl.concat([counts, *moved])
        .select(router=pl.lit(router.name), **_AS_THEY_ARE)
        .select(*OVER_TIME)
    )


_AS_THEY_ARE = {name: name for name in OVER_TIME if name != "router"}


def _counted(rows: pl.DataFrame, states: pl.DataFrame) -> pl.DataFrame:
    counts = rows.group_by("state", "time").agg(deliveries=pl.len().cast(pl.Int64))
    return counts.join(states, on="state", how="inner").drop("state")


def _moved(counts: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """Move what a target refuses from delivered to dead-lettered."""
    letters = pl.lit(Outcome.DEAD_LETTERED.value).alias("outcome")
    yield counts.with_columns(-pl.col("deliveries"))
    yield counts.with_columns(letters)


def _invalid_over_time(seen: View, every: str) -> pl.DataFrame:
    """Count the dead letters (or drops) of invalid messages: they have no router."""
    received = [(s.source, s.part, s.judged.invalid["row"]) for s in seen.streams]
    received += [(u.source, u.part, u.invalid["row"]) for u in seen.untyped]
    found = [pl.DataFrame(schema=OVER_TIME)]
    for source, part, rows in received:
        if rows.is_empty():
            continue
        is_dropped = source.on_invalid == DROP
        outcome = Outcome.DROPPED if is_dropped else Outcome.DEAD_LETTERED
        times = part.read("received")[rows].select(time=pl.col("received").dt.truncate(every))
        counts = times.group_by("time").agg(deliveries=pl.len().cast(pl.Int64))
        found.append(
            counts.select(
                time="time",
                router=pl.lit(None, pl.String),
                target=pl.lit(DROP if is_dropped else DEAD_LETTER),
                outcome=pl.lit(outcome.value),
                deliveries="deliveries",
            )
        )
    return pl.concat(found)


def _handled_over_time(part: Part, handled: HandledPart, every: str) -> pl.DataFrame:
    """Count what ended in handlers, and what they sent by themselves: it has no router."""
    times = part.read("received").select(time=pl.col("received").dt.truncate(every))
    ends = [
        handled.ends.filter(pl.col("fate").cast(pl.String) == fate).select(
            "row", target=pl.lit(target), outcome=pl.lit(outcome.value)
        )
        for fate, (target, outcome) in END_OF.items()
    ]
    sends = handled.sends.select("row", "target", outcome=pl.lit(Outcome.DELIVERED.value))
    rows = pl.concat([*ends, sends])
    timed = rows.hstack(times[rows["row"]]).with_columns(router=pl.lit(None, pl.String))
    keys = [name for name in OVER_TIME if name != "deliveries"]
    counts = timed.group_by(keys).agg(deliveries=pl.len().cast(pl.Int64))
    return counts.select(*OVER_TIME)


# --- messages ---


def list_unmatched(seen: View) -> pl.DataFrame:
    """List the messages that matched no route of a router, columns `UNMATCHED`."""
    found = [pl.DataFrame(schema={"row": pl.UInt32, **UNMATCHED})]
    times = seen.part.read("seq", "received")
    for stream, router in _routed(seen):
        decided = decide(router, stream)
        results = [
            conclude(router, router.routes, state).result is Result.UNMATCHED
            for state in decided.states
        ]
        at = pl.Series(results, dtype=pl.Boolean).gather(decided.rows()).arg_true()
        rows = stream.valid_rows.gather(at).alias("row")
        frame = times[rows].with_columns(
            row=rows,
            source=pl.lit(stream.source.name),
            router=pl.lit(router.name),
            bytes=stream.judged.sizes.gather(at),
        )
        found.append(frame.select(found[0].columns))
    return pl.concat(found).sort("row", maintain_order=True).drop("row")


def sample_deliveries(
    seen: View, *, where: Mapping[str, str | None], n: int, seed: int
) -> pl.DataFrame:
    """Choose n deliveries by a hash of `seq` and `seed`; `rank` says in which order."""
    chosen = deliveries(seen, rendered=False, where=where)
    ranked = chosen.with_columns(rank=sample_rank(seed)).with_row_index("place")
    return ranked.bottom_k(n, by=["rank", "place"]).sort("rank", "place").drop("place")
