"""What a connector is tested with: the rig that each broker gives, and how tests use it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar, Protocol, TypeVar
from uuid import uuid4

import pytest

from gateway_lab.brokers.contract import (
    Batch,
    Broker,
    Failure,
    FailureClass,
    Handle,
    Outgoing,
    Sink,
    Source,
)
from gateway_lab.config.plan import AddressPlan
from gateway_lab.messages.headers import Headers
from gateway_lab.messages.message import Message
from gateway_lab.protocols.protocol import Carries
from gateway_lab.protocols.registry import PROTOCOLS

T = TypeVar("T")

FEATURES = frozenset(
    {"attempts", "crash", "cuts", "groups", "leases", "looks", "order", "stops", "unroutable"}
)
"""What some brokers do and others do not.

- `attempts`: counts how often a message was delivered.
- `crash`: outlives the process that reads; the rig is a `CrashRig`.
- `cuts`: the rig can break all connections.
- `groups`: two sources of different names each get every message.
- `leases`: gives a message to another member after a while of silence; the rig is a `LeaseRig`.
- `looks`: lets one look at messages without taking them.
- `order`: gives out a channel's messages of one key in the order in which they were stored.
- `stops`: the rig can stop and start the server.
- `unroutable`: tells of a message to a channel that is not there.
"""

LIMIT_S = 40.0
"""How long anything may take before a test fails; a pass never waits for it."""

LARGEST_BODY_TRIED = 64 * 1024 * 1024
"""Nothing larger is sent to see it refused: it would only measure the machine's memory."""


class Rig(Protocol):
    """A running server, and a client of it that is not the connector."""

    options: object

    async def broker(self) -> Broker:
        """Return a connection of its own, opened."""

    async def fresh_channel(self) -> str:
        """Create a channel that nobody used, and return its name."""

    def absent_channel(self) -> str:
        """Return a legal name of a channel that is not there."""

    def address(self, channel: str) -> AddressPlan:
        """Return where a source reads a channel."""

    async def publish(self, channel: str, messages: Sequence[Message]) -> None:
        """Store messages, in their order and as the protocol carries them, and wait until done."""

    async def fetch(self, channel: str, n: int) -> list[Message]:
        """Wait until a channel holds `n` messages, and return all it holds, in order."""

    async def cut_connections(self) -> None:
        """Break every connection of the connector, as a network would."""

    async def stop(self) -> None:
        """Stop the server; connections end."""

    async def start(self) -> None:
        """Start it again, on the data that it had."""


class CrashRig(Rig, Protocol):
    """A rig whose connector can run in a process of its own, to be killed."""

    def program(self) -> str:
        """Return Python that sets `broker` to a connection as `broker()` makes them, not opened."""


class LeaseRig(Rig, Protocol):
    """A rig of a broker with leases.

    Attributes:
        lease_s: After this much silence another member gets the messages of one; short.
    """

    lease_s: float


async def soon(awaitable: Awaitable[T]) -> T:
    """Wait, but not for ever."""
    return await asyncio.wait_for(awaitable, LIMIT_S)


def a_message(body: bytes | None = b"{}", key: bytes | None = None, **fields: object) -> Message:
    """Return a message to publish."""
    return Message(body=body, key=key, received=datetime.now(UTC), **fields)  # type: ignore[arg-type]


def an_outgoing(
    channel: str,
    body: bytes | None = b"{}",
    *,
    key: bytes | None = None,
    headers: Headers = (),
    timestamp: datetime | None = None,
    id: str | None = None,  # noqa: A002 - the field's name
) -> Outgoing:
    """Return a message to send; its id is its own unless given."""
    return Outgoing(channel, key, headers, body, timestamp, id or uuid4().hex)


def numbers(n: int, start: int = 0) -> list[bytes]:
    """Return bodies that name their place."""
    return [b"%d" % number for number in range(start, start + n)]


class Reading:
    """What was read from a source until now."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.messages: list[Message] = []
        self.handles: list[Handle] = []
        self.attempts: list[int] = []

    async def until(self, is_enough: Callable[[], bool], limit: int = 1_000) -> None:
        """Read on until there is enough."""
        async with asyncio.timeout(LIMIT_S):
            while not is_enough():
                self.add(await self.source.read(limit))

    async def bodies(self, n: int, limit: int = 1_000) -> list[bytes | None]:
        """Read until there are `n` different bodies, and return all in the order of reading."""
        await self.until(lambda: len({each.body for each in self.messages}) >= n, limit)
        return [each.body for each in self.messages]

    def add(self, batch: Batch) -> None:
        """Take a batch in; its lists go together."""
        assert 0 < len(batch.messages) == len(batch.handles) == len(batch.attempts)
        self.messages += batch.messages
        self.handles += batch.handles
        self.attempts += batch.attempts

    async def settle(self) -> None:
        """Settle everything that was read."""
        await soon(self.source.settle(self.handles))


async def send_until_confirmed(sink: Sink, batch: Sequence[Outgoing]) -> None:
    """Send as a gateway does: what failed in a way that passes is sent again."""
    async with asyncio.timeout(LIMIT_S):
        while batch:
            failures = await sink.send(batch)
            batch = [each for each, failure in zip(batch, failures, strict=True) if failure]
            assert {f.failure_class for f in failures if f} <= {FailureClass.RETRYABLE}
            await asyncio.sleep(0.05 if batch else 0)  # the gateway's back-off


def classes(failures: Sequence[Failure | None]) -> list[FailureClass | None]:
    """Return the class of each failure, None where there is none."""
    return [failure.failure_class if failure else None for failure in failures]


def _limits(carries: Carries) -> frozenset[str]:
    """Name what a protocol's limits let one try."""
    tried = {
        "body-limit": carries.body_bytes <= LARGEST_BODY_TRIED,
        "header-limit": carries.header_bytes is not None,
        "text-headers": not carries.binary,
    }
    return frozenset(name for name, is_tried in tried.items() if is_tried)


class ConnectorTests:
    """What the tests of a connector share; a subclass has the fixture `rig`.

    Attributes:
        protocol: Whose connector it is.
        features: What its broker does, of `FEATURES`; sentences about the rest are not asked.
    """

    pytestmark = pytest.mark.anyio
    protocol: ClassVar[str] = ""
    features: ClassVar[frozenset[str]] = FEATURES

    def __init_subclass__(cls, **options: Any) -> None:
        """Take out what does not apply: nothing is skipped."""
        super().__init_subclass__(**options)
        if not cls.protocol:
            return
        assert cls.features <= FEATURES
        does = cls.features | _limits(PROTOCOLS[cls.protocol].carries)
        does |= frozenset() if "looks" in cls.features else {"takes"}
        for name in dir(cls):
            marks: Sequence[pytest.Mark] = getattr(getattr(cls, name), "pytestmark", ())
            if any(each.name == "needs_feature" and each.args[0] not in does for each in marks):
                setattr(cls, name, None)

    @pytest.fixture(scope="session")
    @classmethod
    def anyio_backend(cls) -> str:
        """Run on asyncio, as the gateway does."""
        return "asyncio"

    @pytest.fixture
    def rig(self) -> Rig:
        """Return the rig of a broker."""
        raise NotImplementedError("a suite needs a rig")

    @pytest.fixture
    def carries(self, broker: Broker) -> Carries:
        """Return what the protocol can carry."""
        return PROTOCOLS[broker.protocol].carries

    @pytest.fixture
    async def broker(self, rig: Rig) -> AsyncIterator[Broker]:
        """Yield a connection."""
        broker = await soon(rig.broker())
        yield broker
        await soon(broker.close())

    @pytest.fixture
    async def second(self, rig: Rig) -> AsyncIterator[Broker]:
        """Yield another connection to the same server."""
        broker = await soon(rig.broker())
        yield broker
        await soon(broker.close())

    @pytest.fixture
    async def channel(self, rig: Rig) -> str:
        """Return a channel that nobody used."""
        return await soon(rig.fresh_channel())

    @staticmethod
    async def open(broker: Broker, rig: Rig, *channels: str, name: str = "reader") -> Reading:
        """Open a source on channels."""
        addresses = [rig.address(channel) for channel in channels]
        return Reading(await soon(broker.source(name, addresses, rig.options)))

    async def reopen(
        self, rig: Rig, channel: str, expected: Iterable[bytes | None] = ()
    ) -> list[bytes | None]:
        """Return what comes again to the same group; at least what is expected, or it fails.

        That nothing else comes is known once a marker came from each partition, behind the rest.
        """
        markers = [b"marker-%d" % number for number in range(16)]
        broker = await soon(rig.broker())
        try:
            reading = await self.open(broker, rig, channel)
            await rig.publish(channel, [a_message(marker, marker) for marker in markers])
            wanted = {*markers, *expected}
            await reading.until(lambda: wanted <= {each.body for each in reading.messages})
            await reading.settle()
        finally:
            await soon(broker.close())
        return [each.body for each in reading.messages if each.body not in markers]

    async def round_trip(
        self, rig: Rig, broker: Broker, batch: Sequence[Outgoing]
    ) -> list[Message]:
        """Send messages to one channel, and return them as a source reads them."""
        assert await soon(broker.sink().send(batch)) == [None] * len(batch)
        reading = await self.open(broker, rig, batch[0].channel)
        await reading.until(lambda: len(reading.messages) >= len(batch))
        return reading.messages
