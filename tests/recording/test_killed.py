"""A gateway with a tap that is killed, on a real server: what was settled is in the capture."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from itertools import count
from pathlib import Path
from typing import Any, cast

import polars as pl
import pytest
from redis.asyncio import Redis

from gateway_lab.captures.read import scan_capture
from gateway_lab.testing.servers import RedisServer

pytestmark = [pytest.mark.broker, pytest.mark.anyio]

NUMBERS = count()
LIMIT_S = 90
MESSAGES = 6_000

CONFIG = """
gateway_lab: 1
name: killed
brokers: {cache: redis}
sources: {orders: {broker: cache, channel: CHANNEL}}
targets: {copy: {broker: cache, channel: CHANNEL.copy}}
routers:
  all: {source: orders, match: first, routes: [{name: copy, to: [copy]}], unmatched: drop}
dead_letter: {broker: cache, channel: CHANNEL.dead}
"""

CHILD = """
import asyncio, sys
import gateway_lab as gl
from gateway_lab.recording.tap import Tap

config = gl.read_config(sys.argv[1])

async def run(tap):
    async with gl.Gateway(config, member="killed", wrap=tap.wrap) as gateway:
        while (settled := gateway.stats().sources[0].settled) < int(sys.argv[3]):
            print(settled, flush=True)
            await asyncio.sleep(0.005)
    print("done", flush=True)

with Tap(config, sys.argv[2]) as tap:
    asyncio.run(run(tap))
"""


async def test_what_was_settled_is_in_the_capture(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    channel = f"killed-{next(NUMBERS)}"
    config = tmp_path / "routes.yaml"
    config.write_text(CONFIG.replace("CHANNEL", channel), encoding="utf-8")
    async with Redis.from_url(redis_server.url, socket_timeout=LIMIT_S) as client:
        for name in (f"{channel}.copy", f"{channel}.dead"):
            await client.xgroup_create(name, "made", mkstream=True)
        ids: set[bytes] = set()
        for _ in range(3):
            ids |= await published(client, channel)
            await run_until(1_000, redis_server.url, config, tmp_path / "c", kill=True)
            settled = ids - await unsettled(client, channel)
            assert settled
            assert settled <= recorded(tmp_path / "c")
        left = len(await unsettled(client, channel))
        await run_until(left, redis_server.url, config, tmp_path / "c", kill=False)
        assert await unsettled(client, channel) == set()
    assert recorded(tmp_path / "c") == ids
    assert {each.suffix for each in files(tmp_path / "c")} == {".parquet"}


async def published(client: Redis, channel: str) -> set[bytes]:
    """Publish some, and return their ids: each run finds more than it settles until it is killed."""
    pipeline = client.pipeline()
    for n in range(MESSAGES):
        pipeline.xadd(channel, {"body": b"%d" % n})
    return set(await pipeline.execute())


async def run_until(settled: int, url: str, config: Path, path: Path, *, kill: bool) -> None:
    """Run a gateway until so many messages are settled, and kill it there if asked for."""
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-c", CHILD, str(config), str(path), str(10**9 if kill else settled)),
        env=os.environ | {"GATEWAY_BROKER_CACHE_URL": url, "GATEWAY_LEASE": "1s"},
        stdout=asyncio.subprocess.PIPE,
    )
    assert child.stdout
    async with asyncio.timeout(LIMIT_S):
        async for line in child.stdout:
            if kill and int(line) >= settled:
                child.send_signal(signal.SIGKILL)
                break
        await child.wait()


async def unsettled(client: Redis, channel: str) -> set[bytes]:
    """Return the entries that the group has not settled: pending, or not delivered yet."""
    [group] = await client.xinfo_groups(channel)
    pending = cast(
        "list[dict[str, bytes]]",
        await client.xpending_range(channel, group["name"], "-", "+", 4 * MESSAGES),
    )
    behind = b"(" + cast("bytes", group["last-delivered-id"])
    entries = cast("list[tuple[bytes, Any]]", await client.xrange(channel, min=behind))
    return {each["message_id"] for each in pending} | {id_ for id_, _ in entries}


def recorded(path: Path) -> set[bytes]:
    positions = scan_capture(path).frame.select(pl.col("position").cast(pl.Binary)).collect()
    return set(positions["position"].to_list())


def files(path: Path) -> list[Path]:
    return [each for each in path.iterdir() if not each.name.startswith(".")]
