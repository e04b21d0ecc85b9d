"""The facts that this design stands on, each met once on a real broker: F1 to F15.

A bridge that is built with the defaults of a framework loses messages in these ways, tried and
measured. Each test does what lost them, and says what becomes of the messages here. Docs:
docs/delivery-guarantees.md, which names these tests.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import cast

import aiormq
import pytest
from redis.asyncio import Redis

from gateway_lab.brokers.contract import Broker, FailureClass, Outgoing
from gateway_lab.brokers.kafka.broker import KafkaBroker
from gateway_lab.brokers.nats.broker import NatsBroker
from gateway_lab.brokers.rabbitmq.broker import RabbitmqBroker
from gateway_lab.brokers.redis.broker import RedisBroker
from gateway_lab.config.compile import compile_plan
from gateway_lab.config.load import parse_config
from gateway_lab.config.model import Protocol
from gateway_lab.config.plan import AddressPlan
from gateway_lab.gateway.counters import SourceStats, State
from gateway_lab.gateway.gateway import Gateway
from gateway_lab.messages.message import Message
from gateway_lab.protocols.nats import TargetOptions
from gateway_lab.testing.connector_rig import Reading, an_outgoing, classes, numbers, soon
from gateway_lab.testing.server_process import Server
from tests.live.client_nats import NatsClient
from tests.live.clients import Fresh
from tests.live.equal import NUMBER, Stage

pytestmark = [pytest.mark.broker, pytest.mark.anyio, pytest.mark.timeout(120)]

RUNS = count()
Servers = Mapping[str, Server]

BRIDGE = """
gateway_lab: 1
name: facts
brokers: {{near: {near}, far: {far}}}
events: {{Any: {{type: object, properties: {{tenant_id: {{type: string}}}}}}}}
sources: {{all: {{broker: near, channel: {name}.in, event: Any}}}}
targets: {{{targets}}}
routers:
  one:
    source: all
    match: all
    routes: [{{name: every, when: "true", to: [{to}]}}]
    unmatched: drop
dead_letter: {{broker: near, channel: {name}.dead}}
retry: {{initial: 10ms, max: 50ms}}
"""


class Bridge:
    """A gateway between two servers, and what is in their channels."""

    def __init__(self, servers: Servers, near: Protocol, far: Protocol, **targets: str) -> None:
        self.name = f"fact{next(RUNS)}"
        written = [f"{name}: {{broker: far, {what}}}" for name, what in targets.items()]
        text = BRIDGE.format(
            near=near, far=far, name=self.name, targets=", ".join(written), to=", ".join(targets)
        ).replace("NAME", self.name)
        self.config = parse_config(text)
        self.near = Fresh(near, servers[near].url)
        self.far = Fresh(far, servers[far].url)
        self.gateway = Gateway(
            self.config,
            environ={
                "GATEWAY_BROKER_NEAR_URL": servers[near].url,
                "GATEWAY_BROKER_FAR_URL": servers[far].url,
            },
        )

    async def prepare(self, bodies: Sequence[bytes], *far: str) -> None:
        """Create channels, and store what the gateway is to read."""
        await self.near.create([f"{self.name}.in", f"{self.name}.dead"])
        await self.far.create([f"{self.name}.{each}" for each in far])
        await self.near.publish(f"{self.name}.in", [a_message(body) for body in bodies])

    async def run_until(self, is_enough: Callable[[SourceStats], bool]) -> SourceStats:
        """Run until its source says what is waited for, and stop."""
        async with self.gateway, asyncio.timeout(60):
            while not is_enough(stats := self.gateway.stats().sources[0]):
                assert stats.state is not State.RED, stats.reason
                await asyncio.sleep(0.01)
            await self.gateway.stop(now=True)
        return self.gateway.stats().sources[0]

    async def letters(self) -> list[Message]:
        channel = f"{self.name}.dead"
        return (await self.near.fetch([channel]))[channel]

    async def arrived(self, channel: str) -> list[Message]:
        name = f"{self.name}.{channel}"
        return (await self.far.fetch([name]))[name]

    async def left(self) -> int:
        group = {"nats": "facts-all"}.get(self.config.brokers["near"], "facts.all")
        return await self.near.left(group, f"{self.name}.in")


def a_message(body: bytes) -> Message:
    return Message(body=body, received=datetime.now(UTC))


def settled(number: int) -> Callable[[SourceStats], bool]:
    return lambda stats: stats.settled == number


EMPTY = [b"{}"] * 20


# --- messages that a framework settles although they are nowhere ---


async def test_f1_what_no_queue_takes_is_a_dead_letter(servers: Servers) -> None:
    """FastStream: 20 of 20 acknowledged, none stored anywhere; a return is no error there."""
    bridge = Bridge(
        servers, "rabbitmq", "rabbitmq", out="channel: nobody, options: {exchange: NAME}"
    )
    await bridge.prepare(EMPTY)
    async with aiormq.connect(servers["rabbitmq"].url) as connection:
        await (await connection.channel()).exchange_declare(bridge.name)
    await bridge.run_until(settled(20))
    assert [dict(each.headers)["x-gw-dlq-class"] for each in await bridge.letters()] == [
        b"unroutable"
    ] * 20


@pytest.mark.parametrize("near", ["rabbitmq", "nats"])
async def test_f2_nothing_is_rejected_while_a_target_is_full(
    servers: Servers, near: Protocol
) -> None:
    """FastStream: 20 of 20 gone; its default rejects, or terms, what a handler failed on."""
    bridge = Bridge(servers, near, "redis", out="channel: NAME.out")
    await bridge.prepare(EMPTY, "out")
    async with Redis.from_url(servers["redis"].url) as client:
        before = (await client.config_get("maxmemory"))["maxmemory"]
        await client.config_set("maxmemory", 1)
        try:
            await bridge.run_until(lambda stats: stats.retried > 2)
        finally:
            await client.config_set("maxmemory", before or "0")
    assert await bridge.left() == 20
    assert await bridge.letters() == []


@asynccontextmanager
async def opened(broker: Broker) -> AsyncIterator[Broker]:
    await soon(broker.open())
    yield broker
    await soon(broker.close())


async def reading(broker: Broker, channel: str) -> Reading:
    protocol = cast("Protocol", broker.protocol)
    address = AddressPlan(broker=broker.alias, protocol=protocol, channel=channel, pattern=None)
    return Reading(await soon(broker.source("reader", [address], None)))


async def stored(servers: Servers, protocol: Protocol, number: int) -> str:
    """Return a channel that holds so many messages, in order."""
    channel = f"fact{next(RUNS)}"
    client = Fresh(protocol, servers[protocol].url)
    await client.create([channel])
    # One key: one partition, and so one order.
    messages = [
        Message(body=each, key=b"k", received=datetime.now(UTC)) for each in numbers(number)
    ]
    await client.publish(channel, messages)
    return channel


async def test_f3_what_was_read_ahead_is_not_committed(servers: Servers) -> None:
    """FastStream: 386 were committed when 320 were handled and the process was killed."""
    topic = await stored(servers, "kafka", 386)
    async with opened(KafkaBroker("log", servers["kafka"].url)) as broker:
        first = await reading(broker, topic)
        await first.bodies(386)
        await soon(first.source.settle(first.handles[:320]))
    async with opened(KafkaBroker("log", servers["kafka"].url)) as broker:
        again = await reading(broker, topic)
        assert await again.bodies(66) == numbers(66, 320)


async def test_f4_a_commit_stops_below_what_is_not_done(servers: Servers) -> None:
    """FastStream: 10 of 100 never acknowledged, 100 committed, none came again."""
    topic = await stored(servers, "kafka", 100)
    open_, done = range(40, 50), [*range(40), *range(50, 100)]
    async with opened(KafkaBroker("log", servers["kafka"].url)) as broker:
        first = await reading(broker, topic)
        await first.bodies(100)
        await soon(first.source.settle([first.handles[each] for each in done]))
    async with opened(KafkaBroker("log", servers["kafka"].url)) as broker:
        again = await reading(broker, topic)
        bodies = await again.bodies(60)
    assert bodies[:10] == numbers(10, open_.start)


async def test_f5_a_message_that_cannot_be_read_holds_up_nobody(servers: Servers) -> None:
    """FastStream: 2,879 attempts in 8 seconds, and everything behind it waited."""
    bridge = Bridge(servers, "kafka", "kafka", out="channel: NAME.out")
    await bridge.prepare([*EMPTY[:3], b"poison", *EMPTY[4:]], "out")
    stats = await bridge.run_until(settled(20))
    assert (stats.read, stats.retried) == (20, 0)
    assert [each.body for each in await bridge.letters()] == [b"poison"]
    assert len(await bridge.arrived("out")) == 19


# --- Redis ---


async def test_f6_what_was_there_first_and_what_was_left_pending_are_read(
    servers: Servers,
) -> None:
    """FastStream: 10 of before the first start skipped, 10 failed ones never read again."""
    stream = await stored(servers, "redis", 10)
    url = servers["redis"].url
    async with opened(RedisBroker("cache", url, member="one")) as crashed:
        first = await reading(crashed, stream)
        assert await first.bodies(10) == numbers(10)
        async with opened(RedisBroker("cache", url, member="one")) as again:
            assert await (await reading(again, stream)).bodies(10) == numbers(10)


async def test_f7_pending_entries_that_were_trimmed_are_counted(servers: Servers) -> None:
    """FastStream drops the list of deleted ids, the one place that tells of them."""
    stream = await stored(servers, "redis", 10)
    url = servers["redis"].url
    async with (
        opened(RedisBroker("cache", url, member="one")) as crashed,
        opened(RedisBroker("cache", url, member="two", lease_s=0.2)) as other,
        Redis.from_url(url) as client,
    ):
        await (await reading(crashed, stream)).bodies(10)
        await client.xtrim(stream, maxlen=3, approximate=False)
        taken = await reading(other, stream)
        assert await taken.bodies(3) == numbers(3, 7)
        assert taken.source.lost == 7


# --- NATS ---


async def test_f8_one_message_to_two_subjects_of_a_stream_is_stored_twice(
    servers: Servers,
) -> None:
    """An id that names the message alone makes JetStream drop the second as a repeat."""
    bridge = Bridge(
        servers, "kafka", "nats", first="channel: NAME.out.a", second="channel: NAME.out.b"
    )
    await bridge.prepare(EMPTY[:5])
    async with NatsClient(servers["nats"].url) as client:
        stream = client.stream
        await stream.add_stream(name=bridge.name, subjects=[f"{bridge.name}.out.*"])
        await bridge.run_until(settled(5))
        assert (await stream.stream_info(bridge.name)).state.messages == 10


async def test_f10_what_would_close_the_connection_is_refused_before_it_is_sent(
    servers: Servers,
) -> None:
    """nats-py: the client is closed for good, whatever reconnecting was asked for."""
    subject = await stored(servers, "nats", 0)
    large = (("h", b"x" * 1_100_000),)
    async with opened(NatsBroker("edge", servers["nats"].url)) as broker:
        batch = [an_outgoing("x" * 5_000), an_outgoing(subject, headers=large)]
        failures = await soon(broker.sink().send([*batch, an_outgoing(subject)]))
        assert classes(failures) == [FailureClass.PERMANENT] * 2 + [None]


async def test_f13_a_value_of_a_message_never_reaches_the_servers_own_subjects(
    servers: Servers,
) -> None:
    """A tenant called `$JS.API.STREAM.DELETE` deleted the stream `events`."""
    begins_with_it = BRIDGE.format(
        near="nats", far="nats", name="f13", to="out", targets="out: {broker: far, channel: X}"
    ).replace("X}", '"{tenant_id}.events"}')
    codes = [each.code for each in compile_plan(parse_config(begins_with_it)).findings]
    assert "channel-start" in codes

    bridge = Bridge(
        servers,
        "nats",
        "nats",
        out='channel: "NAME.{tenant_id}.events", options: {delivery: at_most_once}',
    )
    await bridge.prepare([b'{"tenant_id": "$JS.API.STREAM.DELETE"}'])
    await bridge.run_until(settled(1))
    [letter] = await bridge.letters()
    assert dict(letter.headers)["x-gw-dlq-reason"].startswith(b"unsafe-channel-value")

    subject = await stored(servers, "nats", 1)
    core = TargetOptions(delivery="at_most_once")
    request = Outgoing(f"$JS.API.STREAM.DELETE.{subject}", None, (), b"", None, "id", options=core)
    async with opened(NatsBroker("edge", servers["nats"].url)) as broker:
        assert classes(await soon(broker.sink().send([request]))) == [FailureClass.PERMANENT]
    assert await Fresh("nats", servers["nats"].url).count(subject) == 1


async def test_f14_a_server_that_is_dead_takes_nothing_on_core_nats(servers: Servers) -> None:
    """nats-py: 9,664 messages were accepted into a buffer, and gone with the process."""
    core = TargetOptions(delivery="at_most_once")
    batch = [Outgoing("facts", None, (), each, None, "id", options=core) for each in numbers(500)]
    server = servers["nats"]
    async with opened(NatsBroker("edge", server.url)) as broker:
        assert await soon(broker.sink().send(batch)) == [None] * 500
        await asyncio.to_thread(server.kill)
        try:
            failures = await soon(broker.sink().send(batch))
        finally:
            await asyncio.to_thread(server.start)
    assert classes(failures) == [FailureClass.RETRYABLE] * 500


# --- RabbitMQ ---


async def test_f9_a_returned_message_does_not_get_the_confirm_of_another(
    servers: Servers,
) -> None:
    """aiormq tells returns by message id: of two with one id, the wrong one was confirmed."""
    queue = await stored(servers, "rabbitmq", 0)
    batch = [an_outgoing(name, id="one") for name in (queue, "fact-nobody")] * 50
    async with opened(RabbitmqBroker("rabbit", servers["rabbitmq"].url)) as broker:
        failures = await soon(broker.sink().send(batch))
    assert classes(failures) == [None, FailureClass.UNROUTABLE] * 50


async def test_f11_headers_that_are_larger_than_a_frame_end_no_connection(
    servers: Servers,
) -> None:
    """A server ends the whole connection, and with it whatever else is on its way."""
    queue = await stored(servers, "rabbitmq", 0)
    large = tuple((f"h{number}", b"x" * 20_000) for number in range(7))
    async with opened(RabbitmqBroker("rabbit", servers["rabbitmq"].url)) as broker:
        batch = [an_outgoing(queue), an_outgoing(queue, headers=large), an_outgoing(queue)]
        failures = await soon(broker.sink().send(batch))
    assert classes(failures) == [None, FailureClass.PERMANENT, None]


# --- names, and bodies ---


async def test_f12_an_illegal_topic_is_refused_at_once_and_a_legal_one_not_created(
    servers: Servers,
) -> None:
    """aiokafka: an illegal name blocked the send for 40 s, and every later look at the cluster."""
    topic = await stored(servers, "kafka", 0)
    illegal = [an_outgoing(name) for name in ("critical.*", "a b", "x" * 250)]
    absent = an_outgoing(f"{topic}-absent")
    async with opened(KafkaBroker("log", servers["kafka"].url)) as broker:
        failures = await soon(broker.sink().send([*illegal, absent, an_outgoing(topic)]))
    assert classes(failures) == [*[FailureClass.PERMANENT] * 3, FailureClass.UNROUTABLE, None]
    async with opened(KafkaBroker("log", servers["kafka"].url)) as broker:
        assert classes(await soon(broker.sink().send([absent]))) == [FailureClass.UNROUTABLE]


async def test_f15_a_repeated_key_of_json_means_the_same_live_and_replayed(
    servers: Servers, tmp_path: Path
) -> None:
    """Python's parsers take the last value, Polars the first: the two ways would differ."""
    bridge = Bridge(servers, "kafka", "kafka", out='channel: "NAME.{tenant_id}"')
    urls = dict.fromkeys(("near", "far"), servers["kafka"].url)
    clients = {"near": bridge.near, "far": bridge.far}
    stage = Stage(bridge.config, urls, clients, tmp_path)
    bodies = [b'{"tenant_id": "a", "tenant_id": "b"}', b'{"tenant_id": "c"}']
    messages = [
        Message(
            body=body,
            headers=((NUMBER, b"%d" % n),),
            received=datetime.now(UTC),
            broker="near",
            protocol="kafka",
            channel=f"{bridge.name}.in",
        )
        for n, body in enumerate(bodies)
    ]
    await stage.prepare(messages)
    await bridge.near.create([f"{bridge.name}.dead"])
    await stage.run(2)
    told = await stage.compare()
    channels = told.deliveries().collect()["channel"].sort().to_list()
    assert channels == [f"{bridge.name}.b", f"{bridge.name}.c"]
