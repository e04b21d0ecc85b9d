"""A lane: the deliveries of one source to one broker, in order.

A send takes whatever has come while others were under way, so batches grow with the time that the
broker takes. Most brokers have one send at a time; one that keeps order by itself has several.
Answers are taken in the order of the sends, so that what failed is tried again in order.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from time import monotonic
from typing import Final, TypeAlias

from gateway_lab.brokers.contract import BrokerError, Failure, FailureClass, Outgoing, Sink
from gateway_lab.gateway.counters import Counters
from gateway_lab.gateway.retry import Backoff, OrderKey, Retries, order_key
from gateway_lab.gateway.sending import Sending

SEND_LIMIT: Final = 1_000
"""Deliveries sent at once at most."""

MAX_CREATED: Final = 10_000
"""Channels that a lane creates at most: messages choose their names."""

Answers: TypeAlias = list[Failure | None]
Create: TypeAlias = Callable[[Outgoing], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Ends:
    """Who is told when deliveries have come to their end, confirmed or refused for good."""

    confirmed: Callable[[Sequence[Sending]], None]
    refused: Callable[[Sending, Failure, datetime], None]


class Lane:
    """Sends, and sends again what failed in a way that passes.

    Args:
        sink: Where to.
        backoff: How long to wait between tries.
        counters: Of the source.
        ends: Who is told of the end of each delivery.
        create: Creates the channel of a delivery that was refused because there is none; None:
            that is the delivery's end.

    Attributes:
        is_strict: Whether some of the source's targets have one unconfirmed message a key.
    """

    is_strict = False

    def __init__(
        self,
        sink: Sink,
        backoff: Backoff,
        counters: Counters,
        ends: Ends,
        create: Create | None = None,
    ) -> None:
        self._sink, self._counters, self._ends = sink, counters, ends
        self._create = create
        self._created: set[str] = set()
        self._missing: dict[str, Outgoing] = {}
        self._queue: list[Sending] = []
        self._flying: deque[tuple[list[Sending], asyncio.Task[Answers]]] = deque()
        self._wake = asyncio.Event()
        self._retries = Retries(backoff)

    def change(self, backoff: Backoff, *, is_strict: bool) -> None:
        """Take over what another version of the config says."""
        self._retries.backoff, self.is_strict = backoff, is_strict

    def put(self, sendings: Sequence[Sending]) -> None:
        """Take deliveries, behind those that were taken before."""
        self._queue += sendings
        self._wake.set()

    async def run(self) -> None:
        """Send until cancelled.

        Raises:
            BrokerError: A failure of class `configuration`.
        """
        try:
            while True:
                while self._may_send() and (batch := self._take()):
                    self._send(batch)
                await self._news()
                while self._flying and self._flying[0][1].done():
                    batch, send = self._flying.popleft()
                    self._sort(batch, send.result())
                await self._create_missing()
        finally:
            await self._abandon()

    def _may_send(self) -> bool:
        """Say whether one more send may be under way; after a failure they go one by one."""
        return len(self._flying) < (1 if self._retries else self._sink.sends_at_once)

    def _send(self, batch: list[Sending]) -> None:
        send = asyncio.ensure_future(self._sink.send(batch))
        send.add_done_callback(lambda _: self._wake.set())
        self._flying.append((batch, send))

    async def _news(self) -> None:
        """Wait until something came, was answered, or is due."""
        if self._retries:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._retries.pause(monotonic())):
                    await self._wake.wait()
        else:
            await self._wake.wait()
        self._wake.clear()

    async def _abandon(self) -> None:
        """Send nothing more; what has no answer yet comes again with its message."""
        sends = [send for _, send in self._flying]
        for send in sends:
            send.cancel()
        await asyncio.gather(*sends, return_exceptions=True)

    # --- what is sent next ---

    def _take(self) -> list[Sending]:
        """Take what is due, then what has come, without what must wait behind its key."""
        if not self._retries:
            batch = self._next()
        else:
            batch = self._retries.take_due(monotonic())
            while self._queue and len(batch) < SEND_LIMIT:
                batch += [each for each in self._next() if not self._retries.holds(each)]
        if self.is_strict and self._sink.sends_at_once == 1:  # others keep order by themselves
            return self._one_a_key(batch)
        return batch

    def _next(self) -> list[Sending]:
        batch, self._queue = self._queue[:SEND_LIMIT], self._queue[SEND_LIMIT:]
        return batch

    def _one_a_key(self, batch: Sequence[Sending]) -> list[Sending]:
        """Leave what must not be under way together with what is ahead of it for the next send."""
        taken: list[Sending] = []
        later: list[Sending] = []
        ahead: set[tuple[str, OrderKey]] = set()
        for sending in batch:
            key = order_key(sending.message) if sending.way.is_strict else None
            if key is None:
                taken.append(sending)
            elif (place := (sending.channel, key)) in ahead:
                later.append(sending)
            else:
                ahead.add(place)
                taken.append(sending)
        self._queue = later + self._queue
        return taken

    # --- what became of it ---

    def _sort(self, batch: Sequence[Sending], answers: Answers) -> None:
        """Part what has come to its end from what is tried again."""
        if not self._retries and not any(answers):
            self._ends.confirmed(batch)
            return
        now = datetime.now(UTC)
        confirmed: list[Sending] = []
        try:
            for sending, failure in zip(batch, answers, strict=True):
                if failure is not None:
                    self._fail(sending, failure, now)
                    continue
                confirmed.append(sending)
                self._counters.overtaken += self._retries.overtaken_by(sending)
        finally:
            self._ends.confirmed(confirmed)
        self._retries.schedule(monotonic())

    def _fail(self, sending: Sending, failure: Failure, now: datetime) -> None:
        sending.attempts += 1
        sending.first = sending.first or now
        self._counters.ambiguous += failure.is_ambiguous
        if failure.failure_class is FailureClass.RETRYABLE or self._creates(sending, failure):
            self._counters.retried += 1
            self._retries.failed(sending)
        elif failure.failure_class is FailureClass.CONFIGURATION:
            raise BrokerError(failure)
        else:
            self._ends.refused(sending, failure, now)

    # --- channels that are missing ---

    def _creates(self, sending: Sending, failure: Failure) -> bool:
        """Say whether a delivery is tried again because its channel will be there then."""
        if self._create is None or failure.failure_class is not FailureClass.UNROUTABLE:
            return False
        if sending.channel in self._created:
            return sending.attempts == 1  # it may have been sent before
        if len(self._created) >= MAX_CREATED:
            return False
        self._missing[sending.channel] = sending
        return True

    async def _create_missing(self) -> None:
        """Create each channel once, before its deliveries are tried again."""
        while self._create and self._missing:
            channel, outgoing = self._missing.popitem()
            await self._create(outgoing)
            self._created.add(channel)
