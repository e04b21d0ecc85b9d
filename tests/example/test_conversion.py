"""Kafka to RabbitMQ, on real servers."""

from __future__ import annotations

import pytest

from gateway_lab.examples import conversion
from gateway_lab.testing.servers import KafkaServer, RabbitmqServer
from tests.example.stages import on

pytestmark = [pytest.mark.anyio, pytest.mark.broker]


async def test_key_headers_time_and_body_are_mapped(
    kafka_server: KafkaServer, rabbitmq_server: RabbitmqServer
) -> None:
    async with on(
        conversion.gateway.config, conversion.LOOKS, kafka_server, rabbitmq_server
    ) as stage:
        frames = await conversion.run(stage)
    ada, bob = sorted(frames["arrived"].rows())
    assert ada[:3] == ("work", "user.ada", "ada")
    assert set(ada[3].split(", ")) == {
        "x-request-id: r-1",
        "source: kafka",
        "original_timestamp: 1767225600000",
    }
    assert ada[4] == '{"name":"Ada","langs":["de"]}'
    assert (bob[1], bob[4]) == ("user.bob", "{}")
    assert sorted(frames["dead letters"].select("class", "reason").rows()) == [
        ("invalid", "key: 'ada.#' does not match ^[A-Za-z0-9_-]{1,64}$"),
        ("invalid", "value: expected object, got string"),
    ]
