"""Servers of this room, with sessions short enough for tests that kill members of groups."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from gateway_lab.testing.servers import KafkaServer
from tests.live.settings import SETTINGS


@pytest.fixture(scope="session")
def kafka_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaServer]:
    with KafkaServer(tmp_path_factory.mktemp("kafka"), settings=SETTINGS["kafka"]) as server:
        yield server
