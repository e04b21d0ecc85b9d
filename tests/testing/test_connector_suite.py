"""The suite itself: it convicts connectors that break their contract, each for the right sentence."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Sequence
from dataclasses import replace
from itertools import count
from typing import Any, cast

import pytest
from msgspec.structs import replace as replace_fields

from gateway_lab.brokers.contract import Batch, Failure, Outgoing, Place
from gateway_lab.brokers.memory.broker import MemoryBroker, MemorySink, MemorySource
from gateway_lab.brokers.memory.server import Cursor
from gateway_lab.protocols.memory import CARRIES
from gateway_lab.testing import connector_rig
from gateway_lab.testing.connector_suite import ConnectorSuite
from tests.brokers.memory_rig import MemoryRig

NUMBERS = count()


read, settle, send = MemorySource.read, MemorySource.settle, MemorySink.send
source, missing, close = MemoryBroker.source, MemoryBroker.missing, MemoryBroker.close


async def read_and_settle(self: MemorySource, limit: int) -> Batch:
    batch = await read(self, limit)
    await settle(self, batch.handles)
    return batch


async def read_and_forget(self: MemorySource, limit: int) -> Batch:
    """Be the only one who knows of a batch before it is handed over."""
    batch = await read(self, limit)
    for cursor, _, _ in cast("Sequence[tuple[Cursor, int, int]]", batch.handles):
        cursor._held.clear()
    await asyncio.sleep(0)
    return batch


async def read_full(self: MemorySource, limit: int) -> Batch:
    batch = await read(self, limit)
    while len(batch.messages) < limit:
        more = await read(self, limit - len(batch.messages))
        batch = Batch(
            [*batch.messages, *more.messages],
            [*batch.handles, *more.handles],
            [*batch.attempts, *more.attempts],
        )
    return batch


async def read_backwards(self: MemorySource, limit: int) -> Batch:
    batch = await read(self, limit)
    return Batch(batch.messages[::-1], batch.handles[::-1], batch.attempts[::-1])


async def read_too_much(self: MemorySource, limit: int) -> Batch:
    return await read(self, limit + 1)


async def read_without_counting(self: MemorySource, limit: int) -> Batch:
    batch = await read(self, limit)
    return replace(batch, attempts=[0] * len(batch.attempts))


async def close_without_leaving(self: MemorySource) -> None:
    """Keep what was read and not settled, as a member that nobody declares dead."""
    self._is_closed = True


def lose_what_is_held(self: Cursor) -> None:
    self._held.clear()
    self.generation += 1


async def nothing(*_: object) -> None:
    pass


async def confirm_everything(self: MemorySink, batch: Sequence[Outgoing]) -> list[Failure | None]:
    await send(self, batch)
    return [None] * len(batch)


async def send_backwards(self: MemorySink, batch: Sequence[Outgoing]) -> list[Failure | None]:
    return (await send(self, batch[::-1]))[::-1]


async def send_once(self: MemorySink, batch: Sequence[Outgoing]) -> list[Failure | None]:
    return (await send(self, [*{each.body: each for each in batch}.values()]))[:1] * len(batch)


async def send_text(self: MemorySink, batch: Sequence[Outgoing]) -> list[Failure | None]:
    return await send(
        self,
        [
            replace_fields(each, body=(each.body or b"").decode(errors="replace").encode())
            for each in batch
        ],
    )


async def send_without_time(self: MemorySink, batch: Sequence[Outgoing]) -> list[Failure | None]:
    return await send(self, [replace_fields(each, timestamp=None) for each in batch])


async def send_small_headers(self: MemorySink, batch: Sequence[Outgoing]) -> list[Failure | None]:
    lowered = [tuple((name.lower(), value) for name, value in each.headers) for each in batch]
    changed = [
        replace_fields(each, headers=each_) for each, each_ in zip(batch, lowered, strict=True)
    ]
    return await send(self, changed)


async def fail_as_one(self: MemorySink, batch: Sequence[Outgoing]) -> list[Failure | None]:
    failures = await send(self, batch)
    return [next(filter(None, failures), None)] * len(batch)


async def missing_and_create(self: MemoryBroker, places: Sequence[Place]) -> list[Place]:
    absent = await missing(self, places)
    await self.create(absent)
    return absent


async def source_at_the_end(self: MemoryBroker, *arguments: Any) -> MemorySource:
    opened = await source(self, *arguments)
    for _, cursor in opened._member.owned:
        cursor._next = max(cursor._next, len(cursor.log))
    return opened


async def source_of_one_group(self: MemoryBroker, _: str, *arguments: Any) -> MemorySource:
    return await source(self, "everyone", *arguments)


async def close_and_leave_a_task(self: MemoryBroker) -> None:
    await close(self)
    self._kept = asyncio.create_task(asyncio.sleep(0.5))  # type: ignore[attr-defined]


MUTANTS: dict[str, tuple[type, str, object]] = {
    "what_was_not_settled_comes_again": (MemorySource, "read", read_and_settle),
    "a_read_that_is_cancelled_loses_nothing": (MemorySource, "read", read_and_forget),
    "a_batch_is_what_has_arrived": (MemorySource, "read", read_full),
    "messages_of_a_key_are_read_in_order": (MemorySource, "read", read_backwards),
    "a_batch_never_exceeds_its_limit": (MemorySource, "read", read_too_much),
    "deliveries_are_counted": (MemorySource, "read", read_without_counting),
    "settling_takes_any_order": (MemorySource, "settle", nothing),
    "reading_goes_on_when_connections_were_cut": (Cursor, "revoke", lose_what_is_held),
    "what_is_given_back_comes_again": (MemorySource, "give_back", nothing),
    "what_was_never_read_comes_to_the_next": (MemorySource, "close", close_without_leaving),
    "a_channel_that_is_not_there_is_unroutable": (MemorySink, "send", confirm_everything),
    "what_can_never_be_sent_is_a_permanent_failure": (MemorySink, "send", fail_as_one),
    "messages_of_a_key_are_stored_in_order": (MemorySink, "send", send_backwards),
    "deliveries_that_differ_only_in_their_id_are_all_stored": (MemorySink, "send", send_once),
    "bodies_are_any_bytes": (MemorySink, "send", send_text),
    "timestamps_round_trip": (MemorySink, "send", send_without_time),
    "headers_round_trip": (MemorySink, "send", send_small_headers),
    "looking_creates_nothing": (MemoryBroker, "missing", missing_and_create),
    "what_was_stored_before_the_first_start_is_read": (MemoryBroker, "source", source_at_the_end),
    "sources_of_different_names_each_get_everything": (MemoryBroker, "source", source_of_one_group),
    "a_connection_that_is_closed_leaves_nothing_behind": (
        MemoryBroker,
        "close",
        close_and_leave_a_task,
    ),
    "addresses_are_shown_to_nobody": (MemoryBroker, "__repr__", lambda _: "<at memory://x>"),
}


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connector_rig, "LIMIT_S", 0.5)


@pytest.mark.anyio
@pytest.mark.parametrize("sentence", MUTANTS)
async def test_a_connector_that_keeps_its_promise_passes(sentence: str) -> None:
    await hold_to(sentence)


@pytest.mark.anyio
@pytest.mark.parametrize("sentence", MUTANTS)
async def test_a_connector_that_breaks_a_promise_is_convicted(
    sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(*MUTANTS[sentence], raising=False)
    with pytest.raises((AssertionError, TimeoutError)):
        await hold_to(sentence)


async def hold_to(sentence: str) -> None:
    rig = MemoryRig()
    broker = await rig.broker()
    known = {
        "rig": rig,
        "broker": broker,
        "channel": await rig.fresh_channel(),
        "carries": CARRIES,
    }
    test = getattr(ConnectorSuite(), f"test_{sentence}")
    try:
        await test(**{name: known[name] for name in inspect.signature(test).parameters})
    finally:
        await broker.close()
