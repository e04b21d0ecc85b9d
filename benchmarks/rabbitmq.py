"""RabbitMQ to RabbitMQ: the connector, beside a bare loop of its client library.

Both read a full queue, write to another with the same headers, wait for the confirms of a batch,
then acknowledge it. The bare loop is as aiormq is meant to be used: a callback for each delivery,
a task for each publish.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import aiormq
from aiormq.abc import DeliveredMessage

from benchmarks.table import ROUNDS, Figure, show
from gateway_lab.brokers.contract import Outgoing
from gateway_lab.brokers.rabbitmq import RabbitmqBroker
from gateway_lab.config.plan import AddressPlan
from gateway_lab.protocols.rabbitmq import SourceOptions
from gateway_lab.testing.servers import RabbitmqServer

MESSAGES, BATCH = 20_000, 500
SOURCE, TARGET = "bench.source", "bench.target"
DEMANDED = 0.7
BODY = b'{"order": 1, "note": "%s"}' % (b"x" * 300)
HEADERS = (("tenant", b"acme"), ("trace", b"0af7651916cd43dd8448eb211c80319c"))


@dataclass(frozen=True, slots=True)
class Rate:
    """How fast one run was, and what it cost in this process."""

    a_second: float
    cpu_us: float


async def connector(url: str) -> Rate:
    """Forward with the connector."""
    async with opened(url) as broker:
        sink = broker.sink()
        start = clocks()
        source = await broker.source("bench", [address(SOURCE)], SourceOptions())
        done = 0
        while done < MESSAGES:
            batch = await source.read(BATCH)
            failures = await sink.send([
                Outgoing(TARGET, each.key, each.headers, each.body, each.timestamp, "id")
                for each in batch.messages
            ])  # fmt: skip
            assert not any(failures)
            await source.settle(batch.handles)
            done += len(batch.handles)
        return rate(start)


async def bare(url: str) -> Rate:
    """Forward with aiormq alone."""
    async with aiormq.connect(url) as reader, aiormq.connect(url) as writer:
        incoming, outgoing = await reader.channel(), await writer.channel()
        arrived: asyncio.Queue[DeliveredMessage] = asyncio.Queue()
        await incoming.basic_qos(prefetch_count=10_000)
        start = clocks()
        await incoming.basic_consume(SOURCE, arrived.put)
        done = 0
        while done < MESSAGES:
            batch = [await arrived.get()]
            while len(batch) < BATCH and not arrived.empty():
                batch.append(arrived.get_nowait())
            await asyncio.gather(*[publish(outgoing, each) for each in batch])
            await incoming.basic_ack(batch[-1].delivery_tag or 0, multiple=True, wait=False)
            done += len(batch)
        return rate(start)


async def publish(channel: aiormq.abc.AbstractChannel, message: DeliveredMessage) -> None:
    """Publish a message as it came, and wait for its confirm."""
    properties = aiormq.spec.Basic.Properties(
        headers=message.header.properties.headers, delivery_mode=2
    )
    await channel.basic_publish(
        message.body, routing_key=TARGET, properties=properties, mandatory=True
    )


def clocks() -> tuple[float, float]:
    """Return seconds of the wall, and of this process's CPU."""
    return time.perf_counter(), time.process_time()


def rate(start: tuple[float, float]) -> Rate:
    """Return the rate since a start."""
    wall, cpu = (now - then for now, then in zip(clocks(), start, strict=True))
    return Rate(MESSAGES / wall, cpu / MESSAGES * 1e6)


def address(channel: str) -> AddressPlan:
    """Return where a source reads."""
    return AddressPlan(broker="bench", protocol="rabbitmq", channel=channel, pattern=None)


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[RabbitmqBroker]:
    """Open the connector."""
    broker = RabbitmqBroker("bench", url)
    await broker.open()
    try:
        yield broker
    finally:
        await broker.close()


async def fill(url: str) -> None:
    """Make two new durable queues, the first full."""
    async with aiormq.connect(url) as connection:
        channel = await connection.channel()
        for queue in (SOURCE, TARGET):
            await channel.queue_delete(queue)
            await channel.queue_declare(queue, durable=True)
    async with opened(url) as broker:
        message = Outgoing(SOURCE, b"key", HEADERS, BODY, datetime.now(UTC), "id")
        for _ in range(MESSAGES // BATCH):
            assert not any(await broker.sink().send([message] * BATCH))


async def interleaved(url: str) -> tuple[list[Rate], list[Rate]]:
    """Measure both in turns."""
    ours, theirs = [], []
    for _ in range(ROUNDS):
        await fill(url)
        ours.append(await connector(url))
        await fill(url)
        theirs.append(await bare(url))
    return ours, theirs


def measure() -> list[Figure]:
    """Start a server and compare."""
    with tempfile.TemporaryDirectory() as folder, RabbitmqServer(Path(folder)) as server:
        ours, theirs = asyncio.run(interleaved(server.url))
    ratio = middle(ours) / middle(theirs)
    return [
        Figure(
            what="RabbitMQ to RabbitMQ, connector alone",
            value=told(ours),
            against=f"a bare loop of aiormq, {told(theirs)}",
            ratio=f"{ratio:.2f}",
            demanded=f">= {DEMANDED}",
            is_met=ratio >= DEMANDED,
        )
    ]


def middle(rates: list[Rate]) -> float:
    """Return the median of messages a second."""
    return statistics.median(each.a_second for each in rates)


def told(rates: list[Rate]) -> str:
    """Say the median, the least and the most, and the CPU."""
    least, most = min(each.a_second for each in rates), max(each.a_second for each in rates)
    cpu = statistics.median(each.cpu_us for each in rates)
    return f"{middle(rates):,.0f}/s ({least:,.0f} to {most:,.0f}), {cpu:.0f} µs of CPU"


if __name__ == "__main__":
    show(measure())
