from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from itertools import count
from typing import Any, cast

import pytest
from confluent_kafka import TIMESTAMP_NOT_AVAILABLE, Consumer, Producer, TopicPartition, murmur2
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from gateway_lab.brokers.contract import BrokerError, FailureClass, Place
from gateway_lab.brokers.kafka import consumer as kafka_consumer
from gateway_lab.brokers.kafka import settings as kafka_settings
from gateway_lab.brokers.kafka.broker import KafkaBroker
from gateway_lab.brokers.kafka.messages import read_message
from gateway_lab.brokers.kafka.source import KafkaSource
from gateway_lab.config.plan import AddressPlan
from gateway_lab.messages.message import Message
from gateway_lab.protocols.kafka import SourceOptions
from gateway_lab.testing.connector_reading import read_and_die
from gateway_lab.testing.connector_rig import (
    LIMIT_S,
    Reading,
    a_message,
    an_outgoing,
    classes,
    numbers,
    soon,
)
from gateway_lab.testing.connector_suite import ConnectorSuite
from gateway_lab.testing.servers import KafkaServer, free_port
from tests.brokers.proxy import Proxy

pytestmark = [pytest.mark.broker, pytest.mark.anyio]

NUMBERS = count()
SESSION_S = 2.0


class KafkaRig:
    options: object = SourceOptions()

    def __init__(self, server: KafkaServer, proxy: Proxy) -> None:
        self.server, self._proxy = server, proxy
        self.url = f"kafka://127.0.0.1:{proxy.port}"
        # A client that does not go through the proxy until the server names it.
        self.settings: dict[str, Any] = {
            "bootstrap.servers": f"127.0.0.1:{server.port}",
            "log_level": 0,
        }
        self.admin = AdminClient(self.settings)
        self.gateway = f"gateway-{next(NUMBERS)}"

    async def broker(self, *, member: str = "", session_s: float = SESSION_S) -> KafkaBroker:
        own: Any = {"gateway": self.gateway, "member": member, "session_s": session_s}
        broker = KafkaBroker("stream", self.url, **own)
        await broker.open()
        return broker

    def program(self) -> str:
        return (
            "from gateway_lab.brokers.kafka.broker import KafkaBroker\n"
            f"broker = KafkaBroker('stream', {self.url!r}, session_s={SESSION_S},"
            f" gateway={self.gateway!r})\n"
        )

    async def fresh_channel(self, partitions: int = 4, **config: str) -> str:
        name = self.absent_channel()
        dotted = {key.replace("_", "."): value for key, value in config.items()}
        made = self.admin.create_topics([NewTopic(name, partitions, 1, config=dotted)])
        await asyncio.to_thread(made[name].result)
        await eventually(
            lambda: self._is_there(name)
        )  # the broker hears of it after the controller
        return name

    async def _is_there(self, name: str) -> bool:
        return name in (await asyncio.to_thread(self.admin.list_topics, timeout=LIMIT_S)).topics

    def absent_channel(self) -> str:
        return f"topic-{next(NUMBERS)}"

    def address(self, channel: str) -> AddressPlan:
        return AddressPlan(broker="stream", protocol="kafka", channel=channel, pattern=None)

    async def publish(self, channel: str, messages: Sequence[Message]) -> None:
        await asyncio.to_thread(self._publish, channel, messages)

    def _publish(self, channel: str, messages: Sequence[Message]) -> None:
        producer = Producer({**self.settings, "acks": "all", "linger.ms": 0})
        for each in messages:
            time = int(each.timestamp.timestamp() * 1_000) if each.timestamp else 0
            headers: Any = list(each.headers)
            producer.produce(channel, each.body, each.key, headers=headers, timestamp=time)
        assert producer.flush(LIMIT_S) == 0

    async def fetch(self, channel: str, n: int) -> list[Message]:
        return await asyncio.to_thread(self._fetch, channel, n)

    def _fetch(self, channel: str, n: int) -> list[Message]:
        consumer = Consumer({**self.settings, "group.id": "fetch", "enable.partition.eof": True})
        partitions = consumer.list_topics(timeout=LIMIT_S).topics[channel].partitions
        consumer.assign([TopicPartition(channel, number, 0) for number in partitions])
        got: list[Message] = []
        ends = 0
        while len(got) < n or ends < len(partitions):
            message = consumer.poll(LIMIT_S)
            assert message is not None
            if message.error():
                ends += 1
            else:
                got.append(a_message(message.value(), message.key(), headers=headers_of(message)))
        consumer.close()
        return got

    async def cut_connections(self) -> None:
        self._proxy.cut()

    async def stop(self) -> None:
        await asyncio.to_thread(self.server.stop)

    async def start(self) -> None:
        self.server.start()  # in this thread: it ends with the one that started it

    async def publish_at(self, channel: str, body: bytes, milliseconds: int) -> None:
        producer = Producer({**self.settings, "linger.ms": 0})
        producer.produce(channel, body, timestamp=milliseconds)
        assert await asyncio.to_thread(producer.flush, LIMIT_S) == 0

    async def delete_below(self, channel: str, offset: int) -> None:
        """Let retention take what is below an offset."""
        place = TopicPartition(channel, 0, offset)
        await asyncio.to_thread(self.admin.delete_records([place])[place].result)

    async def commit(self, group: str, place: TopicPartition) -> None:
        consumer = Consumer({**self.settings, "group.id": group})
        await asyncio.to_thread(consumer.commit, offsets=[place], asynchronous=False)

    async def committed(self, group: str, channel: str, partition: int = 0) -> int:
        """Return what a group has committed."""
        return (await self._committed(group, channel, partition)).offset

    async def note(self, group: str, channel: str) -> str:
        """Return the text that a group has committed with its place."""
        return (await self._committed(group, channel, 0)).metadata or ""

    async def has_note(self, group: str, channel: str, text: str) -> bool:
        return await self.note(group, channel) == text

    async def _committed(self, group: str, channel: str, partition: int) -> TopicPartition:
        consumer = Consumer({**self.settings, "group.id": group})
        asked = [TopicPartition(channel, partition)]
        [got] = await asyncio.to_thread(consumer.committed, asked, LIMIT_S)
        return got


def headers_of(message) -> tuple[tuple[str, bytes], ...]:
    return tuple(message.headers() or ())


@pytest.fixture(scope="module")
def proxy() -> Iterator[Proxy]:
    with Proxy(free_port()) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def server(proxy: Proxy, tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaServer]:
    """Yield a server that tells its clients to come through the proxy."""
    settings = {
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{proxy.port}",
        "group.min.session.timeout.ms": "1000",
    }
    with KafkaServer(tmp_path_factory.mktemp("kafka"), settings=settings) as server:
        proxy.server_port = server.port
        yield server


@pytest.fixture
def rig(server: KafkaServer, proxy: Proxy) -> KafkaRig:
    return KafkaRig(server, proxy)


class TestKafka(ConnectorSuite):
    protocol = "kafka"
    features = frozenset(
        {"attempts", "crash", "cuts", "groups", "looks", "order", "stops", "unroutable"}
    )

    @pytest.fixture
    def rig(self, rig: KafkaRig) -> KafkaRig:
        return rig


@pytest.fixture
async def broker(rig: KafkaRig) -> AsyncIterator[KafkaBroker]:
    broker = await soon(rig.broker())
    yield broker
    await soon(broker.close())


async def open_source(
    rig: KafkaRig, broker: KafkaBroker, *channels: str, name: str = "reader"
) -> Reading:
    addresses = [rig.address(each) for each in channels]
    return Reading(await soon(broker.source(name, addresses, rig.options)))


def in_order(bodies: Sequence[bytes | None]) -> list[bytes]:
    return sorted((each or b"" for each in bodies), key=int)


async def eventually(is_so: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(LIMIT_S):
        while not await is_so():  # noqa: ASYNC110 - it asks a server, or a thread
            await asyncio.sleep(0.02)


# --- where reading begins ---


async def test_a_group_that_lost_messages_stops_and_says_so(rig: KafkaRig) -> None:
    topic = await rig.fresh_channel(partitions=1)
    await rig.publish(topic, [a_message(body) for body in numbers(10)])
    broker = await soon(rig.broker())
    reading = await open_source(rig, broker, topic)
    await reading.bodies(10)
    await soon(reading.source.settle(reading.handles[:3]))
    await soon(broker.close())
    await rig.delete_below(topic, 6)
    broker = await soon(rig.broker())
    reading = await open_source(rig, broker, topic)
    for _ in range(2):
        with pytest.raises(BrokerError, match="deleted before they were read") as caught:
            await soon(reading.source.read(10))
        assert caught.value.failure.failure_class is FailureClass.CONFIGURATION
        assert reading.source.lost == 3
    await soon(broker.close())
    assert await rig.committed(f"{rig.gateway}.reader", topic) == 3


async def test_a_group_that_stands_behind_the_end_stops_the_source(
    rig: KafkaRig, broker: KafkaBroker
) -> None:
    """The topic lost messages, or is another one."""
    topic = await rig.fresh_channel(partitions=1)
    await rig.commit(f"{rig.gateway}.reader", TopicPartition(topic, 0, 7))
    reading = await open_source(rig, broker, topic)
    with pytest.raises(BrokerError, match="gone since"):
        await soon(reading.source.read(10))


async def test_where_an_idle_group_stands_is_committed_too(
    rig: KafkaRig, broker: KafkaBroker
) -> None:
    """Else what is deleted before the next start would be lost without a word."""
    topic = await rig.fresh_channel(partitions=1)
    await open_source(rig, broker, topic)

    async def is_committed() -> bool:
        return await rig.committed(f"{rig.gateway}.reader", topic) == 0

    await eventually(is_committed)


async def test_nothing_is_committed_above_a_message_in_hand(
    rig: KafkaRig, broker: KafkaBroker
) -> None:
    topic = await rig.fresh_channel(partitions=1)
    await rig.publish(topic, [a_message(body) for body in numbers(20)])
    reading = await open_source(rig, broker, topic)
    await reading.bodies(20)
    await soon(reading.source.settle(reading.handles[:5] + reading.handles[6:]))
    await soon(broker.close())
    assert await rig.committed(f"{rig.gateway}.reader", topic) == 5


async def test_how_often_a_message_was_read_outlives_the_process(rig: KafkaRig) -> None:
    topic = await rig.fresh_channel(partitions=1)
    await rig.publish(topic, [a_message(body) for body in numbers(10)])
    for times in (1, 2, 3):
        is_noted = partial(rig.has_note, f"{rig.gateway}.reader", topic, f"gw1:0x{times},10")
        await read_and_die(rig, topic, 10, partial(eventually, is_noted))
    await rig.publish(topic, [a_message(body) for body in numbers(10, 10)])
    broker = await soon(rig.broker())
    reading = await open_source(rig, broker, topic)
    await reading.bodies(20)
    assert reading.attempts == [3] * 10 + [0] * 10
    await soon(reading.source.settle(reading.handles[:5]))
    await soon(broker.close())
    assert await rig.committed(f"{rig.gateway}.reader", topic) == 5
    assert await rig.note(f"{rig.gateway}.reader", topic) == "gw1:0x4,5x1,15"


async def test_what_nobody_was_given_counts_as_never_read(
    rig: KafkaRig, broker: KafkaBroker
) -> None:
    topic = await rig.fresh_channel(partitions=1)
    await rig.publish(topic, [a_message(body) for body in numbers(50)])
    reading = await open_source(rig, broker, topic)
    batch = await soon(reading.source.read(5))
    thread = cast("KafkaSource", reading.source)._thread

    async def has_fetched_ahead() -> bool:
        return len(thread._shelf) > 0

    await eventually(has_fetched_ahead)
    await soon(broker.close())
    note = await rig.note(f"{rig.gateway}.reader", topic)
    assert note == f"gw1:0x1,{len(batch.messages)}"


# --- members come and go ---


async def test_a_partition_that_goes_elsewhere_waits_for_its_messages(rig: KafkaRig) -> None:
    """What is in hand is settled and committed first: no message comes twice."""
    topic = await rig.fresh_channel(partitions=2)
    await rig.publish(topic, [a_message(body, body) for body in numbers(40)])
    one, two = await soon(rig.broker()), await soon(rig.broker())
    first = await open_source(rig, one, topic)
    await first.bodies(40)
    second = await open_source(rig, two, topic)
    await rig.publish(topic, [a_message(body, body) for body in numbers(40, 40)])
    waiting = asyncio.create_task(second.bodies(1))
    await first.settle()
    await soon(waiting)

    async def read_all(reading: Reading) -> None:
        while len({each.body for each in first.messages + second.messages}) < 80:
            reading.add(await reading.source.read(10))

    tasks = [asyncio.create_task(read_all(each)) for each in (first, second)]
    await soon(asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED))
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    bodies = [each.body for each in first.messages + second.messages]
    assert in_order(bodies) == numbers(80)
    await soon(one.close())
    await soon(two.close())


async def test_a_handle_of_a_partition_that_went_elsewhere_settles_nothing(
    rig: KafkaRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kafka_consumer, "REVOKE_S", 0.1)
    topic = await rig.fresh_channel(partitions=1)
    await rig.publish(topic, [a_message(body) for body in numbers(10)])
    one, two = await soon(rig.broker(member="b")), await soon(rig.broker(member="a"))
    first = await open_source(rig, one, topic)
    await first.bodies(10)
    second = await open_source(rig, two, topic)
    with suppress(TimeoutError):  # one of them has the partition; which is Kafka's to choose
        await asyncio.wait_for(second.until(lambda: bool(second.messages)), 3)
    await first.settle()
    await soon(one.close())
    committed = await rig.committed(f"{rig.gateway}.reader", topic)
    assert committed == (0 if second.messages else 10)
    await soon(two.close())


async def test_a_member_that_comes_again_has_its_partitions_at_once(rig: KafkaRig) -> None:
    topic = await rig.fresh_channel()
    for start in (0, 10):
        broker = await soon(rig.broker(member="gateway-0", session_s=30.0))
        await rig.publish(topic, [a_message(body) for body in numbers(10, start)])
        reading = await open_source(rig, broker, topic)
        assert in_order(await reading.bodies(10)) == numbers(10, start)
        await reading.settle()
        await soon(broker.close())


async def test_a_member_that_was_taken_for_gone_comes_back(rig: KafkaRig) -> None:
    """A broker that was silent for a session has given the member's place away: it is fenced."""
    topic = await rig.fresh_channel()
    one, two = [await soon(rig.broker(member="gateway-0")) for _ in range(2)]
    first = await open_source(rig, one, topic)
    await rig.publish(topic, [a_message(b"1")])
    await first.bodies(1)
    second = await open_source(rig, two, topic)
    await second.bodies(1)
    await soon(two.close())
    await rig.publish(topic, [a_message(b"2")])
    assert set(await first.bodies(2)) == {b"1", b"2"}
    await first.settle()
    await soon(one.close())


async def test_of_two_processes_of_one_name_one_stops(rig: KafkaRig) -> None:
    topic = await rig.fresh_channel()
    brokers = [await soon(rig.broker(member="gateway-0")) for _ in range(2)]
    readings = [await open_source(rig, each, topic) for each in brokers]
    waits = [asyncio.create_task(each.bodies(1)) for each in readings]
    ended, _ = await asyncio.wait(waits, timeout=40, return_when=asyncio.FIRST_EXCEPTION)
    with pytest.raises(BrokerError, match="runs as the same member"):
        ended.pop().result()
    [left] = [each for each in waits if not each.done()]
    await rig.publish(topic, [a_message(b"1")])
    assert await soon(left) == [b"1"]
    for each in brokers:
        await soon(each.close())


async def test_a_lease_that_the_server_does_not_allow_stops_the_source(rig: KafkaRig) -> None:
    topic = await rig.fresh_channel()
    broker = await soon(rig.broker(session_s=0.5))
    reading = await open_source(rig, broker, topic)
    with pytest.raises(BrokerError, match="does not allow a lease") as caught:
        await soon(reading.source.read(1))
    assert caught.value.failure.failure_class is FailureClass.CONFIGURATION
    await soon(broker.close())


# --- reading ---


async def test_a_reader_that_rests_loses_nothing(rig: KafkaRig, broker: KafkaBroker) -> None:
    """Fetching pauses while nobody reads, and goes on where it was."""
    topic = await rig.fresh_channel()
    reading = await open_source(rig, broker, topic)
    await rig.publish(topic, [a_message(body, body) for body in numbers(2_000)])
    await reading.bodies(10, limit=10)
    thread = cast("KafkaSource", reading.source)._thread

    async def is_paused() -> bool:
        return thread._is_paused

    await eventually(is_paused)
    await rig.publish(topic, [a_message(body, body) for body in numbers(500, 2_000)])
    assert in_order(await reading.bodies(2_500)) == numbers(2_500)


async def test_a_pattern_takes_in_topics_that_are_made_later(
    rig: KafkaRig, broker: KafkaBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kafka_consumer, "_TOPICS_S", 0.1)
    name = rig.absent_channel()
    pattern = rf"^{name}-.*\.[ab]$"
    address = AddressPlan(broker="stream", protocol="kafka", channel=None, pattern=pattern)
    reading = Reading(await soon(broker.source("reader", [address], rig.options)))
    topics = [f"{name}-{each}" for each in ("1.a", "2.b", "3.c")]
    for topic in topics:
        await soon(broker.create([Place(topic)]))
        await rig.publish(topic, [a_message(topic.encode())])
    assert set(await reading.bodies(2)) == {each.encode() for each in topics[:2]}


async def test_a_time_that_no_calendar_has_is_none(rig: KafkaRig, broker: KafkaBroker) -> None:
    topic = await rig.fresh_channel(message_timestamp_after_max_ms=str(2**63 - 1))
    await rig.publish(topic, [a_message(b"1"), a_message(b"2", headers=(("none", None),))])
    await rig.publish_at(topic, b"3", 2**60)
    reading = await open_source(rig, broker, topic)
    await reading.bodies(3)
    got = {each.body: each for each in reading.messages}
    assert got[b"1"].timestamp is not None
    assert got[b"2"].headers == (("none", b""),)
    assert got[b"3"].timestamp is None


class _Unreadable:
    """Stands for a message of a producer that writes any bytes for the name of a header."""

    def __init__(self) -> None:
        self.timestamp = lambda: (TIMESTAMP_NOT_AVAILABLE, -1)
        self.value = self.key = lambda: b"1"

    def headers(self) -> None:
        raise SystemError("returned a result with an exception set")


def test_headers_that_the_client_cannot_read_are_left_out_and_told_of_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    raw: Any = _Unreadable()
    place = (f"topic-{next(NUMBERS)}", "0")
    messages = [read_message(raw, place, n, "stream", datetime.now(UTC)) for n in range(2)]
    assert [(each.body, each.headers) for each in messages] == [(b"1", ())] * 2
    (told,) = caplog.messages
    where = f"topic {place[0]}, partition 0"
    assert told == f"headers of messages of {where}, are left out: a name is no UTF-8"


async def test_a_thread_that_ends_by_a_defect_does_not_leave_its_reader_waiting(
    rig: KafkaRig, broker: KafkaBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    topic = await rig.fresh_channel()
    reading = await open_source(rig, broker, topic)

    def fail(*_: object) -> None:
        raise LookupError("a defect")

    monkeypatch.setattr(kafka_consumer, "read_message", fail)
    await rig.publish(topic, [a_message(b"1")])
    with pytest.raises(LookupError, match="a defect"):
        await soon(reading.source.read(10))


# --- sending ---


async def test_keys_go_where_clients_of_java_put_them(rig: KafkaRig, broker: KafkaBroker) -> None:
    topic = await rig.fresh_channel(partitions=4)
    keys = [b"k%d" % number for number in range(50)]
    batch = [an_outgoing(topic, key, key=key) for key in keys]
    assert await soon(broker.sink().send(batch)) == [None] * 50
    reading = await open_source(rig, broker, topic)
    await reading.bodies(50)
    expected = {key: f"{murmur2(key, 4)}" for key in keys}
    assert {each.key: each.partition for each in reading.messages} == expected


async def test_a_topic_that_takes_less_refuses_only_what_is_too_large(
    rig: KafkaRig, broker: KafkaBroker
) -> None:
    topic = await rig.fresh_channel(partitions=1, max_message_bytes="20000")
    bodies = [b"x" * size for size in (15_000, 15_001, 30_000, 15_003)]
    failures = await soon(broker.sink().send([an_outgoing(topic, body) for body in bodies]))
    assert classes(failures) == [None, None, FailureClass.PERMANENT, None]
    assert {each.body for each in await soon(rig.fetch(topic, 3))} == {*bodies[:2], bodies[3]}


async def test_a_batch_that_is_larger_than_the_queue_waits_for_room(
    rig: KafkaRig, broker: KafkaBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = {**kafka_settings._WRITING, "queue.buffering.max.messages": 100}
    monkeypatch.setattr(kafka_settings, "_WRITING", small)
    topic = await rig.fresh_channel(partitions=1)
    sink = broker.sink()
    batches = [[an_outgoing(topic, each, key=b"k") for each in numbers(500, n)] for n in (0, 500)]
    answers = await soon(asyncio.gather(*map(sink.send, batches)))
    assert answers == [[None] * 500] * 2
    assert [each.body for each in await soon(rig.fetch(topic, 1_000))] == numbers(1_000)
