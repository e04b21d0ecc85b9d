"""What every connector is held to: each test is a sentence of `brokers/contract.py`.

Give it a `Rig` for your broker, and pytest runs all of it (anyio's plugin runs the async tests):

    class TestMyConnector(ConnectorSuite):
        @pytest.fixture
        async def rig(self, my_server):
            async with my_client(my_server) as client:
                yield MyRig(client)

What a protocol cannot carry is not asked of it: `PROTOCOLS[…].carries` says what that is. What a
broker does not do by nature is named by `Rig.features`.
"""

from __future__ import annotations

import asyncio
import random
import threading
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Protocol, TypeVar

import pytest

from gateway_lab.brokers.contract import (
    Batch,
    Broker,
    BrokerError,
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

FEATURES = frozenset({"attempts", "cuts", "groups", "order", "stops", "unroutable"})
"""What some brokers do and others do not.

- `attempts`: counts how often a message was delivered.
- `cuts`: the rig can break all connections.
- `groups`: two sources of different names each get every message.
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

    features: frozenset[str]
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
    return Outgoing(channel, key, headers, body, timestamp, id or f"{random.getrandbits(64):x}")


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

    async def up_to(self, body: bytes) -> list[bytes | None]:
        """Read until a body comes, and return all in the order of reading."""
        await self.until(lambda: any(each.body == body for each in self.messages))
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


class ConnectorSuite:
    """Hold a connector to its contract; a subclass has the fixture `rig`."""

    pytestmark = pytest.mark.anyio

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

    @pytest.fixture(autouse=True)
    def _needs(self, request: pytest.FixtureRequest, rig: Rig) -> None:
        assert rig.features <= FEATURES
        for mark in request.node.iter_markers("needs_feature"):
            if mark.args[0] not in rig.features:
                pytest.skip(f"this broker has no {mark.args[0]}")

    @pytest.fixture
    async def broker(self, rig: Rig) -> AsyncIterator[Broker]:
        """Yield a connection."""
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

    async def reopen(self, rig: Rig, channel: str, marker: bytes) -> list[bytes | None]:
        """Return what comes again to the same group, which is all that precedes a new marker."""
        broker = await soon(rig.broker())
        reading = await self.open(broker, rig, channel)
        await rig.publish(channel, [a_message(marker)])
        came = await reading.up_to(marker)
        await reading.settle()
        await soon(broker.close())
        return [body for body in came if body != marker]

    # --- reading ---

    async def test_what_is_stored_is_read(self, rig: Rig, broker: Broker, channel: str) -> None:
        """A message arrives with its body, its key, its headers and where it came from."""
        reading = await self.open(broker, rig, channel)
        sent = a_message(b'{"n": 1}', b"k-1", headers=(("tenant", b"acme"), ("Trace-Id", b"7")))
        await rig.publish(channel, [sent])
        await reading.bodies(1)
        [got] = reading.messages
        assert (got.body, got.key) == (sent.body, sent.key)
        assert dict(got.headers).items() >= dict(sent.headers).items()
        assert (got.broker, got.protocol, got.channel) == (broker.alias, broker.protocol, channel)
        assert got.position is not None
        assert got.received.utcoffset() is not None
        assert reading.attempts == [0]

    async def test_headers_of_the_gateway_are_not_headers_of_the_message(
        self, rig: Rig, broker: Broker, channel: str
    ) -> None:
        """Where key and time travel as headers, a reader does not see those."""
        await rig.publish(channel, [a_message(key=b"k", timestamp=datetime.now(UTC))])
        reading = await self.open(broker, rig, channel)
        await reading.bodies(1)
        names = {name.lower() for name, _ in reading.messages[0].headers}
        assert not names & {"x-gw-key", "x-gw-timestamp"}

    async def test_what_was_stored_before_the_first_start_is_read(
        self, rig: Rig, broker: Broker, channel: str
    ) -> None:
        """A group begins at the first message that there is."""
        await rig.publish(channel, [a_message(body) for body in numbers(20)])
        reading = await self.open(broker, rig, channel)
        assert sorted(await reading.bodies(20)) == sorted(numbers(20))

    async def test_a_batch_is_what_has_arrived(
        self, rig: Rig, broker: Broker, channel: str
    ) -> None:
        """Nobody waits for a batch to be full."""
        reading = await self.open(broker, rig, channel)
        for body in numbers(3):
            await rig.publish(channel, [a_message(body)])
            reading.add(await soon(reading.source.read(10_000)))
        assert [each.body for each in reading.messages] == numbers(3)

    async def test_a_batch_never_exceeds_its_limit(
        self, rig: Rig, broker: Broker, channel: str
    ) -> None:
        """The limit counts messages, and nothing is lost between batches."""
        await rig.publish(channel, [a_message(body) for body in numbers(50)])
        reading = await self.open(broker, rig, channel)
        sizes = []
        while sum(sizes) < 50:
            batch = await soon(reading.source.read(7))
            sizes.append(len(batch.messages))
            reading.add(batch)
        assert max(sizes) <= 7
        assert sorted(each.body or b"" for each in reading.messages) == sorted(numbers(50))

    async def test_a_read_waits_for_the_first_message(
        self, rig: Rig, broker: Broker, channel: str
    ) -> None:
        """With nothing there a read goes on waiting, and ends when something arrives."""
        reading = await self.open(broker, rig, channel)
        waiting = asyncio.create_task(reading.source.read(10))
        await rig.publish(channel, [a_message(b"first")])
        batch = await soon(waiting)
        assert [each.body for each in batch.messages] == [b"first"]

    async def test_a_read_that_is_cancelled_loses_nothing(
        self, rig: Rig, broker: Broker, channel: str
    ) -> None:
        """What a read had when it was cancelled comes with the next, or after the source closed."""
        reading = await self.open(broker, rig, channel)
        for body in numbers(30):
            waiting = asyncio.create_task(reading.source.read(10))
            await rig.publish(channel, [a_message(body)])
            waiting.cancel()
            try:
                reading.add(await waiting)
            except asyncio.CancelledError:
                continue
        await reading.settle()
        await soon(reading.source.close())
        got = {each.body for each in reading.messages}
        got.update(await self.reopen(rig, channel, b"marker"))
        assert got == set(numbers(30))

    async def test_positions_name_messages(self, rig: Rig, broker: Broker, channel: str) -> None:
        """No two messages of a channel have the same partition and position."""
        await rig.publish(channel, [a_message(body, body) for body in numbers(40)])
        reading = await self.open(broker, rig, channel)
        await reading.bodies(40)
        places = Counter((each.partition, each.position) for each in reading.messages)
        assert set(places.values()) == {1}

    async def test_a_source_reads_several_channels(
        self, rig: Rig, broker: Broker, channel: str
    ) -> None:
        """One source may have several addresses; each message says which it came from."""
        other = await soon(rig.fresh_channel())
        await rig.publish(channel, [a_message(body) for body in numbers(10)])
        await rig.publish(other, [a_message(body) for body in numbers(10, 10)])
        reading = await self.open(broker, rig, channel, other)
        await reading.bodies(20)
        got = defaultdict(set)
        for each in reading.messages:
            got[each.channel].add(each.body)
        assert got == {channel: set(numbers(10)), other: set(numbers(10, 10))}

    @pytest.mark.needs_feature("order")
    async def test_messages_of_a_key_are_read_in_order(
        self, rig: Rig, broker: Broker, channel: str
    ) -> None:
        """Of one partition and key, first occurrences come in the order they were stored."""
        keys = [b"k%d" % (number % 7) for number in range(300)]
        stored = [a_message(body, key) for body, key in zip(numbers(300), keys, strict=True)]
        await rig.publish(channel, stored)
        reading = await self.open(broker, rig, channel)
        await reading.bodies(300, limit=40)
        by_key = defaultdict(list)
        for each in reading.messages:
            by_key[each.key].append(int(each.body or b"-1"))
        assert all(seen == sorted(seen) for seen in by_key.values())
        assert len(by_key) == 7

    @pytest.mark.needs_feature("groups")
    async def test_sources_of_different_names_each_get_everything(
        self, rig: Rig, broker: Broker, channel: str
    ) -> None:
        """The name of a source is its group."""
        await rig.publish(channel, [a_message(body) for body in numbers(10)])
        one = await self.open(broker, rig, channel, name="one")
        two = await self.open(broker, rig, channel, name="two")
        assert set(await one.bodies(10)) == set(numbers(10))
        assert set(await two.bodies(10)) == set(numbers(10))

    async def test_members_of_a_group_share_the_work(
        self, rig: Rig, broker: Broker, channel: str
    ) -> None:
        """Two connections of one name get everything between them, and nothing is left over."""
        second = await soon(rig.broker())
        one = await self.open(broker, rig, channel)
        two = await self.open(second, rig, channel)
        await rig.publish(channel, [a_message(body, body) for body in numbers(100)])
        got: set[bytes | None] = set()

        async def settle_all(reading: Reading) -> None:
            while len(got) < 100:
                batch = await reading.source.read(10)
                await reading.source.settle(batch.handles)
                got.update(each.body for each in batch.messages)

        both = [asyncio.create_task(settle_all(each)) for each in (one, two)]
        await soon(asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED))
        for task in both:
            task.cancel()
        await asyncio.wait(both)
        assert got == set(numbers(100))
        await soon(second.close())
        await soon(broker.close())
        assert await self.reopen(rig, channel, b"marker") == []

    # --- settling ---

    async def test_a_settled_message_does_not_come_again(
        self, rig: Rig, broker: Broker, channel: str
    ) -> None:
        """After a clean stop there is no duplicate."""
        await rig.publish(channel, [a_message(body) for body in numbers(50)])
        reading = await self.open(broker, rig, channel)
        await reading.bodies(50)
        await reading.settle()
        await soon(broker.close())
        assert await self.reopen(rig, channel, b"marker") == []

    async def test_settling_takes_any_order(self, rig: Rig, broker: Broker, channel: str) -> None:
        """Messages are settled as they are done, one by one or several at once."""
        await rig.publish(channel, [a_message(body) for body in numbers(50)])
        reading = await self.open(broker, rig, channel)
        await reading.bodies(50)
        handles = random.Random(7).sample(reading.handles, len(reading.handles))
        for handle in handles[:25]:
            await soon(reading.source.settle([handle]))
        await soon(reading.source.settle(handles[25:]))
        await soon(broker.close())
        assert await self.reopen(rig, channel, b"marker") == []

    async def test_what_was_not_settled_comes_again(
        self, rig: Rig, broker: Broker, channel: str
    ) -> None:
        """A source that ends with messages in hand has lost none of them."""
        await rig.publish(channel, [a_message(body) for body in numbers(20)])
        reading = await self.open(broker, rig, channel)
        bodies = await reading.bodies(20)
        await soon(reading.source.settle(reading.handles[1::2]))
        await soon(broker.close())
        assert set(await self.reopen(rig, channel, b"marker")) >= set(bodies[::2])

    async def test_what_was_never_read_comes_to_the_next(
        self, rig: Rig, broker: Broker, channel: str
    ) -> None:
        """What a connector fetched ahead and nobody read is not lost when it closes."""
        await rig.publish(channel, [a_message(body) for body in numbers(100)])
        reading = await self.open(broker, rig, channel)
        batch = await soon(reading.source.read(1))
        await soon(reading.source.settle(batch.handles))
        await soon(broker.close())
        came = await self.reopen(rig, channel, b"marker")
        assert sorted([*came, batch.messages[0].body]) == sorted(numbers(100))

    async def test_what_is_given_back_comes_again(
        self, rig: Rig, broker: Broker, channel: str
    ) -> None:
        """Here or at another member, without a restart."""
        await rig.publish(channel, [a_message(body) for body in numbers(10)])
        reading = await self.open(broker, rig, channel)
        await reading.bodies(10)
        await soon(reading.source.give_back(reading.handles))
        again = Reading(reading.source)
        assert set(await again.bodies(10)) == set(numbers(10))

    @pytest.mark.needs_feature("attempts")
    async def test_deliveries_are_counted(self, rig: Rig, broker: Broker, channel: str) -> None:
        """A message that comes again says so."""
        await rig.publish(channel, [a_message()])
        reading = await self.open(broker, rig, channel)
        for _ in range(3):
            batch = await soon(reading.source.read(1))
            reading.add(batch)
            await soon(reading.source.give_back(batch.handles))
        assert reading.attempts == [0, 1, 2]

    async def test_settling_twice_is_settling_once(
        self, rig: Rig, broker: Broker, channel: str
    ) -> None:
        """Neither a handle that is settled already nor an empty list is an error."""
        await rig.publish(channel, [a_message(body) for body in numbers(5)])
        reading = await self.open(broker, rig, channel)
        await reading.bodies(5)
        await reading.settle()
        await reading.settle()
        await soon(reading.source.give_back(reading.handles))
        await soon(reading.source.settle([]))
        await soon(broker.close())
        assert await self.reopen(rig, channel, b"marker") == []

    # --- sending ---

    async def test_what_is_confirmed_is_stored(
        self, rig: Rig, broker: Broker, channel: str
    ) -> None:
        """A confirmed message can be read by any client."""
        message = an_outgoing(channel, b'{"n": 1}', key=b"k", headers=(("tenant", b"acme"),))
        assert await soon(broker.sink().send([message])) == [None]
        [stored] = await soon(rig.fetch(channel, 1))
        assert (stored.body, stored.key) == (message.body, message.key)
        assert dict(stored.headers)["tenant"] == b"acme"

    async def test_a_large_batch_is_confirmed_as_a_whole(
        self, rig: Rig, broker: Broker, channel: str
    ) -> None:
        """Thousands at once are nothing special; each is stored once."""
        batch = [an_outgoing(channel, body) for body in numbers(3_000)]
        assert await soon(broker.sink().send(batch)) == [None] * 3_000
        stored = await soon(rig.fetch(channel, 3_000))
        assert sorted(each.body or b"" for each in stored) == sorted(numbers(3_000))

    async def test_batches_may_be_sent_at_once(
        self, rig: Rig, broker: Broker, channel: str
    ) -> None:
        """Several sources share one sink."""
        sink = broker.sink()
        batches = [[an_outgoing(channel, body) for body in numbers(50, 50 * n)] for n in range(8)]
        answers = await soon(asyncio.gather(*(sink.send(batch) for batch in batches)))
        assert answers == [[None] * 50] * 8
        stored = await soon(rig.fetch(channel, 400))
        assert {each.body for each in stored} == set(numbers(400))

    async def test_messages_of_a_key_are_stored_in_order(
        self, rig: Rig, broker: Broker, channel: str
    ) -> None:
        """A batch keeps its order for each key, and so do batches one after the other."""
        sink, by_key = broker.sink(), defaultdict(list)
        for start in range(0, 300, 100):
            bodies = numbers(100, start)
            batch = [an_outgoing(channel, each, key=b"k%d" % (int(each) % 7)) for each in bodies]
            assert await soon(sink.send(batch)) == [None] * 100
        for each in await soon(rig.fetch(channel, 300)):
            by_key[each.key].append(int(each.body or b"-1"))
        assert all(seen == sorted(seen) for seen in by_key.values())
        assert len(by_key) == 7

    async def test_deliveries_that_differ_only_in_their_id_are_all_stored(
        self, rig: Rig, broker: Broker, channel: str
    ) -> None:
        """Brokers that drop repeats must not drop what only looks like one."""
        batch = [an_outgoing(channel, b"same", key=b"k", id=f"delivery-{n}") for n in range(5)]
        assert await soon(broker.sink().send(batch)) == [None] * 5
        assert len(await soon(rig.fetch(channel, 5))) == 5

    async def test_nothing_is_sent_for_an_empty_batch(self, broker: Broker) -> None:
        """No message, no answer."""
        assert await soon(broker.sink().send([])) == []

    @pytest.mark.needs_feature("unroutable")
    async def test_a_channel_that_is_not_there_is_unroutable(
        self, rig: Rig, broker: Broker, channel: str
    ) -> None:
        """The failure is that message's alone, and the channel is still not there."""
        absent = rig.absent_channel()
        batch = [
            an_outgoing(channel, b"0"),
            an_outgoing(absent, b"1"),
            an_outgoing(channel, b"2"),
            an_outgoing(absent, b"3"),
        ]
        failures = await soon(broker.sink().send(batch))
        assert classes(failures) == [None, FailureClass.UNROUTABLE, None, FailureClass.UNROUTABLE]
        assert {each.body for each in await soon(rig.fetch(channel, 2))} == {b"0", b"2"}
        assert await soon(broker.missing([absent, channel], readable=False)) == [absent]

    async def test_what_can_never_be_sent_is_a_permanent_failure(
        self, rig: Rig, broker: Broker, channel: str
    ) -> None:
        """Illegal channels and headers fail at once and alone; the connection stays as it was."""
        batch = [
            an_outgoing(channel, b"0"),
            an_outgoing("an illegal channel"),
            an_outgoing(""),
            an_outgoing("x" * 300),
            an_outgoing(channel, headers=(("h" * 300, b""),)),
            an_outgoing(channel, b"5"),
        ]
        permanent = [FailureClass.PERMANENT] * 4
        for _ in range(2):
            failures = await soon(broker.sink().send(batch))
            assert classes(failures) == [None, *permanent, None]
        assert {each.body for each in await soon(rig.fetch(channel, 4))} == {b"0", b"5"}

    async def test_a_message_that_is_too_large_is_a_permanent_failure(
        self, rig: Rig, broker: Broker, channel: str, carries: Carries
    ) -> None:
        """Its neighbours are stored, and so is what follows."""
        if carries.body_bytes > LARGEST_BODY_TRIED:
            pytest.skip("the limit of this protocol is too far away")
        large = b"x" * (carries.body_bytes + 1)
        batch = [an_outgoing(channel, body) for body in (b"0", large, b"2")]
        sink = broker.sink()
        assert classes(await soon(sink.send(batch))) == [None, FailureClass.PERMANENT, None]
        assert await soon(sink.send([an_outgoing(channel, b"3")])) == [None]
        assert {each.body for each in await soon(rig.fetch(channel, 3))} == {b"0", b"2", b"3"}

    async def test_headers_that_are_too_large_are_a_permanent_failure(
        self, rig: Rig, broker: Broker, channel: str, carries: Carries
    ) -> None:
        """A broker that would hang up never sees them."""
        if carries.header_bytes is None:
            pytest.skip("this protocol has no limit of its own")
        headers = tuple((f"h{n}", b"x" * 2_000) for n in range(carries.header_bytes // 2_000 + 1))
        batch = [an_outgoing(channel, b"0"), an_outgoing(channel, headers=headers)]
        sink = broker.sink()
        assert classes(await soon(sink.send(batch))) == [None, FailureClass.PERMANENT]
        assert await soon(sink.send([an_outgoing(channel, b"2")])) == [None]
        assert {each.body for each in await soon(rig.fetch(channel, 2))} == {b"0", b"2"}

    # --- what comes out is what went in ---

    async def test_bodies_are_any_bytes(self, rig: Rig, broker: Broker, channel: str) -> None:
        """Empty, binary or long: no byte is touched."""
        bodies = [b"", bytes(range(256)), b"\xff\xfe\x00", b"\r\n\r\n", b"x" * 100_000]
        got = await self._round_trip(rig, broker, [an_outgoing(channel, body) for body in bodies])
        assert sorted(each.body or b"" for each in got) == sorted(bodies)

    async def test_a_tombstone_is_told_from_an_empty_body(
        self, rig: Rig, broker: Broker, channel: str, carries: Carries
    ) -> None:
        """Where the protocol has none, a tombstone arrives as an empty body."""
        [got] = await self._round_trip(rig, broker, [an_outgoing(channel, None, key=b"k")])
        assert got.body == (None if carries.tombstone else b"")

    async def test_keys_round_trip(
        self, rig: Rig, broker: Broker, channel: str, carries: Carries
    ) -> None:
        """No key is not an empty key."""
        keys = [None, b"k", "schlüssel".encode()]
        keys += [bytes(range(256))] if carries.binary else []
        batch = [
            an_outgoing(channel, body, key=key)
            for body, key in zip(numbers(len(keys)), keys, strict=True)
        ]
        got = await self._round_trip(rig, broker, batch)
        assert {each.body: each.key for each in got} == {each.body: each.key for each in batch}

    async def test_headers_round_trip(
        self, rig: Rig, broker: Broker, channel: str, carries: Carries
    ) -> None:
        """Names keep their case, values their bytes."""
        headers = [("plain", b"1"), ("Mixed-Case", "grün".encode()), ("empty", b"")]
        headers += [("spaced", b"a b: c")]
        headers += [("binary", bytes(range(256)))] if carries.binary else []
        batch = [an_outgoing(channel, headers=tuple(headers))]
        [got] = await self._round_trip(rig, broker, batch)
        assert sorted(got.headers) == sorted(headers)

    async def test_repeated_headers_round_trip(
        self, rig: Rig, broker: Broker, channel: str, carries: Carries
    ) -> None:
        """In their order; where a name cannot repeat, the last value counts."""
        headers = (("via", b"1"), ("other", b"x"), ("via", b"2"))
        [got] = await self._round_trip(rig, broker, [an_outgoing(channel, headers=headers)])
        via = [value for name, value in got.headers if name == "via"]
        assert via == ([b"1", b"2"] if carries.repeated else [b"2"])

    async def test_a_header_of_bytes_is_refused_where_only_text_passes(
        self, broker: Broker, channel: str, carries: Carries
    ) -> None:
        """Rather a dead letter than a value that changed."""
        if carries.binary:
            pytest.skip("headers of this protocol are bytes")
        sink = broker.sink()
        for value in (b"\xff", b"a\r\nb: c", b"\0"):
            message = an_outgoing(channel, headers=(("h", value),))
            assert classes(await soon(sink.send([message]))) == [FailureClass.PERMANENT]
        assert await soon(sink.send([an_outgoing(channel)])) == [None]

    async def test_timestamps_round_trip(self, rig: Rig, broker: Broker, channel: str) -> None:
        """The time of the source message is kept, to the millisecond at least."""
        moment = datetime(2026, 2, 3, 4, 5, 6, 789_000, tzinfo=UTC)
        [got] = await self._round_trip(rig, broker, [an_outgoing(channel, timestamp=moment)])
        assert got.timestamp == moment

    async def _round_trip(
        self, rig: Rig, broker: Broker, batch: Sequence[Outgoing]
    ) -> list[Message]:
        assert await soon(broker.sink().send(batch)) == [None] * len(batch)
        reading = await self.open(broker, rig, batch[0].channel)
        await reading.until(lambda: len(reading.messages) >= len(batch))
        return reading.messages

    # --- nothing is created unasked ---

    async def test_looking_creates_nothing(self, rig: Rig, broker: Broker, channel: str) -> None:
        """A channel that is missing stays missing, however often one asks."""
        absent = rig.absent_channel()
        for readable in (True, False, True, False):
            assert await soon(broker.missing([channel, absent], readable=readable)) == [absent]

    async def test_a_source_on_a_missing_channel_is_an_error_of_configuration(
        self, rig: Rig, broker: Broker, channel: str
    ) -> None:
        """It is said at once, and the channel is not made."""
        absent = rig.absent_channel()
        with pytest.raises(BrokerError) as caught:
            await self.open(broker, rig, channel, absent)
        assert caught.value.failure.failure_class is FailureClass.CONFIGURATION
        assert await soon(broker.missing([absent], readable=True)) == [absent]

    async def test_a_channel_is_created_when_asked_for(self, rig: Rig, broker: Broker) -> None:
        """And can then be written to and read from; asking again changes nothing."""
        name = rig.absent_channel()
        await soon(broker.create([name]))
        await soon(broker.create([name]))
        assert await soon(broker.missing([name], readable=True)) == []
        [got] = await self._round_trip(rig, broker, [an_outgoing(name, b"1")])
        assert got.body == b"1"

    # --- connections break, and end ---

    @pytest.mark.needs_feature("cuts")
    async def test_reading_goes_on_when_connections_were_cut(
        self, rig: Rig, broker: Broker, channel: str
    ) -> None:
        """A read sees no error, and what was not settled comes again."""
        await rig.publish(channel, [a_message(body) for body in numbers(10)])
        reading = await self.open(broker, rig, channel)
        await reading.bodies(10)
        await rig.cut_connections()
        await soon(reading.source.settle(reading.handles[:3]))
        await rig.publish(channel, [a_message(body) for body in numbers(10, 10)])
        await reading.bodies(20)
        await reading.settle()
        await soon(broker.close())
        got = {each.body for each in reading.messages}
        got.update(await self.reopen(rig, channel, b"marker"))
        assert got == set(numbers(20))

    @pytest.mark.needs_feature("cuts")
    async def test_sending_goes_on_when_connections_were_cut(
        self, rig: Rig, broker: Broker, channel: str
    ) -> None:
        """What had no answer is a failure that passes; nothing confirmed is lost."""
        sink = broker.sink()
        await send_until_confirmed(sink, [an_outgoing(channel, b"before")])
        await rig.cut_connections()
        batch = [an_outgoing(channel, body) for body in numbers(20)]
        await send_until_confirmed(sink, batch)
        await rig.cut_connections()
        await send_until_confirmed(sink, [an_outgoing(channel, b"after")])
        stored = {each.body for each in await soon(rig.fetch(channel, 22))}
        assert stored == {b"before", b"after", *numbers(20)}

    @pytest.mark.needs_feature("stops")
    async def test_the_server_may_be_away(self, rig: Rig, broker: Broker, channel: str) -> None:
        """Sending and reading wait for it, or fail in a way that passes; nothing is lost."""
        reading = await self.open(broker, rig, channel)
        sink = broker.sink()
        await send_until_confirmed(sink, [an_outgoing(channel, b"before")])
        await reading.bodies(1)
        await rig.stop()
        sending = asyncio.create_task(send_until_confirmed(sink, [an_outgoing(channel, b"after")]))
        waiting = asyncio.create_task(reading.up_to(b"after"))
        try:
            opening = asyncio.create_task(rig.broker())
        finally:
            await rig.start()
        await soon(sending)
        await soon(waiting)
        await soon((await soon(opening)).close())

    @pytest.mark.needs_feature("stops")
    async def test_closing_does_not_wait_for_a_server_that_is_away(
        self, rig: Rig, broker: Broker, channel: str
    ) -> None:
        """It neither hangs nor raises."""
        await rig.publish(channel, [a_message(body) for body in numbers(5)])
        reading = await self.open(broker, rig, channel)
        await reading.bodies(5)
        await rig.stop()
        try:
            await soon(reading.source.close())
            await soon(broker.close())
        finally:
            await rig.start()

    async def test_a_connection_that_is_closed_leaves_nothing_behind(
        self, rig: Rig, channel: str
    ) -> None:
        """No task and no thread is left, with messages in hand and a read that was cancelled."""
        tasks, threads = asyncio.all_tasks(), set(threading.enumerate())
        broker = await soon(rig.broker())
        reading = await self.open(broker, rig, channel)
        assert await soon(broker.sink().send([an_outgoing(channel)])) == [None]
        await reading.until(lambda: len(reading.messages) == 1)
        waiting = asyncio.create_task(reading.source.read(1))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait([waiting])
        await soon(broker.close())
        assert asyncio.all_tasks() - tasks == set()
        assert {
            each.name for each in set(threading.enumerate()) - threads if not _is_pool(each)
        } == set()

    async def test_closing_twice_is_closing_once(
        self, rig: Rig, broker: Broker, channel: str
    ) -> None:
        """Sources, the sink and the connection can be closed in any order, and again."""
        reading = await self.open(broker, rig, channel)
        await soon(reading.source.close())
        await soon(broker.sink().close())
        await soon(broker.close())
        await soon(reading.source.close())
        await soon(broker.close())

    async def test_addresses_are_shown_to_nobody(
        self, rig: Rig, broker: Broker, channel: str
    ) -> None:
        """What a log or a traceback shows names the alias, never the host or a password."""
        reading = await self.open(broker, rig, channel)
        with pytest.raises(BrokerError) as caught:
            await self.open(broker, rig, rig.absent_channel())
        shown = [repr(each) for each in (broker, broker.sink(), reading.source)]
        text = " ".join([*shown, str(caught.value)])
        assert not [
            secret for secret in ("127.0.0.1", "localhost", "guest", "://") if secret in text
        ]


def classes(failures: Sequence[Failure | None]) -> list[FailureClass | None]:
    """Return the class of each failure, None where there is none."""
    return [failure.failure_class if failure else None for failure in failures]


def _is_pool(thread: threading.Thread) -> bool:
    """Say whether a thread is the event loop's own: asyncio ends those with the loop."""
    return thread.name.startswith("asyncio_")
