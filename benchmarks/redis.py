"""Redis to Redis: the connector, beside a bare loop of redis-py.

Both read a stream as a member of a group, add to another with the same fields in one transaction
for a batch, then acknowledge it.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path
from typing import Any, cast

from redis.asyncio import Redis

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
from gateway_lab.brokers.contract import Place
from gateway_lab.brokers.redis import RedisBroker
from gateway_lab.protocols.redis import SourceOptions
from gateway_lab.testing.servers import RedisServer


async def bare(client: Redis) -> Rate:
    """Send everything on with redis-py alone."""
    await client.xgroup_create(SOURCE, "bench", "0")
    start = time.perf_counter(), time.process_time()
    done = 0
    while done < MESSAGES:
        reply = await client.xreadgroup("bench", "one", {SOURCE: ">"}, count=BATCH, block=1_000)
        [(_, entries)] = cast("Any", reply)
        pipeline = client.pipeline(transaction=True)
        for _, fields in entries:
            pipeline.xadd(TARGET, fields, nomkstream=True)
        assert None not in await pipeline.execute()
        await client.xack(SOURCE, "bench", *[id_ for id_, _ in entries])
        done += len(entries)
    return rate(start)


async def compared(url: str) -> Figure:
    """Measure both."""
    client, broker = Redis.from_url(url, protocol=2), RedisBroker("bench", url)
    await broker.open()

    async def fill() -> None:
        await client.delete(SOURCE, TARGET)
        await broker.create([Place(SOURCE), Place(TARGET)])
        assert not any(await broker.sink().send(stored()))

    async def ours() -> Rate:
        reader = RedisBroker("bench", url)
        await reader.open()
        measured = await connector(reader, SourceOptions())
        await reader.close()
        return measured

    rates = await in_turns(fill, ours, lambda: bare(client))
    await broker.close()
    await client.aclose()
    return compare("Redis to Redis, connector alone", rates[0], "a bare loop of redis-py", rates[1])


def measure() -> list[Figure]:
    """Start a server and compare."""
    with tempfile.TemporaryDirectory() as folder, RedisServer(Path(folder)) as server:
        return [asyncio.run(compared(server.url))]


if __name__ == "__main__":
    show(measure())
