"""Databases that are full, busy, changed, gone: nothing is lost, nothing twice, and it is said."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from gateway_lab.gateway.counters import State
from gateway_lab.gateway.gateway import Gateway
from gateway_lab.gateway.stores import sqlite as store_sqlite
from gateway_lab.gateway.stores.postgres import PostgresStore
from gateway_lab.gateway.stores.store import Guard
from gateway_lab.testing.postgres import PostgresServer
from tests.gateway.meters import METERS, Meters, metric, metrics, query, sqlite_url
from tests.gateway.shop import header, settled, until

pytestmark = pytest.mark.anyio

LARGEST = 17 * 1024 * 1024 + 4096
"""Bytes of the largest file while a disk is full: more than a segment of PostgreSQL's own log."""

broker = pytest.mark.broker


@pytest.fixture
def url(postgres_server: PostgresServer) -> str:
    query(postgres_server.url, "DROP TABLE IF EXISTS metrics, gateway_batches")
    return postgres_server.url


async def waits(gateway: Gateway, words: str) -> None:
    """Wait until the source waits and says so, having settled nothing."""
    await until(lambda: words in gateway.stats().sources[0].reason)
    [source] = gateway.stats().sources
    assert source.state is State.WAITING
    assert source.settled == 0


async def goes_on(gateway: Gateway, number: int) -> None:
    await until(settled(gateway, number))
    [source] = gateway.stats().sources
    assert (source.state, source.reason) == (State.RUNNING, "")


async def is_stopped_by(meters: Meters, change: Callable[[], object]) -> str:
    """Let something happen to the database of a gateway that runs; return why it turns red."""
    meters.publish(metrics(10))
    async with meters.gateway(create_channels=True) as gateway:
        await until(settled(gateway, 10))
        change()
        meters.publish(metrics(10))
        await until(lambda: gateway.stats().sources[0].state is State.RED)
    assert len(await meters.left()) == 10
    return gateway.stats().sources[0].reason


# --- PostgreSQL ---


class SmallPostgres(PostgresServer):
    """One that can write no file beyond a size, as if the disk were full then."""

    def _as_user(self, command: str) -> list[str]:
        return super()._as_user(f"ulimit -S -f {LARGEST // 512} && {command}")


@broker
async def test_a_disk_without_room_is_waited_for(tmp_path: Path) -> None:
    with SmallPostgres(tmp_path) as server:
        url = server.url
        columns = '"timestamp" timestamptz, value real, tags jsonb, pad text'
        query(url, f"CREATE TABLE metrics ({columns}) WITH (autovacuum_enabled = off)")
        query(url, "ALTER TABLE metrics ALTER pad SET STORAGE PLAIN")
        fill(url)
        meters = Meters(url)
        meters.publish(metrics(10))
        async with meters.gateway(create_channels=True) as gateway:
            await waits(gateway, "PostgreSQL has")
            told = gateway.stats().sources[0].reason
            query(url, "TRUNCATE metrics")
            await goes_on(gateway, 10)
        assert len(meters.rows()) == 10
        assert query(url, "SELECT sum(rows) FROM gateway_batches") == [(10,)]
    # From its version 16 on, PostgreSQL names no class for a file that must not grow.
    assert "no room left on its disk (DiskFull 53100)" in told or "XX000" in told


def fill(url: str) -> None:
    """Store rows of a page each until there is no room."""
    pad = "SELECT repeat('x', 8080) FROM generate_series(1, 3000)"
    with pytest.raises(psycopg.Error):
        query(url, f"INSERT INTO metrics(pad) {pad}")


@broker
async def test_a_database_that_may_only_be_read_is_waited_for(url: str) -> None:
    read_only = "ALTER DATABASE postgres SET default_transaction_read_only = "
    meters = Meters(url)
    meters.publish(metrics(10))
    async with meters.gateway(create_channels=True) as gateway:
        await until(settled(gateway, 10))
    query(url, f"{read_only}on")
    meters.publish(metrics(10))
    try:
        async with meters.gateway() as gateway:
            await waits(gateway, "PostgreSQL is read-only")
            query(url, f"BEGIN READ WRITE; {read_only}off; COMMIT")
            terminate(url)
            await goes_on(gateway, 10)
    finally:
        query(url, f"BEGIN READ WRITE; {read_only}off; COMMIT")
    assert len(meters.rows()) == 20


@broker
async def test_a_table_that_somebody_holds_is_waited_for(url: str) -> None:
    meters = Meters(f"{url}?options=-c%20lock_timeout%3D50ms")
    meters.publish(metrics(10))
    async with meters.gateway(create_channels=True) as gateway:
        await until(settled(gateway, 10))
        with psycopg.connect(url) as other:
            other.execute("LOCK TABLE metrics")
            meters.publish(metrics(10))
            await until(lambda: "somebody holds" in gateway.stats().sources[0].reason)
        await goes_on(gateway, 20)
    assert query(url, "SELECT count(*) FROM metrics") == [(20,)]


def terminate(url: str, pid: int = 0) -> None:
    """End a session, or all others."""
    which = f"pid = {pid}" if pid else "backend_type = 'client backend'"
    query(
        url,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "  # noqa: S608 - our own words
        f"WHERE {which} AND pid <> pg_backend_pid()",
    )


@broker
@pytest.mark.parametrize("is_committed", [False, True])
async def test_a_session_that_is_ended_in_mid_commit_stores_rows_once(
    url: str, monkeypatch: pytest.MonkeyPatch, *, is_committed: bool
) -> None:
    commit, reasons = PostgresStore.commit, list[str]()

    def ended(self: PostgresStore, guard: Guard | None) -> None:
        connection = self._connection
        assert connection is not None
        if is_committed and not reasons:
            commit(self, guard)
        if not reasons:
            terminate(url, connection.info.backend_pid)
            reasons.append("ended")
            with self._translated() as line:  # nobody hears of the commit
                line.execute("SELECT 1")
        commit(self, guard)

    monkeypatch.setattr(PostgresStore, "commit", ended)
    meters = Meters(url)
    meters.publish(metrics(10))
    async with meters.gateway(create_channels=True) as gateway:
        await goes_on(gateway, 10)
    assert gateway.stats().sources[0].retried == 1
    assert meters.values() == [float(n) for n in range(10)]
    assert [each["count"] for each in meters.aggregates()] == [10]


@broker
@pytest.mark.parametrize("table", ["metrics", "gateway_batches"])
async def test_a_table_that_is_dropped_is_named_with_the_statement_that_makes_it(
    url: str, table: str
) -> None:
    reason = await is_stopped_by(Meters(url), lambda: query(url, f"DROP TABLE {table}"))
    assert f"there is no table {table}" in reason
    assert 'CREATE TABLE IF NOT EXISTS "metrics" (' in reason
    assert "CREATE TABLE IF NOT EXISTS gateway_batches (" in reason


@broker
async def test_a_column_that_is_dropped_turns_the_source_red(url: str) -> None:
    drop = "ALTER TABLE metrics DROP COLUMN tags"
    reason = await is_stopped_by(Meters(url), lambda: query(url, drop))
    assert "PostgreSQL has other tables than the batch needs (UndefinedColumn 42703)" in reason
    assert '"tags" jsonb' in reason


@broker
async def test_a_right_that_is_taken_away_turns_the_source_red(url: str) -> None:
    query(url, "DROP ROLE IF EXISTS meters; CREATE ROLE meters LOGIN")
    grant = "GRANT ALL ON SCHEMA public TO meters"
    query(url, grant)
    meters = Meters(url.replace("postgres@", "meters@"))
    revoke = "ALTER TABLE metrics OWNER TO postgres; REVOKE ALL ON metrics FROM meters"
    try:
        reason = await is_stopped_by(meters, lambda: query(url, revoke))
    finally:
        query(url, "DROP TABLE metrics, gateway_batches; DROP OWNED BY meters; DROP ROLE meters")
    assert "PostgreSQL gives no right to do that (InsufficientPrivilege 42501)" in reason


@broker
async def test_values_that_a_column_cannot_hold_are_dead_letters_and_the_rest_is_stored(
    url: str,
) -> None:
    query(url, 'CREATE TABLE metrics ("timestamp" timestamptz NOT NULL, value real, tags jsonb)')
    meters = Meters(url)
    nul = metric(9, tags={"host": "\0"})
    meters.publish([*metrics(7), metric(1e300), metric(8, ts=None), nul])
    async with meters.gateway(create_channels=True) as gateway:
        await until(settled(gateway, 10))
    assert meters.values() == [0, 1, 2, 3, 4, 5, 6]
    reasons = sorted(str(header(each, "x-gw-dlq-reason")) for each in meters.letters())
    assert [reason.partition("row: ")[2] for reason in reasons] == [
        "NotNullViolation 23502 of timestamp",
        "NumericValueOutOfRange 22003",
        "UntranslatableCharacter 22P05",
    ]
    assert [each["count"] for each in meters.aggregates()] == [7]


# --- SQLite ---


@pytest.fixture
def file(tmp_path: Path) -> str:
    return sqlite_url(tmp_path)


async def test_a_disk_without_room_is_waited_for_with_sqlite_too(
    file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect, pages = sqlite3.connect, [8]

    def small(*arguments: Any, **names: Any) -> sqlite3.Connection:
        connection: sqlite3.Connection = connect(*arguments, **names)
        connection.execute(f"PRAGMA max_page_count = {pages[0]}")
        return connection

    monkeypatch.setattr(sqlite3, "connect", small)
    meters = Meters(file)
    meters.publish(metrics(10, pad="x" * 5_000, tags={"host": "a", "name": "y" * 5_000}))
    async with meters.gateway(create_channels=True) as gateway:
        await waits(gateway, "the disk of the database has no room left (SQLITE_FULL)")
        pages[0] = 1_000_000
        await goes_on(gateway, 10)
    assert len(meters.rows()) == 10


async def test_a_file_that_another_process_holds_is_waited_for(
    file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_sqlite, "_BUSY_S", 0.01)
    meters = Meters(file)
    other = meters.store()
    assert isinstance(other, store_sqlite.SqliteStore)
    meters.publish(metrics(10))
    with other._translated() as holder:
        holder.execute("BEGIN IMMEDIATE")
        async with meters.gateway(create_channels=True) as gateway:
            await waits(gateway, "another process holds the database (SQLITE_BUSY)")
            holder.execute("COMMIT")
            await goes_on(gateway, 10)
    other.close()
    assert len(meters.rows()) == 10


async def test_a_file_that_is_gone_is_not_written_on_where_nobody_reads_it(file: str) -> None:
    path = Path(file.removeprefix("sqlite:///"))
    meters = Meters(file)
    reason = await is_stopped_by(meters, path.unlink)
    assert "the file of the database is gone, or another one is in its place" in reason
    async with meters.gateway(create_channels=True) as gateway:
        await until(settled(gateway, 10))
    assert len(meters.rows()) == 10


@pytest.mark.parametrize("statement", ["DROP TABLE metrics", "DROP TABLE gateway_batches"])
async def test_a_table_of_a_file_that_is_dropped_is_named_with_its_statement(
    file: str, statement: str
) -> None:
    reason = await is_stopped_by(Meters(file), lambda: query(file, statement))
    assert f"there is no table {statement.rpartition(' ')[2]}" in reason
    assert "CREATE TABLE IF NOT EXISTS" in reason


async def test_a_file_that_is_no_database_turns_the_source_red(tmp_path: Path) -> None:
    (tmp_path / "metrics.db").write_bytes(b"no database" * 1_000)
    meters = Meters(sqlite_url(tmp_path), METERS)
    async with meters.gateway(create_channels=True) as gateway:
        await until(lambda: gateway.stats().sources[0].state is State.RED)
    assert "the file is no database (SQLITE_NOTADB)" in gateway.stats().sources[0].reason


async def test_a_folder_that_is_not_there_turns_the_source_red(tmp_path: Path) -> None:
    meters = Meters(sqlite_url(tmp_path / "missing"))
    async with meters.gateway(create_channels=True) as gateway:
        await until(lambda: gateway.stats().sources[0].state is State.RED)
    [source] = gateway.stats().sources
    assert "the file of the database cannot be opened (SQLITE_CANTOPEN)" in source.reason
    assert str(tmp_path) not in source.reason
