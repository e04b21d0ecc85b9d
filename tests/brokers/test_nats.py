from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

import nats
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.api import AckPolicy, ConsumerConfig, StreamConfig

from gateway_lab.brokers.contract import BrokerError, Failure, FailureClass, Handle, Outgoing, Place
from gateway_lab.brokers.nats.broker import NatsBroker
from gateway_lab.brokers.nats.link import Session
from gateway_lab.brokers.nats.source import REQUEST_S
from gateway_lab.config.plan import AddressPlan
from gateway_lab.messages.message import Message
from gateway_lab.protocols.nats import SourceOptions, TargetOptions
from gateway_lab.protocols.protocol import is_plain
from gateway_lab.testing.connector_suite import FEATURES, ConnectorSuite
from gateway_lab.testing.servers import NatsServer

pytestmark = [pytest.mark.broker, pytest.mark.anyio]

NUMBERS = count()


class NatsRig:
    options = SourceOptions()
    lease_s = 1.5

    def __init__(self, server: NatsServer) -> None:
        self.server = server
        self.client = Client()

    async def connect(self) -> None:
        self.client = await nats.connect(self.server.url, error_cb=no_error)

    async def broker(self) -> NatsBroker:
        broker = NatsBroker("edge", self.server.url, lease_s=self.lease_s)
        await broker.open()
        return broker

    def program(self) -> str:
        made = f"NatsBroker('edge', {self.server.url!r}, lease_s={self.lease_s})"
        return f"from gateway_lab.brokers.nats.broker import NatsBroker\nbroker = {made}"

    async def fresh_channel(self) -> str:
        number = next(NUMBERS)
        await self.client.jetstream().add_stream(name=f"S{number}", subjects=[f"channel.{number}"])
        return f"channel.{number}"

    def absent_channel(self) -> str:
        return f"channel.{next(NUMBERS)}"

    def address(self, channel: str) -> AddressPlan:
        return AddressPlan(broker="edge", protocol="nats", channel=channel, pattern=None)

    async def publish(self, channel: str, messages: Sequence[Message]) -> None:
        stream = self.client.jetstream()
        for each in messages:
            headers = {name: value.decode() for name, value in each.headers}
            if each.key is not None:
                headers["x-gw-key"] = each.key.decode()
            if each.timestamp is not None:
                headers["x-gw-timestamp"] = each.timestamp.isoformat()
            await stream.publish(channel, each.body or b"", headers=headers)

    async def fetch(self, channel: str, n: int) -> list[Message]:
        subscription = await self.client.jetstream().subscribe(channel, ordered_consumer=True)
        found = [a_message(await subscription.next_msg(None)) for _ in range(n)]
        await subscription.unsubscribe()
        return found

    async def cut_connections(self) -> None:
        await self.stop()
        await self.start()

    async def stop(self) -> None:
        await self.client.close()
        await asyncio.to_thread(self.server.kill)

    async def start(self) -> None:
        await asyncio.to_thread(self.server.start)
        await self.connect()


async def no_error(error: Exception) -> None:
    """Say nothing: tests break connections."""


def a_message(message: Msg) -> Message:
    headers = message.headers or {}
    key = headers.pop("x-gw-key", None)
    return Message(
        body=message.data,
        key=key.encode() if key is not None else None,
        headers=tuple((name, value.encode()) for name, value in headers.items()),
        received=datetime.now(UTC),
    )


class TestNats(ConnectorSuite):
    protocol = "nats"
    features = FEATURES

    @pytest.fixture
    async def rig(self, nats_server: NatsServer) -> AsyncIterator[NatsRig]:
        rig = NatsRig(nats_server)
        await rig.connect()
        yield rig
        await rig.client.close()


@pytest.fixture
async def rig(nats_server: NatsServer) -> AsyncIterator[NatsRig]:
    rig = NatsRig(nats_server)
    await rig.connect()
    yield rig
    await rig.client.close()


@pytest.fixture
async def broker(rig: NatsRig) -> AsyncIterator[NatsBroker]:
    broker = await rig.broker()
    yield broker
    await broker.close()


CORE = TargetOptions(delivery="at_most_once")


def outgoing(channel: str, body: bytes = b"{}", **fields: Any) -> Outgoing:
    known = {"key": None, "headers": (), "timestamp": None, "id": f"id-{next(NUMBERS)}"}
    return Outgoing(channel=channel, body=body, **(known | fields))


def classes(failures: Sequence[Failure | None]) -> list[FailureClass | None]:
    return [failure.failure_class if failure else None for failure in failures]


async def test_what_is_settled_is_acknowledged_when_settle_returns(
    rig: NatsRig, broker: NatsBroker
) -> None:
    channel = await rig.fresh_channel()
    await rig.publish(channel, [message(b"%d" % n) for n in range(300)])
    source = await broker.source("reader", [rig.address(channel)], rig.options)
    stream = await rig.client.jetstream().find_stream_name_by_subject(channel)
    for done in (100, 200, 300):
        handles: list[Handle] = []
        while len(handles) < 100:
            handles += (await source.read(100 - len(handles))).handles
        await source.settle(handles)
        floor = (await rig.client.jetstream().consumer_info(stream, "reader")).ack_floor
        assert floor is not None
        assert floor.stream_seq == done


async def test_a_source_that_is_made_anew_does_not_repeat_its_messages(
    rig: NatsRig, broker: NatsBroker
) -> None:
    """Its positions begin again, and so do ids; only their times tell its messages apart."""
    number = next(NUMBERS)
    await rig.client.jetstream().add_stream(name=f"S{number}", subjects=[f"s{number}"])
    times = [datetime(2026, 1, day, tzinfo=UTC) for day in (1, 2, 1)]
    batch = [outgoing(f"s{number}", id="one", timestamp=each) for each in times]
    assert await broker.sink().send(batch) == [None] * 3
    assert (await rig.client.jetstream().stream_info(f"S{number}")).state.messages == 2


async def test_one_delivery_is_stored_once_and_one_id_on_two_subjects_twice(
    rig: NatsRig, broker: NatsBroker
) -> None:
    number = next(NUMBERS)
    await rig.client.jetstream().add_stream(name=f"S{number}", subjects=[f"s{number}.>"])
    first, second = (outgoing(f"s{number}.{part}", id="one") for part in "ab")
    assert await broker.sink().send([first, second, first]) == [None] * 3
    assert await broker.sink().send([first, second]) == [None] * 2
    state = (await rig.client.jetstream().stream_info(f"S{number}")).state
    assert state.messages == 2


async def test_what_would_end_the_connection_is_refused_here(
    rig: NatsRig, broker: NatsBroker
) -> None:
    channel = await rig.fresh_channel()
    client = session_of(broker).client
    permanent = FailureClass.PERMANENT
    batch = [
        outgoing("x" * 5_000),
        outgoing(channel, headers=(("h", b"x" * 1_100_000),)),
        outgoing(channel, b"x" * (client.max_payload - 10), headers=(("h", b"x" * 100),)),
        outgoing(channel),
    ]
    assert classes(await broker.sink().send(batch)) == [permanent, permanent, permanent, None]
    assert session_of(broker).client is client


async def test_a_subject_of_the_server_is_never_published_to(
    rig: NatsRig, broker: NatsBroker
) -> None:
    channel = await rig.fresh_channel()
    stream = await rig.client.jetstream().find_stream_name_by_subject(channel)
    for options in (None, CORE):
        sent = outgoing(f"$JS.API.STREAM.DELETE.{stream}", b"", options=options)
        assert classes(await broker.sink().send([sent])) == [FailureClass.PERMANENT]
    assert await broker.missing([Place(channel)]) == []


async def test_what_is_no_plain_text_is_refused_and_all_else_arrives_as_it_was(
    rig: NatsRig, broker: NatsBroker
) -> None:
    channel = await rig.fresh_channel()
    signs = [chr(code) for code in (*range(0x100), *range(0x2000, 0x2070), 0x1680, 0x3000, 0xFEFF)]
    values = [text.encode() for sign in signs for text in (sign, f"a{sign}", f"a{sign}b")]
    batch = [
        outgoing(channel, b"%d" % n, key=value, headers=(("h", value),))
        for n, value in enumerate(values)
    ]
    sent = await broker.sink().send(batch)
    assert [each is None for each in sent] == [is_plain(value) for value in values]
    assert {each.failure_class for each in sent if each} == {FailureClass.PERMANENT}
    got = await rig.fetch(channel, sent.count(None))
    for each in got:
        value = values[int(each.body or b"")]
        assert (each.key, dict(each.headers)["h"]) == (value, value)


async def test_a_full_stream_passes(rig: NatsRig, broker: NatsBroker) -> None:
    number = next(NUMBERS)
    stream = rig.client.jetstream()
    config = StreamConfig(name=f"S{number}", subjects=[f"s{number}"], max_msgs=1, discard="new")  # type: ignore[arg-type]
    await stream.add_stream(config)
    sent = await broker.sink().send([outgoing(f"s{number}"), outgoing(f"s{number}")])
    assert classes(sent) == [None, FailureClass.RETRYABLE]


async def test_the_stream_of_a_target_must_be_the_one_that_stores(
    rig: NatsRig, broker: NatsBroker
) -> None:
    channel = await rig.fresh_channel()
    stream = await rig.client.jetstream().find_stream_name_by_subject(channel)
    batch = [outgoing(channel, options=TargetOptions(stream=each)) for each in (stream, "Other")]
    assert classes(await broker.sink().send(batch)) == [None, FailureClass.UNROUTABLE]


async def test_somebody_who_answers_is_not_a_stream(rig: NatsRig, broker: NatsBroker) -> None:
    channel = rig.absent_channel()

    async def answer(request: Msg) -> None:
        await request.respond(b"thanks")

    await rig.client.subscribe(channel, cb=answer)
    await rig.client.flush()
    sent = await broker.sink().send([outgoing(channel)])
    assert classes(sent) == [FailureClass.UNROUTABLE]


async def test_a_client_that_was_closed_for_good_is_replaced(
    rig: NatsRig, broker: NatsBroker
) -> None:
    channel = await rig.fresh_channel()
    source = await broker.source("reader", [rig.address(channel)], rig.options)
    session = session_of(broker)
    await session.client.publish("x" * 5_000, b"")  # past the limit of a line
    await session.ended.wait()
    await rig.publish(channel, [message(b"after")])
    assert [each.body for each in (await source.read(10)).messages] == [b"after"]
    assert await broker.sink().send([outgoing(channel)]) == [None]


async def test_a_consumer_that_was_deleted_stops_the_source(
    rig: NatsRig, broker: NatsBroker
) -> None:
    channel = await rig.fresh_channel()
    source = await broker.source("reader", [rig.address(channel)], rig.options)
    stream = await rig.client.jetstream().find_stream_name_by_subject(channel)
    reading = asyncio.create_task(source.read(10))
    await asyncio.sleep(0)
    await rig.client.jetstream().delete_consumer(stream, "reader")
    with pytest.raises(BrokerError, match="gone"):
        # A request may reach the server as it deletes, which then says nothing: the next one tells.
        await asyncio.wait_for(reading, 3 * REQUEST_S)


async def test_a_consumer_that_would_drop_messages_is_brought_in_line(
    rig: NatsRig, broker: NatsBroker
) -> None:
    channel = await rig.fresh_channel()
    jetstream = rig.client.jetstream()
    stream = await jetstream.find_stream_name_by_subject(channel)
    theirs = ConsumerConfig(
        durable_name="reader", max_deliver=2, ack_policy=AckPolicy.EXPLICIT, description="kept"
    )
    await jetstream.add_consumer(stream, theirs)
    await broker.source("reader", [rig.address(channel)], rig.options)
    config = (await jetstream.consumer_info(stream, "reader")).config
    assert (config.max_deliver, config.ack_wait, config.description) == (-1, rig.lease_s, "kept")


async def test_a_pattern_reads_all_its_subjects(rig: NatsRig, broker: NatsBroker) -> None:
    number = next(NUMBERS)
    await rig.client.jetstream().add_stream(name=f"S{number}", subjects=[f"s{number}.>"])
    pattern = AddressPlan(broker="edge", protocol="nats", channel=None, pattern=f"s{number}.*.in")
    source = await broker.source("reader", [pattern], SourceOptions(stream=f"S{number}"))
    for subject in ("a.in", "a.out", "b.in"):
        await rig.publish(f"s{number}.{subject}", [message(subject.encode())])
    got: list[Message] = []
    while len(got) < 2:
        got += (await source.read(10)).messages
    assert [each.channel for each in got] == [f"s{number}.a.in", f"s{number}.b.in"]


async def test_core_nats_carries_what_is_declared_at_most_once(
    rig: NatsRig, broker: NatsBroker
) -> None:
    channel = rig.absent_channel()
    lonely = outgoing(channel, options=CORE)
    assert await broker.sink().send([lonely]) == [None]
    options = SourceOptions(delivery="at_most_once")
    source = await broker.source("reader", [rig.address(channel)], options)
    sent = outgoing(channel, b"1", key=b"k", headers=(("h", b"v"),), options=CORE)
    assert await broker.sink().send([sent]) == [None]
    batch = await asyncio.wait_for(source.read(10), 30)
    assert [(each.body, each.key) for each in batch.messages] == [(b"1", b"k")]
    await source.settle(batch.handles)


async def test_what_the_server_denies_is_an_error_of_configuration(tmp_path: Path) -> None:
    allowed = ["open", "$JS.API.>", "_INBOX.>"]
    user = {"user": "u", "password": "secret-1", "permissions": {"publish": allowed}}
    with NatsServer(tmp_path, settings={"authorization": json.dumps({"users": [user]})}) as server:
        stranger = NatsBroker("edge", server.url.replace("nats://", "nats://u:secret-2@"))
        with pytest.raises(BrokerError, match="credentials") as caught:
            await stranger.open()
        assert "secret" not in str(caught.value)
        await stranger.close()
        known = NatsBroker("edge", server.url.replace("nats://", "nats://u:secret-1@"))
        await known.open()
        await known.create([Place("open")])
        sent = await known.sink().send([outgoing("open"), outgoing("Closed"), outgoing("open")])
        assert classes(sent) == [None, FailureClass.CONFIGURATION, None]
        await known.close()


async def test_tls_is_not_given_up_silently(rig: NatsRig) -> None:
    broker = NatsBroker("edge", rig.server.url.replace("nats://", "tls://u:p@"))
    with pytest.raises(BrokerError, match="TLS"):
        await broker.open()
    await broker.close()


def session_of(broker: NatsBroker) -> Session:
    session = broker._link.session
    assert session is not None
    return session


def message(body: bytes) -> Message:
    return Message(body=body, received=datetime.now(UTC))
