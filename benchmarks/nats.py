"""NATS to NATS: the connector, beside a bare loop of nats-py.

Both read a stream through a durable consumer, publish to another with the same headers, wait for
the answers of a batch, then acknowledge it. The bare loop is as nats-py is meant to be used:
`fetch`, `publish_async`, `ack`.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import nats
from nats.js.client import JetStreamContext
from nats.js.errors import NotFoundError

from benchmarks.forwarding import (
    BATCH,
    MESSAGES,
    SOURCE,
    TARGET,
    Rate,
    compare,
    connector,
    in_turns,
    rate,
    stored,
)
from benchmarks.table import Figure, show
from gateway_lab.brokers.nats import NatsBroker
from gateway_lab.protocols.nats import SourceOptions
from gateway_lab.testing.servers import NatsServer


async def bare(stream: JetStreamContext) -> Rate:
    """Send everything on with nats-py alone."""
    subscription = await stream.pull_subscribe(SOURCE, durable="bench", stream="source")
    start = time.perf_counter(), time.process_time()
    done = 0
    while done < MESSAGES:
        batch = await subscription.fetch(BATCH)
        answers = [
            await stream.publish_async(
                TARGET,
                each.data,
                headers={**(each.headers or {}), "Nats-Msg-Id": f"{each.metadata.sequence.stream}"},
            )
            for each in batch
        ]
        await asyncio.gather(*answers)
        for each in batch:
            await each.ack()
        done += len(batch)
    return rate(start)


async def compared(url: str) -> Figure:
    """Measure both."""
    client, broker = await nats.connect(url), NatsBroker("bench", url)
    await broker.open()
    stream = client.jetstream()

    async def fill() -> None:
        for name, subject in (("source", SOURCE), ("target", TARGET)):
            with suppress(NotFoundError):
                await stream.delete_stream(name)
            await stream.add_stream(name=name, subjects=[subject])
        assert not any(await broker.sink().send(stored()))

    async def ours() -> Rate:
        reader = NatsBroker("bench", url)
        await reader.open()
        measured = await connector(reader, SourceOptions())
        await reader.close()
        return measured

    rates = await in_turns(fill, ours, lambda: bare(stream))
    await broker.close()
    await client.close()
    return compare("NATS to NATS, connector alone", rates[0], "a bare loop of nats-py", rates[1])


def measure() -> list[Figure]:
    """Start a server and compare."""
    with tempfile.TemporaryDirectory() as folder, NatsServer(Path(folder)) as server:
        return [asyncio.run(compared(server.url))]


if __name__ == "__main__":
    show(measure())
