"""Clients of the four servers that see whole messages: to publish what a gateway reads, and to
read what it wrote.

They know nothing of connectors: what both got wrong in the same way would not be seen.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol, Self, cast
from uuid import uuid4

import aiormq
import nats
from aiormq.abc import AbstractChannel, DeliveredMessage
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from nats.aio.client import Client as NatsConnection
from nats.js.api import StreamConfig
from nats.js.client import JetStreamContext
from pamqp.commands import Basic
from pamqp.common import FieldTable
from redis.asyncio import Redis

from gateway_lab.messages.headers import Headers
from gateway_lab.messages.message import Message

LIMIT_S = 60.0
AT_ONCE = 1_000
"""Messages under way at once."""

KEY, TIME = "x-gw-key", "x-gw-timestamp"

Fetched = dict[str, list[Message]]


class Client(Protocol):
    """What each of them can do."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(self, *_: object) -> None: ...

    async def create(self, channels: Iterable[str]) -> None:
        """Create channels as durable as the server has them."""

    async def delete(self, channels: Iterable[str]) -> None:
        """Delete channels and all they hold."""

    async def publish(self, channel: str, messages: Sequence[Message]) -> None:
        """Store messages, those of a key in their order, and wait until all are confirmed."""

    async def count(self, channel: str) -> int:
        """Count what a channel holds."""

    async def fetch(self, channels: Iterable[str]) -> Fetched:
        """Return all that channels hold now, in order; from RabbitMQ's they are taken out."""

    async def left(self, group: str, channel: str) -> int:
        """Count what a group has not settled."""


def a_message(
    body: bytes | None, key: bytes | None, headers: Headers, timestamp: datetime | None
) -> Message:
    return Message(
        body=body, key=key, headers=headers, timestamp=timestamp, received=datetime.now(UTC)
    )


def with_edge(message: Message) -> dict[str, bytes]:
    """Return the headers of a message, with key and time among them."""
    headers = dict(message.headers)
    if message.key is not None:
        headers[KEY] = message.key
    if message.timestamp is not None:
        headers[TIME] = message.timestamp.isoformat().encode()
    return headers


def without_edge(body: bytes | None, headers: dict[str, bytes]) -> Message:
    """Make a message of headers that have key and time among them."""
    key, time = headers.pop(KEY, None), headers.pop(TIME, None)
    timestamp = datetime.fromisoformat(time.decode()) if time else None
    return a_message(body, key, tuple(headers.items()), timestamp)


def chunks(messages: Sequence[Message]) -> Iterable[Sequence[Message]]:
    return (messages[at : at + AT_ONCE] for at in range(0, len(messages), AT_ONCE))


class KafkaClient:
    def __init__(self, url: str) -> None:
        servers = url.removeprefix("kafka://")
        self.settings: dict[str, Any] = {"bootstrap.servers": servers, "log_level": 0}
        self.admin = AdminClient(self.settings)
        self._producer = Producer({**self.settings, "acks": "all", "linger.ms": 5})

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        del self._producer, self.admin

    async def create(self, channels: Iterable[str], partitions: int = 4) -> None:
        # Captured messages keep their times: retention by time would take them at once.
        forever = {"retention.ms": "-1"}
        topics = [NewTopic(each, partitions, 1, config=forever) for each in channels]
        if topics:
            made = self.admin.create_topics(topics).values()
            await asyncio.gather(*[asyncio.to_thread(each.result, LIMIT_S) for each in made])
            await self._until({each.topic for each in topics}, are_there=True)

    async def delete(self, channels: Iterable[str]) -> None:
        if names := list(channels):
            gone = self.admin.delete_topics(names).values()
            await asyncio.gather(*[asyncio.to_thread(each.result, LIMIT_S) for each in gone])
            await self._until(set(names), are_there=False)

    async def _until(self, names: set[str], *, are_there: bool) -> None:
        """Wait until the broker has heard of what the controller did."""
        wanted = names if are_there else set()
        async with asyncio.timeout(LIMIT_S):
            while names & await self._topics() != wanted:  # noqa: ASYNC110 - it asks a server
                await asyncio.sleep(0.02)

    async def _topics(self) -> set[str]:
        return set((await asyncio.to_thread(self.admin.list_topics, timeout=LIMIT_S)).topics)

    async def publish(self, channel: str, messages: Sequence[Message]) -> None:
        await asyncio.to_thread(self._publish, channel, messages)

    def _publish(self, channel: str, messages: Sequence[Message]) -> None:
        for chunk in chunks(messages):
            for each in chunk:
                time = round(each.timestamp.timestamp() * 1_000) if each.timestamp else 0
                headers: Any = list(each.headers)
                self._producer.produce(
                    channel, each.body, each.key, headers=headers, timestamp=time
                )
            self._producer.poll(0)
        assert self._producer.flush(LIMIT_S) == 0

    async def count(self, channel: str) -> int:
        ends = await asyncio.to_thread(self._ends, channel)
        return sum(high - low for low, high in ends.values())

    def _ends(self, channel: str) -> dict[int, tuple[int, int]]:
        consumer = self._consumer("nobody")
        partitions = self.admin.list_topics(timeout=LIMIT_S).topics[channel].partitions
        places = [TopicPartition(channel, number) for number in partitions]
        try:
            ends: list[Any] = [consumer.get_watermark_offsets(each, LIMIT_S) for each in places]
        finally:
            consumer.close()
        return dict(zip(partitions, ends, strict=True))

    def _consumer(self, group: str) -> Consumer:
        own = {"group.id": group, "enable.auto.commit": False, "enable.partition.eof": True}
        return Consumer({**self.settings, **own})

    async def fetch(self, channels: Iterable[str]) -> Fetched:
        return await asyncio.to_thread(self._fetch, list(channels))

    def _fetch(self, channels: Sequence[str]) -> Fetched:
        fetched: Fetched = {each: [] for each in channels}
        topics = self.admin.list_topics(timeout=LIMIT_S).topics
        places = [
            TopicPartition(each, number, 0)
            for each in channels
            for number in topics[each].partitions
        ]
        consumer = self._consumer("nobody")
        consumer.assign(places)
        ends = 0
        while ends < len(places):
            first = consumer.poll(LIMIT_S)
            assert first is not None, "Kafka does not answer"
            for message in (first, *consumer.consume(AT_ONCE, 0)):
                if message.error():
                    ends += 1
                else:
                    fetched[message.topic() or ""].append(_of_kafka(message))
        consumer.close()
        return fetched

    async def left(self, group: str, channel: str) -> int:
        return await asyncio.to_thread(self._left, group, channel)

    def _left(self, group: str, channel: str) -> int:
        ends, consumer = self._ends(channel), self._consumer(group)
        try:
            committed = consumer.committed([TopicPartition(channel, at) for at in ends], LIMIT_S)
        finally:
            consumer.close()
        return sum(
            ends[each.partition][1] - max(each.offset, ends[each.partition][0])
            for each in committed
        )


def _of_kafka(message: Any) -> Message:
    _, milliseconds = message.timestamp()
    headers = tuple((name, value or b"") for name, value in message.headers() or ())
    time = datetime.fromtimestamp(milliseconds / 1_000, UTC)
    return a_message(message.value(), message.key(), headers, time)


class RabbitmqClient:
    def __init__(self, url: str) -> None:
        self._url = url

    async def __aenter__(self) -> Self:
        self._connection = await aiormq.connect(self._url)
        self.channel: AbstractChannel = await self._connection.channel()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._connection.close()

    async def create(self, channels: Iterable[str]) -> None:
        quorum: FieldTable = {"x-queue-type": "quorum"}
        for each in channels:
            await self.channel.queue_declare(each, durable=True, arguments=quorum)

    async def delete(self, channels: Iterable[str]) -> None:
        for each in channels:
            await self.channel.queue_delete(each)

    async def publish(self, channel: str, messages: Sequence[Message]) -> None:
        for chunk in chunks(messages):
            await asyncio.gather(*[self._publish(channel, each) for each in chunk])

    async def _publish(self, channel: str, message: Message) -> None:
        headers: FieldTable = {name: bytearray(value) for name, value in with_edge(message).items()}
        properties = Basic.Properties(headers=headers, delivery_mode=2, message_id=uuid4().hex)
        confirmed = await self.channel.basic_publish(
            message.body or b"", routing_key=channel, properties=properties, mandatory=True
        )
        assert isinstance(confirmed, Basic.Ack)

    async def count(self, channel: str) -> int:
        return (await self.channel.queue_declare(channel, passive=True)).message_count or 0

    async def fetch(self, channels: Iterable[str]) -> Fetched:
        return {each: await self._fetch(each) for each in channels}

    async def _fetch(self, queue: str) -> list[Message]:
        number = await self.count(queue)
        if not number:
            return []
        arrived: asyncio.Queue[DeliveredMessage] = asyncio.Queue()
        started = await self.channel.basic_consume(queue, arrived.put, no_ack=True)
        async with asyncio.timeout(LIMIT_S):
            got = [_of_rabbitmq(await arrived.get()) for _ in range(number)]
        await self.channel.basic_cancel(started.consumer_tag or "")
        while not arrived.empty():
            got.append(_of_rabbitmq(arrived.get_nowait()))
        return got

    async def left(self, group: str, channel: str) -> int:
        """Count what is in the queue, once its readers are gone: a queue has no groups."""
        del group
        return await self.count(channel)


def _of_rabbitmq(delivered: DeliveredMessage) -> Message:
    table: dict[str, Any] = dict(delivered.header.properties.headers or {})
    table.pop("x-delivery-count", None)
    headers = {
        name: value.encode() if isinstance(value, str) else bytes(value)
        for name, value in table.items()
    }
    return without_edge(delivered.body, headers)


class NatsClient:
    """Each channel that it creates is a stream of its own."""

    def __init__(self, url: str) -> None:
        self._url = url

    async def __aenter__(self) -> Self:
        self.connection: NatsConnection = await nats.connect(self._url)
        self.stream: JetStreamContext = self.connection.jetstream(
            timeout=LIMIT_S, publish_async_max_pending=4 * AT_ONCE
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.connection.close()

    async def create(self, channels: Iterable[str]) -> None:
        for each in channels:
            name = stream_name(each)
            config = StreamConfig(name=name, subjects=[each], discard="new")  # type: ignore[arg-type]
            await self.stream.add_stream(config)

    async def delete(self, channels: Iterable[str]) -> None:
        for each in channels:
            await self.stream.delete_stream(stream_name(each))

    async def publish(self, channel: str, messages: Sequence[Message]) -> None:
        for chunk in chunks(messages):
            stored = [
                await self.stream.publish_async(
                    channel,
                    each.body or b"",
                    headers={name: value.decode() for name, value in with_edge(each).items()},
                )
                for each in chunk
            ]
            await asyncio.wait_for(asyncio.gather(*stored), LIMIT_S)

    async def count(self, channel: str) -> int:
        name = await self.stream.find_stream_name_by_subject(channel)
        info = await self.stream.stream_info(name, subjects_filter=channel)
        return int((info.state.subjects or {}).get(channel, 0))

    async def fetch(self, channels: Iterable[str]) -> Fetched:
        return {each: await self._fetch(each) for each in channels}

    async def _fetch(self, subject: str) -> list[Message]:
        number = await self.count(subject)
        if not number:
            return []
        reading = await self.stream.subscribe(subject, ordered_consumer=True)
        got = [await reading.next_msg(LIMIT_S) for _ in range(number)]
        await reading.unsubscribe()
        return [
            without_edge(
                each.data, {name: value.encode() for name, value in (each.headers or {}).items()}
            )
            for each in got
        ]

    async def left(self, group: str, channel: str) -> int:
        name = await self.stream.find_stream_name_by_subject(channel)
        info = await self.stream.consumer_info(name, group)
        return (info.num_pending or 0) + (info.num_ack_pending or 0)


def stream_name(subject: str) -> str:
    return subject.replace(".", "_")


class RedisClient:
    def __init__(self, url: str) -> None:
        self.connection = Redis.from_url(url)

    async def __aenter__(self) -> Self:
        await self.connection.ping()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.connection.aclose()

    async def create(self, channels: Iterable[str]) -> None:
        for each in channels:
            await self.connection.xgroup_create(each, "made", mkstream=True)

    async def delete(self, channels: Iterable[str]) -> None:
        if names := list(channels):
            await self.connection.delete(*names)

    async def publish(self, channel: str, messages: Sequence[Message]) -> None:
        for chunk in chunks(messages):
            pipeline = self.connection.pipeline(transaction=False)
            for each in chunk:
                fields: dict[Any, Any] = {} if each.body is None else {"body": each.body}
                pipeline.xadd(channel, fields | with_edge(each))
            await pipeline.execute()

    async def count(self, channel: str) -> int:
        return int(await self.connection.xlen(channel))

    async def fetch(self, channels: Iterable[str]) -> Fetched:
        return {each: await self._fetch(each) for each in channels}

    async def _fetch(self, channel: str) -> list[Message]:
        entries = cast("Any", await self.connection.xrange(channel))
        return [_of_redis(fields) for _, fields in entries]

    async def left(self, group: str, channel: str) -> int:
        groups = cast("Any", await self.connection.xinfo_groups(channel))
        [found] = [each for each in groups if each["name"] == group.encode()]
        return int(found["pending"]) + int(found["lag"] or 0)


def _of_redis(fields: Mapping[bytes, bytes]) -> Message:
    headers = {name.decode(): value for name, value in fields.items()}
    return without_edge(headers.pop("body", None), headers)


CLIENTS: Mapping[str, Callable[[str], Client]] = {
    "kafka": KafkaClient,
    "rabbitmq": RabbitmqClient,
    "nats": NatsClient,
    "redis": RedisClient,
}
"""Protocol to client, made with the server's address."""
