"""What a batch of a shared stream stores: what no guard knows, once, whatever came with it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from gateway_lab.brokers.contract import Batch
from gateway_lab.config.compile import compile_plan
from gateway_lab.config.load import parse_config
from gateway_lab.gateway.batching.writer import Member, Writer, Written
from gateway_lab.gateway.stores.store import GUARDS, IDS, open_store
from gateway_lab.gateway.window import Held
from gateway_lab.messages.message import Message
from gateway_lab.testing.postgres import PostgresServer
from tests.gateway.meters import METERS, query, sqlite_url
from tests.gateway.shop import RECEIVED

PLAN = compile_plan(parse_config(METERS.replace("here: memory", "here: nats"))).plan


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.broker)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return sqlite_url(tmp_path)
    server: PostgresServer = request.getfixturevalue("postgres_server")
    query(server.url, f"DROP TABLE IF EXISTS metrics, {GUARDS}, {IDS}")
    return server.url


@pytest.fixture
def writer(url: str) -> Iterator[Writer]:
    writer = open_writer(url)
    yield writer
    writer.close()


def open_writer(url: str) -> Writer:
    assert PLAN is not None
    store = open_store("metrics", {"GATEWAY_DATABASE_METRICS_URL": url})
    writer = Writer(PLAN, PLAN.batches["load"], store, gateway="meters", creates=True)
    asyncio.run(writer.prepare())
    return writer


def message(n: int, **fields: object) -> Message:
    made = Message(
        body=msgspec.json.encode({"value": n}),
        timestamp=RECEIVED + timedelta(seconds=n),
        received=RECEIVED,
        broker="here",
        protocol="nats",
        channel="orders",
        position=str(n),
    )
    return msgspec.structs.replace(made, **fields)


def write(writer: Writer, messages: Sequence[Message]) -> Written:
    return asyncio.run(writing(writer, messages))


async def writing(writer: Writer, messages: Sequence[Message]) -> Written:
    held = Held(0, Batch(messages, range(len(messages)), [0] * len(messages)))
    members = [Member(held, at, "Metric", each) for at, each in enumerate(messages)]
    return await writer.write(members)


def values(url: str) -> list[float]:
    return [value for (value,) in query(url, "SELECT value FROM metrics ORDER BY value")]


def counts(written: Written) -> list[int]:
    return [msgspec.json.decode(each.body or b"")["count"] for each in written.messages]


def test_messages_that_are_stored_are_left_out_and_their_aggregates_come_again(
    writer: Writer, url: str
) -> None:
    first = write(writer, [message(n) for n in (1, 2, 3)])
    again = write(writer, [message(n) for n in (9, 2, 8, 3, 7)])
    assert values(url) == [1, 2, 3, 7, 8, 9]
    assert again.taken == 5
    assert counts(again) == [3, 3]
    old, new = again.messages
    assert (old.body, old.id, old.position) == (
        first.messages[0].body,
        first.messages[0].id,
        first.messages[0].position,
    )
    assert new.id != old.id
    assert len(query(url, f"SELECT id FROM {IDS}")) == 6  # noqa: S608


def test_a_batch_that_is_stored_whole_stores_nothing(writer: Writer, url: str) -> None:
    batch = [message(n) for n in (1, 2, 3)]
    first, again = write(writer, batch), write(writer, batch[::-1])
    assert values(url) == [1, 2, 3]
    assert [each.id for each in again.messages] == [each.id for each in first.messages]


def test_a_message_that_is_twice_in_a_batch_is_stored_once(writer: Writer, url: str) -> None:
    written = write(writer, [message(1), message(2), message(1)])
    assert written.taken == 3
    assert counts(written) == [2]
    assert values(url) == [1, 2]


def test_a_stream_that_was_made_anew_counts_its_positions_anew(writer: Writer, url: str) -> None:
    write(writer, [message(1)])
    write(writer, [message(1, timestamp=RECEIVED + timedelta(days=1))])
    assert values(url) == [1, 1]


def test_the_name_that_a_publisher_gives_counts_more_than_the_position(
    writer: Writer, url: str
) -> None:
    write(writer, [message(1, id="a\0ü"), message(2, id="b")])
    write(writer, [message(3, id="a\0ü"), message(4, id="c")])
    assert values(url) == [1, 2, 4]


def test_messages_without_a_name_are_stored_whatever_is_stored(writer: Writer, url: str) -> None:
    nameless = [message(n, protocol="rabbitmq") for n in (1, 2)]
    first, again = write(writer, nameless), write(writer, nameless)
    assert values(url) == [1, 1, 2, 2]
    assert first.messages[0].id is again.messages[0].id is None
    assert query(url, "SELECT * FROM gateway_batches") == []


def test_two_that_hold_the_same_messages_at_once_store_them_once(writer: Writer, url: str) -> None:
    other = open_writer(url)

    async def both() -> None:
        for n in range(20):
            batch = [message(each) for each in range(n * 5, n * 5 + 10)]
            await asyncio.gather(writing(writer, batch), writing(other, batch[::-1]))

    asyncio.run(both())
    other.close()
    assert values(url) == list(range(105))


def test_ids_that_differ_in_more_than_a_batch_holds_are_found(writer: Writer, url: str) -> None:
    write(writer, [message(n) for n in range(3_000)])
    again = write(writer, [message(n) for n in range(2_999, 3_002)])
    assert counts(again) == [3_000, 2]
    assert len(values(url)) == 3_002
