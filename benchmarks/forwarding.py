"""Measuring how messages are sent on, within one broker: a connector beside a bare client."""

from __future__ import annotations

import statistics
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import cast

from benchmarks.table import ROUNDS, Figure
from gateway_lab.brokers.contract import Broker, Outgoing
from gateway_lab.config.model import Protocol
from gateway_lab.config.plan import AddressPlan

MESSAGES, BATCH = 20_000, 500
SOURCE, TARGET = "bench.source", "bench.target"
DEMANDED = 0.7
BODY = b'{"order": 1, "note": "%s"}' % (b"x" * 300)
HEADERS = (("tenant", b"acme"), ("trace", b"0af7651916cd43dd8448eb211c80319c"))


@dataclass(frozen=True, slots=True)
class Rate:
    """How fast one run was, and what it cost in this process."""

    a_second: float
    cpu_us: float


def stored() -> list[Outgoing]:
    """Return the messages that are to be sent on."""
    now = datetime.now(UTC)
    return [Outgoing(SOURCE, b"key", HEADERS, BODY, now, f"in-{n}") for n in range(MESSAGES)]


async def connector(broker: Broker, options: object) -> Rate:
    """Send everything on with a connector."""
    protocol = cast("Protocol", broker.protocol)
    address = AddressPlan(broker="bench", protocol=protocol, channel=SOURCE, pattern=None)
    source, sink = await broker.source("bench", [address], options), broker.sink()
    start = time.perf_counter(), time.process_time()
    done = 0
    while done < MESSAGES:
        batch = await source.read(BATCH)
        failures = await sink.send([
            Outgoing(TARGET, each.key, each.headers, each.body, each.timestamp, f"{each.position}")
            for each in batch.messages
        ])  # fmt: skip
        assert not any(failures)
        await source.settle(batch.handles)
        done += len(batch.handles)
    return rate(start)


def rate(start: tuple[float, float]) -> Rate:
    """Return the rate since a start, of the wall's clock and this process's."""
    wall, cpu = time.perf_counter() - start[0], time.process_time() - start[1]
    return Rate(MESSAGES / wall, cpu / MESSAGES * 1e6)


async def in_turns(
    fill: Callable[[], Awaitable[None]], *runs: Callable[[], Awaitable[Rate]]
) -> list[list[Rate]]:
    """Measure in turns, so that a busy moment of the machine hits all; fill before each."""
    rates: list[list[Rate]] = [[] for _ in runs]
    for _ in range(ROUNDS):
        for run, measured in zip(runs, rates, strict=True):
            await fill()
            measured.append(await run())
    return rates


def compare(what: str, ours: list[Rate], client: str, theirs: list[Rate]) -> Figure:
    """Make a line of the table."""
    ratio = _middle(ours) / _middle(theirs)
    return Figure(
        what=what,
        value=_told(ours),
        against=f"{client}, {_told(theirs)}",
        ratio=f"{ratio:.2f}",
        demanded=f">= {DEMANDED}",
        is_met=ratio >= DEMANDED,
    )


def _middle(rates: list[Rate]) -> float:
    return statistics.median(each.a_second for each in rates)


def _told(rates: list[Rate]) -> str:
    least, most = min(each.a_second for each in rates), max(each.a_second for each in rates)
    cpu = statistics.median(each.cpu_us for each in rates)
    return f"{_middle(rates):,.0f}/s ({least:,.0f} to {most:,.0f}), {cpu:.0f} µs of CPU"
