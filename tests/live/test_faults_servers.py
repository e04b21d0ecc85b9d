"""Servers that are down, slow, silent or full: nothing is lost, and other sources go on."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Self

import pytest
from nats.js.errors import APIError
from redis.asyncio import Redis

from gateway_lab.gateway.counters import State
from gateway_lab.gateway.window import MAX_BYTES, MAX_MESSAGES, READ_LIMIT
from gateway_lab.testing.server_process import Server
from gateway_lab.testing.servers import SERVERS, KafkaServer, NatsServer, RedisServer
from tests.live.client_nats import NatsClient
from tests.live.equal import balances
from tests.live.scene import (
    LEASE_S,
    Scene,
    down,
    none_is_left,
    orders,
    paused,
    settled,
    source_of,
    until,
)

pytestmark = [pytest.mark.broker, pytest.mark.anyio]

OTHERS = 100_000
"""Numbers of the others begin here."""


DIES_BADLY = {"rabbitmq"}
"""RabbitMQ 3.10 writes what a quorum queue needs to find its leader some seconds late: one that was
made shortly before a SIGKILL has none for ever, and whoever publishes to it waits for ever."""


@pytest.fixture
def far_scene(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[str], Scene]:
    """Return what makes a scene whose target has trouble; all else is on another server."""

    def make(protocol: str) -> Scene:
        far: Server = request.getfixturevalue(f"{protocol}_server")
        calm: Server = request.getfixturevalue(
            "nats_server" if protocol == "redis" else "redis_server"
        )
        return Scene(tmp_path, near=calm, far=far, calm=calm)

    return make


@pytest.mark.parametrize("protocol", SERVERS)
async def test_a_target_that_is_down_at_the_start_is_waited_for_and_others_run(
    far_scene: Callable[[str], Scene], protocol: str
) -> None:
    scene = far_scene(protocol)
    await scene.create()
    await scene.publish("orders", orders(500))
    await scene.publish("others", orders(500, OTHERS))
    async with down(scene.servers["far"]):
        gateway = scene.gateway()
        await gateway.__aenter__()
        await settled(gateway, "others", 500)
        waiting = source_of(gateway, "orders")
        assert (waiting.state, waiting.read) == (State.WAITING, 0)
    await settled(gateway, "orders", 500)
    await gateway.stop()
    assert balances(gateway.stats())
    await scene.check()


@pytest.mark.parametrize("protocol", SERVERS)
async def test_a_target_that_is_killed_in_mid_flight_gets_everything_when_it_is_back(
    far_scene: Callable[[str], Scene], protocol: str
) -> None:
    """But for RabbitMQ, which is stopped: see `DIES_BADLY`."""
    scene = far_scene(protocol)
    await scene.create()
    async with scene.gateway() as gateway:
        await scene.publish("orders", orders(500))
        await settled(gateway, "orders", 100)
        async with down(scene.servers["far"], is_killed=protocol not in DIES_BADLY):
            await scene.publish("orders", orders(1_500, 500))
            await scene.publish("others", orders(500, OTHERS))
            await settled(gateway, "others", 500)
            await until(lambda: source_of(gateway, "orders").read == 2_000)
            assert source_of(gateway, "orders").state is State.RUNNING
        await settled(gateway, "orders", 2_000)
    assert balances(gateway.stats())
    await scene.check(repeats=source_of(gateway, "orders").ambiguous)


async def test_a_target_that_says_nothing_fills_the_window_and_no_more(
    far_scene: Callable[[str], Scene],
) -> None:
    scene = far_scene("nats")
    await scene.create()
    large = "x" * 10_000
    async with scene.gateway() as gateway:
        await scene.publish("orders", orders(100))
        await settled(gateway, "orders", 100)
        with paused(scene.servers["far"]):
            await scene.publish("orders", orders(8_000, 100, pad=large))
            await until(
                lambda: source_of(gateway, "orders").in_flight * len(large) > MAX_BYTES // 2
            )
            await scene.publish("others", orders(500, OTHERS))
            await settled(gateway, "others", 500)
            held = source_of(gateway, "orders").in_flight
            assert held * len(large) <= MAX_BYTES + READ_LIMIT * len(large)
        await settled(gateway, "orders", 8_100)
    assert balances(gateway.stats())
    await scene.check(repeats=source_of(gateway, "orders").ambiguous)


async def test_a_slow_target_slows_its_own_source_alone(
    far_scene: Callable[[str], Scene],
) -> None:
    scene = far_scene("redis")
    await scene.create()
    async with Throttle(scene.servers["far"].port) as throttle:
        scene.environ["GATEWAY_BROKER_FAR_URL"] = f"redis://127.0.0.1:{throttle.port}"
        await scene.publish("orders", orders(12_000))
        await scene.publish("others", orders(5_000, OTHERS))
        most = 0
        async with scene.gateway() as gateway:
            await settled(gateway, "others", 5_000)
            assert source_of(gateway, "orders").settled < 12_000
            while source_of(gateway, "orders").settled < 12_000:
                most = max(most, source_of(gateway, "orders").in_flight)
                throttle.rate *= 1.2
                before = source_of(gateway, "orders").settled
                await settled(gateway, "orders", before + 1)
        assert most <= MAX_MESSAGES
    assert balances(gateway.stats())
    await scene.check()


# --- full ---


async def test_a_rabbitmq_without_disk_is_waited_for(far_scene: Callable[[str], Scene]) -> None:
    scene = far_scene("rabbitmq")

    async def fill() -> None:
        await control(scene.servers["far"], "set_disk_free_limit", "100000GB")

    async def free() -> None:
        await control(scene.servers["far"], "set_disk_free_limit", "50MB")

    await waits_for_room(scene, fill, free)


async def test_a_redis_without_memory_is_waited_for(far_scene: Callable[[str], Scene]) -> None:
    scene = far_scene("redis")

    async def set_limit(limit: str) -> None:
        async with Redis.from_url(scene.servers["far"].url) as client:
            await client.config_set("maxmemory", limit)

    await waits_for_room(scene, lambda: set_limit("1"), lambda: set_limit("0"))


async def test_a_nats_without_room_in_its_store_is_waited_for(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    """Its limit cannot be changed while it runs: other messages take the room, and give it back."""
    settings = {"jetstream.max_file_store": "4000000"}
    with NatsServer(tmp_path / "nats", settings=settings) as far:
        scene = Scene(tmp_path, near=redis_server, far=far, calm=redis_server)
        async with NatsClient(far.url) as client:
            await client.create(["ballast"])

            async def fill() -> None:
                with suppress(APIError):
                    while True:
                        await client.stream.publish("ballast", b"x" * 500_000)
                with suppress(APIError):
                    while True:
                        await client.stream.publish("ballast", b"x" * 1_000)

            async def free() -> None:
                await client.stream.purge_stream("ballast")

            await waits_for_room(scene, fill, free)


Act = Callable[[], Awaitable[None]]


async def waits_for_room(scene: Scene, fill: Act, free: Act) -> None:
    """A target that is full gets everything when it has room again, and nothing is a letter."""
    await scene.create()
    async with scene.gateway() as gateway:
        await scene.publish("orders", orders(300))
        await settled(gateway, "orders", 300)
        await fill()
        try:
            await scene.publish("orders", orders(700, 300))
            await scene.publish("others", orders(500, OTHERS))
            await settled(gateway, "others", 500)
            await until(lambda: source_of(gateway, "orders").retried)
            assert source_of(gateway, "orders").settled < 1_000
        finally:
            await free()
        await settled(gateway, "orders", 1_000)
    assert balances(gateway.stats())
    told = source_of(gateway, "orders")
    await scene.check(repeats=told.ambiguous, overtaken=told.overtaken)


async def control(server: Server, *arguments: str) -> None:
    """Ask RabbitMQ with its own tool."""
    environment = os.environ | server._environment()
    script = server.installed()
    assert script is not None
    node = environment["RABBITMQ_NODENAME"]
    process = await asyncio.create_subprocess_exec(
        script.with_name("rabbitmqctl"), "-q", "-n", node, *arguments, env=environment
    )
    assert await process.wait() == 0


# --- a broker that is silent for longer than a session ---


async def test_a_kafka_that_is_silent_for_longer_than_a_session_loses_nothing(
    kafka_server: KafkaServer, redis_server: RedisServer, tmp_path: Path
) -> None:
    scene = Scene(tmp_path, near=kafka_server, far=kafka_server, calm=redis_server)
    await scene.create()
    await scene.publish("orders", orders(2_000))
    async with scene.gateway() as gateway:
        await settled(gateway, "orders", 100)
        with paused(kafka_server):
            await asyncio.sleep(3 * LEASE_S)  # what is tested is that so much time passes
        await settled(gateway, "orders", 2_000)
        await scene.publish("orders", orders(500, 2_000))
        await none_is_left(scene, "orders")  # what is settled is counted each time it comes
    assert balances(gateway.stats())
    again = source_of(gateway, "orders").read - 2_500
    await scene.check(repeats=source_of(gateway, "orders").ambiguous + again)


class Throttle:
    """Stands before a server and lets only so many bytes a second through to it."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.rate = 100_000.0
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._listener = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.port: int = self._listener.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._listener.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        theirs, to_them = await asyncio.open_connection("127.0.0.1", self._port)
        for copying in (self._copy(reader, to_them, 1.0), self._copy(theirs, writer, 0.0)):
            self._tasks.add(asyncio.create_task(copying))

    async def _copy(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, slowness: float
    ) -> None:
        with suppress(OSError):
            while data := await reader.read(4_096):
                writer.write(data)
                await writer.drain()
                await asyncio.sleep(slowness * len(data) / self.rate)
        writer.transport.abort()
