"""Memory: the connector to a little broker in this process, for tests and for first tries.

The address is `memory://NAME`: all connections of a process to one name share its channels. Given
as the address of an alias of another protocol it stands in for that broker, with its rules for
names and sizes; what that broker cannot carry, such as binary headers on NATS, it carries.
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
    Place,
)
from gateway_lab.brokers.memory.browser import MemoryBrowser
from gateway_lab.brokers.memory.server import (
    Bell,
    Cursor,
    Member,
    MemoryServer,
    Stored,
    server_at,
)
from gateway_lab.brokers.names import group_name
from gateway_lab.config.plan import AddressPlan
from gateway_lab.messages.message import Message
from gateway_lab.protocols.protocol import Protocol
from gateway_lab.protocols.registry import PROTOCOLS

_AWAY: Final = Failure(FailureClass.RETRYABLE, "the broker is away")
_CLOSED: Final = Failure(FailureClass.RETRYABLE, "the connection is closed")
_UNROUTABLE: Final = Failure(FailureClass.UNROUTABLE, "there is no such channel")


class MemoryBroker:
    """A connection to a memory server; see `contract.Broker`."""

    def __init__(
        self, alias: str, url: str, protocol: str = "memory", *, gateway: str = "", member: str = ""
    ) -> None:
        del member  # members need no names here
        self.alias, self.protocol, self._gateway = alias, protocol, gateway
        self._server = server_at(url)
        self._sink = MemorySink(self._server, PROTOCOLS[protocol])
        self._sources: list[MemorySource] = []

    async def open(self) -> None:
        """Connect, waiting as long as the server is away."""
        await self._server.wait_until_up()

    async def source(
        self, name: str, addresses: Sequence[AddressPlan], options: object
    ) -> MemorySource:
        """Join the gateway's group `name` of each channel; a pattern stands for those that there are now.

        Raises:
            BrokerError: A channel is not there.
        """
        del options  # groups and streams of other protocols mean nothing here
        channels = list(dict.fromkeys(each for one in addresses for each in self._channels_of(one)))
        for each in await self.missing([Place(each, is_read=True) for each in channels]):
            raise _configuration(f"there is no channel {each.channel!r}", where=self.alias)
        group = group_name(self._gateway, name)
        source = MemorySource(
            self._server, group, channels, alias=self.alias, protocol=self.protocol
        )
        self._sources.append(source)
        return source

    def _channels_of(self, address: AddressPlan) -> list[str]:
        if address.pattern is None:
            return [address.channel or ""]
        matches = PROTOCOLS[self.protocol].matches
        return sorted(each for each in self._server.channels if matches(address.pattern, each))

    async def browser(
        self, addresses: Sequence[AddressPlan], options: object, *, from_start: bool = True
    ) -> MemoryBrowser:
        """Look through channels; see the contract."""
        del options
        channels = list(dict.fromkeys(each for one in addresses for each in self._channels_of(one)))
        there = self._server.channels
        for channel in channels:
            if channel not in there:
                raise _configuration(f"there is no channel {channel!r}", where=self.alias)
        return MemoryBrowser(
            self._server, channels, self.alias, self.protocol, from_start=from_start
        )

    def sink(self) -> MemorySink:
        """Return the one sink."""
        return self._sink

    async def missing(self, places: Sequence[Place]) -> list[Place]:
        """Return the places whose channels are not there; who may read may write."""
        there = self._server.channels
        return [place for place in places if place.channel not in there]

    async def create(self, places: Sequence[Place]) -> None:
        """Create channels."""
        self._server.create([each.channel for each in places])

    async def risks(self, places: Sequence[Place]) -> list[str]:
        """Say nothing: that memory ends with the process is what it is for."""
        del places
        return []

    async def close(self) -> None:
        """Close sources and sink."""
        for source in self._sources:
            await source.close()
        self._sources.clear()
        await self._sink.close()


class MemorySource:
    """A member of a group; see `contract.Source`."""

    lost = 0
    starts = None

    def __init__(
        self, server: MemoryServer, name: str, channels: list[str], *, alias: str, protocol: str
    ) -> None:
        self._server, self._alias, self._protocol = server, alias, protocol
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
                    messages.append(
                        stored.message(
                            channel,
                            cursor.index,
                            position,
                            broker=self._alias,
                            protocol=self._protocol,
                        )
                    )
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

    sends_at_once = 1

    def __init__(self, server: MemoryServer, protocol: Protocol) -> None:
        self._server, self._protocol = server, protocol
        self._is_closed = False

    async def send(self, batch: Sequence[Outgoing]) -> list[Failure | None]:
        """Store messages; see `contract.Sink.send`."""
        await asyncio.sleep(0)  # others have their turn, as they would while a network answers
        with self._server.lock:
            if self._is_closed or not self._server.is_up:
                return [_CLOSED if self._is_closed else _AWAY] * len(batch)
            there = self._server.channels
            failures = [self._refuse(message, there) for message in batch]
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

    def _refuse(self, message: Outgoing, there: frozenset[str]) -> Failure | None:
        limit = self._protocol.carries.body_bytes
        if len(message.body or b"") > limit:
            return _permanent(f"the body has more than {limit:,} bytes")
        for name, _ in message.headers:
            if problem := self._protocol.check_header(name):
                return _permanent(f"illegal header: {problem}")
        if message.channel in there:
            return None
        if problem := self._protocol.check_channel(message.channel):
            return _permanent(f"illegal channel: {problem}")
        return _UNROUTABLE


def _stored(message: Outgoing) -> Stored:
    return Stored(message.body, message.key, tuple(message.headers), message.timestamp)


def _permanent(reason: str) -> Failure:
    return Failure(FailureClass.PERMANENT, reason)


def _configuration(reason: str, *, where: str) -> BrokerError:
    return BrokerError(Failure(FailureClass.CONFIGURATION, reason), where=where)
