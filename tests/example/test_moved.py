"""A target is moved from one kind of broker to another by one line of the config, on real servers."""

from __future__ import annotations

from pathlib import Path

import pytest

import gateway_lab as gl
from gateway_lab.examples.live_run import LiveRun, message
from gateway_lab.examples.tables import delivered
from gateway_lab.testing.servers import KafkaServer, Server
from tests.example.stages import on

pytestmark = [pytest.mark.anyio, pytest.mark.broker]
CONVERSION = Path(__file__).parents[2] / "data" / "conversion.yaml"
LINE = "brokers: {stream: kafka, work: rabbitmq}"


@pytest.mark.parametrize("kind", ["rabbitmq", "nats", "redis", "kafka"])
async def test_the_same_arrives_on_another_broker(
    kind: str, kafka_server: KafkaServer, request: pytest.FixtureRequest
) -> None:
    text = CONVERSION.read_text()
    assert LINE in text.splitlines()
    moved = gl.parse_config(text.replace(LINE, LINE.replace("rabbitmq", kind)))
    server: Server = request.getfixturevalue(f"{kind}_server")
    looks = {"work": [f"user.moved-to-{kind}"], "stream": ["dead-letter.kafka_input"]}
    ada = {"key": f"moved-to-{kind}", "value": {"name": "Ada"}, "timestamp": 1_767_225_600_000}
    async with (
        on(moved, looks, kafka_server, server) as stage,
        LiveRun(gl.Gateway(moved), stage, looks) as live,
    ):
        sent = message(ada, key="ada", x_request_id="r-1", x_internal="stays")
        await live.publish("stream", "kafka-input-topic", [sent])
        [arrived] = delivered(await live.arrived()).rows(named=True)
    headers = arrived.pop("headers").split(", ")
    assert set(headers) == {
        "x-request-id: r-1",
        "source: kafka",
        "original_timestamp: 1767225600000",
    }
    assert arrived == {
        "broker": "work",
        "channel": f"user.moved-to-{kind}",
        "key": "ada",
        "body": '{"name":"Ada"}',
    }
