"""Recording from real servers, each in the way that leaves no trace there."""

from __future__ import annotations

from itertools import count
from pathlib import Path

import pytest

from gateway_lab.brokers.contract import BrokerError, Outgoing, Place
from gateway_lab.brokers.registry import connect
from gateway_lab.config.gateway_config import GatewayConfig
from gateway_lab.config.load import parse_config
from gateway_lab.recording.record import record
from gateway_lab.testing.servers import KafkaServer, NatsServer, RabbitmqServer, RedisServer

pytestmark = [pytest.mark.broker, pytest.mark.anyio]

NUMBERS = count()
MESSAGES = 3_000

CONFIG = """
gateway_lab: 1
name: recorded
brokers: {there: PROTOCOL}
sources: {all: {broker: there, channel: CHANNEL}}
routers: {all: {source: all, match: first, routes: [{name: all, to: [drop]}], unmatched: drop}}
"""


async def filled(protocol: str, url: str) -> GatewayConfig:
    """Make a channel with messages, and a config that reads it."""
    channel = f"recorded-{next(NUMBERS)}"
    broker = connect("there", protocol, {"GATEWAY_BROKER_THERE_URL": url})
    await broker.open()
    await broker.create([Place(channel, is_read=True)])
    outgoing = [
        Outgoing(channel, b"k%d" % (n % 9), (("n", b"%d" % n),), b"%d" % n, None, f"{channel}-{n}")
        for n in range(MESSAGES)
    ]
    for start in range(0, MESSAGES, 500):
        assert not any(await broker.sink().send(outgoing[start : start + 500]))
    await broker.close()
    return parse_config(CONFIG.replace("PROTOCOL", protocol).replace("CHANNEL", channel))


async def recorded(protocol: str, url: str, path: Path) -> list[int]:
    config = await filled(protocol, url)
    environ = {"GATEWAY_BROKER_THERE_URL": url}
    capture = await record(config, path, environ=environ, until_caught_up=True)
    rows = capture.frame.collect()
    assert rows["key"].null_count() == rows["position"].null_count() == 0
    assert set(rows["kind"]) == {protocol}
    return sorted(map(int, rows["body"].to_list()))


async def test_kafka(kafka_server: KafkaServer, tmp_path: Path) -> None:
    assert await recorded("kafka", kafka_server.url, tmp_path / "c") == list(range(MESSAGES))


async def test_nats(nats_server: NatsServer, tmp_path: Path) -> None:
    assert await recorded("nats", nats_server.url, tmp_path / "c") == list(range(MESSAGES))


async def test_redis(redis_server: RedisServer, tmp_path: Path) -> None:
    assert await recorded("redis", redis_server.url, tmp_path / "c") == list(range(MESSAGES))


async def test_rabbitmq_is_refused_with_a_hint(
    rabbitmq_server: RabbitmqServer, tmp_path: Path
) -> None:
    with pytest.raises(BrokerError, match="takes them") as refused:
        await recorded("rabbitmq", rabbitmq_server.url, tmp_path / "c")
    assert "--record" in refused.value.hint
    assert list(tmp_path.iterdir()) == []  # noqa: ASYNC240
