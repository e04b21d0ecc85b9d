"""That looking leaves no trace on real servers, and is refused where it would take messages."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count

import nats
import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient
from nats.js.api import RetentionPolicy
from redis.asyncio import Redis

from gateway_lab.brokers.contract import Broker, BrokerError, Browser, Place
from gateway_lab.brokers.kafka.broker import KafkaBroker
from gateway_lab.brokers.nats.broker import NatsBroker
from gateway_lab.brokers.redis.broker import RedisBroker
from gateway_lab.config.plan import AddressPlan
from gateway_lab.protocols.nats import SourceOptions as NatsOptions
from gateway_lab.protocols.redis import SourceOptions as RedisOptions
from gateway_lab.testing.connector_browsing import all_of, some_of
from gateway_lab.testing.connector_rig import an_outgoing, numbers, soon
from gateway_lab.testing.servers import KafkaServer, NatsServer, RedisServer

pytestmark = [pytest.mark.broker, pytest.mark.anyio]

NUMBERS = count()


def address(broker: Broker, channel: str, *, is_pattern: bool = False) -> AddressPlan:
    return AddressPlan(
        broker=broker.alias,
        protocol=broker.protocol,  # type: ignore[arg-type]
        channel=None if is_pattern else channel,
        pattern=channel if is_pattern else None,
    )


async def filled(broker: Broker, channel: str, n: int = 10) -> None:
    """Make a channel with messages."""
    await soon(broker.open())
    await soon(broker.create([Place(channel, is_read=True)]))
    sent = await soon(broker.sink().send([an_outgoing(channel, each) for each in numbers(n)]))
    assert sent == [None] * n


@asynccontextmanager
async def looking(
    broker: Broker, place: AddressPlan, options: object = None
) -> AsyncIterator[Browser]:
    browser = await soon(broker.browser([place], options))
    yield browser
    await browser.close()


@pytest.fixture
async def stream(kafka_server: KafkaServer) -> AsyncIterator[KafkaBroker]:
    broker = KafkaBroker("stream", kafka_server.url)
    yield broker
    await broker.close()


@pytest.fixture
async def edge(nats_server: NatsServer) -> AsyncIterator[NatsBroker]:
    broker = NatsBroker("edge", nats_server.url)
    yield broker
    await broker.close()


@pytest.fixture
async def cache(redis_server: RedisServer) -> AsyncIterator[RedisBroker]:
    broker = RedisBroker("cache", redis_server.url)
    yield broker
    await broker.close()


async def test_no_group_of_kafka_is_made(stream: KafkaBroker, kafka_server: KafkaServer) -> None:
    channel = f"look-{next(NUMBERS)}"
    await filled(stream, channel)
    async with looking(stream, address(stream, channel)) as browser:
        assert len(await all_of(browser)) == 10
        admin = AdminClient({"bootstrap.servers": f"127.0.0.1:{kafka_server.port}"})
        found = await asyncio.to_thread(admin.list_consumer_groups().result)
        assert "gateway-lab-browser" not in {each.group_id for each in found.valid}


async def test_a_pattern_of_topics_is_looked_through(stream: KafkaBroker) -> None:
    prefix = f"pattern-{next(NUMBERS)}"
    for name in ("a", "b"):
        await filled(stream, f"{prefix}.{name}")
    place = address(stream, rf"^{prefix}\..*$", is_pattern=True)
    async with looking(stream, place) as browser:
        assert len(await all_of(browser)) == 20


async def test_compacted_and_deleted_records_keep_nobody_waiting(
    stream: KafkaBroker, kafka_server: KafkaServer
) -> None:
    channel = f"look-{next(NUMBERS)}"
    await filled(stream, channel)
    admin = AdminClient({"bootstrap.servers": f"127.0.0.1:{kafka_server.port}"})
    async with looking(stream, address(stream, channel)) as browser:
        everything = TopicPartition(channel, 0, -1)
        await asyncio.to_thread(admin.delete_records([everything])[everything].result)
        assert len(await all_of(browser)) <= 10
        assert browser.has_caught_up


async def test_no_consumer_of_nats_stays(edge: NatsBroker, nats_server: NatsServer) -> None:
    channel = f"look.{next(NUMBERS)}"
    await filled(edge, channel)
    client = await nats.connect(nats_server.url)
    jetstream = client.jetstream()
    name = await jetstream.find_stream_name_by_subject(channel)
    async with looking(edge, address(edge, channel)) as browser:
        assert len(await all_of(browser)) == 10
        assert len(await jetstream.consumers_info(name)) == 1
    assert await jetstream.consumers_info(name) == []
    assert (await jetstream.stream_info(name)).state.messages == 10
    await client.close()


async def test_a_work_queue_of_nats_is_refused(edge: NatsBroker, nats_server: NatsServer) -> None:
    channel = f"look.{next(NUMBERS)}"
    client = await nats.connect(nats_server.url)
    work = RetentionPolicy.WORK_QUEUE
    await client.jetstream().add_stream(
        name=channel[-1] + "WORK", subjects=[channel], retention=work
    )
    with pytest.raises(BrokerError, match="takes them"):
        await soon(edge.browser([address(edge, channel)], None))
    await client.close()


async def test_a_browser_goes_on_when_its_consumer_is_deleted(
    edge: NatsBroker, nats_server: NatsServer
) -> None:
    channel = f"look.{next(NUMBERS)}"
    await filled(edge, channel, 100)
    client = await nats.connect(nats_server.url)
    jetstream = client.jetstream()
    name = await jetstream.find_stream_name_by_subject(channel)
    async with looking(edge, address(edge, channel)) as browser:
        messages = await some_of(browser, 10)
        [consumer] = await jetstream.consumers_info(name)
        await jetstream.delete_consumer(name, consumer.name)
        messages += await some_of(browser, 90)
    assert [int(each.position or "") for each in messages] == list(range(1, 101))
    await client.close()


async def test_what_nats_keeps_nowhere_is_heard(edge: NatsBroker, nats_server: NatsServer) -> None:
    channel = f"look.{next(NUMBERS)}"
    await edge.open()
    options = NatsOptions(delivery="at_most_once")
    client = await nats.connect(nats_server.url)
    async with looking(edge, address(edge, channel), options) as browser:
        assert browser.has_caught_up
        reading = asyncio.create_task(some_of(browser, 1))
        while not reading.done():  # the server takes its time to hear of who listens
            await client.publish(channel, b"1")
            await asyncio.wait([reading], timeout=0.01)
        assert {each.body for each in await reading} == {b"1"}
    await client.close()


async def test_no_group_of_redis_is_made(cache: RedisBroker, redis_server: RedisServer) -> None:
    channel = f"look-{next(NUMBERS)}"
    await filled(cache, channel)
    async with (
        looking(cache, address(cache, channel)) as browser,
        Redis.from_url(redis_server.url) as client,
    ):
        assert len(await all_of(browser)) == 10
        assert await client.xinfo_groups(channel) == []
        assert await client.xlen(channel) == 10


async def test_entries_that_were_trimmed_keep_nobody_waiting(
    cache: RedisBroker, redis_server: RedisServer
) -> None:
    channel = f"look-{next(NUMBERS)}"
    await filled(cache, channel)
    async with (
        looking(cache, address(cache, channel)) as browser,
        Redis.from_url(redis_server.url) as client,
    ):
        await client.xtrim(channel, maxlen=0)
        assert await all_of(browser) == []


async def test_what_redis_keeps_nowhere_is_heard(
    cache: RedisBroker, redis_server: RedisServer
) -> None:
    channel = f"look-{next(NUMBERS)}"
    options = RedisOptions(delivery="at_most_once")
    async with (
        looking(cache, address(cache, channel), options) as browser,
        Redis.from_url(redis_server.url) as client,
    ):
        while not await client.publish(channel, b"1"):
            pass
        [message, *_] = await some_of(browser, 1)
        assert message.body == b"1"
