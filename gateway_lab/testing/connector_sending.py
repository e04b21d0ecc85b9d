"""What every connector is held to when it sends."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from datetime import UTC, datetime

import pytest

from gateway_lab.brokers.contract import (
    Broker,
    FailureClass,
    Place,
)
from gateway_lab.protocols.protocol import Carries
from gateway_lab.testing.connector_rig import (
    ConnectorTests,
    Rig,
    an_outgoing,
    classes,
    numbers,
    soon,
)


class SendingTests(ConnectorTests):
    """Every message has its answer, and what comes out is what went in."""

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
        assert await soon(broker.missing([Place(absent), Place(channel)])) == [Place(absent)]

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
        # Two tries of one delivery: a broker that drops repeats stores each once.
        assert {each.body for each in await soon(rig.fetch(channel, 2))} == {b"0", b"5"}

    @pytest.mark.needs_feature("body-limit")
    async def test_a_message_that_is_too_large_is_a_permanent_failure(
        self, rig: Rig, broker: Broker, channel: str, carries: Carries
    ) -> None:
        """Its neighbours are stored, and so is what follows."""
        large = b"x" * (carries.body_bytes + 1)
        batch = [an_outgoing(channel, body) for body in (b"0", large, b"2")]
        sink = broker.sink()
        assert classes(await soon(sink.send(batch))) == [None, FailureClass.PERMANENT, None]
        assert await soon(sink.send([an_outgoing(channel, b"3")])) == [None]
        assert {each.body for each in await soon(rig.fetch(channel, 3))} == {b"0", b"2", b"3"}

    @pytest.mark.needs_feature("header-limit")
    async def test_headers_that_are_too_large_are_a_permanent_failure(
        self, rig: Rig, broker: Broker, channel: str, carries: Carries
    ) -> None:
        """A broker that would hang up never sees them."""
        assert carries.header_bytes is not None
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
        got = await self.round_trip(rig, broker, [an_outgoing(channel, body) for body in bodies])
        assert sorted(each.body or b"" for each in got) == sorted(bodies)

    async def test_a_tombstone_is_told_from_an_empty_body(
        self, rig: Rig, broker: Broker, channel: str, carries: Carries
    ) -> None:
        """Where the protocol has none, a tombstone arrives as an empty body."""
        [got] = await self.round_trip(rig, broker, [an_outgoing(channel, None, key=b"k")])
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
        got = await self.round_trip(rig, broker, batch)
        assert {each.body: each.key for each in got} == {each.body: each.key for each in batch}

    async def test_headers_round_trip(
        self, rig: Rig, broker: Broker, channel: str, carries: Carries
    ) -> None:
        """Names keep their case, values their bytes."""
        headers = [("plain", b"1"), ("Mixed-Case", "grün".encode()), ("empty", b"")]
        headers += [("spaced", b"a b: c")]
        headers += [("binary", bytes(range(256)))] if carries.binary else []
        batch = [an_outgoing(channel, headers=tuple(headers))]
        [got] = await self.round_trip(rig, broker, batch)
        assert sorted(got.headers) == sorted(headers)

    async def test_repeated_headers_round_trip(
        self, rig: Rig, broker: Broker, channel: str, carries: Carries
    ) -> None:
        """In their order; where a name cannot repeat, the last value counts."""
        headers = (("via", b"1"), ("other", b"x"), ("via", b"2"))
        [got] = await self.round_trip(rig, broker, [an_outgoing(channel, headers=headers)])
        via = [value for name, value in got.headers if name == "via"]
        assert via == ([b"1", b"2"] if carries.repeated else [b"2"])

    @pytest.mark.needs_feature("text-headers")
    async def test_a_header_of_bytes_is_refused_where_only_text_passes(
        self, broker: Broker, channel: str
    ) -> None:
        """Rather a dead letter than a value that changed."""
        sink = broker.sink()
        for value in (b"\xff", b"a\r\nb: c", b"\0", b" a", b"a ", "\u00a0a".encode()):
            batch = [an_outgoing(channel, headers=(("h", value),)), an_outgoing(channel, key=value)]
            assert classes(await soon(sink.send(batch))) == [FailureClass.PERMANENT] * 2
        assert await soon(sink.send([an_outgoing(channel)])) == [None]

    async def test_timestamps_round_trip(self, rig: Rig, broker: Broker, channel: str) -> None:
        """The time of the source message is kept, to the millisecond at least."""
        moment = datetime(2026, 2, 3, 4, 5, 6, 789_000, tzinfo=UTC)
        [got] = await self.round_trip(rig, broker, [an_outgoing(channel, timestamp=moment)])
        assert got.timestamp == moment
