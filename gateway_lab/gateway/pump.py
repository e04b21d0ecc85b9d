"""The way of a source's messages, live; read it from top to bottom.

    read what has arrived → (handle) → decode, decide, render → send to each broker → settle

A message is settled only when each of its deliveries is confirmed by its broker, is a confirmed
dead letter, or is dropped by a rule that says so. Until then it lives in the source's broker: what
is held here may be lost at any moment, and comes again.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any, Final

from gateway_lab.brokers.contract import (
    Batch,
    BrokerError,
    Failure,
    FailureClass,
    Outgoing,
    Sink,
    Source,
)
from gateway_lab.config.plan import SourcePlan
from gateway_lab.gateway.batching.batcher import Batcher
from gateway_lab.gateway.batching.in_order import InOrder
from gateway_lab.gateway.counters import Counters
from gateway_lab.gateway.dead_letter import Cause, decided_cause
from gateway_lab.gateway.handlers.careful import Careful, crashed, put_off, recall
from gateway_lab.gateway.handlers.handling import Handling
from gateway_lab.gateway.handlers.job import Job, JobEnds
from gateway_lab.gateway.handlers.lanes import HandlerLanes
from gateway_lab.gateway.ids import id_headers
from gateway_lab.gateway.lane import Ends, Lane
from gateway_lab.gateway.means import Means
from gateway_lab.gateway.retry import Backoff
from gateway_lab.gateway.sending import Sending
from gateway_lab.gateway.settle import Settler
from gateway_lab.gateway.ways import Way, Ways
from gateway_lab.gateway.window import Held, Window
from gateway_lab.messages.books import Outcome
from gateway_lab.messages.message import Message
from gateway_lab.routing.routed import DEAD_LETTER, Decision, Delivery, Routed

DRAIN_S: Final = 20.0
"""How long a stop waits for what is in flight."""

SETTLE_S: Final = 5.0
"""How long it waits, after that, for the broker to take what is done."""

_DELIVERED, _DROPPED = Outcome.DELIVERED, Outcome.DROPPED


class Pump:
    """Moves the messages of one source.

    Attributes:
        batching: Takes what is valid into batches; None: the source has none.
    """

    def __init__(
        self,
        source: SourcePlan,
        means: Means,
        counters: Counters,
        batching: Batcher | None = None,
    ) -> None:
        self._source, self._counters = source, counters
        self._late = InOrder(batching) if batching and means.handling else None
        self.batching = self._late or batching
        self._use(means)
        self._window = Window()
        self._stop, self._hurry = asyncio.Event(), asyncio.Event()

    def _use(self, means: Means) -> None:
        self._router, self._ids, self._letters = means.router, means.id_of, means.letters
        self._ways, self._handling = Ways(self._counters, means.targets), means.handling

    async def run(
        self,
        sources: Sequence[Source],
        sinks: Mapping[str, Sink],
        create: Callable[[str, Outgoing], Awaitable[None]] | None = None,
    ) -> None:
        """Pump until stopped, then finish what is in flight within a limit.

        Args:
            sources: What to read from; they stay open, to be closed by the caller.
            sinks: Broker alias to sink, for all that deliveries and dead letters may go to.
            create: Given an alias and a delivery, creates its channel; None: nothing is created.

        Raises:
            BrokerError: Of class `configuration`; what is not settled comes again.
        """
        self._create, self._readers = create, sources
        self._lanes = self._open_lanes(sinks)
        self._settlers = [Settler(source, self._settled) for source in sources]
        ends = JobEnds(self._handled, self._failed, self._waits, self._window.stir)
        self._handlers = HandlerLanes(self._source.name, self._counters, ends)
        try:
            async with asyncio.TaskGroup() as tasks:
                settling = [tasks.create_task(each.run()) for each in self._settlers]
                self._begin(tasks, sinks)
                reading = [
                    tasks.create_task(self._read(number, source))
                    for number, source in enumerate(sources)
                ]
                await self._stop.wait()
                await _cancel(reading)
                if self.batching:
                    self.batching.end()
                await self._drain()
                await self._handlers.stop()
                await _cancel(self._sending)
                await self._finish(settling)
        except* BrokerError as group:
            raise _first(group) from None
        finally:
            await self._handlers.stop()

    def _begin(self, tasks: asyncio.TaskGroup, sinks: Mapping[str, Sink]) -> None:
        """Start all that goes on until everything is sent."""
        self._tasks = tasks
        self._sending = [tasks.create_task(each.run()) for each in self._lanes.values()]
        if self._handling:
            self._sending.append(tasks.create_task(self._handlers.watch()))
        if self.batching:
            self._window.hurry = self.batching.flush
            running = self.batching.run(self.release, self._window, sinks, self._create)
            self._sending.append(tasks.create_task(running))

    def _open_lanes(self, sinks: Mapping[str, Sink]) -> dict[str, Lane]:
        ends, backoff = Ends(self._confirmed, self._refused), Backoff.of(self._source.retry)
        lanes: dict[str, Lane] = {}
        for alias, sink in sinks.items():
            create = partial(self._create, alias) if self._create else None
            lanes[alias] = Lane(sink, backoff, self._counters, ends, create)
            lanes[alias].is_strict = self._ways.is_strict
        return lanes

    def change(self, source: SourcePlan, means: Means, sinks: Mapping[str, Sink]) -> None:
        """Decide by another version what is read from now on; what was read keeps its own.

        Args:
            source: Of the version, that reads what the one before read.
            means: Of the version.
            sinks: As for `run`; those of before stay.
        """
        self._window.keep(self._letters)
        self._source = source
        self._use(means)
        for lane in self._lanes.values():
            lane.change(Backoff.of(self._source.retry), is_strict=self._ways.is_strict)
        if any(each.done() or each.cancelling() for each in self._sending):
            return  # it is ending, and sends nothing more
        new = {alias: sink for alias, sink in sinks.items() if alias not in self._lanes}
        for alias, lane in self._open_lanes(new).items():
            self._lanes[alias] = lane
            self._sending.append(self._tasks.create_task(lane.run()))

    def stop(self, *, now: bool = False) -> None:
        """Read nothing more; `now` does not wait for what is in flight, either."""
        self._stop.set()
        if now:
            self._hurry.set()

    # --- read, decide, send ---

    async def _read(self, number: int, source: Source) -> None:
        careful = self._careful(source) if self._handling else None
        while True:
            limit = await self._window.room()
            batch = await source.read(limit)
            if careful:
                self._count(batch)
                await careful.take(number, batch)
            else:
                held = Held(number, batch)
                self._window.add(held)
                self._count(batch)
                self._dispatch(held, range(len(batch.messages)), self._router.route, self._ways)
            if self.batching and self._window.fullness >= 1:
                self.batching.look()

    def _count(self, batch: Batch) -> None:
        self._counters.read += len(batch.messages)
        self._counters.redelivered += len(batch.attempts) - batch.attempts.count(0)
        self._counters.window = self._window.fullness

    def _dispatch(
        self, held: Held, indexes: Iterable[int], route: Callable[[Message], Routed], ways: Ways
    ) -> None:
        """Decide messages of a batch and put their deliveries into the lanes of their brokers."""
        messages, pending, id_of = held.batch.messages, held.pending, self._ids
        lanes: defaultdict[str, list[Sending]] = defaultdict(list)
        decisions: list[Decision] = []
        finished: list[int] = []
        for index in indexes:
            message = messages[index]
            routed = route(message)
            decisions += routed.decisions
            id_ = id_of(message)
            for delivery in routed.deliveries:
                way = ways[delivery.router, delivery.route, delivery.target]
                way.counts.decided += 1
                if delivery.outcome is _DROPPED:
                    way.counts.dropped += 1
                    continue
                pending[index] += 1
                broker, channel = delivery.broker, delivery.channel
                if (
                    delivery.outcome is _DELIVERED
                    and broker is not None
                    and channel is not None
                    and (channel in way.channels or way.admits(channel))
                ):
                    sending = Sending(
                        channel,
                        delivery.key,
                        [*delivery.headers, *id_headers(id_), way.header],
                        delivery.body,
                        message.timestamp,
                        id_ + way.suffix,
                        way.options,
                        held=held,
                        index=index,
                        way=way,
                    )
                else:
                    broker, sending = self._letter(held, index, way, id_, _why(delivery, way))
                lanes[broker].append(sending)
            if self.batching:
                pending[index] += self.batching.take(held, index, routed)
            if not pending[index]:
                finished.append(index)
        self._counters.count(decisions)
        self._settlers[held.reader].finish(held, finished)
        for broker, sendings in lanes.items():
            self._lanes[broker].put(sendings)

    # --- handle ---

    def _careful(self, source: Source) -> Careful:
        return Careful(source, self._window, self._required.turn, self._handle, self._condemn)

    @property
    def _required(self) -> Handling:
        assert self._handling is not None  # noqa: S101 - a reload may not take it away
        return self._handling

    def _handle(self, held: Held) -> None:
        """Put the messages of a batch into the lanes of their handler."""
        if self._late:
            self._late.expect(held)
        self._handlers.put(self._jobs(held))

    def _jobs(self, held: Held) -> list[Job]:
        backoff, attempts = Backoff.of(self._source.retry), self._source.retry.attempts
        handling = self._required
        jobs = [
            Job(held, index, self._ids(message), handling, self._ways, backoff, attempts)
            for index, message in enumerate(held.batch.messages)
        ]
        recall(jobs, self._readers[held.reader].starts)
        return jobs

    def _handled(self, job: Job, routed: Routed) -> None:
        self._dispatch(job.held, (job.index,), lambda _: routed, job.ways)
        if self.batching:
            self._window.stir()

    def _waits(self, job: Job) -> None:
        put_off(job, self._readers[job.held.reader].starts)
        self._window.stir()

    def _condemn(self, held: Held) -> None:
        if self._late:
            self._late.expect(held)
        for job in self._jobs(held):
            self._failed(job, crashed(job))

    def _failed(self, job: Job, cause: Cause) -> None:
        """Send a dead letter of a message whose handler failed."""
        if self._late:
            self._late.skip(job.held, job.index)
        way = job.ways[None, None, DEAD_LETTER]
        way.counts.decided += 1
        job.held.pending[job.index] += 1
        broker, letter = self._letter(job.held, job.index, way, job.id, cause)
        self._lanes[broker].put([letter])

    # --- dead letters ---

    def _letter(
        self, held: Held, index: int, way: Way, id_: str, cause: Cause
    ) -> tuple[str, Sending]:
        """Write a letter in place of a delivery, or of a message; return its broker, too."""
        letters = held.letters or self._letters
        broker, letter = letters.write(held.batch.messages[index], id_, way, cause)
        return broker, Sending.letter(letter, held, index, way)

    def _refused(self, sending: Sending, failure: Failure, now: datetime) -> None:
        """Send a dead letter in place of a delivery; a letter has nothing in its place."""
        if sending.is_letter:
            raise _no_letter(self._source.name, sending.channel, failure)
        cause = Cause(
            reason=failure.reason,
            of_class=failure.failure_class,
            attempts=sending.attempts,
            first=sending.first,
            last=now,
        )
        held, index, way = sending.held, sending.index, sending.way
        broker, letter = self._letter(held, index, way, sending.message_id, cause)
        self._lanes[broker].put([letter])

    # --- confirm, settle ---

    def _confirmed(self, sendings: Sequence[Sending]) -> None:
        """Book what is confirmed, and settle the messages that wait for nothing else."""
        finished: defaultdict[Held, list[int]] = defaultdict(list)
        for sending in sendings:
            counts, held, index = sending.way.counts, sending.held, sending.index
            if sending.is_letter:
                counts.dead_lettered += 1
            else:
                counts.delivered += 1
            left = held.pending[index] = held.pending[index] - 1
            if not left:
                finished[held].append(index)
        for held, indexes in finished.items():
            self._settlers[held.reader].finish(held, indexes)

    def release(self, places: Iterable[tuple[Held, int]]) -> None:
        """Settle messages that a batch has done with, and that wait for nothing else."""
        finished: defaultdict[Held, list[int]] = defaultdict(list)
        for held, index in places:
            left = held.pending[index] = held.pending[index] - 1
            if not left:
                finished[held].append(index)
        for held, indexes in finished.items():
            self._settlers[held.reader].finish(held, indexes)

    def _settled(self, number: int) -> None:
        self._counters.settled += number
        self._window.advance()
        self._counters.window = self._window.fullness

    # --- stop ---

    async def _drain(self) -> None:
        """Wait until nothing is in flight, at most so long, or until somebody is in a hurry."""
        waits = [asyncio.create_task(self._window.empty()), asyncio.create_task(self._hurry.wait())]
        try:
            await asyncio.wait(waits, timeout=DRAIN_S, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await _cancel(waits)

    async def _finish(self, settling: Sequence[asyncio.Task[None]]) -> None:
        """Let what is done be settled; what is not comes again when the source is closed."""
        for settler in self._settlers:
            settler.close()
        await asyncio.wait(settling, timeout=SETTLE_S)
        await _cancel(settling)


def _why(delivery: Delivery, way: Way) -> Cause:
    """Say why a delivery is a letter from the beginning."""
    if delivery.outcome is not _DELIVERED:
        return decided_cause(delivery.reason, way)
    reason = f"too-many-channels: {way.target} has written to {way.max_channels}"
    return Cause(reason=reason, of_class=FailureClass.UNROUTABLE)


async def _cancel(tasks: Sequence[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks)


def _first(group: BaseExceptionGroup[BrokerError]) -> BrokerError:
    """Return one of several failures: the others say the same of the same source."""
    error = group.exceptions[0]
    return error if isinstance(error, BrokerError) else _first(error)


def _no_letter(source: str, channel: str, failure: Failure) -> BrokerError:
    reason = f"the dead letter cannot be written to {channel}: {failure.reason}"
    return BrokerError(
        Failure(FailureClass.CONFIGURATION, reason),
        where=f"source {source}",
        hint="create the channel, or let it take messages as large as the source's",
    )
