"""Batches behind handlers: they take what a handler returned, in the order of reading."""

from __future__ import annotations

import asyncio
from collections import Counter
from itertools import count, cycle
from pathlib import Path
from typing import Any

import msgspec
import pytest

import gateway_lab as gl
from gateway_lab.captures.read import scan_capture
from gateway_lab.gateway.gateway import Gateway
from gateway_lab.gateway.handlers.lanes import HANDLERS_AT_ONCE
from gateway_lab.messages.message import Message
from gateway_lab.recording.tap import Tap
from tests.gateway.meters import METERS, Meters, metric, metrics, query, sqlite_url
from tests.gateway.shop import balances, settled, until

pytestmark = pytest.mark.anyio

HANDLED = METERS.replace("event: Metric}", "event: Reading, handler: {returns: Metric}}").replace(
    "events:\n",
    "events:\n  Reading: {type: object, required: [value], properties: {value: {type: number}, tags: {type: object, properties: {host: {type: string}}}}}\n",
)


class HandledMeters(Meters):
    """Meters whose readings come in tenths: the handler multiplies them by ten."""

    def __init__(self, url: str) -> None:
        super().__init__(url, HANDLED)
        self.tries: Counter[float] = Counter()
        self.hold: dict[float, asyncio.Event] = {}

    async def read(self, event: dict[str, Any]) -> dict[str, Any] | None:
        value = event["value"]
        self.tries[value] += 1
        if value in self.hold:
            await self.hold[value].wait()
        if value == 3 and self.tries[value] == 1:
            raise ValueError("not yet")
        if value == 5:
            raise ValueError("never")
        return None if value == 7 else {**event, "value": value * 10}

    def made(self, **options: Any) -> Gateway:
        gateway = Gateway(self.config, environ=self.environ, create_channels=True, **options)
        gateway.handler("orders")(self.read)
        return gateway


def keyed(meters: Meters, number: int, keys: int = 4) -> list[Message]:
    """Make readings of one partition; those of several keys are handled beside each other."""
    server = meters.server("here")
    lanes: dict[int, bytes] = {}
    for name in (b"%d" % n for n in count()):
        if not server._partition_of(name):
            lanes.setdefault(hash(("orders", "0", name)) % HANDLERS_AT_ONCE, name)
        if len(lanes) == keys:
            break
    named = zip(metrics(number), cycle(lanes.values()), strict=False)
    return [msgspec.structs.replace(each, key=key) for each, key in named]


async def test_a_batch_takes_what_the_handler_returned(tmp_path: Path) -> None:
    meters = HandledMeters(sqlite_url(tmp_path))
    sent = keyed(meters, 12)
    meters.publish([*sent, metric("x", key=(sent[0].key or b"").decode())])
    async with meters.made() as gateway:
        await until(lambda: gateway.stats().sources[0].read == 13)
    assert gateway.stats().sources[0].settled == 13
    assert balances(gateway)
    assert meters.values() == [0, 10, 20, 30, 40, 60, 80, 90, 100, 110]
    assert [each["max"] for each in meters.aggregates()] == [110]
    assert len(meters.letters()) == 2
    assert query(meters.url, "SELECT first, last, rows FROM gateway_batches") == [(0, 11, 10)]


async def test_what_is_read_first_is_stored_first_whichever_handler_ends_first(
    tmp_path: Path,
) -> None:
    meters = HandledMeters(sqlite_url(tmp_path))
    meters.hold[0] = asyncio.Event()
    first, second, *rest = keyed(meters, 22, 2)
    meters.publish(
        [first, second, *(msgspec.structs.replace(each, key=second.key) for each in rest)]
    )
    async with meters.made() as gateway:
        await until(lambda: sum(meters.tries.values()) == 22 + 1 + 2)
        await until(settled(gateway, 2))  # the dead letter, and what was ended
        assert meters.aggregates() == []
        meters.hold[0].set()
        await until(settled(gateway, 12))
    guards = query(meters.url, "SELECT first, last, rows FROM gateway_batches ORDER BY first")
    assert guards == [(0, 11, 10), (12, 21, 10)]


async def test_live_batches_behind_handlers_are_those_of_a_replay(tmp_path: Path) -> None:
    meters = HandledMeters(sqlite_url(tmp_path))
    meters.publish([*keyed(meters, 35), metric("x")])
    with Tap(meters.config, tmp_path / "tapped") as tap:
        async with meters.made(wrap=tap.wrap) as gateway:
            await until(lambda: gateway.stats().sources[0].read == 36)
    again = HandledMeters(meters.url).made()
    result = gl.replay(meters.config, scan_capture(tmp_path / "tapped"), handlers=again)
    frame = result.batches("load")
    names = ["host", "count", "avg", "max", "min"]
    live = [tuple(each[name] for name in names) for each in meters.aggregates()]
    assert sorted(frame.select(names).rows()) == sorted(live)
    assert frame["messages"].sum() == len(meters.rows()) == 33
