"""Servers of this room, with sessions short enough for tests that kill members of groups."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pytest

from gateway_lab.testing.server_process import Server
from gateway_lab.testing.servers import KafkaServer, NatsServer, RabbitmqServer, RedisServer
from tests.live.settings import SETTINGS


@pytest.fixture(scope="session")
def kafka_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaServer]:
    with KafkaServer(tmp_path_factory.mktemp("kafka"), settings=SETTINGS["kafka"]) as server:
        yield server


@pytest.fixture(scope="session")
def servers(
    kafka_server: KafkaServer,
    rabbitmq_server: RabbitmqServer,
    nats_server: NatsServer,
    redis_server: RedisServer,
) -> Mapping[str, Server]:
    """All four, by protocol."""
    every = (kafka_server, rabbitmq_server, nats_server, redis_server)
    return {each.protocol: each for each in every}
