"""Batches from Kafka to PostgreSQL: those of a replay, and wherever it is killed rows once."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import psycopg
import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

import gateway_lab as gl
from gateway_lab.captures.read import scan_capture
from gateway_lab.gateway.store import GUARDS
from gateway_lab.testing.postgres import PostgresServer
from gateway_lab.testing.servers import KafkaServer

pytestmark = [pytest.mark.anyio, pytest.mark.broker, pytest.mark.slow]

NUMBER = 200
LIMIT_S = 60
CONFIG = """
gateway_lab: 1
name: NAME
brokers: {stream: kafka}
events:
  Metric: {type: object, required: [n], properties: {n: {type: integer}}}
sources:
  metrics: {broker: stream, channel: NAME-metrics, event: Metric}
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


class Scene:
    """The topics and tables of one test."""

    def __init__(self, kafka: KafkaServer, postgres: PostgresServer, folder: Path) -> None:
        self.name = f"b{uuid.uuid4().hex[:8]}"
        self.bootstrap, self.database = kafka.url.removeprefix("kafka://"), postgres.url
        self.config = folder / "config.yaml"
        self.config.write_text(CONFIG.replace("NAME", self.name))
        self.environ = {
            "GATEWAY_BROKER_STREAM_URL": kafka.url,
            "GATEWAY_DATABASE_METRICS_URL": postgres.url,
        }
        admin = AdminClient({"bootstrap.servers": self.bootstrap})
        for made in admin.create_topics([NewTopic(f"{self.name}-metrics", 2, 1)]).values():
            made.result(30)
        producer = Producer({"bootstrap.servers": self.bootstrap})
        for n in range(NUMBER):
            producer.produce(f"{self.name}-metrics", json.dumps({"n": n}), partition=n % 2)
        assert producer.flush(30) == 0

    def start(self, *place: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "tests.live.batch_child", str(self.config), *place]
        return subprocess.Popen(command, env={**os.environ, **self.environ})

    def ask(self, statement: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.database, autocommit=True) as connection:
            return connection.execute(statement.encode()).fetchall()

    def stored(self) -> int:
        """How many rows there are, as the guards tell."""
        if self.ask(f"SELECT to_regclass('{GUARDS}')") == [(None,)]:
            return 0
        like = f"place LIKE '{self.name}/%'"
        [(rows,)] = self.ask(f"SELECT coalesce(sum(rows), 0) FROM {GUARDS} WHERE {like}")  # noqa: S608
        return int(rows)

    def aggregates(self) -> list[tuple[str, dict[str, int]]]:
        """All that was published: id and body."""
        consumer = Consumer({"bootstrap.servers": self.bootstrap, "group.id": self.name})
        topic = f"{self.name}-aggregated"
        found: list[tuple[str, dict[str, int]]] = []
        parts = consumer.list_topics(topic, 30).topics[topic].partitions
        ends = {
            part: consumer.get_watermark_offsets(TopicPartition(topic, part), 30)[1]
            for part in parts
        }
        consumer.assign([TopicPartition(topic, part, 0) for part in parts])
        while len(found) < sum(ends.values()):
            message = consumer.poll(30)
            assert message is not None
            assert message.error() is None
            id_ = dict(message.headers() or [])["x-gw-id"]
            found.append((str(id_), json.loads(message.value() or b"")))
        consumer.close()
        return found


@pytest.mark.timeout(180)
@pytest.mark.parametrize(
    ("place", "stored", "published"),
    [("before_commit", 2, 10), ("after_commit", 3, 10), ("after_publish", 3, 11)],
)
async def test_rows_are_stored_once_wherever_it_is_killed(
    place: str,
    stored: int,
    published: int,
    kafka_server: KafkaServer,
    postgres_server: PostgresServer,
    tmp_path: Path,
) -> None:
    scene = Scene(kafka_server, postgres_server, tmp_path)
    killed = scene.start(place)
    assert await asyncio.to_thread(killed.wait, LIMIT_S) == -signal.SIGKILL
    assert stored * 20 <= scene.stored() < NUMBER
    again = scene.start()
    try:
        async with asyncio.timeout(LIMIT_S):
            while scene.stored() < NUMBER:  # noqa: ASYNC110 - a database rings no bell
                await asyncio.sleep(0.1)
        again.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(again.wait, LIMIT_S) == 0
    finally:
        again.kill()
        again.wait()
    assert scene.ask(f"SELECT n FROM {scene.name}_rows ORDER BY n") == [(n,) for n in range(NUMBER)]  # noqa: S608
    sent = scene.aggregates()
    assert len(sent) >= published
    bodies = dict(sent)
    assert all(bodies[id_] == body for id_, body in sent)  # what comes again is the same
    assert sum(body["count"] for body in bodies.values()) == NUMBER
    assert sum(body["total"] for body in bodies.values()) == sum(range(NUMBER))


@pytest.mark.timeout(120)
async def test_batches_are_those_of_a_replay_of_what_was_read(
    kafka_server: KafkaServer, postgres_server: PostgresServer, tmp_path: Path
) -> None:
    scene = Scene(kafka_server, postgres_server, tmp_path)
    config = gl.read_config(scene.config)
    with gl.Tap(config, tmp_path / "tapped") as tap:
        gateway = gl.Gateway(config, environ=scene.environ, create_channels=True, wrap=tap.wrap)
        async with gateway, asyncio.timeout(LIMIT_S):
            while gateway.stats().sources[0].read < NUMBER:  # noqa: ASYNC110 - stats ring no bell
                await asyncio.sleep(0.05)
    frame = gl.replay(config, scan_capture(tmp_path / "tapped")).batches("load")
    offline = sorted(frame.select("count", "total").rows())
    assert len(offline) >= NUMBER / 20
    assert sorted((body["count"], body["total"]) for _, body in scene.aggregates()) == offline
    assert scene.stored() == NUMBER
