"""From a message of Kafka's client to ours."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from confluent_kafka import TIMESTAMP_NOT_AVAILABLE
from confluent_kafka import Message as RawMessage

from gateway_lab.messages.headers import Headers
from gateway_lab.messages.message import Message


def read_message(
    raw: RawMessage, offset: int, partition: str, alias: str, received: datetime
) -> Message:
    """Make our message of one that was fetched; `offset` and `partition` are its own."""
    kind, milliseconds = raw.timestamp()
    headers: Any = raw.headers()
    return Message(
        body=raw.value(),
        key=raw.key(),
        headers=_read_headers(headers) if headers else (),
        timestamp=None if kind == TIMESTAMP_NOT_AVAILABLE else _read_time(milliseconds),
        received=received,
        broker=alias,
        protocol="kafka",
        channel=raw.topic() or "",
        partition=partition,
        position=str(offset),
    )


def _read_headers(headers: Sequence[tuple[str, bytes | None]]) -> Headers:
    """Keep order and repeats; a value of null is empty."""
    return tuple([(name, value or b"") for name, value in headers])


@lru_cache(maxsize=4_096)
def _read_time(milliseconds: int) -> datetime | None:
    """Read Unix time; None where a producer wrote a time that no calendar has."""
    try:
        return datetime.fromtimestamp(milliseconds / 1_000, UTC)
    except (ValueError, OverflowError, OSError):
        return None
