"""Batches into a real database, and the same aggregates offline."""

from __future__ import annotations

import polars as pl
import psycopg
import pytest

from gateway_lab.examples import metrics
from gateway_lab.testing.postgres import PostgresServer
from gateway_lab.testing.servers import KafkaServer, NatsServer
from tests.example.stages import on

pytestmark = [pytest.mark.anyio, pytest.mark.broker]


@pytest.fixture(params=["sqlite", "postgresql"])
def addresses(request: pytest.FixtureRequest) -> dict[str, str]:
    if request.param == "sqlite":
        return {}
    server: PostgresServer = request.getfixturevalue("postgres_server")
    with psycopg.connect(server.url) as database:
        database.execute("DROP TABLE IF EXISTS metrics, gateway_batches")
    return {metrics.ADDRESS: server.url}


async def test_rows_are_stored_once_and_aggregates_equal_those_of_a_replay(
    kafka_server: KafkaServer, nats_server: NatsServer, addresses: dict[str, str]
) -> None:
    async with on(
        metrics.gateway.config, metrics.LOOKS, kafka_server, nats_server, **addresses
    ) as stage:
        frames = await metrics.run(stage)
    rows = frames["rows"]
    assert (rows["tags"] == "{}").sum() > 0  # what has no tags
    assert rows["tags"].str.contains('"host"').sum() > 2_000
    assert rows["timestamp"].str.starts_with("2026-03-0").all()
    groups_sum = frames["aggregated-metrics"].select(pl.col("avg") * pl.col("count")).sum().item()
    assert rows["value"].sum() == pytest.approx(groups_sum)
    [(count, in_groups, groups, offline, same)] = frames["books"].rows()
    assert count == rows.height == in_groups == metrics.N - frames["dead letters"].height
    assert groups == offline == frames["aggregated-metrics"].height
    assert same
    assert frames["alerts"].height == 21
    assert "value: expected number, got null" in set(frames["dead letters"]["reason"])
