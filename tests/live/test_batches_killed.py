"""Batches from four brokers to PostgreSQL: wherever it is killed rows once, as a replay says."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest

import gateway_lab as gl
from gateway_lab.captures.read import scan_capture
from gateway_lab.messages.message import Message
from gateway_lab.testing.postgres import PostgresServer
from gateway_lab.testing.server_process import Server
from gateway_lab.testing.servers import KafkaServer, RabbitmqServer
from tests.live.clients import Fresh

pytestmark = [pytest.mark.anyio, pytest.mark.broker, pytest.mark.slow]

NUMBER = 200
LIMIT_S = 60
LEASE_S = 2
CONFIG = """
gateway_lab: 1
name: NAME
brokers: {stream: PROTOCOL}
events:
  Metric: {type: object, required: [n], properties: {n: {type: integer}}}
sources:
  metrics: {broker: stream, channel: NAME-metrics, event: Metric, options: OPTIONS}
targets:
  aggregated: {broker: stream, channel: NAME-aggregated}
batches:
  load:
    source: metrics
    size: 20
    every: 2s
    rows: {n: "{n}"}
    store: {database: metrics, table: NAME_rows}
    aggregates: {count: "count(*)", total: sum(n)}
    to: [aggregated]
dead_letter: {broker: stream, channel: NAME-dead}
"""
NAMED = "{id_from: message_id}"


class Scene:
    """The channels and tables of one test."""

    def __init__(
        self, broker: Server, postgres: PostgresServer, folder: Path, *, options: str = "{}"
    ) -> None:
        self.name = f"b{uuid.uuid4().hex[:8]}"
        self.protocol, self.database = broker.protocol, postgres.url
        self.client = Fresh(broker.protocol, broker.url)
        self.config = folder / "config.yaml"
        named = CONFIG.replace("NAME", self.name).replace("PROTOCOL", broker.protocol)
        self.config.write_text(named.replace("OPTIONS", options))
        self.environ = {
            "GATEWAY_BROKER_STREAM_URL": broker.url,
            "GATEWAY_DATABASE_METRICS_URL": postgres.url,
        }
        if broker.protocol in {"nats", "redis"}:
            self.environ["GATEWAY_LEASE"] = f"{LEASE_S}s"

    async def begin(self, keys: int = 2) -> None:
        await self.client.create(f"{self.name}-{each}" for each in ("metrics", "aggregated"))
        now = datetime.now(UTC)
        messages = [_metric(n, now, keys) for n in range(NUMBER)]
        await self.client.publish(f"{self.name}-metrics", messages)

    def start(self, *place: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "tests.live.batch_child", str(self.config), *place]
        return subprocess.Popen(command, env={**os.environ, **self.environ})

    def ask(self, statement: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.database, autocommit=True) as connection:
            return connection.execute(statement.encode()).fetchall()

    def rows(self) -> list[int]:
        return [n for (n,) in self.ask(f"SELECT n FROM {self.name}_rows ORDER BY n")]  # noqa: S608

    def stored(self) -> int:
        """How many rows there are."""
        table = f"{self.name}_rows"
        if self.ask(f"SELECT to_regclass('{table}')") == [(None,)]:
            return 0
        [(rows,)] = self.ask(f"SELECT count(DISTINCT n) FROM {table}")  # noqa: S608
        return int(rows)

    async def aggregates(self) -> Sequence[tuple[str, dict[str, int]]]:
        """All that was published: id and body."""
        channel = f"{self.name}-aggregated"
        found = (await self.client.fetch([channel]))[channel]
        return [
            (dict(each.headers)["x-gw-id"].decode(), json.loads(each.body or b"")) for each in found
        ]

    async def is_killed(self, place: str) -> None:
        """Let it run until it kills itself."""
        killed = self.start(place)
        assert await asyncio.to_thread(killed.wait, LIMIT_S) == -signal.SIGKILL
        assert self.stored() < NUMBER

    async def runs_to_the_end(self) -> None:
        """Let another one do the rest."""
        again = self.start()
        try:
            async with asyncio.timeout(LIMIT_S):
                while self.stored() < NUMBER or await self.left():  # noqa: ASYNC110 - servers ring no bell
                    await asyncio.sleep(0.1)
            again.send_signal(signal.SIGTERM)
            assert await asyncio.to_thread(again.wait, LIMIT_S) == 0
        finally:
            again.kill()
            again.wait()

    async def left(self) -> int:
        """Count what is not settled, as far as the broker tells while it is read."""
        dot = "-" if self.protocol == "nats" else "."
        return await self.client.left(f"{self.name}{dot}metrics", f"{self.name}-metrics")


def _metric(n: int, now: datetime, keys: int) -> Message:
    key = str(n % keys).encode()
    return Message(body=json.dumps({"n": n}).encode(), key=key, timestamp=now, received=now)


@pytest.mark.parametrize(
    ("protocol", "place", "stored"),
    [
        ("kafka", "before_commit", 2),
        ("kafka", "after_commit", 3),
        ("kafka", "after_publish", 3),
        ("nats", "after_commit", 3),
        ("nats", "after_publish", 3),
        ("redis", "after_commit", 3),
        ("rabbitmq", "after_commit", 3),
    ],
)
async def test_rows_are_stored_once_wherever_it_is_killed(
    protocol: str,
    place: str,
    stored: int,
    request: pytest.FixtureRequest,
    postgres_server: PostgresServer,
    tmp_path: Path,
) -> None:
    server: Server = request.getfixturevalue(f"{protocol}_server")
    options = NAMED if protocol == "rabbitmq" else "{}"
    scene = Scene(server, postgres_server, tmp_path, options=options)
    await scene.begin()
    await scene.is_killed(place)
    assert scene.stored() >= stored * 20
    await scene.runs_to_the_end()
    assert scene.rows() == list(range(NUMBER))
    sent = await scene.aggregates()
    assert len(sent) >= NUMBER / 20
    bodies = dict(sent)
    assert all(bodies[id_] == body for id_, body in sent)  # what comes again is the same
    assert sum(body["count"] for body in bodies.values()) == NUMBER
    assert sum(body["total"] for body in bodies.values()) == sum(range(NUMBER))


@pytest.mark.parametrize(
    ("protocol", "place"), [("kafka", "after_commit"), ("nats", "after_publish")]
)
async def test_rows_are_stored_once_behind_a_handler(
    protocol: str,
    place: str,
    request: pytest.FixtureRequest,
    postgres_server: PostgresServer,
    tmp_path: Path,
) -> None:
    server: Server = request.getfixturevalue(f"{protocol}_server")
    scene = Scene(server, postgres_server, tmp_path, options="{}, handler: {returns: Metric}")
    await scene.begin(keys=16)
    await scene.is_killed(place)
    assert scene.stored() > 0
    await scene.runs_to_the_end()
    assert scene.rows() == list(range(NUMBER))
    bodies = dict(await scene.aggregates())
    assert sum(body["count"] for body in bodies.values()) == NUMBER
    assert sum(body["total"] for body in bodies.values()) == sum(range(NUMBER))


async def test_messages_of_rabbitmq_without_names_are_stored_again_as_a_finding_warns(
    rabbitmq_server: RabbitmqServer, postgres_server: PostgresServer, tmp_path: Path
) -> None:
    scene = Scene(rabbitmq_server, postgres_server, tmp_path)
    assert "batch-repeats" in {each.code for each in gl.check(gl.read_config(scene.config))}
    await scene.begin()
    await scene.is_killed("after_commit")
    await scene.runs_to_the_end()
    assert set(scene.rows()) == set(range(NUMBER))
    assert len(scene.rows()) > NUMBER


@pytest.mark.timeout(120)
async def test_batches_are_those_of_a_replay_of_what_was_read(
    kafka_server: KafkaServer, postgres_server: PostgresServer, tmp_path: Path
) -> None:
    scene = Scene(kafka_server, postgres_server, tmp_path)
    await scene.begin()
    config = gl.read_config(scene.config)
    with gl.Tap(config, tmp_path / "tapped") as tap:
        gateway = gl.Gateway(config, environ=scene.environ, create_channels=True, wrap=tap.wrap)
        async with gateway, asyncio.timeout(LIMIT_S):
            while gateway.stats().sources[0].read < NUMBER:  # noqa: ASYNC110 - stats ring no bell
                await asyncio.sleep(0.05)
    frame = gl.replay(config, scan_capture(tmp_path / "tapped")).batches("load")
    offline = sorted(frame.select("count", "total").rows())
    assert len(offline) >= NUMBER / 20
    assert sorted((body["count"], body["total"]) for _, body in await scene.aggregates()) == offline
    assert scene.rows() == list(range(NUMBER))
