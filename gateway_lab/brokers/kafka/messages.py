"""From a message of Kafka's client to ours."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final, cast

from confluent_kafka import TIMESTAMP_NOT_AVAILABLE
from confluent_kafka import Message as RawMessage

from gateway_lab.messages.headers import Headers
from gateway_lab.messages.message import Message

_LOG: Final = logging.getLogger(__name__)

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
    try:
        headers: Any = raw.headers()
    except SystemError:  # the client's way to say it; nobody may stop a source by it
        headers = ()
        _warn(*place)
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


@lru_cache(_MAX_REMEMBERED)
def _warn(topic: str, partition: str) -> None:
    told = "headers of messages of topic %s, partition %s, are left out: a name is no UTF-8"
    _LOG.warning(told, topic, partition)


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
