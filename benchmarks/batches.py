"""Batches into PostgreSQL, beside a bare COPY of the same rows: `python -m benchmarks.batches`."""

from __future__ import annotations

import gc
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg

from benchmarks.table import ROUNDS, Figure, show
from gateway_lab.brokers.contract import Batch
from gateway_lab.config.compile import compile_plan
from gateway_lab.config.load import read_config
from gateway_lab.gateway.batching.writer import Member, Writer
from gateway_lab.gateway.stores.store import GUARDS, Table, open_store
from gateway_lab.gateway.window import Held
from gateway_lab.messages.message import Message
from gateway_lab.testing.postgres import PostgresServer

MESSAGES = 50_000
DEMANDED = 0.5
_START = datetime(2026, 1, 5, 8, tzinfo=UTC)
_COPY = b'COPY metrics (tags, "timestamp", value) FROM STDIN'
_TABLE = 'CREATE TABLE metrics (tags jsonb, "timestamp" timestamptz, value double precision)'


def measure() -> list[Figure]:
    """Measure both ways, in turns, in batches of `data/metrics.yaml`'s size."""
    with tempfile.TemporaryDirectory() as folder, PostgresServer(Path(folder)) as server:
        return _figures(server.url)


def _figures(url: str) -> list[Figure]:
    batches = _batches()
    ways: dict[str, Callable[[str], float]] = {
        "rows": lambda url: _copied(url, batches),
        "bytes": lambda url: _copied_bytes(url, batches),
        "stored": lambda url: _stored(url, batches),
        "written": lambda url: _written(url, batches),
    }
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, way in ways.items():
            _make_anew(url)
            gc.collect()
            taken[name].append(way(url))
    medians = {name: statistics.median(each) for name, each in taken.items()}
    what = "rows into PostgreSQL in batches of 500"
    return [
        _figure(f"{what}, with guards", medians["stored"], "bare COPY of rows", medians["rows"]),
        _figure(
            f"{what}, with guards",
            medians["stored"],
            "COPY of ready bytes",
            medians["bytes"],
            is_demanded=False,
        ),
        _figure(
            f"messages to {what}, decoded and aggregated",
            medians["written"],
            "bare COPY of rows",
            medians["rows"],
            is_demanded=False,
        ),
    ]


def _figure(
    what: str, ours: float, against: str, theirs: float, *, is_demanded: bool = True
) -> Figure:
    ratio = theirs / ours
    return Figure(
        what=what,
        value=f"{MESSAGES / ours:,.0f} a second",
        against=f"{against}: {MESSAGES / theirs:,.0f}",
        ratio=f"{ratio:.2f}",
        demanded=f">= {DEMANDED}" if is_demanded else "-",
        is_met=not is_demanded or ratio >= DEMANDED,
    )


# --- the ways ---


def _copied(url: str, batches: Sequence[Batch]) -> float:
    """Copy rows that are there as Python values, a transaction a batch."""
    rows = [[_row(n) for n in range(at, at + _SIZE)] for at in range(0, MESSAGES, _SIZE)]
    assert len(rows) == len(batches)
    with psycopg.connect(url) as connection:
        start = time.perf_counter()
        for each in rows:
            with connection.cursor() as cursor, cursor.copy(_COPY) as copy:
                for row in each:
                    copy.write_row(row)
            connection.commit()
        return time.perf_counter() - start


def _copied_bytes(url: str, batches: Sequence[Batch]) -> float:
    """Copy what somebody else has written as COPY reads it."""
    blocks = [_lines(at) for at in range(0, MESSAGES, _SIZE)]
    assert len(blocks) == len(batches)
    with psycopg.connect(url) as connection:
        start = time.perf_counter()
        for block in blocks:
            with connection.cursor() as cursor, cursor.copy(_COPY) as copy:
                copy.write(block)
            connection.commit()
        return time.perf_counter() - start


def _stored(url: str, batches: Sequence[Batch]) -> float:
    """Store rows that are there as values of ours."""
    writer = _writer(url)
    store = writer._store  # noqa: SLF001 - a stage is measured by itself
    assert store is not None
    members = [_members(each) for each in batches]
    rows = [list(map(writer._maker.row, writer._values(each))) for each in members]  # noqa: SLF001
    table = Table.of(writer.plan)
    start = time.perf_counter()
    for some, each in zip(rows, members, strict=True):
        written = writer._made(each[:1], writer._values(each[:1]))  # noqa: SLF001
        guard = written.guard
        assert guard is not None
        store.find(guard.place, guard.first, guard.first + _SIZE - 1)
        store.insert(table, some)
        store.commit(guard)
    taken = time.perf_counter() - start
    writer.close()
    return taken


def _written(url: str, batches: Sequence[Batch]) -> float:
    """Store messages: decode, make rows and groups, store them with their guard."""
    writer = _writer(url)
    start = time.perf_counter()
    for each in batches:
        writer._write(_members(each))  # noqa: SLF001
    taken = time.perf_counter() - start
    writer.close()
    return taken


# --- the same rows ---

_CONFIG = read_config("data/metrics.yaml")
_SIZE = _CONFIG.batches["load"].size


def _writer(url: str) -> Writer:
    plan = compile_plan(_CONFIG).plan
    assert plan is not None
    store = open_store("metrics", {"GATEWAY_DATABASE_METRICS_URL": url})
    writer = Writer(plan, plan.batches["load"], store, gateway="bench", creates=True)
    store.prepare(Table.of(writer.plan), creates=True)
    return writer


def _row(n: int) -> tuple[str, datetime, float]:
    tags = f'{{"host": "web-{n % 10}", "name": "cpu"}}'
    return tags, _START + timedelta(milliseconds=n), n / 7


def _lines(at: int) -> bytes:
    rows = (_row(n) for n in range(at, at + _SIZE))
    lines = (f"{tags}\t{stamp.isoformat()}\t{value!r}\n" for tags, stamp, value in rows)
    return "".join(lines).encode()


def _batches() -> list[Batch]:
    return [
        Batch([_message(n) for n in range(at, at + _SIZE)], range(_SIZE), [0] * _SIZE)
        for at in range(0, MESSAGES, _SIZE)
    ]


def _message(n: int) -> Message:
    tags, stamp, value = _row(n)
    body = f'{{"ts": "{stamp.isoformat()}", "value": {value!r}, "tags": {tags}}}'.encode()
    place: dict[str, Any] = {"broker": "stream", "protocol": "kafka", "channel": "metrics"}
    return Message(body=body, received=stamp, partition="0", position=str(n), **place)


def _members(batch: Batch) -> list[Member]:
    held = Held(0, batch)
    return [Member(held, at, "Metric", each) for at, each in enumerate(batch.messages)]


def _make_anew(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"DROP TABLE IF EXISTS metrics, {GUARDS}".encode())
        connection.execute(_TABLE.encode())


if __name__ == "__main__":
    show(measure())
