"""What a traffic profile is: the contract of the files beside this one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import polars as pl

from gateway_lab.captures.profiles.clock import Clock
from gateway_lab.captures.profiles.draws import SEQ, Draws
from gateway_lab.captures.profiles.malformed import Weakness

_PARTITIONS = 6
SESSION_ROWS = 256
"""Sessions live inside so many neighbouring messages."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrafficProfile:
    """A kind of traffic.

    Attributes:
        summary: What it is, one sentence.
        clock: When messages come.
        build: Adds `broker, kind, channel, partition, key` (null for no key) and `body`, all
            texts, to rows that have `seq, received, timestamp, sent` and, see `in_sessions`,
            `session, step`. What other draws begin from is best a column of its own.
        weakness: Where bodies can be broken.
        tombstones: Share of the messages with a key that have a null body, and an empty one
            where the protocol knows no null.
    """

    summary: str
    clock: Clock
    build: Callable[[pl.DataFrame, Draws], pl.DataFrame]
    weakness: Weakness
    tombstones: float = 0.0


def in_sessions(chunk: pl.DataFrame, draws: Draws) -> pl.DataFrame:
    """Put messages into sessions: `session` is its number, `step` counts from 1 within it.

    A session has about four messages, mixed with those of others. Chunks must begin at a
    multiple of SESSION_ROWS.
    """
    living = SESSION_ROWS // 4
    session = SEQ // SESSION_ROWS * living + draws.below("session", living)
    return chunk.with_columns(session=session).with_columns(
        step=pl.col("session").cum_count().over("session")
    )


def kafka(channel: str, *, entity: pl.Expr, draws: Draws) -> dict[str, pl.Expr]:
    """Give the place of messages in a Kafka topic of the broker `stream`.

    Args:
        channel: The topic.
        entity: A u64 number of what the message is about; it decides the partition.
        draws: The random source.
    """
    return {
        "broker": pl.lit("stream"),
        "kind": pl.lit("kafka"),
        "channel": pl.lit(channel),
        "partition": draws.below("partition", _PARTITIONS, entity).cast(pl.String),
    }


def unparted(broker: str, kind: str, channel: str) -> dict[str, pl.Expr]:
    """Give the place of messages in a channel of a protocol that has no partitions."""
    return {
        "broker": pl.lit(broker),
        "kind": pl.lit(kind),
        "channel": pl.lit(channel),
        "partition": pl.lit(None, pl.String),
    }


def json_object(**members: pl.Expr | str) -> pl.Expr:
    """Write JSON objects; members are JSON texts, columns or the same for all rows."""
    parts: list[pl.Expr] = []
    for place, (name, value) in enumerate(members.items()):
        parts.append(pl.lit(f'{"," if place else "{"}"{name}":'))
        parts.append(pl.lit(value) if isinstance(value, str) else value.cast(pl.String))
    return pl.concat_str(*parts, pl.lit("}"))


def quoted(text: pl.Expr) -> pl.Expr:
    """Write JSON strings; the texts must need no escapes."""
    return pl.concat_str(pl.lit('"'), text, pl.lit('"'))


def instant(moment: pl.Expr) -> pl.Expr:
    """Write JSON strings of times in RFC 3339, to the millisecond."""
    return moment.dt.to_string('"%Y-%m-%dT%H:%M:%S%.3fZ"')
