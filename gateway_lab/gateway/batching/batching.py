"""The way of a source's batches, live; read it from top to bottom.

    collect what was read → store rows and guard → send the aggregates → let go of the messages

A message that a batch holds is not settled before the batch has come to its end, as if the batch
were one more delivery of it. What is collected here may be lost at any moment, and comes again.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from time import time
from typing import Final

from gateway_lab.batches.window import GRACE_S, Window
from gateway_lab.brokers.contract import BrokerError, FailureClass, Sink
from gateway_lab.config.check_usage import EXACT_POSITIONS
from gateway_lab.config.document import Document
from gateway_lab.config.plan import Plan, SourcePlan
from gateway_lab.gateway.batching.batcher import Create, Due, Place, Release
from gateway_lab.gateway.batching.feed import Feed, feed_means
from gateway_lab.gateway.batching.writer import Member, Writer, Written
from gateway_lab.gateway.counters import Counters, State
from gateway_lab.gateway.means import Means
from gateway_lab.gateway.pump import Pump
from gateway_lab.gateway.retry import Backoff
from gateway_lab.gateway.telemetry.watch import Watch
from gateway_lab.gateway.window import Held
from gateway_lab.gateway.window import Window as Fullness
from gateway_lab.messages.message import Message
from gateway_lab.routing.rehearsal import as_handled
from gateway_lab.routing.routed import Routed

_LOG: Final = logging.getLogger(__name__)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


class Batching:
    """All batches of one source; see `batcher.Batcher`."""

    def __init__(self, collectors: Sequence[Collector]) -> None:
        self._collectors, self.number = collectors, len(collectors)

    def take(self, held: Held, index: int, routed: Routed) -> int:
        """Take what was decided on, if it is valid; return how many batches hold it now."""
        message = as_handled(held.batch.messages[index], routed)
        if message is None:
            return 0
        member = Member(held, index, routed.event_type, message)
        for each in self._collectors:
            each.push(member)
        return self.number

    def flush(self) -> None:
        """Close what is open."""
        for each in self._collectors:
            each.flush()

    def end(self) -> None:
        """Close what is open: nothing more will be read."""
        self.flush()

    def heed(self, due: Due) -> None:
        """Let timers wait for messages that were received before they ring."""
        for each in self._collectors:
            each.due = due

    def look(self) -> None:
        """Look whether the source is full, or what timers waited for has come."""
        for each in self._collectors:
            each.wake()

    def change(self, config: Document, plan: Plan, sinks: Mapping[str, Sink]) -> None:
        """Decide by another version of the config what is stored and sent from now on."""
        for each in self._collectors:
            each.change(config, plan, sinks)

    async def run(
        self, release: Release, window: Fullness, sinks: Mapping[str, Sink], create: Create | None
    ) -> None:
        """Store and send until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for each in self._collectors:
                tasks.create_task(each.run(release, window, sinks, create))

    def close(self) -> None:
        """End all connections to databases; never hangs."""
        for each in self._collectors:
            each.close()


class Collector:
    """One batch of one source: its open windows, and what becomes of those that are closed.

    Attributes:
        due: See `Batcher.heed`.
    """

    def __init__(
        self, writer: Writer, config: Document, plan: Plan, counters: Counters, watch: Watch
    ) -> None:
        batch = writer.plan
        self._writer, self._counters, self._watch = writer, counters, watch
        self._size, self._every_us = batch.size, batch.every_us
        self._backoff = Backoff.of(plan.sources[batch.source].retry)
        self._windows: dict[Place, Window[Member]] = {}
        self._last: dict[Place, str | None] = {}
        self._closed: deque[Sequence[Member]] = deque()
        self.due: Due = lambda _: None
        self._wake = asyncio.Event()
        self._sent, self._reason = 0, ""
        self._feed = Feed()
        source, means = self._feeding(config, plan)
        books = Counters(source.name, tallies=counters.tallies)
        self._pump = Pump(source, means, books)

    # --- collect ---

    def push(self, member: Member) -> None:
        """Take the next message of a partition."""
        message = member.message
        place = (message.broker, message.channel, message.partition)
        window = self._windows.get(place)
        if window is None:
            window = self._windows[place] = Window(size=self._size, every_us=self._every_us)
        if message.protocol in EXACT_POSITIONS and _is_again(message, self._last.get(place)):
            self._close(window.flush())  # the partition was elsewhere: guards part what is stored
        self._last[place] = message.position
        received, stamp = micros(message.received), message.timestamp
        at = received if stamp is None else micros(stamp)
        was_open = len(window) > 0
        self._close(window.push(member, at, received))
        if not was_open:
            self._wake.set()

    def flush(self) -> None:
        """Close what is open."""
        for window in self._windows.values():
            self._close(window.flush())

    def wake(self) -> None:
        """Look again."""
        self._wake.set()

    def _close(self, members: Sequence[Member] | None) -> None:
        if members:
            self._closed.append(members)
            self._wake.set()

    def _expire(self) -> None:
        now = int((time() - GRACE_S) * 1e6)
        for place, window in self._windows.items():
            due = self.due(place)
            self._close(window.expired(now if due is None else min(now, micros(due))))

    # --- store, send, let go ---

    async def run(
        self, release: Release, window: Fullness, sinks: Mapping[str, Sink], create: Create | None
    ) -> None:
        """Store and send until cancelled; see `Batcher.run`."""
        self._release = release
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._pump.run([self._watch.feed(self._feed)], sinks, create))
            await self._with_patience(self._writer.prepare)
            while True:
                self._expire()
                while self._closed:
                    await self._finish(self._closed.popleft())
                if window.fullness >= 1 and not self._sent:
                    self.flush()  # nothing else could ever make room
                if not self._closed:
                    await self._news()

    async def _news(self) -> None:
        """Wait until something is closed, or a timer rings."""
        rings = [
            each.rings_us
            for place, each in self._windows.items()
            if each.rings_us is not None and self.due(place) is None
        ]
        pause = max(0.0, min(rings) / 1e6 + GRACE_S - time()) + 1e-3 if rings else None
        with suppress(TimeoutError):
            async with asyncio.timeout(pause):
                await self._wake.wait()
        self._wake.clear()

    async def _finish(self, members: Sequence[Member]) -> None:
        """Store a batch, in parts where some of it was stored before; nothing waits for sends."""
        while members:
            written = await self._with_patience(partial(self._write, members))
            done, members = members[: written.taken], members[written.taken :]
            self._sent += 1
            self._feed.put(written.messages, partial(self._done, done))

    async def _write(self, members: Sequence[Member]) -> Written:
        written = await self._watch.write(self._writer.plan, members, self._writer.write)
        if written.refused:
            await self._feed.deliver(written.refused)
            await self._writer.commit(written)
        return written

    def _done(self, members: Sequence[Member]) -> None:
        self._sent -= 1
        self._release((each.held, each.index) for each in members)
        self._wake.set()

    async def _with_patience(self, act: Callable[[], Awaitable[Written | None]]) -> Written:
        """Try for as long as it takes what fails in a way that passes."""
        tries = 0
        while True:
            try:
                written = await act() or Written()
            except BrokerError as error:
                if error.failure.failure_class is not FailureClass.RETRYABLE:
                    raise
                self._wait_for(str(error))
            else:
                self._wait_for("")
                return written
            tries += 1
            self._counters.retried += 1
            await asyncio.sleep(self._backoff.pause(tries))

    def _wait_for(self, reason: str) -> None:
        """Tell what the source waits for, once for each reason; empty: it goes on."""
        if reason == self._reason:
            return
        self._reason = reason
        counters, state = self._counters, State.WAITING if reason else State.RUNNING
        counters.state, counters.reason = state, reason
        told = {"source": counters.source, "reason": reason}
        level = logging.WARNING if reason else logging.INFO
        _LOG.log(level, "source %s is %s", counters.source, state, extra=told)

    def change(self, config: Document, plan: Plan, sinks: Mapping[str, Sink]) -> None:
        """Take over what another version says; size and time are the same in it."""
        self._writer.change(plan)
        source, means = self._feeding(config, plan)
        self._backoff = Backoff.of(source.retry)
        self._pump.change(source, means, sinks)

    def _feeding(self, config: Document, plan: Plan) -> tuple[SourcePlan, Means]:
        batch = self._writer.plan
        source, means = feed_means(config, plan, batch)
        return source, self._watch.means(means, plan, batch)

    def close(self) -> None:
        """End the connection to the database."""
        self._writer.close()


def micros(time: datetime) -> int:
    """Return µs since 1970."""
    return (time - _EPOCH) // _MICROSECOND


def _is_again(message: Message, last: str | None) -> bool:
    """Say whether a position does not follow the one before it."""
    return last is not None and int(message.position or 0) <= int(last)
