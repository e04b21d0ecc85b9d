"""Places: what each broker looks for, and what it makes of the options when it is asked to."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count

import aiormq
import nats
import pytest
from nats.js import JetStreamContext
from nats.js.api import StreamConfig
from redis.asyncio import Redis

from gateway_lab.brokers.contract import Broker, BrokerError, FailureClass, Outgoing, Place
from gateway_lab.brokers.kafka.broker import KafkaBroker
from gateway_lab.brokers.nats.broker import NatsBroker
from gateway_lab.brokers.rabbitmq.broker import RabbitmqBroker
from gateway_lab.brokers.rabbitmq.places import queue_arguments
from gateway_lab.brokers.redis.broker import RedisBroker
from gateway_lab.config.model import Protocol
from gateway_lab.config.plan import AddressPlan
from gateway_lab.protocols import nats as of_nats
from gateway_lab.protocols import rabbitmq as of_rabbitmq
from gateway_lab.protocols import redis as of_redis
from gateway_lab.testing.connector_rig import an_outgoing, soon
from gateway_lab.testing.servers import KafkaServer, NatsServer, RabbitmqServer, RedisServer

pytestmark = [pytest.mark.broker, pytest.mark.anyio]

NUMBERS = count()


@asynccontextmanager
async def opened(broker: Broker) -> AsyncIterator[Broker]:
    await soon(broker.open())
    yield broker
    await soon(broker.close())


@pytest.fixture
async def rabbit(rabbitmq_server: RabbitmqServer) -> AsyncIterator[Broker]:
    async with opened(RabbitmqBroker("rabbit", rabbitmq_server.url)) as broker:
        yield broker


@pytest.fixture
async def stream(nats_server: NatsServer) -> AsyncIterator[Broker]:
    async with opened(NatsBroker("edge", nats_server.url)) as broker:
        yield broker


@pytest.fixture
async def jetstream(nats_server: NatsServer) -> AsyncIterator[JetStreamContext]:
    client = await nats.connect(nats_server.url)
    yield client.jetstream()
    await client.close()


def fresh(prefix: str) -> str:
    """Name a place that no other file's tests name: they share the servers."""
    return f"place-{prefix}-{next(NUMBERS)}"


def sending(place: Place, body: bytes) -> Outgoing:
    plain = an_outgoing(place.channel, body)
    return Outgoing(
        plain.channel, None, (), plain.body, plain.timestamp, plain.id, options=place.options
    )


async def read_one(broker: Broker, place: Place, protocol: Protocol) -> bytes | None:
    address = AddressPlan(
        broker=broker.alias, protocol=protocol, channel=place.channel, pattern=None
    )
    source = await soon(broker.source("reader", [address], place.options))
    return (await soon(source.read(1))).messages[0].body


# --- RabbitMQ ---


async def test_a_target_of_an_exchange_is_there_when_the_exchange_is(rabbit: Broker) -> None:
    place = Place("orders.new", options=of_rabbitmq.TargetOptions(exchange=fresh("exchange")))
    assert await soon(rabbit.missing([place])) == [place]
    await soon(rabbit.create([place]))
    assert await soon(rabbit.missing([place])) == []


async def test_what_is_sent_to_an_exchange_that_was_created_is_stored(rabbit: Broker) -> None:
    key = fresh("orders")
    place = Place(key, options=of_rabbitmq.TargetOptions(exchange=fresh("exchange")))
    await soon(rabbit.create([place]))
    assert await soon(rabbit.sink().send([sending(place, b"1")])) == [None]
    assert await read_one(rabbit, Place(key, is_read=True), "rabbitmq") == b"1"


async def test_an_exchange_that_is_there_keeps_the_bindings_that_it_has(
    rabbit: Broker, rabbitmq_server: RabbitmqServer
) -> None:
    place = Place(fresh("orders"), options=of_rabbitmq.TargetOptions(exchange=fresh("exchange")))
    async with aiormq.connect(rabbitmq_server.url) as connection:
        bare = await connection.channel()
        await bare.exchange_declare(place.options.exchange, exchange_type="direct")  # type: ignore[attr-defined]
    await soon(rabbit.create([place]))
    [failure] = await soon(rabbit.sink().send([sending(place, b"1")]))
    assert failure is not None
    assert failure.failure_class is FailureClass.UNROUTABLE


async def test_a_bound_queue_gets_exchange_queue_and_binding(rabbit: Broker) -> None:
    exchange, queue, key = fresh("exchange"), fresh("queue"), fresh("orders")
    options = of_rabbitmq.SourceOptions(exchange=exchange, queue=queue)
    read = Place(key, is_read=True, options=options)
    written = Place(key, options=of_rabbitmq.TargetOptions(exchange=exchange))
    assert await soon(rabbit.missing([read, written])) == [read, written]
    await soon(rabbit.create([read, written]))
    assert await soon(rabbit.missing([read, written])) == []
    assert await soon(rabbit.missing([Place(key)])) == [Place(key)]  # its queue has another name
    assert await soon(rabbit.sink().send([sending(written, b"1")])) == [None]
    assert await read_one(rabbit, read, "rabbitmq") == b"1"


async def test_half_of_what_a_source_needs_is_not_enough(rabbit: Broker) -> None:
    queue = fresh("queue")
    await soon(rabbit.create([Place(queue)]))
    options = of_rabbitmq.SourceOptions(exchange=fresh("exchange"), queue=queue)
    place = Place("orders", is_read=True, options=options)
    assert await soon(rabbit.missing([place])) == [place]
    await soon(rabbit.create([place]))
    assert await soon(rabbit.missing([place])) == []


async def test_an_exchange_that_nobody_may_make_is_an_error_of_configuration(
    rabbit: Broker,
) -> None:
    place = Place("orders", options=of_rabbitmq.TargetOptions(exchange="amq.made-up"))
    with pytest.raises(BrokerError, match=r"denies permission: amq\.made-up"):
        await soon(rabbit.create([place]))


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("3.10.8", {"x-queue-type": "quorum"}),
        ("4.1.0-rc.1", {"x-queue-type": "quorum", "x-delivery-limit": -1}),
        ("", {"x-queue-type": "quorum"}),
    ],
)
def test_a_queue_that_is_created_never_drops_what_came_too_often(
    version: str, expected: object
) -> None:
    assert queue_arguments(version) == expected


# --- NATS ---


async def test_a_subject_is_there_only_in_the_stream_that_is_named(
    stream: Broker, jetstream: JetStreamContext
) -> None:
    name, subject = fresh("S"), fresh("subject")
    await jetstream.add_stream(name=name, subjects=[f"{subject}.>"])
    here = Place(f"{subject}.a", options=of_nats.TargetOptions(stream=name))
    elsewhere = Place(f"{subject}.a", options=of_nats.TargetOptions(stream=fresh("S")))
    anywhere = Place(f"{subject}.a", is_read=True)
    assert await soon(stream.missing([here, elsewhere, anywhere])) == [elsewhere]


async def test_a_stream_that_is_named_is_created_under_its_name(
    stream: Broker, jetstream: JetStreamContext
) -> None:
    name, subject = fresh("S"), fresh("subject")
    place = Place(subject, is_read=True, options=of_nats.SourceOptions(stream=name))
    await soon(stream.create([place]))
    assert (await jetstream.stream_info(name)).config.subjects == [subject]
    assert await soon(stream.missing([place])) == []


async def test_a_stream_that_is_there_gets_the_subject_and_stays_as_it_is(
    stream: Broker, jetstream: JetStreamContext
) -> None:
    """FastStream writes a stream's settings anew, and its retention with them."""
    name, subject = fresh("S"), fresh("subject")
    config = StreamConfig(name=name, subjects=["other"], max_age=3_600, max_msgs=12_345)
    await jetstream.add_stream(config)
    await soon(stream.create([Place(subject, options=of_nats.TargetOptions(stream=name))]))
    after = (await jetstream.stream_info(name)).config
    assert after.subjects == ["other", subject]
    assert (after.max_age, after.max_msgs) == (3_600, 12_345)
    await jetstream.delete_stream(name)


async def test_a_subject_of_another_stream_cannot_be_created(
    stream: Broker, jetstream: JetStreamContext
) -> None:
    subject = fresh("subject")
    await jetstream.add_stream(name=fresh("S"), subjects=[subject])
    place = Place(subject, options=of_nats.TargetOptions(stream=fresh("S")))
    with pytest.raises(BrokerError, match="overlap"):
        await soon(stream.create([place]))


async def test_core_nats_needs_no_stream(stream: Broker) -> None:
    places = [
        Place(fresh("core"), options=of_nats.TargetOptions(delivery="at_most_once")),
        Place(fresh("core"), is_read=True, options=of_nats.SourceOptions(delivery="at_most_once")),
    ]
    assert await soon(stream.missing(places)) == []
    await soon(stream.create(places))
    plain = [Place(each.channel) for each in places]
    assert await soon(stream.missing(plain)) == plain


async def test_streams_that_drop_messages_are_risks(
    stream: Broker, jetstream: JetStreamContext
) -> None:
    name, subject = fresh("S"), fresh("subject")
    config = StreamConfig(
        name=name,
        subjects=[subject],
        max_age=3_600,
        max_msgs=10,
        storage="memory",  # type: ignore[arg-type]
    )
    await jetstream.add_stream(config)
    assert [each.split(":")[1] for each in await soon(stream.risks([Place(subject)]))] == [
        " discard is old",
        " its storage is memory",
        " max_age is set",
    ]
    safe = Place(fresh("subject"))
    await soon(stream.create([safe]))
    assert await soon(stream.risks([safe])) == []


async def test_what_a_stream_dropped_unread_is_counted(
    stream: Broker, nats_server: NatsServer, jetstream: JetStreamContext
) -> None:
    name, subject = fresh("S"), fresh("subject")
    await jetstream.add_stream(StreamConfig(name=name, subjects=[subject], max_msgs=5))
    address = AddressPlan(broker="edge", protocol="nats", channel=subject, pattern=None)
    source = await soon(stream.source("reader", [address], None))
    assert source.lost == 0
    for number in range(4):
        await jetstream.publish(subject, b"%d" % number)
    batch = await soon(source.read(4))
    await soon(source.settle([batch.handles[0], batch.handles[2]]))
    await soon(stream.close())
    for number in range(4, 12):
        await jetstream.publish(subject, b"%d" % number)
    async with opened(NatsBroker("edge", nats_server.url)) as again:
        source = await soon(again.source("reader", [address], None))
        assert source.lost == 3  # 4, 5 and 6


# --- Redis ---


async def test_pubsub_needs_no_stream(redis_server: RedisServer) -> None:
    async with opened(RedisBroker("cache", redis_server.url)) as broker:
        options = of_redis.TargetOptions(delivery="at_most_once")
        place = Place(fresh("channel"), options=options)
        assert await soon(broker.missing([place])) == []
        await soon(broker.create([place]))
        assert await soon(broker.missing([Place(place.channel)])) == [Place(place.channel)]
        assert await soon(broker.risks([place])) == []


async def test_a_server_that_evicts_or_forgets_is_a_risk(redis_server: RedisServer) -> None:
    place = Place(fresh("channel"))
    names = "maxmemory-policy", "appendonly"
    async with (
        opened(RedisBroker("cache", redis_server.url)) as broker,
        Redis.from_url(redis_server.url) as client,
    ):
        before = {each: (await client.config_get(each))[each] or "" for each in names}
        try:
            for name, value in zip(names, ("allkeys-lru", "no"), strict=True):
                await client.config_set(name, value)
            found = await soon(broker.risks([place]))
            for name, value in zip(names, ("noeviction", "yes"), strict=True):
                await client.config_set(name, value)
            assert await soon(broker.risks([place])) == []
        finally:
            for name, value in before.items():
                await client.config_set(name, value)
    assert [each.split(":")[0] for each in found] == [
        "maxmemory-policy is allkeys-lru",
        "appendonly is no",
    ]


async def test_a_server_that_tells_nothing_has_no_risks(redis_server: RedisServer) -> None:
    async with Redis.from_url(redis_server.url) as client:
        await client.execute_command(
            "ACL", "SETUSER", "blind", "on", ">b", "~*", "+@all", "-config"
        )
    url = redis_server.url.replace("://", "://blind:b@")
    async with opened(RedisBroker("cache", url)) as broker:
        assert await soon(broker.risks([Place(fresh("channel"))])) == []


# --- Kafka ---


async def test_a_topic_of_one_copy_is_a_risk(kafka_server: KafkaServer) -> None:
    topic, absent = fresh("topic"), fresh("topic")
    async with opened(KafkaBroker("log", kafka_server.url)) as broker:
        await soon(broker.create([Place(topic)]))
        [found] = await soon(broker.risks([Place(topic), Place(topic, is_read=True)]))
        assert found == f"topic {topic} has one copy: it is lost with its server"
        assert await soon(broker.missing([Place(absent)])) == [Place(absent)]
