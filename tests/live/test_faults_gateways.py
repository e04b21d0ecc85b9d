"""Gateways that come and go, are paused, or are told twice to stop: nothing is lost.

`GATEWAY_LAB_STORM_S=600` is the long tier of gateways that join and leave.
"""

from __future__ import annotations

import asyncio
import os
import signal
from itertools import count
from pathlib import Path
from time import monotonic

import pytest
from redis.asyncio import Redis

from gateway_lab.gateway.pump import DRAIN_S
from gateway_lab.gateway.window import MAX_MESSAGES
from gateway_lab.testing.server_process import Server
from gateway_lab.testing.servers import SERVERS, NatsServer, RedisServer
from tests.live.equal import balances
from tests.live.process import Process
from tests.live.scene import LEASE_S, Scene, orders, paused

STORM_S = float(os.environ.get("GATEWAY_LAB_STORM_S", "6"))
TURN_S = 2.0

pytestmark = [pytest.mark.broker, pytest.mark.anyio, pytest.mark.timeout(300 + STORM_S)]


@pytest.fixture(params=SERVERS)
def scene(request: pytest.FixtureRequest, tmp_path: Path) -> Scene:
    """A source on each of the servers; what it goes to has no trouble."""
    near: Server = request.getfixturevalue(f"{request.param}_server")
    calm = "nats" if request.param == "redis" else "redis"
    far: Server = request.getfixturevalue(f"{calm}_server")
    return Scene(tmp_path, near=near, far=far, calm=far)


async def test_gateways_that_join_and_leave_lose_nothing_and_repeat_nothing(scene: Scene) -> None:
    """One stays, another comes and goes while messages flow; all of them end cleanly."""
    scene.environ["GATEWAY_LEASE"] = "30s"  # nobody dies: one that is slow keeps what it holds
    await scene.create()
    async with scene.gateway("one") as first, asyncio.TaskGroup() as tasks:
        flow = tasks.create_task(keep_publishing(scene))
        others = []
        end = monotonic() + STORM_S
        while monotonic() < end:
            async with scene.gateway("two") as other:
                others.append(other)
                await asyncio.sleep(TURN_S)  # what is tested is that so much time passes
        flow.cancel()
        await asyncio.wait([flow])
        await until_none_is_left(scene)
    assert all(balances(each.stats()) for each in others)
    assert balances(first.stats())
    await scene.check(keeps_order=scene.config.brokers["near"] == "kafka")


async def keep_publishing(scene: Scene) -> None:
    """Publish on and on."""
    for start in count(0, 100):
        publishing = asyncio.create_task(scene.publish("orders", orders(100, start)))
        try:
            await asyncio.shield(publishing)
        except asyncio.CancelledError:
            await publishing  # what was begun is published and known
            raise
        await asyncio.sleep(0.02)


async def until_none_is_left(scene: Scene) -> None:
    """Wait until what arrived is as much as what was published, and all of it is settled."""
    async with asyncio.timeout(60):
        while await scene.count("far", "there") < len(scene.published):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        if scene.config.brokers["near"] != "rabbitmq":  # its queues tell what is ready only
            while await scene.left_of("orders"):  # noqa: ASYNC110
                await asyncio.sleep(0.05)


def write(scene: Scene, folder: Path) -> Path:
    path = folder / "scene.yaml"
    path.write_text(scene.text)
    return path


async def test_a_gateway_that_is_paused_for_longer_than_its_leases_is_replaced(
    scene: Scene, tmp_path: Path
) -> None:
    """What it held goes to another; what it does late harms nothing.

    RabbitMQ has no leases: what a member holds waits until it goes on.
    """
    await scene.create()
    config = write(scene, tmp_path)
    async with (
        Process(config, scene.environ, "--member", "one") as one,
        Process(config, scene.environ, "--member", "two") as two,
        asyncio.TaskGroup() as tasks,
    ):
        for each in (one, two):
            await each.until(lambda told: "source orders is running" in str(told))
        flow = tasks.create_task(keep_publishing(scene))
        await arrived(scene, 1_000)
        one.signal(signal.SIGSTOP)
        await asyncio.sleep(2 * LEASE_S)  # what is tested is that so much time passes
        await arrived(scene, await scene.count("far", "there") + 500)
        one.signal(signal.SIGCONT)
        flow.cancel()
        await asyncio.wait([flow])
        await until_none_is_left(scene)
        assert [await one.stop(), await two.stop()] == [0, 0]
    await scene.check(repeats=MAX_MESSAGES)


async def arrived(scene: Scene, number: int) -> None:
    async with asyncio.timeout(60):
        while await scene.count("far", "there") < number:  # noqa: ASYNC110 - it asks a server
            await asyncio.sleep(0.05)


async def test_a_second_signal_ends_a_gateway_at_once_and_loses_nothing(
    redis_server: RedisServer, nats_server: NatsServer, tmp_path: Path
) -> None:
    scene = Scene(tmp_path, near=redis_server, far=nats_server, calm=redis_server)
    await scene.create()
    config = write(scene, tmp_path)
    async with Process(config, scene.environ) as process:
        await scene.publish("orders", orders(1_000))
        await arrived(scene, 1_000)
        with paused(nats_server):
            await scene.publish("orders", orders(1_000, 1_000))
            await is_held(redis_server, scene, 1_000)
            process.signal(signal.SIGTERM)
            await process.until(lambda told: "source others is stopped" in str(told))
            assert process.is_running
            began = monotonic()
            process.signal(signal.SIGTERM)
            assert await process.ended() == 0
            assert monotonic() - began < DRAIN_S
    async with Process(config, scene.environ) as again:
        await until_none_is_left(scene)
        assert await again.stop() == 0
    await scene.check(repeats=1_000)


async def is_held(server: RedisServer, scene: Scene, number: int) -> None:
    """Wait until a gateway has read so many and settled none of them."""
    channel, group = scene.channel("orders"), f"{scene.name}.orders"
    async with Redis.from_url(server.url) as client, asyncio.timeout(60):
        while (await client.xpending(channel, group))["pending"] < number:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
