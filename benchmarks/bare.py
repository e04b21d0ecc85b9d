"""What one would write without a gateway: a loop of the same clients, and no more.

It consumes, writes with the same headers and the two that the gateway adds, waits for each
confirmation, and commits; settings and sizes of batches are the gateway's. It does not decode and
does not decide: the channels are given.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import partial
from itertools import cycle
from typing import Any

import aiormq
import nats
from aiormq.abc import DeliveredMessage
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka import Message as RawMessage
from redis.asyncio import Redis

from benchmarks.stage import PARTITIONS, Done, Job
from gateway_lab.brokers.kafka.settings import read_settings, reading, writing
from gateway_lab.gateway.window import MAX_MESSAGES, READ_LIMIT

HEADERS = [
    ("x-gw-id", b"0af7651916cd43dd8448eb211c80319c"),
    ("x-gw-route", b"by_priority/medium"),
]
TEXTS = {name: value.decode() for name, value in HEADERS}
COMMIT_S = 1.0
DELIVERY_COUNT = "x-delivery-count"
"""A number that RabbitMQ puts among the headers of what comes again: no header of the message."""

Write = Callable[[Sequence[RawMessage]], Awaitable[None]]


def clocks() -> tuple[float, float]:
    """Return seconds of the wall, and of all threads of this process."""
    return time.perf_counter(), time.process_time()


def done_since(start: tuple[float, float]) -> Done:
    """Return what it took since a start."""
    wall, cpu = (now - then for now, then in zip(clocks(), start, strict=True))
    return Done(wall, cpu)


def forward(job: Job) -> Done:
    """Do a job."""
    if (job.source, job.target) == ("kafka", "kafka"):
        return kafka_to_kafka(job)
    if job.source == "kafka":
        return asyncio.run(from_kafka(job, _WRITERS[job.target]))
    return asyncio.run(rabbitmq_to_kafka(job))


def open_kafka(job: Job) -> Consumer:
    """Open a consumer at the beginning of all partitions."""
    address = read_settings("source", job.urls["source"])
    consumer = Consumer(reading(address, group=uuid.uuid4().hex, member="", session_s=45))
    consumer.assign([TopicPartition(job.channel, each, 0) for each in range(PARTITIONS)])
    return consumer


def read(consumer: Consumer) -> list[RawMessage]:
    """Return what has arrived; to wait for more in one call would wait for all of them."""
    first = consumer.poll(0.01)
    return [] if first is None else [first, *consumer.consume(READ_LIMIT - 1, 0)]


def first_of(consumer: Consumer) -> list[RawMessage]:
    """Wait for the first messages."""
    while not (messages := read(consumer)):
        pass
    return messages


# --- Kafka to Kafka: one thread, many in flight ---


def kafka_to_kafka(job: Job) -> Done:
    """Send on from Kafka to Kafka."""
    consumer = open_kafka(job)
    producer = Producer(writing(read_settings("target", job.urls["target"]), print))
    channels = cycle(job.channels)
    done = sent = 0

    def delivered(error: object, _: object) -> None:
        nonlocal done
        assert error is None
        done += 1

    messages = first_of(consumer)
    start = clocks()
    commit_at = start[0] + COMMIT_S
    while done < job.count or not job.count:
        for each in messages:
            assert each.error() is None
            producer.produce(
                next(channels),
                each.value(),
                each.key(),
                headers=[*(each.headers() or ()), *HEADERS],
                timestamp=each.timestamp()[1],
                on_delivery=delivered,
            )
        sent += len(messages)
        producer.poll(0)
        while sent - done > MAX_MESSAGES or (sent == job.count and done < sent):
            producer.poll(0.001)
        if time.perf_counter() > commit_at:
            commit_at += COMMIT_S
            consumer.commit(offsets=consumer.position(consumer.assignment()))
        messages = read(consumer)
    taken = done_since(start)
    consumer.close()
    return taken


# --- Kafka to others: a batch is written and confirmed, then the next ---


async def from_kafka(job: Job, open_writer: Callable[[Job], Awaitable[Write]]) -> Done:
    """Send on from Kafka."""
    consumer, write = open_kafka(job), await open_writer(job)
    messages = first_of(consumer)
    start = clocks()
    done, commit_at = 0, start[0] + COMMIT_S
    while True:
        await write(messages)
        done += len(messages)
        if done == job.count:
            break
        if time.perf_counter() > commit_at:
            commit_at += COMMIT_S
            consumer.commit(offsets=consumer.position(consumer.assignment()))
        messages = read(consumer)
    taken = done_since(start)
    consumer.close()
    return taken


async def _rabbitmq(job: Job) -> Write:
    connection = await aiormq.connect(job.urls["target"])
    channel = await connection.channel()
    channels = cycle(job.channels)

    async def publish(each: RawMessage) -> None:
        headers: Any = _texts(each)
        properties = aiormq.spec.Basic.Properties(headers=headers, delivery_mode=2)
        await channel.basic_publish(
            each.value() or b"", routing_key=next(channels), properties=properties, mandatory=True
        )

    async def write(messages: Sequence[RawMessage]) -> None:
        await asyncio.gather(*map(publish, messages))

    return write


async def _nats(job: Job) -> Write:
    client = await nats.connect(job.urls["target"])
    stream = client.jetstream(publish_async_max_pending=2 * READ_LIMIT)
    channels, ids = cycle(job.channels), uuid.uuid4().hex

    async def write(messages: Sequence[RawMessage]) -> None:
        answers = []
        for each in messages:
            headers = _texts(each)
            headers["Nats-Msg-Id"] = f"{ids}-{each.partition()}-{each.offset()}"
            answers.append(
                await stream.publish_async(next(channels), each.value() or b"", headers=headers)
            )
        await asyncio.gather(*answers)

    return write


async def _redis(job: Job) -> Write:
    client = Redis.from_url(job.urls["target"], protocol=2)
    channels = cycle(job.channels)

    async def write(messages: Sequence[RawMessage]) -> None:
        pipeline = client.pipeline(transaction=True)
        for each in messages:
            fields: Any = {"body": each.value() or b"", **dict(_headers(each)), **dict(HEADERS)}
            pipeline.xadd(next(channels), fields, nomkstream=True)
        assert None not in await pipeline.execute()

    return write


def _headers(message: RawMessage) -> Iterator[tuple[str, bytes]]:
    found: Any = message.headers() or ()
    return ((name, value or b"") for name, value in found)


def _texts(message: RawMessage) -> dict[str, str]:
    return {name: value.decode(errors="replace") for name, value in _headers(message)} | TEXTS


_WRITERS = {"rabbitmq": _rabbitmq, "nats": _nats, "redis": _redis}


# --- RabbitMQ to Kafka ---


async def rabbitmq_to_kafka(job: Job) -> Done:
    """Send on from RabbitMQ to Kafka: a callback for each delivery, acknowledged as confirms come."""
    connection = await aiormq.connect(job.urls["source"])
    channel = await connection.channel()
    await channel.basic_qos(prefetch_count=MAX_MESSAGES)
    producer = Producer(writing(read_settings("target", job.urls["target"]), print))
    channels, confirmed = cycle(job.channels), _Confirmed()
    begun = asyncio.Event()

    async def send_on(each: DeliveredMessage) -> None:
        begun.set()
        found: Any = each.header.properties.headers or {}
        headers = [pair for pair in found.items() if pair[0] != DELIVERY_COUNT] + HEADERS
        told = partial(confirmed.add, each.delivery_tag or 0)
        producer.produce(next(channels), each.body, headers=headers, on_delivery=told)

    await channel.basic_consume(job.channel, send_on)
    await begun.wait()
    start = clocks()
    while confirmed.last < job.count:
        await asyncio.sleep(0.001)
        producer.poll(0)
        if confirmed.moves():
            await channel.basic_ack(confirmed.last, multiple=True, wait=False)
    taken = done_since(start)
    await connection.close()
    return taken


class _Confirmed:
    """Delivery tags whose messages are confirmed; `last`: all up to it."""

    def __init__(self) -> None:
        self.last = 0
        self._tags: set[int] = set()

    def add(self, tag: int, error: object, _: object) -> None:
        assert error is None
        self._tags.add(tag)

    def moves(self) -> bool:
        """Move `last` on, and say whether it moved."""
        before = self.last
        while self.last + 1 in self._tags:
            self.last += 1
            self._tags.discard(self.last)
        return self.last > before
