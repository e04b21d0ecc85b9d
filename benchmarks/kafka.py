"""Kafka to Kafka through our source and sink, beside a bare loop of the same client and settings.

    GATEWAY_BROKER_BENCH_URL=kafka://127.0.0.1:9092 python -m benchmarks.kafka [messages]

Both read a topic, send each message on with two more headers, wait for the confirmation, and
commit. Without an address it starts a server of its own.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import confluent_kafka
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from benchmarks.table import Figure, interleaved, machine, show
from gateway_lab.brokers.contract import Batch, Outgoing
from gateway_lab.brokers.kafka import KafkaBroker
from gateway_lab.brokers.kafka_settings import read_settings, reading, writing
from gateway_lab.config.plan import AddressPlan
from gateway_lab.testing.servers import KafkaServer

BODY = b'{"event_id": "%08d", "priority": "high", "tenant": "acme", "payload": {"amount": 12.5}}'
HEADERS = (("x-gw-id", b"0123456789abcdef"), ("x-gw-route", b"high"))
LIMIT = 1_000
IN_FLIGHT = 8
PARTITIONS = 4


class Bench:
    """Two topics on a server, the first filled."""

    def __init__(self, url: str, count: int) -> None:
        self.url, self.count = url, count
        self.address = read_settings("bench", url)
        self.source, self.target = (f"bench-{uuid.uuid4().hex[:8]}-{each}" for each in "ab")
        admin = AdminClient(self.address)
        topics = [NewTopic(each, PARTITIONS, 1) for each in (self.source, self.target)]
        for made in admin.create_topics(topics).values():
            made.result()
        self.fill()

    def fill(self) -> None:
        """Store the messages that are sent on."""
        producer = Producer(writing(self.address, print))
        for number in range(self.count):
            while True:
                try:
                    producer.produce(self.source, BODY % number, b"k%d" % (number % 1_000))
                    break
                except BufferError:
                    producer.poll(0.01)
        producer.flush()

    def bare(self) -> None:
        """Do what a loop of the client does, and no more."""
        group = f"bare-{uuid.uuid4().hex}"
        consumer = Consumer(reading(self.address, group=group, member="", session_s=45))
        producer = Producer(writing(self.address, print))
        consumer.assign([TopicPartition(self.source, each, 0) for each in range(PARTITIONS)])
        done = sent = committed = 0

        def delivered(error: object, _: object) -> None:
            nonlocal done
            assert error is None
            done += 1

        while done < self.count:
            for each in consumer.consume(LIMIT, 0.01):
                assert each.error() is None
                headers = [*(each.headers() or ()), *HEADERS]
                producer.produce(
                    self.target,
                    each.value(),
                    each.key(),
                    headers=headers,
                    timestamp=each.timestamp()[1],
                    on_delivery=delivered,
                )
                sent += 1
            producer.poll(0)
            while sent - done > IN_FLIGHT * LIMIT:
                producer.poll(0.001)
            if sent == self.count:
                producer.flush()
            if done - committed > 50_000:
                committed = done
                consumer.commit(offsets=consumer.position(consumer.assignment()))
        consumer.commit(offsets=consumer.position(consumer.assignment()), asynchronous=False)
        consumer.close()

    def ours(self) -> None:
        """Do the same through a source and a sink, with batches in flight."""
        asyncio.run(self._forward())

    async def _forward(self) -> None:
        broker = KafkaBroker("bench", self.url, gateway=uuid.uuid4().hex)
        await broker.open()
        address = AddressPlan(broker="bench", protocol="kafka", channel=self.source, pattern=None)
        source, sink = await broker.source("bench", [address], None), broker.sink()
        flying: set[asyncio.Task[None]] = set()
        read = 0

        async def forward(batch: Batch) -> None:
            answers = await sink.send(
                [
                    Outgoing(
                        self.target,
                        each.key,
                        each.headers + HEADERS,
                        each.body,
                        each.timestamp,
                        each.position or "",
                    )
                    for each in batch.messages
                ]
            )
            assert not any(answers)
            await source.settle(batch.handles)

        while read < self.count:
            batch = await source.read(LIMIT)
            read += len(batch.messages)
            if len(flying) == IN_FLIGHT:
                _, flying = await asyncio.wait(flying, return_when=asyncio.FIRST_COMPLETED)
            flying.add(asyncio.create_task(forward(batch)))
        await asyncio.gather(*flying)
        await broker.close()


@contextmanager
def server() -> Iterator[str]:
    """Yield the address of a server, one of its own if none is named."""
    if url := os.environ.get("GATEWAY_BROKER_BENCH_URL"):
        yield url
        return
    with (
        tempfile.TemporaryDirectory() as folder,
        KafkaServer(Path(folder) / "kafka") as started,
    ):
        yield started.url


def main(count: int) -> None:
    """Measure and print."""
    with server() as url:
        bench = Bench(url, count)
        cpu: dict[str, list[float]] = {}

        def timed(name: str, run: Callable[[], None]) -> Callable[[], float]:
            def measure() -> float:
                start, start_cpu = time.perf_counter(), time.process_time()
                run()
                cpu.setdefault(name, []).append(time.process_time() - start_cpu)
                return time.perf_counter() - start

            return measure

        bare, ours = interleaved(timed("bare", bench.bare), timed("ours", bench.ours))
    ours_us, bare_us = (
        sorted(cpu[each])[len(cpu[each]) // 2] / count * 1e6 for each in ("ours", "bare")
    )
    ratio = bare / ours
    figure = Figure(
        what="Kafka to Kafka, source and sink",
        value=f"{count / ours:,.0f}/s, {ours_us:.1f} µs of CPU",
        against=f"bare confluent-kafka {confluent_kafka.version()}: {count / bare:,.0f}/s, {bare_us:.1f} µs",
        ratio=f"{ratio:.2f}",
        demanded="0.6",
        is_met=ratio >= 0.6,
    )
    show([figure])
    print(machine())


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)
