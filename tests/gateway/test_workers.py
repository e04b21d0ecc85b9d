"""Several processes: memory does not reach from one to the other, so these are real servers."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import cast

import msgspec
import pytest

import gateway_lab as gl
from gateway_lab.brokers.contract import BrokerError
from gateway_lab.cli.worker import COMMAND
from gateway_lab.config.gateway_config import GatewayConfig
from gateway_lab.config.load import parse_config
from gateway_lab.errors import ConfigError, GatewayLabError
from gateway_lab.gateway.counters import State
from gateway_lab.gateway.gateway import Gateway
from gateway_lab.gateway.workers.process import WorkerProcess
from gateway_lab.gateway.workers.talk import Over
from gateway_lab.gateway.workers.worker import _Worker
from gateway_lab.gateway.workers.workers import Workers
from gateway_lab.messages.message import Message
from gateway_lab.testing.servers import KafkaServer, RedisServer
from tests.gateway.shop import SHOP, until
from tests.live.clients import Fresh

pytestmark = pytest.mark.anyio

RECEIVED = datetime.now(UTC)
TEXT = """
gateway_lab: 1
name: NAME
brokers: {stream: kafka, cache: redis}
events:
  Order: {type: object, required: [n], properties: {n: {type: integer}}}
sources: {orders: {broker: stream, channel: NAME-orders, event: Order}}
targets:
  odd: {broker: cache, channel: NAME-odd}
  even: {broker: cache, channel: NAME-even}
routers:
  parity:
    source: orders
    match: first
    routes: [{name: odd, when: n % 2 = 1, to: [odd]}]
    unmatched: [even]
dead_letter: {broker: cache, channel: NAME-dead}
"""
NAMES = count()


class Desk:
    """A config on servers of this test run, with channels of its own."""

    def __init__(self, kafka: KafkaServer, redis: RedisServer) -> None:
        self.name = f"desk-{os.getpid()}-{next(NAMES)}"
        self.config: GatewayConfig = parse_config(TEXT.replace("NAME", self.name))
        self.kafka, self.redis = Fresh("kafka", kafka.url), Fresh("redis", redis.url)
        self.environ = {
            **os.environ,
            "GATEWAY_BROKER_STREAM_URL": kafka.url,
            "GATEWAY_BROKER_CACHE_URL": redis.url,
        }

    async def open(self) -> None:
        await self.kafka.create([f"{self.name}-orders"])
        await self.redis.create([f"{self.name}-{each}" for each in ("odd", "even", "dead")])

    def workers(self, number: int = 2, **asked: object) -> Workers:
        asked = {"member": self.name, **asked}
        return Workers(
            self.config,
            number,
            command=COMMAND,
            environ=self.environ,
            **asked,  # type: ignore[arg-type]
        )

    async def publish(self, numbers: range) -> None:
        messages = [
            Message(body=msgspec.json.encode({"n": n}), key=b"%d" % n, received=RECEIVED)
            for n in numbers
        ]
        await self.kafka.publish(f"{self.name}-orders", messages)

    async def arrived(self, *targets: str) -> set[int]:
        channels = [f"{self.name}-{each}" for each in targets]
        fetched = await self.redis.fetch(channels)
        return {msgspec.json.decode(each.body or b"")["n"] for c in channels for each in fetched[c]}


@pytest.fixture
async def desk(kafka_server: KafkaServer, redis_server: RedisServer) -> Desk:
    desk = Desk(kafka_server, redis_server)
    await desk.open()
    return desk


def settled(workers: Workers) -> int:
    return sum(each.settled for each in workers.stats().sources)


def is_running(workers: Workers) -> bool:
    return {each.state for each in workers.stats().sources} == {State.RUNNING}


def is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.broker
async def test_workers_share_the_messages_and_add_up_their_books(desk: Desk) -> None:
    async with desk.workers() as workers:
        await desk.publish(range(500))
        await until(lambda: settled(workers) == 500)
        pids = workers.pids
        assert len(pids) == 2
    stats = workers.stats()
    assert {way.target: way.delivered for way in stats.ways} == {"odd": 250, "even": 250}
    assert stats.digest == desk.config.digest
    assert {each.state for each in stats.sources} == {State.STOPPED}
    assert await desk.arrived("odd") == set(range(1, 500, 2))
    assert await desk.arrived("even") == set(range(0, 500, 2))
    assert not any(map(is_there, pids))


@pytest.mark.broker
async def test_a_worker_that_is_killed_is_started_again(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    async with desk.workers() as workers:
        await desk.publish(range(100))
        await until(lambda: settled(workers) == 100)
        before = workers.pids
        os.kill(before[0], signal.SIGKILL)
        await until(lambda: len(workers.pids) == 2 and before[0] not in workers.pids)
        await desk.publish(range(100, 200))
        await until(lambda: settled(workers) >= 200)
    assert "worker 0 ended with -9, it is started again" in caplog.text
    assert await desk.arrived("odd", "even") == set(range(200))
    for way in workers.stats().ways:
        assert way.pending == 0
        assert way.deliveries == way.delivered + way.given_back


@pytest.mark.broker
async def test_all_workers_take_another_config_over_or_none(desk: Desk) -> None:
    lacking = desk.config.edit_target("odd", channel=f"{desk.name}-nowhere")
    flipped = desk.config.edit_route("parity", "odd", when="n % 2 = 0")
    async with desk.workers() as workers:
        await desk.publish(range(10))
        await until(lambda: settled(workers) == 10)
        await until(lambda: is_running(workers))
        with pytest.raises(ConfigError, match="there is no channel"):
            await workers.reload(lacking)
        assert "nowhere" in workers.stats().refused
        with pytest.raises(ConfigError, match="needs a restart"):
            await workers.reload(desk.config.with_parts(name="other"))
        await workers.reload(flipped)
        assert (workers.stats().digest, workers.stats().refused) == (flipped.digest, "")
        await desk.publish(range(10, 20))
        await until(lambda: settled(workers) == 20)
    assert await desk.arrived("odd") == {1, 3, 5, 7, 9, 10, 12, 14, 16, 18}


@pytest.mark.broker
async def test_a_worker_that_is_started_again_begins_with_the_new_config(desk: Desk) -> None:
    flipped = desk.config.edit_route("parity", "odd", when="n % 2 = 0")
    async with desk.workers(1) as workers:
        await until(lambda: is_running(workers))
        await workers.reload(flipped)
        os.kill(workers.pids[0], signal.SIGKILL)
        await desk.publish(range(10))
        await until(lambda: settled(workers) == 10)
    assert await desk.arrived("odd") == {0, 2, 4, 6, 8}


@pytest.mark.broker
async def test_a_worker_whose_sources_are_red_ends_and_a_reload_starts_it_again(desk: Desk) -> None:
    await desk.redis.delete([f"{desk.name}-odd"])
    async with desk.workers(1) as workers:
        await workers.wait()
        [orders] = workers.stats().sources
        assert orders.state is State.RED
        assert "there is no channel" in orders.reason
        assert workers.pids == []
        await desk.redis.create([f"{desk.name}-odd"])
        await workers.reload(desk.config)
        await desk.publish(range(10))
        await until(lambda: settled(workers) == 10)


@pytest.mark.broker
async def test_a_worker_that_cannot_begin_ends_them_all_and_says_why(
    desk: Desk, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(GatewayLabError, match="file"):
        async with desk.workers(record=str(tmp_path / "file" / "folder")) as workers:
            await workers.wait()
    assert workers.pids == []


@pytest.mark.broker
async def test_workers_record_to_one_folder(desk: Desk, tmp_path: Path) -> None:
    async with desk.workers(record=str(tmp_path / "all")) as workers:
        await desk.publish(range(100))
        await until(lambda: settled(workers) == 100)
    bodies = gl.scan_capture(tmp_path / "all").frame.select("body").collect()["body"]
    assert {msgspec.json.decode(each)["n"] for each in bodies} == set(range(100))


@pytest.mark.broker
async def test_workers_that_do_not_answer_are_ended_by_a_stop_in_a_hurry(desk: Desk) -> None:
    async with desk.workers() as workers:
        await until(lambda: is_running(workers) and len(workers.pids) == 2)
        pids = workers.pids
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        await workers.stop(now=True)
    assert not any(map(is_there, pids))


# --- what cannot be shared ---


@pytest.fixture
def elsewhere() -> dict[str, str]:
    return {
        "GATEWAY_BROKER_STREAM_URL": "kafka://127.0.0.1:1",
        "GATEWAY_BROKER_CACHE_URL": "redis://127.0.0.1:1",
    }


def test_memory_is_refused() -> None:
    with pytest.raises(BrokerError, match="memory is inside one process"):
        Workers(parse_config(SHOP), 2, command=COMMAND, environ={})


def test_an_address_that_is_not_set_is_told_before_anything_starts() -> None:
    with pytest.raises(BrokerError, match="GATEWAY_BROKER_CACHE_URL is not set"):
        Workers(parse_config(TEXT), 2, command=COMMAND, environ={})


REDIS_FIRST = TEXT.replace("broker: stream, channel: NAME-orders", "broker: cache, channel: orders")


def test_pub_sub_of_redis_is_refused_for_each_worker_would_get_everything(
    elsewhere: dict[str, str],
) -> None:
    text = REDIS_FIRST.replace("event: Order}", "event: Order, options: {delivery: at_most_once}}")
    with pytest.raises(ConfigError, match="each worker would get every message"):
        Workers(parse_config(text), 2, command=COMMAND, environ=elsewhere)


@pytest.mark.parametrize(("text", "is_told"), [(TEXT, False), (REDIS_FIRST, True)])
async def test_sources_that_lose_the_order_of_keys_are_named(
    text: str, elsewhere: dict[str, str], caplog: pytest.LogCaptureFixture, *, is_told: bool
) -> None:
    workers = Workers(parse_config(text), 2, command=("/bin/false",), environ=elsewhere)
    async with workers:
        await asyncio.sleep(0)
    assert ("source orders keeps no order of keys" in caplog.text) is is_told


DIES = """
import os, sys
os.write(int(sys.argv[1]), b'{"type":"Over"}\\n{"type":"Bo')
"""


async def test_a_worker_that_dies_in_the_middle_of_a_line_is_one_that_died() -> None:
    process = await WorkerProcess.start([sys.executable, "-c", DIES], os.environ)
    assert [each async for each in process.answers()] == [Over()]
    assert await process.end() == 0


class Stopped:
    """Stands for a gateway that is told to stop."""

    def __init__(self) -> None:
        self.told: list[bool] = []

    async def stop(self, *, now: bool) -> None:
        self.told.append(now)


async def test_a_worker_ends_when_its_parent_dies_in_the_middle_of_an_order() -> None:
    reader, gateway = asyncio.StreamReader(), Stopped()
    reader.feed_data(b'{"type":"Prepare","text":{"docum')
    reader.feed_eof()
    worker = _Worker(cast("Gateway", gateway), reader, lambda _: None)
    await worker._obey()
    await asyncio.gather(*worker._tasks)
    assert gateway.told == [True]
