"""What every connector is held to when it reads and settles."""

from __future__ import annotations

import asyncio
import pickle
import random
import sys
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import pytest

from gateway_lab.brokers.contract import (
    Broker,
)
from gateway_lab.testing.connector_rig import (
    ConnectorTests,
    CrashRig,
    LeaseRig,
    Reading,
    Rig,
    a_message,
    numbers,
    soon,
)


class ReadingTests(ConnectorTests):
    """Messages arrive, and come again until they are settled."""

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
        assert Counter(await reading.bodies(20)) == Counter(numbers(20))

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
        sizes: list[int] = []
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
        for turns, body in enumerate(numbers(30)):
            waiting = asyncio.create_task(reading.source.read(10))
            await asyncio.sleep(0)  # it begins to wait
            await rig.publish(channel, [a_message(body)])
            for _ in range(turns % 6):  # and is cancelled at one place or another
                await asyncio.sleep(0)
            waiting.cancel()
            try:
                reading.add(await waiting)
            except asyncio.CancelledError:
                continue
        await reading.settle()
        await soon(reading.source.close())
        got = {each.body for each in reading.messages}
        await self.reopen(rig, channel, set(numbers(30)) - got)

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
        self, rig: Rig, broker: Broker, second: Broker, channel: str
    ) -> None:
        """Two connections of one name get everything between them, and nothing is left over."""
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
        assert await self.reopen(rig, channel) == []

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
        assert await self.reopen(rig, channel) == []

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
        assert await self.reopen(rig, channel) == []

    async def test_what_was_not_settled_comes_again(
        self, rig: Rig, broker: Broker, channel: str
    ) -> None:
        """A source that ends with messages in hand has lost none of them."""
        await rig.publish(channel, [a_message(body) for body in numbers(20)])
        reading = await self.open(broker, rig, channel)
        bodies = await reading.bodies(20)
        await soon(reading.source.settle(reading.handles[1::2]))
        await soon(broker.close())
        assert reading.source.lost == 0
        await self.reopen(rig, channel, expected=bodies[::2])

    async def test_what_was_never_read_comes_to_the_next(
        self, rig: Rig, broker: Broker, channel: str
    ) -> None:
        """What a connector fetched ahead and nobody read is not lost when it closes."""
        await rig.publish(channel, [a_message(body) for body in numbers(100)])
        reading = await self.open(broker, rig, channel)
        batch = await soon(reading.source.read(1))
        await soon(reading.source.settle(batch.handles))
        await soon(broker.close())
        first = batch.messages[0].body
        came = await self.reopen(rig, channel, set(numbers(100)) - {first})
        assert len(came) == 99

    @pytest.mark.needs_feature("crash")
    async def test_what_a_killed_process_had_read_comes_again(
        self, rig: CrashRig, channel: str
    ) -> None:
        """A crash loses nothing, and its messages do not wait for its return."""
        await rig.publish(channel, [a_message(body) for body in numbers(20)])
        await read_and_die(rig, channel, 20)
        await self.reopen(rig, channel, expected=numbers(20))

    @pytest.mark.needs_feature("leases")
    async def test_what_is_held_is_not_given_to_another(
        self, rig: LeaseRig, broker: Broker, second: Broker, channel: str
    ) -> None:
        """A lease is renewed for as long as its message is worked on."""
        await rig.publish(channel, [a_message(body) for body in numbers(10)])
        reading = await self.open(broker, rig, channel)
        await reading.bodies(10)
        other = await self.open(second, rig, channel)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(other.source.read(10), 3 * rig.lease_s)
        await reading.settle()
        await soon(broker.close())
        await soon(second.close())
        assert await self.reopen(rig, channel) == []

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
        assert await self.reopen(rig, channel) == []


async def read_and_die(
    rig: CrashRig, channel: str, n: int, ready: Callable[[], Awaitable[object]] | None = None
) -> None:
    """Read messages in a process that is then killed, without settling any.

    Args:
        rig: Whose connector reads.
        channel: Where.
        n: How many messages.
        ready: What to wait for before it is killed.
    """
    given = pickle.dumps(([rig.address(channel)], rig.options))
    code = _READER.format(program=rig.program(), given=given, n=n)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        assert await soon(process.stdout.readline()) == b"read\n"
        if ready is not None:
            await soon(ready())
    finally:
        process.kill()
        await process.wait()


_READER = """
import asyncio, pickle
{program}
async def main():
    await broker.open()
    source = await broker.source("reader", *pickle.loads({given!r}))
    n = 0
    while n < {n}:
        n += len((await source.read(1000)).messages)
    print("read", flush=True)
    await asyncio.Event().wait()
asyncio.run(main())
"""
