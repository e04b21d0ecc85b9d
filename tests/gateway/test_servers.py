"""A gateway on real servers, from its start to its end."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import threading
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

import msgspec
import pytest

from gateway_lab.config.load import parse_config
from gateway_lab.gateway.counters import State, Stats
from gateway_lab.gateway.gateway import Gateway
from gateway_lab.messages.message import Message
from gateway_lab.testing.servers import RedisServer, Server
from tests.gateway.shop import balances, until
from tests.live.clients import Fresh
from tests.live.process import Process

pytestmark = [pytest.mark.anyio, pytest.mark.broker]

RECEIVED = datetime.now(UTC)
NAMES = count()
LETTER = "dead_letter: {broker: kafka, channel: NAME-dead}\n"
EVENTS = """
gateway_lab: 1
name: NAME
brokers: {kafka: kafka, rabbitmq: rabbitmq, nats: nats, redis: redis}
events:
  Order:
    type: object
    required: [n, t]
    properties: {n: {type: integer}, t: {type: string}}
"""


class Servers:
    """Servers of this test run, and a name for the channels of one test."""

    def __init__(self, urls: Mapping[str, str]) -> None:
        self.name = f"servers-{os.getpid()}-{next(NAMES)}"
        self.clients = {protocol: Fresh(protocol, url) for protocol, url in urls.items()}
        self.environ = {f"GATEWAY_BROKER_{name.upper()}_URL": url for name, url in urls.items()}

    def text(self, text: str) -> str:
        return (EVENTS + text + LETTER).replace("NAME", self.name)

    def gateway(self, text: str, *, create_channels: bool = True) -> Gateway:
        config = parse_config(self.text(text))
        return Gateway(config, environ=self.environ, create_channels=create_channels)

    async def publish(self, protocol: str, channel: str, numbers: range) -> None:
        messages = [
            Message(
                body=msgspec.json.encode({"n": n, "t": f"t{n % 3}"}),
                key=b"%d" % (n % 3),
                received=RECEIVED,
            )
            for n in numbers
        ]
        await self.clients[protocol].publish(f"{self.name}-{channel}", messages)

    async def left(self) -> int:
        """Count what the source `orders` has not settled."""
        group, channel = f"{self.name}.orders", f"{self.name}-orders"
        return await self.clients["kafka"].left(group, channel)

    async def arrived(self, protocol: str, channel: str) -> list[int]:
        name = f"{self.name}-{channel}"
        fetched = await self.clients[protocol].fetch([name])
        return [msgspec.json.decode(each.body or b"")["n"] for each in fetched[name]]


@pytest.fixture
def servers(servers: Mapping[str, Server]) -> Servers:
    return Servers({protocol: each.url for protocol, each in servers.items()})


def settled(stats: Stats) -> int:
    return sum(each.settled for each in stats.sources)


def state(gateway: Gateway, source: str) -> tuple[State, str]:
    return next((x.state, x.reason) for x in gateway.stats().sources if x.source == source)


PROTOCOLS = ("kafka", "rabbitmq", "nats", "redis")
RING = "".join(
    [
        "sources:\n",
        *(f"  from_{p}: {{broker: {p}, channel: NAME-in, event: Order}}\n" for p in PROTOCOLS),
        "targets:\n",
        *(f"  to_{p}: {{broker: {p}, channel: NAME-out}}\n" for p in PROTOCOLS),
        "routers:\n",
        *(
            f"  {p}:\n    source: from_{p}\n    match: all\n"
            f"    routes: [{{name: all, to: [to_{PROTOCOLS[n - 3]}]}}]\n    unmatched: drop\n"
            for n, p in enumerate(PROTOCOLS)
        ),
    ]
)


def open_sockets() -> int:
    found = 0
    for each in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # the one that looks
            found += str(each.readlink()).startswith("socket:")
    return found


def threads() -> set[str]:
    """Python's threads by name and librdkafka's by id.

    Those of the loop's own pool are its to end; a `Dummy-N` is Python's memory of a thread that
    somebody else made, kept until another thread takes its number.
    """
    found = {each.name for each in threading.enumerate()}
    found = {each for each in found if not each.startswith(("asyncio_", "Dummy-"))}
    for each in Path("/proc/self/task").iterdir():
        with suppress(FileNotFoundError, ProcessLookupError):  # ended while we look
            if (each / "comm").read_text().startswith("rdk:"):
                found.add(each.name)
    return found


async def test_a_clean_stop_leaves_no_task_no_thread_and_no_socket(servers: Servers) -> None:
    tasks, before, sockets = asyncio.all_tasks(), threads(), open_sockets()
    async with servers.gateway(RING) as gateway:
        await until(lambda: {each.state for each in gateway.stats().sources} == {State.RUNNING})
        for protocol in PROTOCOLS:
            await servers.publish(protocol, "in", range(50))
        await until(lambda: settled(gateway.stats()) == 200)
        assert threads() - before
        assert open_sockets() > sockets
    gc.collect()
    await until(lambda: asyncio.all_tasks() == tasks)
    await until(lambda: threads() <= before)
    await until(lambda: open_sockets() <= sockets)
    assert balances(gateway)
    for protocol in PROTOCOLS:
        assert sorted(await servers.arrived(protocol, "out")) == list(range(50))


CHOSEN = """
sources: {orders: {broker: kafka, channel: NAME-orders, event: Order}}
targets:
  k: {broker: kafka, channel: "NAME-{t}"}
  q: {broker: rabbitmq, channel: "NAME-{t}"}
  n: {broker: nats, channel: "NAME-{t}"}
  r: {broker: redis, channel: "NAME-{t}"}
routers:
  all:
    source: orders
    match: all
    routes: [{name: all, to: [k, q, n, r]}]
    unmatched: drop
"""


async def test_channels_that_messages_name_are_created_and_keep_their_order(
    servers: Servers,
) -> None:
    async with servers.gateway(CHOSEN) as gateway:
        await until(lambda: state(gateway, "orders")[0] is State.RUNNING)
        await servers.publish("kafka", "orders", range(300))
        await until(lambda: settled(gateway.stats()) == 300)
    assert {way.dead_lettered for way in gateway.stats().ways} == {0}
    for protocol in PROTOCOLS:
        for tenant in range(3):
            arrived = await servers.arrived(protocol, f"t{tenant}")
            assert list(dict.fromkeys(arrived)) == list(range(tenant, 300, 3)), protocol


TWO = """
sources:
  orders: {broker: kafka, channel: NAME-orders, event: Order}
  others: {broker: kafka, channel: NAME-others, event: Order}
targets:
  copies: {broker: kafka, channel: NAME-copies}
  cached: {broker: redis, channel: NAME-cached}
routers:
  one: {source: orders, match: all, routes: [{name: all, to: [copies]}], unmatched: drop}
  two: {source: others, match: all, routes: [{name: all, to: [cached]}], unmatched: drop}
"""


async def test_a_source_whose_broker_is_down_at_the_start_runs_once_it_is_there(
    servers: Servers, redis_server: RedisServer
) -> None:
    redis_server.stop()
    try:
        async with servers.gateway(TWO) as gateway:
            await until(lambda: state(gateway, "orders")[0] is State.RUNNING)
            await servers.publish("kafka", "orders", range(10))
            await until(lambda: settled(gateway.stats()) == 10)
            assert state(gateway, "others") == (State.WAITING, "for broker redis")
            await asyncio.to_thread(redis_server.start)
            await until(lambda: state(gateway, "others")[0] is State.RUNNING)
            await servers.publish("kafka", "others", range(10))
            await until(lambda: settled(gateway.stats()) == 20)
    finally:
        if redis_server.pid is None:
            await asyncio.to_thread(redis_server.start)
    assert await servers.arrived("redis", "cached") == list(range(10))


# --- as a process ---

ONE = """
sources: {orders: {broker: kafka, channel: NAME-orders, event: Order}}
targets: {cached: {broker: redis, channel: NAME-cached}}
routers:
  all: {source: orders, match: all, routes: [{name: all, to: [cached]}], unmatched: drop}
"""


def process(servers: Servers, folder: Path, *options: str) -> Process:
    path = folder / "routes.yaml"
    path.write_text(servers.text(ONE))
    return Process(path, servers.environ, "--create-channels", "--member", "one", *options)


async def said(process: Process, message: str) -> None:
    await process.until(lambda told: any(message in each["message"] for each in told))


async def test_sigterm_under_load_loses_nothing_and_repeats_nothing(
    servers: Servers, tmp_path: Path
) -> None:
    await servers.clients["kafka"].create([f"{servers.name}-orders"])
    await servers.publish("kafka", "orders", range(20_000))
    async with process(servers, tmp_path) as first:
        await said(first, "source orders is running")
        assert await first.stop() == 0
    async with process(servers, tmp_path, "--port", "0") as second:
        await said(second, "source orders is running")
        while await servers.clients["kafka"].left(
            f"{servers.name}.orders", f"{servers.name}-orders"
        ):
            assert second.is_running, second.log
        assert await second.stop() == 0
    assert sorted(await servers.arrived("redis", "cached")) == list(range(20_000))


async def test_a_second_sigterm_does_not_wait_for_what_is_in_flight(
    servers: Servers, redis_server: RedisServer, tmp_path: Path
) -> None:
    async with process(servers, tmp_path) as gateway:
        await said(gateway, "source orders is running")
        redis_server.pause()
        try:
            await servers.publish("kafka", "orders", range(10))
            gateway.signal(signal.SIGTERM)
            await said(gateway, "stopping")
            gateway.signal(signal.SIGTERM)
            async with asyncio.timeout(60):
                assert await gateway.ended() in {0, 1}
        finally:
            redis_server.resume()
    assert "ending at once" in gateway.log
    assert await servers.left() == 10


def children(pid: int) -> list[int]:
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def is_there(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


async def test_workers_end_when_their_parent_is_killed(servers: Servers, tmp_path: Path) -> None:
    async with process(servers, tmp_path, "--workers", "2") as gateway:
        await process_runs_workers(gateway)
        workers = children(gateway.pid)
        assert len(workers) == 2
        gateway.signal(signal.SIGKILL)
        assert await gateway.ended() == -signal.SIGKILL
        await until(lambda: not any(map(is_there, workers)))


async def process_runs_workers(gateway: Process) -> None:
    await gateway.until(
        lambda told: len({x["worker"] for x in told if x["message"].endswith("is running")}) == 2
    )
