"""Memory: the connector to a little broker in this process, for tests and for first tries.

The address is `memory://NAME`: all connections of a process to one name share its channels.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Final, cast

from gateway_lab.brokers.contract import (
    Batch,
    BrokerError,
    Failure,
    FailureClass,
    Handle,
    Outgoing,
)
from gateway_lab.brokers.memory_server import (
    Bell,
    Cursor,
    Member,
    MemoryServer,
    Stored,
    server_at,
)
from gateway_lab.config.plan import AddressPlan
from gateway_lab.messages.message import Message
from gateway_lab.protocols.memory import CARRIES, check_channel, check_header

_AWAY: Final = Failure(FailureClass.RETRYABLE, "the broker is away")
_CLOSED: Final = Failure(FailureClass.RETRYABLE, "the connection is closed")
_TOO_LARGE: Final = Failure(
    FailureClass.PERMANENT, f"the body has more than {CARRIES.body_bytes:,} bytes"
)
_UNROUTABLE: Final = Failure(FailureClass.UNROUTABLE, "there is no such channel")


class MemoryBroker:
    """A connection to a memory server; see `contract.Broker`."""

    protocol = "memory"

    def __init__(self, alias: str, url: str) -> None:
        self.alias = alias
        self._server = server_at(url)
        self._sink = MemorySink(self._server)
        self._sources: list[MemorySource] = []

    async def open(self) -> None:
        """Connect, waiting as long as the server is away."""
        await self._server.wait_until_up()

    async def source(
        self, name: str, addresses: Sequence[AddressPlan], options: object
    ) -> MemorySource:
        """Join the group `name` of each channel.

        Raises:
            BrokerError: A channel is not there.
        """
        del options  # the protocol has none
        channels = [address.channel or "" for address in addresses]
        for channel in await self.missing(channels, readable=True):
            raise _configuration(f"there is no channel {channel!r}", where=self.alias)
        self._sources.append(MemorySource(self._server, name, self.alias, channels))
        return self._sources[-1]

    def sink(self) -> MemorySink:
        """Return the one sink."""
        return self._sink

    async def missing(self, channels: Sequence[str], *, readable: bool) -> list[str]:
        """Name the channels that are not there; who may read may write."""
        del readable
        there = self._server.channels
        return [channel for channel in channels if channel not in there]

    async def create(self, channels: Sequence[str]) -> None:
        """Create channels."""
        self._server.create(channels)

    async def close(self) -> None:
        """Close sources and sink."""
        for source in self._sources:
            await source.close()
        self._sources.clear()
        await self._sink.close()


class MemorySource:
    """A member of a group; see `contract.Source`."""

    def __init__(self, server: MemoryServer, name: str, alias: str, channels: list[str]) -> None:
        self._server, self._alias = server, alias
        self._member = Member(Bell(), [])
        self._groups = [server.join(name, channel, self._member) for channel in channels]
        self._turn = 0
        self._is_closed = False

    async def read(self, limit: int) -> Batch:
        """Wait for messages; see `contract.Source.read`."""
        while not self._is_closed:
            if batch := self._take(limit):
                return batch
            await self._member.bell.wait()
        raise _configuration("the source is closed", where=self._alias)

    async def settle(self, handles: Sequence[Handle]) -> None:
        """Forget messages that are done."""
        with self._server.lock:
            for cursor, position in _valid(handles):
                cursor.settle(position)

    async def give_back(self, handles: Sequence[Handle]) -> None:
        """Let messages come again."""
        with self._server.lock:
            for cursor, position in _valid(handles):
                cursor.give_back(position)
        self._member.bell.ring()

    async def close(self) -> None:
        """Leave the group; what was not settled comes again at another member."""
        self._is_closed = True
        with self._server.lock:
            for group in self._groups:
                group.leave(self._member)
        self._member.bell.ring()

    def _take(self, limit: int) -> Batch | None:
        messages: list[Message] = []
        handles: list[Handle] = []
        attempts: list[int] = []
        with self._server.lock:
            for channel, cursor in self._readable():
                for position in cursor.take(limit - len(messages)):
                    stored = cursor.log[position]
                    messages.append(stored.message(channel, cursor.index, position, self._alias))
                    handles.append((cursor, cursor.generation, position))
                    attempts.append(cursor.deliveries.get(position, 0))
        return Batch(messages, handles, attempts) if messages else None

    def _readable(self) -> list[tuple[str, Cursor]]:
        """Begin with another partition each time, so that a busy one starves none."""
        if not self._server.is_up or not (owned := self._member.owned):
            return []
        self._turn = (self._turn + 1) % len(owned)
        return owned[self._turn :] + owned[: self._turn]


def _valid(handles: Sequence[Handle]) -> Iterator[tuple[Cursor, int]]:
    """Leave out what was read before the partition changed hands."""
    for handle in handles:
        cursor, generation, position = cast("tuple[Cursor, int, int]", handle)
        if cursor.generation == generation:
            yield cursor, position


class MemorySink:
    """Stores at once, so that each answer is the truth; see `contract.Sink`."""

    def __init__(self, server: MemoryServer) -> None:
        self._server = server
        self._is_closed = False

    async def send(self, batch: Sequence[Outgoing]) -> list[Failure | None]:
        """Store messages; see `contract.Sink.send`."""
        await asyncio.sleep(0)  # others have their turn, as they would while a network answers
        with self._server.lock:
            if self._is_closed or not self._server.is_up:
                return [_CLOSED if self._is_closed else _AWAY] * len(batch)
            there = self._server.channels
            failures = [_refuse(message, there) for message in batch]
            accepted: defaultdict[str, list[Stored]] = defaultdict(list)
            for message, failure in zip(batch, failures, strict=True):
                if failure is None:
                    accepted[message.channel].append(_stored(message))
            for channel, messages in accepted.items():
                self._server.store(channel, messages)
        return failures

    async def close(self) -> None:
        """Send nothing more."""
        self._is_closed = True


def _stored(message: Outgoing) -> Stored:
    return Stored(message.body, message.key, message.headers, message.timestamp)


def _refuse(message: Outgoing, channels: frozenset[str]) -> Failure | None:
    if len(message.body or b"") > CARRIES.body_bytes:
        return _TOO_LARGE
    for name, _ in message.headers:
        if problem := check_header(name):
            return Failure(FailureClass.PERMANENT, f"illegal header: {problem}")
    if message.channel in channels:
        return None
    if problem := check_channel(message.channel):
        return Failure(FailureClass.PERMANENT, f"illegal channel: {problem}")
    return _UNROUTABLE


def _configuration(reason: str, *, where: str) -> BrokerError:
    return BrokerError(Failure(FailureClass.CONFIGURATION, reason), where=where)
