"""Settings of every test: the same answers on every machine, and real servers to be had.

There is one server of each kind for a run; each starts when the first test asks for it. A test
that stops or kills a server starts it again before it ends: others use it, too.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping

import pytest
from hypothesis import settings

from gateway_lab.testing.postgres import PostgresServer
from gateway_lab.testing.servers import (
    KafkaServer,
    NatsServer,
    RabbitmqServer,
    RedisServer,
    Server,
)

# A reader's own table settings would change what frames look like.
for name in [name for name in os.environ if name.startswith("POLARS_FMT_")]:
    del os.environ[name]

# CI machines are slow and shared: a deadline would only make tests flaky.
settings.register_profile("gateway_lab", deadline=None, print_blob=True)
settings.register_profile("quick", settings.get_profile("gateway_lab"), max_examples=25)
settings.load_profile("gateway_lab")


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def kafka_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaServer]:
    with KafkaServer(tmp_path_factory.mktemp("kafka")) as server:
        yield server


@pytest.fixture(scope="session")
def rabbitmq_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitmqServer]:
    with RabbitmqServer(tmp_path_factory.mktemp("rabbitmq")) as server:
        yield server


@pytest.fixture(scope="session")
def nats_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    with NatsServer(tmp_path_factory.mktemp("nats")) as server:
        yield server


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    with PostgresServer(tmp_path_factory.mktemp("postgres")) as server:
        yield server


@pytest.fixture
def servers(
    kafka_server: KafkaServer,
    rabbitmq_server: RabbitmqServer,
    nats_server: NatsServer,
    redis_server: RedisServer,
) -> Mapping[str, Server]:
    """All four, by protocol."""
    every = (kafka_server, rabbitmq_server, nats_server, redis_server)
    return {each.protocol: each for each in every}
