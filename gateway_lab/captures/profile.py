"""What is in a capture: channels, keys, headers, times, bodies, and what a config makes of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape

import msgspec
import polars as pl

from gateway_lab.captures.binding import Sources
from gateway_lab.captures.judge import Judge
from gateway_lab.config.plan import Plan

_PLACE = ("broker", "kind", "channel")
_CHANNEL = ("broker", "channel")
_SHOWN_ROWS = 10
_DECODE = msgspec.json.Decoder(msgspec.Raw).decode


@dataclass(frozen=True, kw_only=True)
class Profile:
    """What is in a capture; a frame a question, all sorted, shares from 0 to 1.

    Attributes:
        channels: `broker, kind, channel, messages, share, first, last, per_second`; times of
            receiving, the rate between them.
        sizes: `broker, channel, bytes, median_bytes, p95_bytes, max_bytes` of the bodies.
        keys: `broker, channel, messages, without_key, distinct, top_share`: the share of messages
            that the most frequent key has.
        headers: `broker, channel, name, messages, share`; names as written.
        times: `broker, channel, longest_gap, gap_from, without_timestamp, out_of_order, early,
            median_late, p95_late, max_late`. A gap lies between two messages received;
            out of order is the share sent before one that came earlier; late is received after
            sent, early the share that was sent after it was received.
        bodies: `broker, channel, body, messages, share`; body is object, other json, not json,
            not utf-8, empty or tombstone.
        sources: With a config: `source, event_type, messages, valid, invalid, share_invalid`.
        invalid: With a config: `source, event_type, reason, messages, example_seq`.
    """

    channels: pl.DataFrame
    sizes: pl.DataFrame
    keys: pl.DataFrame
    headers: pl.DataFrame
    times: pl.DataFrame
    bodies: pl.DataFrame
    sources: pl.DataFrame | None = None
    invalid: pl.DataFrame | None = None

    def __repr__(self) -> str:
        with pl.Config(
            tbl_rows=_SHOWN_ROWS, tbl_cols=-1, tbl_width_chars=160, tbl_hide_dataframe_shape=True
        ):
            return "\n".join(f"{title}\n{frame}" for title, frame in self._frames())

    def _repr_html_(self) -> str:
        return "".join(
            f"<h4>{title}</h4>{frame.head(_SHOWN_ROWS)._repr_html_()}"
            for title, frame in self._frames()
        )

    def _frames(self) -> Iterator[tuple[str, pl.DataFrame]]:
        for name in self.__dataclass_fields__:
            frame = getattr(self, name)
            if frame is not None:
                yield escape(name), frame


def profile_frame(frame: pl.LazyFrame) -> Profile:
    """Describe the messages of a capture."""
    count = int(frame.select(pl.len()).collect().item())
    return Profile(
        channels=_channels(frame, count),
        sizes=_sizes(frame),
        keys=_keys(frame),
        headers=_headers(frame),
        times=_times(frame),
        bodies=_bodies(frame),
    )


def judged_frames(
    frame: pl.LazyFrame, plan: Plan, *, sources: Sources, is_handled: bool
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Count valid and invalid messages: the frames `sources` and `invalid` of a profile."""
    judge = Judge(plan, sources, is_handled=is_handled)
    messages: Counter[tuple[str, str | None]] = Counter()
    reasons: Counter[tuple[str, str | None, str]] = Counter()
    examples: dict[tuple[str, str | None, str], int] = {}
    for batch in frame.collect_batches(maintain_order=True):
        for judged in judge.judge(batch):
            name = judged.event_type.name if judged.event_type else None
            messages[judged.source.name, name] += len(judged.rows)
            for row, reason in judged.invalid.items():
                place = (judged.source.name, name, reason)
                reasons[place] += 1
                examples.setdefault(place, batch["seq"][row])
    return _sources(messages, reasons), _invalid(reasons, examples)


def _channels(frame: pl.LazyFrame, count: int) -> pl.DataFrame:
    received = pl.col("received")
    seconds = (pl.col("last") - pl.col("first")).dt.total_microseconds() / 1_000_000
    rate = pl.when(seconds > 0).then((pl.col("messages") / seconds).round(3))
    return (
        frame.group_by(_PLACE)
        .agg(
            messages=pl.len(),
            share=(pl.len() / count).round(4),
            first=received.min(),
            last=received.max(),
        )
        .with_columns(per_second=rate)
        .sort(_PLACE)
        .collect()
    )


def _sizes(frame: pl.LazyFrame) -> pl.DataFrame:
    size = pl.col("body").bin.size().fill_null(0)
    return (
        frame.group_by(_CHANNEL)
        .agg(
            bytes=size.cast(pl.UInt64).sum(),
            median_bytes=size.quantile(0.5, "nearest").cast(pl.UInt32),
            p95_bytes=size.quantile(0.95, "nearest").cast(pl.UInt32),
            max_bytes=size.max(),
        )
        .sort(_CHANNEL)
        .collect()
    )


def _keys(frame: pl.LazyFrame) -> pl.DataFrame:
    key = pl.col("key").drop_nulls()
    return (
        frame.group_by(_CHANNEL)
        .agg(
            messages=pl.len(),
            without_key=(pl.col("key").null_count() / pl.len()).round(4),
            distinct=key.n_unique(),
            top_share=(key.unique_counts().max() / pl.len()).round(4),
        )
        .sort(_CHANNEL)
        .collect()
    )


def _headers(frame: pl.LazyFrame) -> pl.DataFrame:
    items = frame.select("seq", *_CHANNEL, "headers").explode("headers", empty_as_null=False)
    named = items.select("seq", *_CHANNEL, name=pl.col("headers").struct.field("name"))
    return (
        named.drop_nulls("name")
        .group_by(*_CHANNEL, "name")
        .agg(messages=pl.col("seq").n_unique())
        .join(frame.group_by(_CHANNEL).agg(total=pl.len()), on=_CHANNEL, nulls_equal=True)
        .select(
            *_CHANNEL, "name", "messages", share=(pl.col("messages") / pl.col("total")).round(4)
        )
        .sort(*_CHANNEL, "messages", "name", descending=[False, False, True, False])
        .collect()
    )


def _times(frame: pl.LazyFrame) -> pl.DataFrame:
    received, sent = pl.col("received"), pl.col("timestamp")
    gap, late = received.diff(), received - sent
    is_behind = (sent < sent.cum_max().forward_fill().shift(1)).fill_null(value=False)
    return (
        frame.group_by(_CHANNEL)
        .agg(
            longest_gap=gap.max(),
            gap_from=received.shift(1).get(gap.arg_max()),
            without_timestamp=(sent.null_count() / pl.len()).round(4),
            out_of_order=is_behind.filter(sent.is_not_null()).mean().round(4),
            early=(late < pl.duration()).mean().round(4),
            median_late=late.quantile(0.5, "nearest"),
            p95_late=late.quantile(0.95, "nearest"),
            max_late=late.max(),
        )
        .sort(_CHANNEL)
        .collect()
    )


def _bodies(frame: pl.LazyFrame) -> pl.DataFrame:
    counts: Counter[tuple[str | None, str, str]] = Counter()
    for batch in frame.select(*_CHANNEL, "body").collect_batches():
        counts.update((*channel, body_kind(body)) for *channel, body in batch.iter_rows())
    totals: Counter[tuple[str | None, str]] = Counter()
    for (broker, channel, _), messages in counts.items():
        totals[broker, channel] += messages
    rows = [(*place, n, round(n / totals[place[:2]], 4)) for place, n in counts.items()]
    schema = {
        "broker": pl.String(),
        "channel": pl.String(),
        "body": pl.String(),
        "messages": pl.UInt32(),
        "share": pl.Float64(),
    }
    frame_of_rows = pl.DataFrame(rows, schema=schema, orient="row")
    return frame_of_rows.sort(*_CHANNEL, "messages", "body", descending=[False, False, True, False])


def body_kind(body: bytes | None) -> str:
    """Say what a body is, see `Profile.bodies`."""
    if body is None:
        return "tombstone"
    if not body:
        return "empty"
    try:
        body.decode()
        return "object" if bytes(_DECODE(body)).startswith(b"{") else "other json"
    except UnicodeDecodeError:
        return "not utf-8"
    except (msgspec.DecodeError, RecursionError):
        return "not json"


def _sources(
    messages: Counter[tuple[str, str | None]], reasons: Counter[tuple[str, str | None, str]]
) -> pl.DataFrame:
    wrong: Counter[tuple[str, str | None]] = Counter()
    for (source, event_type, _), count in reasons.items():
        wrong[source, event_type] += count
    rows = [
        (*place, count, count - wrong[place], wrong[place], round(wrong[place] / count, 4))
        for place, count in messages.items()
    ]
    names = ["source", "event_type", "messages", "valid", "invalid", "share_invalid"]
    dtypes = [pl.String, pl.String, pl.UInt32, pl.UInt32, pl.UInt32, pl.Float64]
    schema = dict(zip(names, dtypes, strict=True))
    return pl.DataFrame(rows, schema=schema, orient="row").sort("source", "event_type")


def _invalid(
    reasons: Counter[tuple[str, str | None, str]],
    examples: dict[tuple[str, str | None, str], int],
) -> pl.DataFrame:
    rows = [(*place, count, examples[place]) for place, count in reasons.items()]
    names = ["source", "event_type", "reason", "messages", "example_seq"]
    dtypes = [pl.String, pl.String, pl.String, pl.UInt32, pl.UInt64]
    schema = dict(zip(names, dtypes, strict=True))
    return pl.DataFrame(rows, schema=schema, orient="row").sort(
        "source", "messages", "reason", descending=[False, True, False]
    )
