"""The clients of the servers for what is not asynchronous: records in, records out."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import Final

from gateway_lab.messages.message import Message
from gateway_lab.testing.server_process import Server
from tests.live.client_messages import LIMIT_S, a_message
from tests.live.clients import Client, Fresh
from tests.live.script import Record

AT_ONCE: Final = 20_000
"""Records that are messages at the same time."""


class Blocking:
    """A client of one server, whose every call waits until it is done.

    Args:
        client: What it asks; left out: one of the server's that connects anew for each call.
    """

    def __init__(self, server: Server, client: Client | None = None) -> None:
        self._client = client or Fresh(server.protocol, server.url)

    def create(self, channels: Sequence[str]) -> None:
        """Make channels, durable."""
        asyncio.run(self._client.create(channels))

    def publish(self, channel: str, records: Iterable[tuple[int, Record]]) -> Iterator[int]:
        """Store records in order, and give the numbers of those that the broker confirmed."""
        rest = iter(records)
        while some := list(islice(rest, AT_ONCE)):
            messages = [_message(record) for _, record in some]
            asyncio.run(self._client.publish(channel, messages))
            yield from [number for number, _ in some]

    def drain(self, channel: str) -> list[Record]:
        """Return everything that lies in a channel; from a queue of RabbitMQ it is taken out."""
        fetched = asyncio.run(self._client.fetch([channel]))
        return [_record(each) for each in fetched[channel]]

    def size(self, channel: str) -> int:
        """Return how many messages a channel holds."""
        return asyncio.run(self._client.count(channel))

    def lag(self, channel: str, group: str) -> int:
        """Return how much of a channel a group has not finished; see `clients.Client.left`."""
        return asyncio.run(self._client.left(group, channel))

    def is_held(self, channel: str) -> bool:
        """Say whether somebody holds messages that `lag` does not count."""
        return asyncio.run(self._client.is_held(channel))


def wait_until(is_so: Callable[[], bool], what: str, *, limit_s: float = LIMIT_S) -> None:
    """Wait for a condition.

    Raises:
        TimeoutError: It did not come true in time.
    """
    end = time.monotonic() + limit_s
    while not is_so():
        if time.monotonic() > end:
            raise TimeoutError(f"waited {limit_s:.0f} s for this: {what}")
        time.sleep(0.05)


def _message(record: Record) -> Message:
    ms = record.timestamp_ms
    at = None if ms is None else datetime.fromtimestamp(ms / 1_000, UTC)
    return a_message(record.body, record.key, record.headers, at)


def _record(message: Message) -> Record:
    at = message.timestamp
    ms = None if at is None else round(at.timestamp() * 1_000)
    return Record(message.body or b"", message.key, message.headers, ms)
