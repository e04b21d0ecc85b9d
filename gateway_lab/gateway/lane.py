"""A lane: the deliveries of one source to one broker, in order.

One send is under way at a time and the next one takes whatever has come meanwhile: order needs no
bookkeeping while all is well, and batches grow with the time that the broker takes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from time import monotonic
from typing import Final

from gateway_lab.brokers.contract import BrokerError, Failure, FailureClass, Sink
from gateway_lab.gateway.counters import Counters
from gateway_lab.gateway.retry import Backoff, Retries
from gateway_lab.gateway.sending import Sending

SEND_LIMIT: Final = 1_000
"""Deliveries sent at once at most."""


@dataclass(frozen=True, slots=True)
class Ends:
    """Who is told when deliveries have come to their end, confirmed or refused for good."""

    confirmed: Callable[[Sequence[Sending]], None]
    refused: Callable[[Sending, Failure, datetime], None]


class Lane:
    """Sends, and sends again what failed in a way that passes."""

    def __init__(self, sink: Sink, backoff: Backoff, counters: Counters, ends: Ends) -> None:
        self._sink, self._counters, self._ends = sink, counters, ends
        self._queue: list[Sending] = []
        self._wake = asyncio.Event()
        self._retries = Retries(backoff)

    def put(self, sendings: Sequence[Sending]) -> None:
        """Take deliveries, behind those that were taken before."""
        self._queue += sendings
        self._wake.set()

    async def run(self) -> None:
        """Send until cancelled.

        Raises:
            BrokerError: A failure of class `configuration`.
        """
        while True:
            await self._work()
            while batch := self._take():
                answers = await self._sink.send([sending.outgoing for sending in batch])
                self._sort(batch, answers)

    async def _work(self) -> None:
        """Wait until something came or is due."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._retries.pause(monotonic())):
                await self._wake.wait()
        self._wake.clear()

    def _take(self) -> list[Sending]:
        """Take what is due, then what has come, without what must wait behind its key."""
        if not self._retries:
            return self._next()
        batch = self._retries.take_due(monotonic())
        while self._queue and len(batch) < SEND_LIMIT:
            batch += [each for each in self._next() if not self._retries.holds(each)]
        return batch

    def _next(self) -> list[Sending]:
        batch, self._queue = self._queue[:SEND_LIMIT], self._queue[SEND_LIMIT:]
        return batch

    def _sort(self, batch: Sequence[Sending], answers: Sequence[Failure | None]) -> None:
        """Part what has come to its end from what is tried again."""
        if not self._retries and not any(answers):
            self._ends.confirmed(batch)
            return
        pairs = list(zip(batch, answers, strict=True))
        self._ends.confirmed([sending for sending, failure in pairs if failure is None])
        now = datetime.now(UTC)
        for sending, failure in pairs:
            if failure is not None:
                self._fail(sending, failure, now)
        self._retries.schedule(monotonic())

    def _fail(self, sending: Sending, failure: Failure, now: datetime) -> None:
        sending.attempts += 1
        sending.first = sending.first or now
        self._counters.ambiguous += failure.is_ambiguous
        if failure.failure_class is FailureClass.RETRYABLE:
            self._counters.retried += 1
            self._retries.failed(sending)
        elif failure.failure_class is FailureClass.CONFIGURATION:
            raise BrokerError(failure)
        else:
            self._ends.refused(sending, failure, now)
