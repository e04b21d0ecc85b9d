"""A config with a batch on memory brokers, and a database, for tests of batches."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import psycopg

from gateway_lab.gateway.stores.store import Store, open_store
from gateway_lab.messages.message import Message
from tests.gateway.shop import RECEIVED, Shop

METERS = """
gateway_lab: 1
name: meters
brokers: {here: memory, there: memory, letters: memory}
events:
  Metric:
    type: object
    required: [value]
    properties:
      ts: {type: string, format: date-time}
      value: {type: number}
      tags: {type: object, properties: {host: {type: string}, name: {type: string}}}
sources:
  orders: {broker: here, channel: orders, event: Metric}
targets:
  aggregated: {broker: there, channel: big}
  hot: {broker: there, channel: small}
routers:
  hot:
    source: orders
    match: first
    routes: [{name: hot, when: value > 90, to: [hot]}]
    unmatched: drop
batches:
  load:
    source: orders
    size: 10
    every: 1h
    group_by: {host: "{tags.host}"}
    rows: {timestamp: "{ts}", value: "{value}", tags: "{tags}"}
    store: {database: metrics, table: metrics}
    aggregates: {count: "count(*)", avg: avg(value), max: max(value), min: min(value)}
    to: [aggregated]
retry: {initial: 1ms, max: 5ms}
dead_letter: {broker: letters, channel: "dead.{message.source}"}
"""


class Meters(Shop):
    """The servers of one test, and its database."""

    def __init__(self, url: str, text: str = METERS) -> None:
        super().__init__(text)
        self.url = url
        self.environ["GATEWAY_DATABASE_METRICS_URL"] = url

    def aggregates(self) -> list[dict[str, Any]]:
        return [msgspec.json.decode(each.body or b"") for each in self.fetch("there", "big")]

    def rows(self) -> list[tuple[Any, ...]]:
        return query(self.url, 'SELECT "timestamp", value, tags FROM metrics ORDER BY value')

    def values(self) -> list[float]:
        return [value for _, value, _ in self.rows()]

    def store(self) -> Store:
        return open_store("metrics", self.environ)


def query(url: str, statement: str) -> list[tuple[Any, ...]]:
    """Ask a database as anybody could."""
    if url.startswith("sqlite"):
        with sqlite3.connect(url.removeprefix("sqlite:///")) as file:
            rows: list[tuple[Any, ...]] = file.execute(statement).fetchall()
        file.close()
        return rows
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


def metric(value: object, *, key: str = "k", at: datetime = RECEIVED, **fields: object) -> Message:
    event: Mapping[str, object] = {
        "ts": at.isoformat(),
        "value": value,
        "tags": {"host": "a", "name": "cpu"},
        **fields,
    }
    kept = {name: each for name, each in event.items() if each is not None}
    return Message(body=msgspec.json.encode(kept), key=key.encode(), timestamp=at, received=at)


def metrics(number: int, **fields: Any) -> Sequence[Message]:
    """Make messages of one partition, a second apart."""
    return [metric(n, at=RECEIVED + timedelta(seconds=n), **fields) for n in range(number)]


def sqlite_url(folder: Path) -> str:
    return f"sqlite:///{folder / 'metrics.db'}"
