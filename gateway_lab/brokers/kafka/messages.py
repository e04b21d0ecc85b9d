"""From a message of Kafka's client to ours."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final, cast

from confluent_kafka import TIMESTAMP_NOT_AVAILABLE
from confluent_kafka import Message as RawMessage

from gateway_lab.messages.headers import Headers
from gateway_lab.messages.message import Message

_MAX_REMEMBERED: Final = 4_096


def read_message(
    raw: RawMessage, place: tuple[str, str], offset: int, alias: str, received: datetime
) -> Message:
    """Make our message of one that was fetched.

    Args:
        raw: What was fetched.
        place: Its topic and partition; those of one partition share the texts.
        offset: Its own.
        alias: Of the connection.
        received: Now.
    """
    kind, milliseconds = raw.timestamp()
    headers: Any = raw.headers()
    return Message(
        body=raw.value(),
        key=raw.key(),
        headers=_read_headers(headers) if headers else (),
        timestamp=None if kind == TIMESTAMP_NOT_AVAILABLE else _TIMES[milliseconds],
        received=received,
        broker=alias,
        protocol="kafka",
        channel=place[0],
        partition=place[1],
        position=str(offset),
    )


def _read_headers(headers: Sequence[tuple[str, bytes | None]]) -> Headers:
    """Keep order and repeats; a value of null is empty."""
    for _, value in headers:
        if value is None:
            return tuple([(name, value or b"") for name, value in headers])
    return cast("Headers", tuple(headers))


class _Times(dict[int, datetime | None]):
    """Times by Unix time: at a high rate many messages share a millisecond."""

    def __missing__(self, milliseconds: int) -> datetime | None:
        if len(self) >= _MAX_REMEMBERED:
            self.clear()
        time = self[milliseconds] = _read_time(milliseconds)
        return time


_TIMES: Final = _Times()


def _read_time(milliseconds: int) -> datetime | None:
    """Read Unix time; None where a producer wrote a time that no calendar has."""
    try:
        return datetime.fromtimestamp(milliseconds / 1_000, UTC)
    except (ValueError, OverflowError, OSError):
        return None
