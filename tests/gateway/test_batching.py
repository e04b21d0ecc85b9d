"""Batches, live: rows and guards in one transaction, aggregates, and then the source is settled."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

import gateway_lab as gl
from gateway_lab.brokers.contract import BrokerError
from gateway_lab.captures.read import scan_capture
from gateway_lab.gateway.counters import State
from gateway_lab.gateway.gateway import Gateway
from gateway_lab.gateway.stores.postgres import PostgresStore
from gateway_lab.gateway.stores.sqlite import SqliteStore
from gateway_lab.gateway.stores.store import Guard
from gateway_lab.messages.message import Message
from gateway_lab.recording.tap import Tap
from gateway_lab.testing.postgres import PostgresServer
from tests.gateway.meters import METERS, Meters, metric, metrics, query, sqlite_url
from tests.gateway.shop import RECEIVED, RETRYABLE, Faults, balances, faulty, header, settled, until

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.broker)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return sqlite_url(tmp_path)
    server: PostgresServer = request.getfixturevalue("postgres_server")
    query(server.url, "DROP TABLE IF EXISTS metrics, gateway_batches")
    return server.url


@pytest.fixture
def faults(monkeypatch: pytest.MonkeyPatch) -> Iterator[Faults]:
    with faulty(monkeypatch) as faults:
        yield faults


async def run(meters: Meters, number: int) -> Gateway:
    """Let a gateway read so many messages, and stop it."""
    async with meters.gateway(create_channels=True) as gateway:
        await until(lambda: gateway.stats().sources[0].read == number or reason_of(gateway))
    assert not reason_of(gateway)
    assert gateway.stats().sources[0].settled == number
    assert balances(gateway)
    return gateway


async def run_until_prepared(meters: Meters) -> None:
    meters.publish(metrics(1))
    await run(meters, 1)
    query(meters.url, "DELETE FROM metrics")


def reason_of(gateway: Gateway) -> str:
    [source] = gateway.stats().sources
    return source.reason


async def turns_red(meters: Meters, *, creates: bool = False) -> str:
    async with meters.gateway(create_channels=creates) as gateway:
        await until(lambda: gateway.stats().sources[0].state is State.RED)
        return reason_of(gateway)


# --- what becomes of messages ---


async def test_a_batch_is_rows_and_an_aggregate_a_group(url: str) -> None:
    meters = Meters(url)
    meters.publish([*metrics(6), *[metric(n, tags={"host": "b"}) for n in range(91, 95)]])
    await run(meters, 10)
    assert meters.values() == [0, 1, 2, 3, 4, 5, 91, 92, 93, 94]
    first, second = meters.aggregates()
    assert first == {"avg": 2.5, "count": 6, "host": "a", "max": 5, "min": 0}
    assert second["host"], second["count"] == ("b", 4)
    assert len(meters.fetch("there", "small")) == 4  # the router of the same source
    assert query(url, "SELECT first, last, rows FROM gateway_batches") == [(0, 9, 10)]


async def test_a_row_has_the_types_that_the_events_have(url: str) -> None:
    meters = Meters(url)
    awkward = 'a\tb\\N\n"ü'
    meters.publish([metric(0.1, tags={"host": awkward}), metric(2, ts=None, tags=None)])
    await run(meters, 2)
    [(stamp, value, tags), (no_stamp, _, no_tags)] = meters.rows()
    assert str(stamp)[:10] == "2026-01-01"
    assert value == 0.1
    assert (tags if isinstance(tags, dict) else msgspec.json.decode(tags))["host"] == awkward
    assert no_stamp is None
    assert no_tags in ({}, "{}")


async def test_what_is_no_measurement_is_a_dead_letter_and_counts_towards_nothing(
    url: str,
) -> None:
    meters = Meters(url)
    bad = [metric("97"), metric(1, ts="yesterday"), metric(None)]
    nan = Message(body=b'{"value": NaN}', key=b"k", received=RECEIVED)
    meters.publish([*metrics(5), *bad, nan, *metrics(5)])
    await run(meters, 14)
    assert len(meters.letters()) == 4
    assert len(meters.rows()) == 10
    assert [each["count"] for each in meters.aggregates()] == [10]


async def test_a_timer_closes_an_idle_batch(url: str) -> None:
    meters = Meters(url, METERS.replace("every: 1h", "every: 1ms"))
    meters.publish(metrics(3))
    async with meters.gateway(create_channels=True) as gateway:
        await until(settled(gateway, 3))  # nobody told it to stop, and ten are a batch
    assert len(meters.rows()) == 3


async def test_a_batch_without_a_store_is_its_aggregates(tmp_path: Path) -> None:
    text = METERS.replace("    store: {database: metrics, table: metrics}\n", "")
    meters = Meters(sqlite_url(tmp_path), text)
    meters.publish(metrics(10))
    await run(meters, 10)
    assert [each["count"] for each in meters.aggregates()] == [10]


async def test_a_full_window_closes_what_is_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway_lab.gateway.window.MAX_MESSAGES", 8)
    monkeypatch.setattr("gateway_lab.gateway.window.Window.__init__.__defaults__", (8, 1 << 26))
    meters = Meters(sqlite_url(tmp_path))
    meters.publish(metrics(30))
    async with meters.gateway(create_channels=True) as gateway:
        await until(settled(gateway, 24))
    assert len(meters.rows()) == 30


# --- live equals offline ---


async def test_live_batches_are_those_of_a_replay(url: str, tmp_path: Path) -> None:
    meters = Meters(url, METERS.replace("every: 1h", "every: 7s"))
    sent = [
        metric(
            n, key=f"k{n % 7}", at=RECEIVED + timedelta(seconds=n // 3), tags={"host": str(n % 4)}
        )
        for n in range(500)
    ]
    meters.publish(sent)
    with Tap(meters.config, tmp_path / "tapped") as tap:
        gateway = Gateway(
            meters.config, environ=meters.environ, create_channels=True, wrap=tap.wrap
        )
        async with gateway:
            await until(lambda: gateway.stats().sources[0].read == 500)
    frame = gl.replay(meters.config, scan_capture(tmp_path / "tapped")).batches("load")
    names = ["host", "count", "avg", "max", "min"]
    offline = sorted(map(repr, frame.select(names).rows()))
    live = sorted(repr(tuple(each[name] for name in names)) for each in meters.aggregates())
    assert len(live) > 50
    assert [eval(each) for each in live] == [eval(each) for each in offline]  # noqa: S307
    assert len(meters.rows()) == 500


# --- after a crash ---


async def test_what_is_stored_already_is_sent_again_and_not_stored(url: str) -> None:
    meters = Meters(url)
    meters.publish(metrics(10))
    await run(meters, 10)
    again = Meters(url)  # brokers that know nothing of what was settled
    again.environ = {
        **again.environ,
        "GATEWAY_BROKER_THERE_URL": meters.environ["GATEWAY_BROKER_THERE_URL"],
    }
    again.publish(metrics(25))
    await run(again, 25)
    assert meters.values() == [float(n) for n in range(25)]
    sent = [(header(each, "x-gw-id"), each.body) for each in meters.fetch("there", "big")]
    assert len(sent) == 4
    assert len(set(sent)) == 3  # the first batch came twice, the same under the same id
    found = query(url, "SELECT first, last FROM gateway_batches ORDER BY first")
    assert found == [(0, 9), (10, 19), (20, 24)]


async def test_a_batch_is_cut_where_what_is_stored_ends_and_begins(url: str) -> None:
    meters = Meters(url)
    await run_until_prepared(meters)
    [(place,)] = query(url, "SELECT place FROM gateway_batches")
    query(url, "DELETE FROM gateway_batches")
    store = meters.store()
    for first, last in ((0, 2), (6, 7)):
        store.find(place, first, last)
        guard = Guard(place=place, first=first, last=last, rows=1, digest="", aggregates=())
        store.commit(guard)
    store.close()
    again = Meters(url)
    again.publish(metrics(10))
    await run(again, 10)
    assert again.values() == [3, 4, 5, 8, 9]


async def test_nothing_is_settled_before_the_aggregates_are_confirmed(
    url: str, faults: Faults
) -> None:
    meters = Meters(url)
    meters.publish(metrics(10))
    faults.judge["there"] = lambda _: RETRYABLE
    async with meters.gateway(create_channels=True) as gateway:
        await until(lambda: any(each.pending for each in gateway.stats().ways))
        await until(lambda: len(faults.tries()) > 0)
        assert gateway.stats().sources[0].settled == 0
        await gateway.stop(now=True)
    assert len(await meters.left()) == 10


# --- databases that refuse or fail ---


async def test_rows_that_the_database_refuses_are_dead_letters(url: str) -> None:
    meters = Meters(url)
    types = ("timestamptz", "jsonb") if url.startswith("postgresql") else ("TEXT", "TEXT")
    check = "CHECK (value < 7)"
    query(
        url, f'CREATE TABLE metrics ("timestamp" {types[0]}, value real {check}, tags {types[1]})'
    )
    meters.publish(metrics(10))
    await run(meters, 10)
    assert meters.values() == [0, 1, 2, 3, 4, 5, 6]
    assert sorted(msgspec.json.decode(each.body or b"")["value"] for each in meters.letters()) == [
        7,
        8,
        9,
    ]
    reason = header(meters.letters()[0], "x-gw-dlq-reason")
    assert "the database refuses the row" in str(reason)
    assert [each["count"] for each in meters.aggregates()] == [7]


async def test_letters_of_refused_rows_are_confirmed_before_the_commit(
    url: str, faults: Faults
) -> None:
    meters = Meters(url)
    types = ("timestamptz", "jsonb") if url.startswith("postgresql") else ("TEXT", "TEXT")
    query(
        url,
        f'CREATE TABLE metrics ("timestamp" {types[0]}, value real CHECK (value < 7), tags {types[1]})',
    )
    meters.publish(metrics(10))
    is_away = True
    faults.judge["letters"] = lambda _: RETRYABLE if is_away else None
    async with meters.gateway(create_channels=True) as gateway:
        await until(lambda: len(faults.tries()) > 0)
        assert meters.rows() == []
        is_away = False
        await until(settled(gateway, 10))
    assert len(meters.rows()) == 7


@pytest.mark.parametrize("statement", ["DROP TABLE metrics", "DROP TABLE gateway_batches"])
async def test_a_table_that_is_missing_is_named_with_the_statement_that_makes_it(
    url: str, statement: str
) -> None:
    meters = Meters(url)
    await run_until_prepared(meters)
    query(url, statement)
    reason = await turns_red(meters)
    assert f"there is no table {statement.rsplit(maxsplit=1)[-1]}" in reason
    for line in reason.splitlines():
        if line.strip().startswith("CREATE TABLE"):
            query(url, line.strip())
    meters.publish(metrics(10))
    async with meters.gateway() as gateway:
        await until(settled(gateway, 10))
    assert len(meters.rows()) == 10


async def test_a_column_that_is_missing_turns_the_source_red(url: str) -> None:
    query(url, "CREATE TABLE metrics (value real)")
    reason = await turns_red(Meters(url), creates=True)
    assert "CREATE TABLE" in reason


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("", "is not set"),
        ("mysql://x", "no address"),
        ("postgresql://u:secret@far.example/db", "not verified"),
        ("postgresql://u:secret@localhost/db?hostaddr=203.0.113.1", "not verified"),
        ("postgresql://u:secret@/db?service=far", "not verified"),
        ("postgresql://u:secret@localhost/db?nonsense=1", "cannot be read"),
    ],
)
async def test_an_address_that_cannot_be_used_is_told_without_its_password(
    given: str, told: str
) -> None:
    reason = await turns_red(Meters(given))
    assert told in reason
    assert "secret" not in reason


@pytest.mark.parametrize(
    ("name", "value"), [("PGHOST", "far.example"), ("PGHOSTADDR", "203.0.113.1")]
)
async def test_another_machine_that_libpq_is_told_of_elsewhere_is_refused_without_tls(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    assert "not verified" in await turns_red(Meters("postgresql://u:secret@/db"))


async def test_a_commit_without_an_answer_is_tried_again_and_stores_once(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = SqliteStore if url.startswith("sqlite") else PostgresStore
    commit, left = kind.commit, [2]

    def lost(self: object, guard: Guard | None) -> None:
        left[0] -= 1
        if left[0] == 1:  # the connection is gone before the server has it
            self.close()  # type: ignore[attr-defined]
            raise BrokerError(RETRYABLE)
        commit(self, guard)  # type: ignore[arg-type]
        if left[0] == 0:  # and here after
            self.close()  # type: ignore[attr-defined]
            raise BrokerError(RETRYABLE)

    monkeypatch.setattr(kind, "commit", lost)
    meters = Meters(url)
    meters.publish(metrics(10))
    gateway = await run(meters, 10)
    assert gateway.stats().sources[0].retried == 2
    assert len(meters.rows()) == 10
    assert [each["count"] for each in meters.aggregates()] == [10]


@pytest.mark.broker
async def test_a_database_that_is_away_is_waited_for(
    postgres_server: PostgresServer,
) -> None:
    url = postgres_server.url
    query(url, "DROP TABLE IF EXISTS metrics, gateway_batches")
    meters = Meters(url)
    meters.publish(metrics(10))
    async with meters.gateway(create_channels=True) as gateway:
        await until(settled(gateway, 10))
        postgres_server.kill()
        meters.publish(metrics(10))
        await until(lambda: gateway.stats().sources[0].retried > 3)
        assert gateway.stats().sources[0].settled == 10
        postgres_server.start()
        await until(settled(gateway, 20))
    assert len(meters.rows()) == 20


@pytest.mark.broker
async def test_a_database_that_does_not_answer_does_not_hold_up_a_stop(
    postgres_server: PostgresServer,
) -> None:
    query(postgres_server.url, "DROP TABLE IF EXISTS metrics, gateway_batches")
    meters = Meters(postgres_server.url)
    meters.publish(metrics(10))
    async with meters.gateway(create_channels=True) as gateway:
        await until(settled(gateway, 10))
        postgres_server.pause()
        meters.publish(metrics(10))
        await until(lambda: gateway.stats().sources[0].read == 20)
        await gateway.stop(now=True)
    postgres_server.resume()
    await until(
        lambda: not [each for each in threading.enumerate() if each.name.startswith("batch")]
    )
    assert len(await meters.left()) == 10


async def test_a_batch_that_could_never_close_is_refused(tmp_path: Path) -> None:
    text = METERS.replace("size: 10", "size: 10001")
    assert "10,000 messages at most" in await turns_red(Meters(sqlite_url(tmp_path), text))
